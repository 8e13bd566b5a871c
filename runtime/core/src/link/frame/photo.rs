//! Photos from their packets.

use super::super::{LinkEvent, Orientation};
use super::{DropReason, Events};

/// Longest photo, in bytes: a header of 623, image data that a `u16` counts, and an end marker (`camera.c`).
pub const MAX_PHOTO: usize = 623 + 65_535 + 2;
const START: [u8; 2] = [0xFF, 0xD8];
const END: [u8; 2] = [0xFF, 0xD9];

#[derive(Debug, Default)]
pub(super) enum Assembler {
    /// Between photos.
    #[default]
    Idle,
    /// In a photo of which every packet came, as far as can be told.
    Receiving { jpeg: Vec<u8>, packets: u32 },
    /// In a photo that is lost, which was told.
    Skipping,
}

impl Assembler {
    pub(super) fn append(&mut self, bytes: &[u8], events: &mut Events) {
        let reason = match self {
            Self::Idle if bytes.starts_with(&START) => {
                *self = Self::Receiving { jpeg: bytes.to_vec(), packets: 1 };
                return;
            }
            Self::Idle => DropReason::PhotoWithoutStart,
            Self::Receiving { jpeg, packets } if jpeg.len() + bytes.len() <= MAX_PHOTO => {
                jpeg.extend_from_slice(bytes);
                *packets = packets.saturating_add(1);
                return;
            }
            Self::Receiving { .. } => DropReason::PhotoTooLong,
            Self::Skipping => return,
        };
        events.drop_because(reason);
        *self = Self::Skipping;
    }

    /// Ends a photo of so many packets, if that was told.
    pub(super) fn end(&mut self, told: Option<u32>, events: &mut Events) {
        match std::mem::take(self) {
            Self::Receiving { jpeg, packets }
                if jpeg.ends_with(&END) && told.is_none_or(|told| told == packets) =>
            {
                // The sensor is turned: `rx_photo.py` turns photos by 90° anticlockwise.
                events.push(LinkEvent::Photo { jpeg, orientation: Orientation::Quarter });
            }
            Self::Receiving { .. } => events.drop_because(DropReason::PhotoGap),
            Self::Idle => events.drop_because(DropReason::PhotoWithoutStart),
            Self::Skipping => {}
        }
    }
}
