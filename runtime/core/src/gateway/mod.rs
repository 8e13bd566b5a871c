//! The gateway state machine, in three verbs: [`Gateway::handle`], [`Gateway::poll_output`],
//! [`Gateway::poll_timeout`].

mod audio;
mod audit;
mod counters;
mod effects;
mod glasses;
mod io;
mod lifecycle;
mod routing;
mod uplink;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use glassd_policies::calibration::Drift;
use glassd_policies::{CameraSettings, Decision, FrameRate, Privacy, TokenBucket};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use self::audio::{RecordedFrame, Recording, Sound};
pub use self::counters::{Counter, Counters};
pub use self::io::{DeviceFacts, Frame, FrameFailure, Input, Notice, Output, Probe, Settings, Urgency};

use self::effects::Effects;
use self::glasses::{Session, Surroundings};
use self::lifecycle::Query;
use crate::ids::{FrameId, GlassesId, QueryId};
use crate::link::Abilities;
use crate::query::Source;
use crate::time::Timestamp;

/// Ended queries remembered, to tell a late or duplicate answer from one to a query never asked.
const REMEMBERED: usize = 1024;
/// Queries open at once; more are rejected at the door, told so, and counted.
pub const MAX_OPEN_QUERIES: usize = 256;
/// Pairs of glasses known at once.
pub const MAX_GLASSES: usize = 8;

/// Why the gateway wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeoutReason {
    /// A photo is due, or overdue.
    Capture,
    /// A query has waited long enough for a frame, a retry, an answer, or at all.
    Query,
    /// The uplink budget allows the next publish.
    Budget,
}

/// The gateway, without its I/O.
pub struct Gateway {
    settings: Settings,
    now: Timestamp,
    privacy: Privacy,
    facts: DeviceFacts,
    glasses: BTreeMap<GlassesId, Session>,
    queries: BTreeMap<QueryId, Query>,
    /// Names of ended queries and how they ended, oldest first.
    ended: VecDeque<(QueryId, lifecycle::EndedBy)>,
    uplink_connected: bool,
    drift: Drift,
    /// How long the cloud took lately; `None` before its first answer.
    cloud_took: Option<Duration>,
    budget: TokenBucket,
    /// When the budget allows the next publish, while it holds one back.
    budget_at: Option<Timestamp>,
    rng: ChaCha8Rng,
    effects: Effects,
}

