//! Taps that follow each other soon are one gesture.

use std::time::Duration;

use super::super::ButtonEvent;
use crate::time::Timestamp;

/// A tap within this time of the one before is its echo (`rx_tap.py`).
const ECHO: Duration = Duration::from_millis(40);
/// Taps within this time of the one before belong to it (`rx_tap.py`).
const TOGETHER: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
pub(super) struct Taps {
    gesture: Option<Gesture>,
}

#[derive(Debug)]
struct Gesture {
    is_single: bool,
    last: Timestamp,
}

impl Taps {
    /// Counts a tap; says whether it is none but an echo.
    pub(super) fn handle_tap(&mut self, now: Timestamp) -> bool {
        match &mut self.gesture {
            Some(gesture) => {
                let is_echo = now.since(gesture.last) < ECHO;
                gesture.is_single &= is_echo;
                gesture.last = now;
                is_echo
            }
            None => {
                self.gesture = Some(Gesture { is_single: true, last: now });
                false
            }
        }
    }

    /// Returns when the gesture is over.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.gesture.as_ref().map(|gesture| gesture.last + TOGETHER)
    }

    /// Takes the gesture if it is over: two taps and more are one thing.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<ButtonEvent> {
        if self.due_at().is_none_or(|due| now < due) {
            return None;
        }
        self.gesture
            .take()
            .map(|gesture| if gesture.is_single { ButtonEvent::Single } else { ButtonEvent::Double })
    }
}
