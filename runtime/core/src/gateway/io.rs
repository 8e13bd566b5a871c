//! What goes into the gateway and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use glassd_policies::calibration::{Calibration, Drift, Outcome};
use glassd_policies::{CameraSettings, Compression, Decision, FrameRate, Policies, Privacy};

use super::audio::{Recording, Sound};
use crate::ids::{FrameId, GlassesId, QueryId};
use crate::link::{Characteristic, DropReason, Orientation, Profile, Write};
use crate::query::{Answered, Source, StoredQuery};
use crate::scene::{Scene, Vocabulary};
use crate::time::Timestamp;
use crate::wire::Encoding;

/// Everything the gateway is told once, at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policies.
    pub policies: Policies,
    /// The words perception can use.
    pub vocabulary: Vocabulary,
    /// Minutes that local time is ahead of UTC.
    pub utc_offset_minutes: i32,
    /// Privacy mode at start.
    pub privacy: Privacy,
    /// What a press of the glasses' button asks.
    pub button_question: String,
    /// Language of questions, BCP 47.
    pub language: String,
    /// How queries are written for the cloud.
    pub encoding: Encoding,
    /// How long a query may live before it expires with notice.
    pub query_lifetime: Duration,
    /// How long a query waits for a frame taken after it was asked (less [`Self::frame_freshness`]).
    pub frame_wait: Duration,
    /// How old a scene may be at the asking to answer from it.
    pub frame_freshness: Duration,
    /// How long a published query waits for its answer before it is published again.
    pub answer_timeout: Duration,
    /// Most queries published and not yet answered.
    pub in_flight: usize,
    /// Uplink budget in bytes per minute.
    pub uplink_bytes_per_minute: u64,
    /// What calibration found; without it scores are probabilities and the policy has the bounds.
    pub calibration: Option<Calibration>,
    /// How wrong answers were since then.
    pub drift: Drift,
    /// Glasses whose recordings of when nobody was connected are fetched, each with the record that is not kept yet.
    pub offline_audio: BTreeMap<GlassesId, u64>,
    /// Glasses whose microphone is turned on when their link is up, where it is not on by itself.
    pub microphones: BTreeSet<GlassesId>,
    /// Seed of the gateway's own random numbers (jitter, ids of button queries).
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policies: Policies::default(),
            vocabulary: Vocabulary::default(),
            utc_offset_minutes: 0,
            privacy: Privacy::Open,
            button_question: "What do you see?".to_owned(),
            language: "en".to_owned(),
            encoding: Encoding::default(),
            query_lifetime: Duration::from_secs(600),
            frame_wait: Duration::from_secs(3),
            frame_freshness: Duration::from_millis(1000),
            answer_timeout: Duration::from_secs(20),
            in_flight: 4,
            // DESIGN: under 600 KB a minute.
            uplink_bytes_per_minute: 600 * 1024,
            calibration: None,
            drift: Drift::default(),
            offline_audio: BTreeMap::new(),
            microphones: BTreeSet::new(),
            seed: 0,
        }
    }
}

/// A photo from the glasses, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which.
    pub id: FrameId,
    /// From whom.
    pub glasses: GlassesId,
    /// The JPEG as it came.
    pub jpeg: Arc<[u8]>,
    /// How it is turned.
    pub orientation: Orientation,
    /// When it was taken: when it was asked for, else when it had arrived.
    pub taken_at: Timestamp,
    /// How long it took to arrive; zero where that is not known.
    pub transfer: Duration,
}

/// What a cheap look at a frame measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// Change since the frame before, 0 to 1.
    pub motion: f32,
    /// Sharpness, 0 (blurred) upwards.
    pub sharpness: f32,
    /// Mean light, 0 to 1.
    pub light: f32,
}

/// How much depends on the perception of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The wearer does nothing in particular.
    Routine,
    /// The wearer did something a moment ago.
    Active,
    /// A query waits for it: no newer frame takes its place, and the model looks anew.
    Awaited {
        /// When the query stops waiting.
        until: Timestamp,
    },
}

/// Why a compute thread has no result for a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameFailure {
    /// A newer frame took its place in the queue.
    Superseded,
    /// The JPEG does not decode; with a metric label and the decoder's words.
    Undecodable {
        /// Metric label.
        reason: &'static str,
        /// The decoder's words.
        detail: String,
    },
    /// Its result would have come too late for the query that waited for it.
    Expired,
    /// There was no room for it in the queue.
    Refused(String),
    /// The model failed.
    Inference(String),
}

/// What the gateway knows of the machine it runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceFacts {
    /// Battery in percent; `None` on mains.
    pub battery: Option<u8>,
    /// The uplink costs money.
    pub metered: bool,
    /// Highest frame rate that heat allows, in frames per second.
    pub thermal_fps_limit: Option<f32>,
}

