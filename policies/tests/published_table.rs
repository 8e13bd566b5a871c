//! The published frame rate table, row by row, and the readings of what it leaves open.

use glassd_policies::{FrameRateFacts, FrameRateMode, FrameRatePolicy};

#[derive(Clone, Copy, Debug)]
enum Wearer {
    Active,
    Inactive,
}

use FrameRateMode::{Low, Medium, Minimal};
use Wearer::{Active, Inactive};

#[track_caller]
fn check(battery: impl IntoIterator<Item = u8>, wearer: Wearer, motion: f32, fps: f32, mode: FrameRateMode) {
    for battery in battery {
        let facts = FrameRateFacts {
            battery,
            user_active: matches!(wearer, Active),
            motion,
            thermal_fps_limit: None,
            device_fps_limit: None,
            link_fps_limit: None,
        };
        let decision = FrameRatePolicy::default().decide(&facts, None);
        assert_eq!(
            (decision.value.fps, decision.value.mode),
            (fps, mode),
            "{facts:?}: {:?}",
            decision.reasons
        );
    }
}

#[test]
fn above_60_percent() {
    check(61..=100, Active, 0.31, 15.0, Medium);
    check(61..=100, Active, 0.3, 10.0, Medium);
    check(61..=100, Inactive, 0.3, 5.0, Low);
}

#[test]
fn from_30_to_60_percent() {
    check(31..=60, Active, 0.0, 5.0, Low);
    check(31..=60, Active, 1.0, 10.0, Medium);
}

#[test]
fn from_15_to_30_percent() {
    for wearer in [Active, Inactive] {
        for motion in [0.0, 0.3, 0.31, 1.0] {
            check(15..=30, wearer, motion, 5.0, Low);
        }
    }
}

#[test]
fn below_15_percent() {
    for wearer in [Active, Inactive] {
        for motion in [0.0, 0.3, 0.31, 1.0] {
            check(0..15, wearer, motion, 1.0, Minimal);
        }
    }
}

#[test]
fn open_cells() {
    check(61..=100, Inactive, 0.31, 7.5, Low);
    check(31..=60, Inactive, 0.3, 5.0, Low);
    check(31..=60, Inactive, 0.31, 7.5, Low);
}
