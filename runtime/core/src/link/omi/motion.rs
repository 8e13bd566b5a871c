//! Readings of the accelerometer and the gyroscope, once a second.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 24 | acceleration x, y, z in m/s², each `[whole i32][millionths i32]` |
//! | 24 | 24 | rotation x, y, z in rad/s, likewise |
//!
//! Zephyr's `sensor_value`s as they lie in memory (`accel.c`); its units are SI. A read gives 4 bytes instead: how many axes
//! there are, 3 or 6.

use super::super::{DropReason, LinkEvent, Motion};

/// Returns the reading; `None` for the number of axes.
pub(super) fn read(value: &[u8]) -> Result<Option<LinkEvent>, DropReason> {
    if let &[axes, 0, 0, 0] = value {
        return if matches!(axes, 3 | 6) { Ok(None) } else { Err(DropReason::UnknownValue) };
    }
    let (axes, rest) = value.as_chunks::<8>();
    let &[ax, ay, az, gx, gy, gz] = axes else { return Err(DropReason::Malformed) };
    if !rest.is_empty() {
        return Err(DropReason::Malformed);
    }
    let (acceleration, rotation) = ([ax, ay, az].map(sensor_value), [gx, gy, gz].map(sensor_value));
    Ok(Some(LinkEvent::Motion(Motion::from_si(acceleration, Some(rotation)))))
}

fn sensor_value([a, b, c, d, e, f, g, h]: [u8; 8]) -> f32 {
    let (whole, millionths) = (i32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]));
    (f64::from(whole) + f64::from(millionths) / 1e6) as f32
}
