//! Links to the glasses: vendors' protocols as sans-IO decoders and encoders.
//!
//! A decoder takes GATT notifications and yields [`LinkEvent`]s; an encoder turns a [`LinkCommand`]
//! into the GATT write of that vendor, or says that the glasses have no such command.

pub mod answer_text;
pub mod omi;

use std::time::Duration;

/// A GATT characteristic, by what it carries. The UUIDs stand beside the vendor's decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Characteristic {
    /// Omi audio data, `19B10001-…`.
    Audio,
    /// Omi codec id, `19B10002-…`.
    Codec,
    /// OmiGlass photo data, `19B10005-…`.
    PhotoData,
    /// OmiGlass photo control, `19B10006-…`.
    PhotoControl,
    /// Omi button, `23BA7925-…`.
    Button,
    /// Omi haptic motor, `CAB1AB96-…`.
    Haptic,
    /// Battery level of the Bluetooth SIG, `2A19`.
    BatteryLevel,
    /// Answer text of the gateway's own open profile; see [`mod@answer_text`].
    AnswerText,
}

/// One GATT write to the glasses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where to.
    pub characteristic: Characteristic,
    /// What.
    pub value: Vec<u8>,
}

/// How the camera was turned when a photo was taken, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// Upright.
    #[default]
    Upright,
    /// By a quarter.
    Quarter,
    /// Upside down.
    Half,
    /// By three quarters.
    ThreeQuarters,
}

/// How an audio payload is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// Signed 16-bit little-endian at this rate in Hz.
    Pcm16(u32),
    /// µ-law at this rate in Hz.
    MuLaw(u32),
    /// Opus at 16 kHz with this many samples a frame.
    Opus(u32),
}

/// What a button did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonEvent {
    /// One tap.
    Single,
    /// Two taps.
    Double,
    /// A long press.
    Long,
    /// Pressed down.
    Press,
    /// Let go.
    Release,
}

/// What a decoder made of the notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A whole photo: a JPEG, not checked beyond its framing.
    Photo {
        /// The file.
        jpeg: Vec<u8>,
        /// How it is turned.
        orientation: Orientation,
    },
    /// One encoded audio frame, whole.
    Audio {
        /// Its payload.
        frame: Vec<u8>,
        /// How many notifications were lost since the last one.
        lost_before: u32,
    },
    /// The glasses said how they code audio.
    Codec(AudioCodec),
    /// The button was used.
    Button(ButtonEvent),
    /// Battery level in percent, 0 to 100.
    Battery(u8),
    /// Bytes were dropped; counted by reason.
    Dropped(DropReason),
}

/// Why a decoder dropped bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Shorter than its header, or of a length that the protocol does not have.
    Malformed,
    /// A value that the protocol does not define.
    UnknownValue,
    /// A photo chunk out of order: the protocol cannot ask again, so the photo is lost.
    PhotoGap,
    /// A photo longer than the protocol's bound.
    PhotoTooLong,
    /// A photo that ended without having begun.
    PhotoWithoutStart,
    /// The same audio notification again.
    Duplicate,
    /// An audio frame whose fragments did not all arrive.
    AudioGap,
    /// A characteristic that this decoder does not know.
    UnknownCharacteristic,
    /// An event that nobody polled before too many others came.
    Overflow,
}

impl DropReason {
    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownValue => "unknown_value",
            Self::PhotoGap => "photo_gap",
            Self::PhotoTooLong => "photo_too_long",
            Self::PhotoWithoutStart => "photo_without_start",
            Self::Duplicate => "duplicate",
            Self::AudioGap => "audio_gap",
            Self::UnknownCharacteristic => "unknown_characteristic",
            Self::Overflow => "overflow",
        }
    }
}

/// What the gateway can ask of glasses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkCommand {
    /// Take one photo now.
    TakePhoto,
    /// Take a photo every so often.
    PhotoEvery(Duration),
    /// Stop taking photos.
    StopPhotos,
    /// Buzz for about so long.
    Vibrate(Duration),
}
