//! Audio frames and what was lost between them.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | `06` |
//! | 1 | 2 | sequence, rising by one, wrapping at 65536 |
//! | 3 | 4 | when the frame began: the lower 32 bits of the time in ms |
//! | 7 | n | one frame of the codec, at least 1 byte |

use super::super::{DropReason, LinkEvent};

/// A frame that comes so many places late was overtaken; one from before is of a new count.
const LATE: u16 = 64;

#[derive(Debug, Default)]
pub(super) struct Frames {
    last: Option<u16>,
}

impl Frames {
    /// Reads what follows the type.
    pub(super) fn handle(&mut self, value: &[u8]) -> Result<LinkEvent, DropReason> {
        let &[low, high, _, _, _, _, ref frame @ ..] = value else { return Err(DropReason::Malformed) };
        if frame.is_empty() {
            return Err(DropReason::Malformed);
        }
        let sequence = u16::from_le_bytes([low, high]);
        let ahead = self.last.map_or(1, |last| sequence.wrapping_sub(last));
        let lost_before = match ahead {
            0 => return Err(DropReason::Duplicate),
            1..0x8000 => u32::from(ahead) - 1,
            // Its place was given up when a later one came.
            0x8000.. if ahead.wrapping_neg() < LATE => return Err(DropReason::AudioGap),
            0x8000.. => 0,
        };
        self.last = Some(sequence);
        Ok(LinkEvent::Audio { frame: frame.to_vec(), lost_before })
    }
}