/// One input: all that can wake the gateway.
#[derive(Clone, Debug)]
pub enum Input {
    /// Glasses connected, and what they are.
    GlassesConnected {
        /// Which.
        glasses: GlassesId,
        /// What they speak.
        profile: Profile,
        /// Photos a second that the device can take at most.
        device_fps_limit: Option<f32>,
    },
    /// Glasses are gone.
    GlassesDisconnected {
        /// Which.
        glasses: GlassesId,
    },
    /// A GATT notification.
    Notification {
        /// From whom.
        glasses: GlassesId,
        /// Which characteristic.
        characteristic: Characteristic,
        /// Its value.
        value: Vec<u8>,
    },
    /// A frame that came by another way than a link (replay).
    Frame {
        /// From whom.
        glasses: GlassesId,
        /// The JPEG.
        jpeg: Vec<u8>,
        /// How it is turned.
        orientation: Orientation,
    },
    /// The cheap look at a frame is done.
    Probed {
        /// Which.
        frame: FrameId,
        /// What it measured.
        result: Result<Probe, FrameFailure>,
    },
    /// Perception of a frame is done.
    Perceived {
        /// Which.
        frame: FrameId,
        /// What was seen.
        result: Result<Scene, FrameFailure>,
    },
    /// The image of a hard query was shrunk.
    ImagePrepared {
        /// Which query.
        query: QueryId,
        /// The JPEG for the cloud.
        result: Result<Vec<u8>, FrameFailure>,
    },
    /// Somebody asks.
    Ask {
        /// Name of the query, chosen by the caller.
        query: QueryId,
        /// Whose glasses; `None` takes the only pair there is.
        glasses: Option<GlassesId>,
        /// The question.
        text: String,
        /// Who asks.
        source: Source,
    },
    /// A row that outlived the last run.
    Restored(StoredQuery),
    /// The outbox has written what [`Output::Store`] or [`Output::RecordAnswer`] asked.
    Stored {
        /// Which query.
        query: QueryId,
    },
    /// The outbox could not write.
    StoreFailed {
        /// Which query.
        query: QueryId,
        /// Why.
        reason: String,
    },
    /// What [`Output::KeepRecording`] asked is on disk.
    RecordingKept {
        /// Whose.
        glasses: GlassesId,
        /// [`Recording::next`].
        up_to: u64,
    },
    /// What [`Output::KeepRecording`] asked could not be written, and nothing of it was.
    RecordingFailed {
        /// Whose.
        glasses: GlassesId,
        /// [`Recording::next`].
        up_to: u64,
    },
    /// The broker is there.
    UplinkConnected,
    /// The broker is gone.
    UplinkDisconnected,
    /// A message on the answer topic.
    CloudMessage {
        /// MQTT correlation data.
        correlation: Vec<u8>,
        /// MQTT content type.
        content_type: Option<String>,
        /// The message.
        payload: Vec<u8>,
    },
    /// The machine's state changed.
    Facts(DeviceFacts),
    /// The privacy mode was set.
    SetPrivacy(Privacy),
    /// A moment that [`super::Gateway::poll_timeout`] named has come.
    Timeout,
}

/// One output: work and messages for the daemon.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write to the glasses.
    Write {
        /// To whom.
        glasses: GlassesId,
        /// What.
        write: Write,
    },
    /// A frame of audio, in the order of its recording.
    Sound(Sound),
    /// Keep what glasses recorded on disk; answer with [`Input::RecordingKept`] or [`Input::RecordingFailed`].
    KeepRecording(Recording),
    /// End the link to glasses that send what is nothing of their protocol, and leave them alone for a while.
    HangUp {
        /// To whom.
        glasses: GlassesId,
        /// What they sent most lately.
        reason: DropReason,
    },
    /// Look at a frame cheaply; answer with [`Input::Probed`].
    Probe(Frame),
    /// Run the model on a frame; answer with [`Input::Perceived`].
    Perceive {
        /// Which.
        frame: Frame,
        /// How much depends on it.
        urgency: Urgency,
    },
    /// Shrink a frame for the cloud; answer with [`Input::ImagePrepared`].
    PrepareImage {
        /// For which query.
        query: QueryId,
        /// From which frame.
        frame: Frame,
        /// To what.
        compression: Compression,
    },
    /// Write the row to disk, replacing an older one; answer with [`Input::Stored`].
    Store(StoredQuery),
    /// Publish a query that is on disk.
    Publish {
        /// Which.
        query: QueryId,
        /// The encoded message.
        message: Arc<[u8]>,
        /// How long brokers and workers may keep it.
        expires_in: Duration,
    },
    /// Note in the row what the answer is; answer with [`Input::Stored`].
    RecordAnswer {
        /// Which query.
        query: QueryId,
        /// The answer.
        text: String,
    },
    /// A query ended: tell who asked, keep the explanation, remove the row.
    Ended(Box<Answered>),
    /// Keep what became known of a candidate, for calibration.
    KeepOutcome {
        /// What became known.
        outcome: Outcome,
        /// How wrong answers were lately, with this one.
        drift: Drift,
    },
    /// Something that people or machines may want to know.
    Notice(Notice),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Glasses connected.
    Connected(GlassesId),
    /// Glasses are gone.
    Disconnected(GlassesId),
    /// The wanted frame rate changed, and why.
    FrameRate {
        /// Whose.
        glasses: GlassesId,
        /// To what, and why.
        decision: Decision<FrameRate>,
    },
    /// The camera is set otherwise, and why.
    Camera {
        /// Whose.
        glasses: GlassesId,
        /// To what, and why.
        decision: Decision<CameraSettings>,
    },
    /// A frame arrived whole.
    FrameArrived {
        /// From whom.
        glasses: GlassesId,
        /// Which.
        frame: FrameId,
        /// Its size in bytes.
        bytes: usize,
        /// How long it took over the link.
        transfer: Duration,
    },
    /// A scene was seen.
    Scene {
        /// By whom.
        glasses: GlassesId,
        /// In which frame.
        frame: FrameId,
        /// What.
        scene: Scene,
    },
    /// A query is safely on disk.
    Accepted {
        /// Which.
        query: QueryId,
        /// Whose.
        glasses: Option<GlassesId>,
        /// The question.
        text: String,
    },
    /// A query goes to the cloud.
    Forwarded {
        /// Which.
        query: QueryId,
        /// Size of its message in bytes.
        bytes: usize,
    },
    /// A query waits for the uplink.
    Deferred {
        /// Which.
        query: QueryId,
    },
    /// The button was used in a way that asks nothing.
    Button(GlassesId),
}
