//! Audio frames from their notifications.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | packet id, rising by one **per notification**, wrapping at 65536 |
//! | 2 | 1 | index of this fragment in its frame; 0 begins a frame |
//! | 3 | n | payload |
//!
//! Nothing marks the last fragment. Frames are at most 160 bytes and the firmware fills every fragment
//! but the last, so with an MTU of 166 or more (it asks for 517) each notification is a whole frame. So a
//! frame is given out as soon as a fragment came that is not full, and no frame waits for the next
//! packet. Only a notification of the longest possible length is taken as full until a continuation
//! shows that a shorter one was; that first frame is lost, and from then on full ones are waited on.

use super::super::{DropReason, LinkEvent};
use super::{Events, MAX_VALUE};

/// Longest audio frame, in bytes: 100 ms of 16-bit samples at 16 kHz are 3200, and Opus packets shorter.
pub const MAX_FRAME: usize = 4096;
/// A full notification is no shorter: the firmware notifies only from an MTU of 100 on, of which 3 bytes
/// are the header of ATT (`transport.c`).
const SHORTEST_FULL: usize = 100 - 3;

#[derive(Debug)]
pub(super) struct Assembler {
    last: Option<Last>,
    frame: Frame,
    /// Notifications lost since the last frame that was given out.
    lost: u32,
    /// Notifications of this length and more may be continued.
    full: usize,
}

/// The last notification, as far as the next one is compared with it.
#[derive(Debug)]
struct Last {
    id: u16,
    value: Vec<u8>,
}

#[derive(Debug)]
enum Frame {
    /// No frame is open: none began, or one was dropped.
    None,
    /// The fragments so far, all there; the next one has this index.
    Open { bytes: Vec<u8>, next: u8 },
    /// Given out; its last notification was this long.
    Complete { length: usize, next: u8 },
}

/// How a notification follows the last one.
enum Continuity {
    /// As the next one, or as another fragment under the same id (older firmware).
    Contiguous,
    /// After a loss.
    Gap(u32),
    /// With a new count.
    Reset,
    Duplicate,
}

impl Default for Assembler {
    fn default() -> Self {
        Self { last: None, frame: Frame::None, lost: 0, full: MAX_VALUE }
    }
}

impl Assembler {
    pub(super) fn handle(&mut self, value: &[u8], events: &mut Events) {
        let &[low, high, index, ref payload @ ..] = value else {
            return events.drop_because(DropReason::Malformed);
        };
        match self.continuity(u16::from_le_bytes([low, high]), value) {
            Continuity::Duplicate => return events.drop_because(DropReason::Duplicate),
            Continuity::Contiguous => {}
            Continuity::Gap(lost) => {
                self.lost = self.lost.saturating_add(lost);
                self.drop_open_frame(events);
            }
            Continuity::Reset => self.drop_open_frame(events),
        }
        if index == 0 {
            self.begin(payload, events);
        } else {
            self.append(index, payload, events);
        }
        if value.len() < self.full {
            self.complete(value.len(), events);
        }
    }

    /// Compares with the last notification, by the rules of the vendor's app: forward by less than half
    /// of the ids is a gap, all else a reset.
    fn continuity(&mut self, id: u16, value: &[u8]) -> Continuity {
        let last = self.last.replace(Last { id, value: value.to_vec() });
        let Some(last) = last else { return Continuity::Contiguous };
        match id.wrapping_sub(last.id) {
            0 if last.value == value => Continuity::Duplicate,
            0 | 1 => Continuity::Contiguous,
            ahead @ 2..0x8000 => Continuity::Gap(u32::from(ahead) - 1),
            0x8000.. => Continuity::Reset,
        }
    }

    fn begin(&mut self, payload: &[u8], events: &mut Events) {
        if let Frame::Open { .. } = self.frame {
            self.complete(self.full, events);
        }
        self.frame = if payload.is_empty() {
            events.drop_because(DropReason::Malformed);
            Frame::None
        } else {
            Frame::Open { bytes: payload.to_vec(), next: 1 }
        };
    }

    fn append(&mut self, index: u8, payload: &[u8], events: &mut Events) {
        match &mut self.frame {
            Frame::Open { bytes, next } if *next == index => {
                if bytes.len() + payload.len() <= MAX_FRAME {
                    bytes.extend_from_slice(payload);
                    *next = next.wrapping_add(1);
                    return;
                }
                self.frame = Frame::None;
                return events.drop_because(DropReason::Malformed);
            }
            // Its frame was given out too early, as that notification was full.
            Frame::Complete { length, next } if *next == index && *length >= SHORTEST_FULL => {
                self.full = *length;
            }
            Frame::Open { .. } | Frame::Complete { .. } | Frame::None => {}
        }
        self.frame = Frame::None;
        events.drop_because(DropReason::AudioGap);
    }

    /// Gives the open frame out.
    fn complete(&mut self, length: usize, events: &mut Events) {
        if let Frame::Open { bytes, next } = std::mem::replace(&mut self.frame, Frame::None) {
            let lost_before = std::mem::take(&mut self.lost);
            events.push(LinkEvent::Audio { frame: bytes, lost_before });
            self.frame = Frame::Complete { length, next };
        }
    }

    fn drop_open_frame(&mut self, events: &mut Events) {
        if let Frame::Open { .. } = std::mem::replace(&mut self.frame, Frame::None) {
            events.drop_because(DropReason::AudioGap);
        }
    }
}
