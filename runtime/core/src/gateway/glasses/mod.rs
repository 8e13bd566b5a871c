//! One pair of glasses: its [link](link), its camera's [settings](camera) and [pace](pace), [what it looks
//! at](frames), [what it hears](sound) and
//! [heard](recordings).

mod camera;
mod frames;
mod link;
mod pace;
mod recordings;
mod sound;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use glassd_policies::{Decision, FrameRate, Policies};

use self::camera::{Camera, Goodput};
use self::recordings::Recordings;
use self::sound::Timeline;
use super::counters::Counter;
use super::effects::Effects;
use super::io::{DeviceFacts, Frame};
use crate::ids::{FrameId, GlassesId, QueryId};
use crate::link::answer_text::Kind;
use crate::link::{Abilities, AudioCodec, LinkCommand, Profile, Protocol};
use crate::scene::Scene;
use crate::time::Timestamp;

/// Answers kept for glasses that are away; the oldest goes first.
const MAX_UNDELIVERED: usize = 16;

/// State of one pair of glasses.
pub(super) struct Session {
    id: GlassesId,
    connection: Option<Connection>,
    /// The protocol of the link before, while there is none: it remembers what must not be done twice.
    parted: Option<(Profile, Box<dyn Protocol>)>,
    /// The wearer pressed the button, and nobody has taken it up yet.
    pressed: bool,
    /// When a press was taken up last.
    pressed_at: Option<Timestamp>,
    /// Battery in percent, as last heard.
    pub(super) battery: Option<u8>,
    pub(super) last_answer: Option<String>,
    last_trigger: Option<Timestamp>,
    motion: f32,
    rate: Option<Decision<FrameRate>>,
    pending: BTreeMap<FrameId, Frame>,
    /// The last frame that was perceived because a query waits.
    promised: Option<FrameId>,
    /// The newest frame that decoded and was worth a look.
    latest: Option<Frame>,
    scene: Option<Scene>,
    perceived_at: Option<Timestamp>,
    undelivered: VecDeque<(Kind, QueryId, String)>,
    /// `None` where they stay on the glasses.
    recordings: Option<Recordings>,
    /// Whether the microphone is turned on.
    listens: bool,
}

/// What lasts as long as the link.
struct Connection {
    profile: Profile,
    protocol: Box<dyn Protocol>,
    /// What the glasses were known to have when the rate was last decided.
    abilities: Abilities,
    device_fps_limit: Option<f32>,
    /// When the photo on its way was asked for.
    requested_at: Option<Timestamp>,
    /// When the last photo was asked for.
    asked_at: Option<Timestamp>,
    next_capture: Timestamp,
    /// Mean seconds a photo takes over the link.
    transfer_seconds: Option<f32>,
    goodput: Goodput,
    camera: Camera,
    /// How the glasses code what they hear, as they told.
    codec: Option<AudioCodec>,
    timeline: Timeline,
    nonsense: Nonsense,
}

/// How much came lately that is nothing of the protocol.
#[derive(Debug, Default)]
struct Nonsense {
    since: Timestamp,
    count: u32,
}

/// What everything here is decided with.
pub(super) struct Surroundings<'a> {
    pub(super) policies: &'a Policies,
    pub(super) facts: DeviceFacts,
    pub(super) now: Timestamp,
}

impl Session {
    /// Makes glasses that are away; `recorded` is the record from which on their recordings are wanted, and `listens`
    /// whether their microphone is.
    pub(super) fn new(id: GlassesId, recorded: Option<u64>, listens: bool) -> Self {
        Self {
            id,
            connection: None,
            parted: None,
            pressed: false,
            pressed_at: None,
            battery: None,
            last_answer: None,
            last_trigger: None,
            motion: 0.0,
            rate: None,
            pending: BTreeMap::new(),
            promised: None,
            latest: None,
            scene: None,
            perceived_at: None,
            undelivered: VecDeque::new(),
            recordings: recorded.map(Recordings::new),
            listens,
        }
    }

    /// The wearer did something: the rate goes up, and a photo is taken as soon as the link allows.
    pub(super) fn handle_trigger(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        self.last_trigger = Some(around.now);
        self.decide_rate(around, effects);
        if let Some(connection) = &mut self.connection {
            connection.next_capture = around.now;
        }
        self.handle_timeout(around, effects);
    }

    /// Shows a text, or keeps it until the glasses are back.
    pub(super) fn tell(
        &mut self,
        kind: Kind,
        query: QueryId,
        text: &str,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        if kind == Kind::Answer {
            self.last_answer = Some(text.to_owned());
        }
        if self.connection.is_none() {
            if self.undelivered.len() == MAX_UNDELIVERED {
                self.undelivered.pop_front();
                effects.count(Counter::AnswersDropped("glasses_away"));
            }
            self.undelivered.push_back((kind, query, text.to_owned()));
            return;
        }
        self.command(&LinkCommand::Show { kind, query, text: text.to_owned() }, around, effects);
        self.command(&LinkCommand::Vibrate(Duration::from_millis(100)), around, effects);
    }
}
