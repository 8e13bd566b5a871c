//! What the firmware's revision says about the protocol.

use serde::{Deserialize, Serialize};

use super::super::Orientation;

/// From this revision on a photo begins with an orientation byte.
const ORIENTATION_SINCE: [u32; 3] = [2, 1, 1];

/// What must be known of the glasses' firmware to read their photos.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// 2.1.1 and later: a photo begins with an orientation byte.
    Oriented,
    /// Earlier, and OpenGlass: a photo begins with its JPEG and is upside down.
    UpsideDown,
    /// Not told: a first byte of FF, with which every JPEG begins and no orientation does, decides.
    #[default]
    Unknown,
}

impl Firmware {
    /// Reads the firmware revision string of the Device Information service, as `2.3.2` or `v2.1`.
    pub fn from_revision(revision: &str) -> Self {
        let Some(version) = version(revision) else { return Self::Unknown };
        if version >= ORIENTATION_SINCE { Self::Oriented } else { Self::UpsideDown }
    }

    /// Splits what follows the number of a photo's first chunk into orientation and JPEG; `None` for an
    /// orientation that the protocol does not define or where there is nothing.
    pub(super) fn first_chunk(self, chunk: &[u8]) -> Option<(Orientation, &[u8])> {
        let (first, rest) = chunk.split_first()?;
        match (self, first) {
            (Self::UpsideDown, _) | (Self::Unknown, 0xFF) => Some((Orientation::Half, chunk)),
            (Self::Oriented | Self::Unknown, 0) => Some((Orientation::Upright, rest)),
            (Self::Oriented | Self::Unknown, 1) => Some((Orientation::Quarter, rest)),
            (Self::Oriented | Self::Unknown, 2) => Some((Orientation::Half, rest)),
            (Self::Oriented | Self::Unknown, 3) => Some((Orientation::ThreeQuarters, rest)),
            (Self::Oriented | Self::Unknown, _) => None,
        }
    }
}

/// Reads one to three numbers with dots between them; what is missing is 0, what follows is left out.
fn version(revision: &str) -> Option<[u32; 3]> {
    let revision = revision.trim().trim_start_matches(['v', 'V']);
    let end = revision.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(revision.len());
    let mut version = [0; 3];
    let numbers = revision[..end].trim_end_matches('.').split('.');
    for (slot, number) in version.iter_mut().zip(numbers) {
        *slot = number.parse().ok()?;
    }
    Some(version)
}
