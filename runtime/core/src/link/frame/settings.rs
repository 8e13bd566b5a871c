//! What is known of a Frame before its link is up, and what its camera is told.

use serde::{Deserialize, Serialize};

use super::{AudioCodec, Messages};

/// How a Frame is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Which messages.
    pub messages: Messages,
    /// How the microphone is read.
    pub sound: Sound,
}

/// Rate and depth of signed PCM, as `microphone.c` offers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sound {
    /// 8 kHz, 8 bit: the firmware's default.
    #[default]
    Rate8Bits8,
    /// 8 kHz, 16 bit little-endian.
    Rate8Bits16,
    /// 16 kHz, 8 bit.
    Rate16Bits8,
    /// 16 kHz, 16 bit little-endian: 32 kB a second, about all that the link carries.
    Rate16Bits16,
}

impl Sound {
    /// Returns samples a second.
    pub(super) const fn rate(self) -> u16 {
        match self {
            Self::Rate8Bits8 | Self::Rate8Bits16 => 8_000,
            Self::Rate16Bits8 | Self::Rate16Bits16 => 16_000,
        }
    }

    /// Returns bits of a sample.
    pub(super) const fn depth(self) -> u8 {
        match self {
            Self::Rate8Bits8 | Self::Rate16Bits8 => 8,
            Self::Rate8Bits16 | Self::Rate16Bits16 => 16,
        }
    }

    pub(super) fn codec(self) -> AudioCodec {
        match self.depth() {
            8 => AudioCodec::Pcm8(self.rate().into()),
            _ => AudioCodec::Pcm16(self.rate().into()),
        }
    }
}

/// JPEG quality factors of the five levels of quality (`lua_libraries/camera.c`).
const QUALITY_FACTORS: [u8; 5] = [15, 20, 25, 30, 35];
/// Names of these levels in Lua.
pub(super) const QUALITY_NAMES: [&str; QUALITY_FACTORS.len()] =
    ["VERY_LOW", "LOW", "MEDIUM", "HIGH", "VERY_HIGH"];

/// How a photo is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CaptureSettings {
    /// Sides of the square photo in pixels: an even number from 100 to 720.
    pub(super) resolution: u16,
    /// Level of quality, 0 to 4.
    pub(super) quality: u8,
}

impl Default for CaptureSettings {
    /// As `tx_capture_settings.py`.
    fn default() -> Self {
        Self { resolution: 512, quality: 4 }
    }
}

impl CaptureSettings {
    /// Takes the nearest that the camera has.
    pub(super) fn nearest(longest_side: u16, quality: u8) -> Self {
        let level = (0..).zip(QUALITY_FACTORS).min_by_key(|(_, factor)| factor.abs_diff(quality));
        Self {
            resolution: longest_side.clamp(100, 720) / 2 * 2,
            quality: level.map_or(0, |(level, _)| level),
        }
    }
}
