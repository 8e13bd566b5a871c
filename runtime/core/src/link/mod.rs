//! Links to the glasses: vendors' protocols as sans-IO decoders and encoders.
//!
//! A [`Protocol`] is one connection: it takes GATT notifications and yields [`LinkEvent`]s, and turns a
//! [`LinkCommand`] into the vendor's GATT writes, or says that the glasses have no such command.

pub mod answer_text;
pub mod even;
mod events;
pub mod frame;
pub mod mentra;
pub mod omi;
pub mod open;
mod pages;
mod profile;
mod protocol;
mod transfer;
pub mod uuid;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::answer_text::Kind;
use self::events::Events;
pub use self::events::MAX_EVENTS;
pub use self::profile::{Part, Profile};
pub use self::protocol::{Abilities, CameraAbilities, Protocol, Unsupported};
use crate::ids::QueryId;
use crate::time::Timestamp;

/// Longest value of a characteristic, in bytes (Bluetooth Core 5.4, Vol 3, Part F, 3.2.9).
const MAX_VALUE: usize = 512;

/// One of the two halves of glasses that are two Bluetooth devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The left one, which hears first.
    Left,
    /// The right one, which has the microphone.
    Right,
}

/// A GATT characteristic, by what it carries. The UUIDs stand beside the vendor's decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Omi features, `19B10021-…`.
    Features,
    /// Omi clock, `19B10031-…`.
    TimeSync,
    /// Omi accelerometer and gyroscope, `32403791-…`.
    Accelerometer,
    /// What Omi is asked of the audio that it stored, and its answers, `30295781-…`.
    Storage,
    /// Battery level of the Bluetooth SIG, `2A19`.
    BatteryLevel,
    /// Answer text of the gateway's own open profile; see [`mod@answer_text`].
    AnswerText,
    /// What Brilliant's Frame is told, `7A230002-…`.
    FrameTx,
    /// What Brilliant's Frame says, `7A230003-…`.
    FrameRx,
    /// What an arm of Even's G1 is told, `6E400002-…`.
    EvenTx(Arm),
    /// What an arm of Even's G1 says, `6E400003-…`.
    EvenRx(Arm),
    /// What Mentra's glasses are told, `000071FF-…`.
    MentraTx,
    /// What Mentra's glasses say, `000070FF-…`.
    MentraRx,
    /// What glasses of the open profile are told.
    OpenControl,
    /// What glasses of the open profile say.
    OpenData,
}

impl Characteristic {
    /// Tells whether its value is a fact that is read when a link is up, beside being notified when it changes.
    pub const fn is_fact(self) -> bool {
        matches!(self, Self::Codec | Self::BatteryLevel | Self::Features)
    }
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
    /// Signed 8-bit at this rate in Hz.
    Pcm8(u32),
    /// LC3 at 16 kHz, frames of 10 ms with this many bytes each.
    Lc3(u32),
}

impl AudioCodec {
    /// Returns how long a frame of so many bytes is.
    pub fn length_of(self, bytes: usize) -> Duration {
        let (samples, rate) = match self {
            Self::Pcm16(rate) => (bytes as u64 / 2, rate),
            Self::MuLaw(rate) | Self::Pcm8(rate) => (bytes as u64, rate),
            Self::Opus(samples) => (samples.into(), 16_000),
            Self::Lc3(_) => (160, 16_000),
        };
        Duration::from_micros(samples * 1_000_000 / u64::from(rate.max(1)))
    }
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

/// A reading of the motion sensors; x, y and z as the glasses name them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    /// In units of the earth's gravity.
    pub acceleration: [f32; 3],
    /// In degrees a second, where there is a gyroscope.
    pub rotation: Option<[f32; 3]>,
}

impl Motion {
    /// Takes m/s² and rad/s.
    fn from_si(acceleration: [f32; 3], rotation: Option<[f32; 3]>) -> Self {
        /// m/s² in one g (BIPM).
        const STANDARD_GRAVITY: f32 = 9.806_65;
        Self {
            acceleration: acceleration.map(|axis| axis / STANDARD_GRAVITY),
            rotation: rotation.map(|rotation| rotation.map(f32::to_degrees)),
        }
    }
}

