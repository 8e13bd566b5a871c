//! What goes out of the gateway of what glasses hear and heard.

use std::time::Duration;

use crate::ids::GlassesId;
use crate::link::AudioCodec;
use crate::time::Timestamp;

/// One encoded frame of what the glasses hear, at its place in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Whose.
    pub glasses: GlassesId,
    /// How it is coded.
    pub codec: AudioCodec,
    /// The frame.
    pub frame: Vec<u8>,
    /// When it began, by the gateway's clock: never before the one before it.
    pub starts_at: Timestamp,
    /// How long it is.
    pub length: Duration,
    /// How many frames were lost right before it.
    pub lost_frames: u32,
    /// How long they were: what is to be concealed.
    pub lost: Duration,
}

/// A batch of what glasses recorded while nobody was connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Whose.
    pub glasses: GlassesId,
    /// How it is coded, where the glasses have told.
    pub codec: Option<AudioCodec>,
    /// Number of its first record, as the glasses count.
    pub first: u64,
    /// Number of the record after its last one.
    pub next: u64,
    /// Its frames, in the order of recording.
    pub frames: Vec<RecordedFrame>,
}

/// A frame of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFrame {
    /// When it began, as the glasses knew the time, which the gateway sets at each link; `None` where they did not.
    pub at: Option<Timestamp>,
    /// The frame.
    pub frame: Vec<u8>,
}