impl Gateway {
    /// Starts with no glasses, no queries and no uplink.
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        Self {
            privacy: settings.privacy,
            budget: TokenBucket::per_minute(settings.uplink_bytes_per_minute, now.as_micros()),
            rng: ChaCha8Rng::seed_from_u64(settings.seed),
            now,
            facts: DeviceFacts::default(),
            glasses: BTreeMap::new(),
            queries: BTreeMap::new(),
            ended: VecDeque::new(),
            uplink_connected: false,
            drift: settings.drift,
            cloud_took: None,
            budget_at: None,
            effects: Effects::default(),
            settings,
        }
    }

    /// Handles one input at a time that never goes back; drain [`Self::poll_output`] afterwards.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        self.now = self.now.max(now);
        match input {
            Input::GlassesConnected { glasses, profile, device_fps_limit } => {
                self.with_glasses(&glasses, Missing::Add, |session, around, effects| {
                    session.handle_connected(profile, device_fps_limit, around, effects);
                });
            }
            Input::GlassesDisconnected { glasses } => {
                self.with_glasses(&glasses, Missing::Count, |session, _, effects| {
                    session.handle_disconnected(effects);
                });
            }
            Input::Notification { glasses, characteristic, value } => {
                self.with_glasses(&glasses, Missing::Count, |session, around, effects| {
                    session.handle_notification(characteristic, &value, around, effects);
                });
            }
            Input::Frame { glasses, jpeg, orientation } => {
                self.with_glasses(&glasses, Missing::Add, |session, around, effects| {
                    session.handle_frame(jpeg, orientation, around.now, Duration::ZERO, effects);
                });
            }
            Input::Probed { frame, result } => {
                if let Some(glasses) = self.owner_of(frame) {
                    let awaited = self.frame_awaited(&glasses);
                    self.with_glasses(&glasses, Missing::Count, |session, around, effects| {
                        session.handle_probed(frame, result, awaited, around, effects);
                    });
                }
            }
            Input::Perceived { frame, result } => {
                if let Some(glasses) = self.owner_of(frame) {
                    self.with_glasses(&glasses, Missing::Count, |session, _, effects| {
                        session.handle_perceived(frame, result, effects);
                    });
                }
            }
            Input::ImagePrepared { query, result } => self.handle_image_prepared(query, result),
            Input::Ask { query, glasses, text, source } => self.handle_ask(query, glasses, &text, source),
            Input::Restored(row) => self.handle_restored(row),
            Input::Stored { query } => self.handle_stored(query),
            Input::StoreFailed { query, reason } => self.handle_store_failed(query, &reason),
            Input::RecordingKept { glasses, up_to } => {
                self.with_glasses(&glasses, Missing::Count, |session, around, effects| {
                    session.handle_kept(up_to, true, around, effects);
                });
            }
            Input::RecordingFailed { glasses, up_to } => {
                self.with_glasses(&glasses, Missing::Count, |session, around, effects| {
                    session.handle_kept(up_to, false, around, effects);
                });
            }
            Input::UplinkConnected => self.handle_uplink(true),
            Input::UplinkDisconnected => self.handle_uplink(false),
            Input::CloudMessage { correlation, content_type, payload } => {
                self.handle_cloud_message(&correlation, content_type.as_deref(), &payload);
            }
            Input::Facts(facts) => self.facts = facts,
            Input::SetPrivacy(privacy) => {
                self.privacy = privacy;
                self.withdraw_queries();
            }
            Input::Timeout => {}
        }
        self.handle_due();
    }

    /// Yields the next output, in the order in which they arose.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.effects.outputs.pop_front()
    }

    /// Returns when to call [`Self::handle`] with [`Input::Timeout`] at the latest, and why.
    pub fn poll_timeout(&self) -> Option<(Timestamp, TimeoutReason)> {
        let captures = self.glasses.values().filter_map(Session::poll_timeout);
        let queries = self.queries.values().map(|query| query.poll_timeout(self.now));
        captures
            .map(|at| (at, TimeoutReason::Capture))
            .chain(queries.map(|at| (at, TimeoutReason::Query)))
            .chain(self.budget_at.map(|at| (at, TimeoutReason::Budget)))
            .min()
    }

    /// Returns the counters.
    pub fn counters(&self) -> &Counters {
        &self.effects.counters
    }

    /// Returns how many queries are open.
    pub fn open_queries(&self) -> usize {
        self.queries.values().filter(|query| !query.is_audit).count()
    }

    /// Returns the privacy mode.
    pub fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// Returns each pair of glasses: whether it is connected, what it has, and how its photos are taken.
    pub fn glasses(&self) -> impl Iterator<Item = GlassesState<'_>> {
        self.glasses.iter().map(|(id, session)| GlassesState {
            id,
            connected: session.is_connected(),
            battery: session.battery,
            rate: session.rate(),
            abilities: session.abilities(),
            camera: session.camera_settings(),
            limits: session.limits(),
        })
    }

    /// Does what is due at `now`: captures, waiting queries, publishes.
    fn handle_due(&mut self) {
        let around = Surroundings { policies: &self.settings.policies, facts: self.facts, now: self.now };
        for session in self.glasses.values_mut() {
            session.handle_timeout(&around, &mut self.effects);
        }
        self.handle_buttons();
        self.handle_due_queries();
        self.publish_due();
    }

    /// Asks what the button asks, once for each pair of glasses on which it was pressed.
    fn handle_buttons(&mut self) {
        let pressed = self
            .glasses
            .iter_mut()
            .filter_map(|(id, session)| session.take_press(self.now, &mut self.effects).then(|| id.clone()));
        for glasses in pressed.collect::<Vec<_>>() {
            let query = QueryId(self.rng.next_u64());
            let text = self.settings.button_question.clone();
            self.handle_ask(query, Some(glasses), &text, Source::Button);
        }
    }

    fn with_glasses<T>(
        &mut self,
        id: &GlassesId,
        missing: Missing,
        act: impl FnOnce(&mut Session, &Surroundings<'_>, &mut Effects) -> T,
    ) -> Option<T> {
        if !self.glasses.contains_key(id) {
            if missing == Missing::Count || self.glasses.len() >= MAX_GLASSES {
                self.effects.count(Counter::Stray);
                return None;
            }
            let recorded = self.settings.offline_audio.get(id).copied();
            let listens = self.settings.microphones.contains(id);
            self.glasses.insert(id.clone(), Session::new(id.clone(), recorded, listens));
        }
        let around = Surroundings { policies: &self.settings.policies, facts: self.facts, now: self.now };
        self.glasses.get_mut(id).map(|session| act(session, &around, &mut self.effects))
    }

    fn owner_of(&mut self, frame: FrameId) -> Option<GlassesId> {
        let owner = self.glasses.iter().find(|(_, session)| session.has_pending(frame));
        let owner = owner.map(|(id, _)| id.clone());
        if owner.is_none() {
            self.effects.count(Counter::Stray);
        }
        owner
    }
}

/// What to do about glasses that are not known yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Add,
    Count,
}

/// What can be told of one pair of glasses.
#[derive(Clone, Copy, Debug)]
pub struct GlassesState<'a> {
    /// Its name.
    pub id: &'a GlassesId,
    /// Whether its link stands.
    pub connected: bool,
    /// Battery in percent, as last heard.
    pub battery: Option<u8>,
    /// The wanted frame rate, with its reasons.
    pub rate: Option<&'a Decision<FrameRate>>,
    /// What it has, as far as is known by now; `None` while it is away.
    pub abilities: Option<Abilities>,
    /// How it was told to take photos, and why; `None` where that cannot be told.
    pub camera: Option<&'a Decision<CameraSettings>>,
    /// What limits its photos.
    pub limits: Limits,
}

/// What limits the photos of a pair of glasses; each `None` where it is not known or there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Photos a second that the device can take.
    pub device_fps: Option<f32>,
    /// Photos a second that the protocol allows.
    pub protocol_fps: Option<f32>,
    /// Photos a second that the link carried lately.
    pub link_fps: Option<f32>,
    /// What the link carries while a photo comes, in bytes a second.
    pub link_bytes_per_second: Option<u64>,
}