/// What a decoder made of the notifications.
#[derive(Clone, Debug, PartialEq)]
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
        /// How many frames were lost since the last one; of a frame in fragments each counts.
        lost_before: u32,
    },
    /// Audio that the glasses recorded while nobody was connected: records without a gap, in the order of recording. The
    /// next ones come when [`LinkCommand::FetchRecordings`] says that these are kept.
    Recorded {
        /// Number of the first one.
        first: u64,
        /// They.
        records: Vec<Record>,
    },
    /// The glasses said how they code audio.
    Codec(AudioCodec),
    /// The button was used.
    Button(ButtonEvent),
    /// Battery level in percent, 0 to 100.
    Battery(u8),
    /// How the head is held and moved.
    Motion(Motion),
    /// Bytes were dropped; counted by reason.
    Dropped(DropReason),
}

/// A piece of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it began, in whole seconds; `None` where the glasses did not know the time.
    pub at: Option<Timestamp>,
    /// Its encoded frames.
    pub frames: Vec<Vec<u8>>,
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
    /// A photo of which chunks were missing after all asking again.
    PhotoIncomplete,
    /// A photo with a wrong checksum.
    PhotoChecksum,
    /// The same audio notification or chunk again.
    Duplicate,
    /// An audio frame whose fragments did not all arrive.
    AudioGap,
    /// Records of audio that did not come whole; they are read again.
    RecordGap,
    /// Records of audio that could not be kept; they are read again.
    NotKept,
    /// What was asked of the glasses or written to them, that was refused or not answered as often as it was tried.
    Unanswered,
    /// A characteristic that this decoder does not know.
    UnknownCharacteristic,
    /// Words or an acknowledgement that nobody waits for.
    Unexpected,
    /// An event that nobody polled before too many others came.
    Overflow,
}

impl DropReason {
    /// Tells whether glasses that follow their protocol never cause it, whatever the radio loses.
    pub const fn is_nonsense(self) -> bool {
        matches!(
            self,
            Self::Malformed | Self::UnknownValue | Self::PhotoTooLong | Self::UnknownCharacteristic
        )
    }

    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownValue => "unknown_value",
            Self::PhotoGap => "photo_gap",
            Self::PhotoTooLong => "photo_too_long",
            Self::PhotoWithoutStart => "photo_without_start",
            Self::PhotoIncomplete => "photo_incomplete",
            Self::PhotoChecksum => "photo_checksum",
            Self::Duplicate => "duplicate",
            Self::AudioGap => "audio_gap",
            Self::RecordGap => "record_gap",
            Self::NotKept => "not_kept",
            Self::Unanswered => "unanswered",
            Self::UnknownCharacteristic => "unknown_characteristic",
            Self::Unexpected => "unexpected",
            Self::Overflow => "overflow",
        }
    }
}

/// What the gateway can ask of glasses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkCommand {
    /// Use these sizes from the next photo on.
    Camera {
        /// Pixels of the longer side; the nearest that the camera has.
        longest_side: u16,
        /// JPEG quality, 1 to 100; the nearest that the camera has.
        quality: u8,
    },
    /// Send what is heard, or stop.
    Microphone(bool),
    /// Show a text, in as many pages as it takes.
    Show {
        /// What it is to the wearer.
        kind: Kind,
        /// Glasses that know the open profile show an answer to a query once.
        query: QueryId,
        /// What is shown.
        text: String,
    },
    /// Take one photo now.
    TakePhoto,
    /// Take a photo every so often.
    PhotoEvery(Duration),
    /// Stop taking photos.
    StopPhotos,
    /// Buzz for about so long.
    Vibrate(Duration),
    /// Send what was recorded while nobody was connected, from this record on. What is before it is kept: the glasses may
    /// overwrite it.
    FetchRecordings {
        /// Number of the record.
        from: u64,
    },
}
