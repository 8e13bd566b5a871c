//! Audio frames from their notifications.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | `F1` |
//! | 1 | 1 | seq, rising by one per notification, wrapping at 256 |
//! | 2 | 200 | 10 frames of LC3 of 20 bytes: 10 ms each, 16 kHz (`BluetoothManager.swift`) |
//!
//! A gap is counted by `seq`: one of 256 notifications, 25.6 s, cannot be told from none.

use super::super::LinkEvent;
use super::{DropReason, Events};

/// Bytes of a frame.
pub(super) const FRAME: usize = 20;
/// Frames of a notification.
const FRAMES: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Audio {
    last: Option<Last>,
}

/// The last notification, as far as the next one is compared with it.
#[derive(Debug)]
struct Last {
    seq: u8,
    payload: [u8; FRAME * FRAMES],
}

impl Audio {
    /// Takes what follows `F1`.
    pub(super) fn handle(&mut self, value: &[u8], events: &mut Events) {
        let Some((&[seq], payload)) = value.split_first_chunk() else {
            return events.drop_because(DropReason::Malformed);
        };
        let Ok(payload) = <[u8; FRAME * FRAMES]>::try_from(payload) else {
            return events.drop_because(DropReason::Malformed);
        };
        let last = self.last.replace(Last { seq, payload });
        let mut lost_before = match last {
            None => 0,
            Some(last) => match seq.wrapping_sub(last.seq) {
                0 if last.payload == payload => return events.drop_because(DropReason::Duplicate),
                ahead @ 1..0x80 => (u32::from(ahead) - 1) * FRAMES as u32,
                // By half of the numbers and more, or not at all: the glasses count anew.
                0 | 0x80.. => 0,
            },
        };
        for frame in payload.chunks_exact(FRAME) {
            events.push(LinkEvent::Audio {
                frame: frame.to_vec(),
                lost_before: std::mem::take(&mut lost_before),
            });
        }
    }
}
