//! Photos from their chunks.
//!
//! | chunk | offset | size | field |
//! |---|---|---|---|
//! | first | 0 | 2 | 0 |
//! | | 2 | 1 | orientation, 0 to 3 quarters, only from firmware 2.1.1 |
//! | | 3 | ≤ 199 | JPEG |
//! | next | 0 | 2 | chunk number, counted from 0 |
//! | | 2 | ≤ 200 | JPEG |
//! | end | 0 | 2 | FF FF |
//!
//! There is no length, no checksum and no way to ask again: a photo with a chunk missing is lost. That the
//! very last chunk is missing cannot be told here; the JPEG then ends without its end marker.

use super::super::{DropReason, LinkEvent, Orientation};
use super::{Events, Firmware};

/// Longest photo, in bytes: the vendor's app gives up past it.
pub const MAX_PHOTO: usize = 200 * 1024;
const END: u16 = 0xFFFF;

/// Tells whether a notification ends a photo.
pub(super) fn is_end(value: &[u8]) -> bool {
    value.starts_with(&END.to_le_bytes())
}

#[derive(Debug)]
pub(super) struct Assembler {
    firmware: Firmware,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between photos.
    Idle,
    /// In a photo of which every chunk came.
    Receiving { orientation: Orientation, jpeg: Vec<u8>, next: u16 },
    /// In a photo that is lost, which was told.
    Skipping,
}

impl Assembler {
    pub(super) fn new(firmware: Firmware) -> Self {
        Self { firmware, state: State::Idle }
    }

    pub(super) fn forget(&mut self) {
        self.state = State::Idle;
    }

    pub(super) fn handle(&mut self, value: &[u8], events: &mut Events) {
        let Some((number, chunk)) = value.split_first_chunk() else {
            return events.drop_because(DropReason::Malformed);
        };
        match u16::from_le_bytes(*number) {
            END => self.end(events),
            0 => self.begin(chunk, events),
            number => self.append(number, chunk, events),
        }
    }

    fn begin(&mut self, chunk: &[u8], events: &mut Events) {
        if matches!(self.state, State::Receiving { .. }) {
            events.drop_because(DropReason::PhotoGap);
        }
        self.state = match self.firmware.first_chunk(chunk) {
            Some((orientation, jpeg)) => State::Receiving { orientation, jpeg: jpeg.to_vec(), next: 1 },
            None => {
                let empty = chunk.is_empty();
                events.drop_because(if empty { DropReason::Malformed } else { DropReason::UnknownValue });
                State::Skipping
            }
        };
    }

    fn append(&mut self, number: u16, chunk: &[u8], events: &mut Events) {
        let reason = match &mut self.state {
            State::Receiving { jpeg, next, .. } if number == *next => {
                if jpeg.len() + chunk.len() <= MAX_PHOTO {
                    jpeg.extend_from_slice(chunk);
                    // After FFFE comes the number of the end: no chunk can follow.
                    *next = next.saturating_add(1);
                    return;
                }
                DropReason::PhotoTooLong
            }
            State::Receiving { .. } => DropReason::PhotoGap,
            State::Idle => DropReason::PhotoWithoutStart,
            State::Skipping => return,
        };
        events.drop_because(reason);
        self.state = State::Skipping;
    }

    fn end(&mut self, events: &mut Events) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Receiving { jpeg, .. } if jpeg.is_empty() => events.drop_because(DropReason::Malformed),
            State::Receiving { jpeg, orientation, .. } => events.push(LinkEvent::Photo { jpeg, orientation }),
            State::Idle => events.drop_because(DropReason::PhotoWithoutStart),
            State::Skipping => {}
        }
    }
}
