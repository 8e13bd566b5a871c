//! What the glasses say of themselves.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | `01` |
//! | 1 | 1 | version, from 1 |
//! | 2 | 1 | abilities: bit 0 camera, 1 microphone, 2 display, 3 haptics, 4 clock; the others are 0 |
//! | 3 | 2 | longest value that the gateway may write, 61 to 512: the MTU less 3, or 512 if that is less |
//! | 5 | 2 | shortest interval between two photos, ms |
//! | 7 | 1 | codec: 0 PCM 16 bit 16 kHz, 1 PCM 16 bit 8 kHz, 2 PCM 8 bit 16 kHz, 3 PCM 8 bit 8 kHz, 4 µ-law 16 kHz, 5 µ-law 8 kHz, 6 Opus 10 ms, 7 Opus 20 ms, 8 LC3 10 ms; Opus and LC3 at 16 kHz |
//! | 8 | 2 | bytes of an LC3 frame, 20 to 400; 0 with the other codecs |
//! | 10 | 1 | number of sizes *n*: 0 where the camera cannot be set, at most 16 |
//! | 11 | 2 *n* | longer sides of the photos that the camera can take, in pixels |

use std::time::Duration;

use super::super::{Abilities, AudioCodec, CameraAbilities, DropReason, MAX_VALUE};

/// The version that the gateway speaks.
pub const VERSION: u8 = 1;
/// The longest write that any glasses must take, in bytes: an MTU of 64.
pub const SHORTEST_WRITE: usize = 64 - 3;
const MAX_SIZES: usize = 16;

/// What the glasses say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What they have.
    pub abilities: Abilities,
    /// Whether they keep the time that they are told.
    pub has_clock: bool,
    /// Longest value that they take.
    pub longest_write: usize,
    /// How they code what they hear, if they do.
    pub codec: Option<AudioCodec>,
    /// Longer sides of the photos that the camera can take.
    pub sizes: Vec<u16>,
}

impl Hello {
    /// Reads what follows the type.
    pub(super) fn read(value: &[u8]) -> Result<Self, DropReason> {
        let (&[version, bits, w0, w1, i0, i1, codec, f0, f1, count], rest) =
            value.split_first_chunk().ok_or(DropReason::Malformed)?;
        let count = usize::from(count);
        let sizes = rest.get(..2 * count).ok_or(DropReason::Malformed)?;
        let longest_write = usize::from(u16::from_le_bytes([w0, w1]));
        if version == 0 || count > MAX_SIZES || !(SHORTEST_WRITE..=MAX_VALUE).contains(&longest_write) {
            return Err(DropReason::UnknownValue);
        }
        let has = |bit: u8| bits >> bit & 1 == 1;
        let codec = if has(1) { Some(read_codec(codec, u16::from_le_bytes([f0, f1]))?) } else { None };
        let camera = CameraAbilities {
            shortest_interval: Duration::from_millis(u16::from_le_bytes([i0, i1]).into()),
            is_adjustable: count > 0,
            own_interval: None,
        };
        Ok(Self {
            abilities: Abilities {
                camera: has(0).then_some(camera),
                microphone: codec.is_some(),
                display: has(2),
                haptics: has(3),
            },
            has_clock: has(4),
            longest_write,
            codec,
            sizes: sizes.as_chunks().0.iter().map(|size| u16::from_le_bytes(*size)).collect(),
        })
    }

    /// The size next to the wanted one.
    pub(super) fn nearest_size(&self, wanted: u16) -> Option<u16> {
        self.sizes.iter().copied().min_by_key(|size| size.abs_diff(wanted))
    }
}

fn read_codec(id: u8, frame: u16) -> Result<AudioCodec, DropReason> {
    match (id, frame) {
        (0, _) => Ok(AudioCodec::Pcm16(16_000)),
        (1, _) => Ok(AudioCodec::Pcm16(8_000)),
        (2, _) => Ok(AudioCodec::Pcm8(16_000)),
        (3, _) => Ok(AudioCodec::Pcm8(8_000)),
        (4, _) => Ok(AudioCodec::MuLaw(16_000)),
        (5, _) => Ok(AudioCodec::MuLaw(8_000)),
        (6, _) => Ok(AudioCodec::Opus(160)),
        (7, _) => Ok(AudioCodec::Opus(320)),
        // LC3 has frames of 20 to 400 bytes (Bluetooth LC3 1.0, 2.4).
        (8, 20..=400) => Ok(AudioCodec::Lc3(frame.into())),
        _ => Err(DropReason::UnknownValue),
    }
}
