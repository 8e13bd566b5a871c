//! One pair of glasses: its link, its camera's pace, what it looks at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use glassd_policies::{Decision, FrameKeepFacts, FrameRate, FrameRateFacts, Policies};

use super::counters::Counter;
use super::effects::Effects;
use super::io::{DeviceFacts, Frame, FrameFailure, Notice, Output, Probe, Urgency};
use crate::ids::{FrameId, GlassesId, QueryId};
use crate::link::{
    ButtonEvent, Characteristic, LinkCommand, LinkEvent, Orientation,
    answer_text::{self, Kind},
    omi,
};
use crate::scene::Scene;
use crate::time::Timestamp;

/// A photo that was asked for and has not come within this time is asked for again. Three times the
/// slowest transfer measured over BlueZ with a VGA photo (2.4 s).
const CAPTURE_TIMEOUT: Duration = Duration::from_secs(7);
/// A trigger makes the wearer count as active for so long (DESIGN: "a trigger in the last 10 s").
const ACTIVE_AFTER_TRIGGER: Duration = Duration::from_secs(10);
/// Frames with the compute threads at once; older ones are given up.
const MAX_PENDING_FRAMES: usize = 4;
/// Answers kept for glasses that are away; the oldest goes first.
const MAX_UNDELIVERED: usize = 16;
/// Weight of the newest transfer in the link's mean frame time.
const TRANSFER_WEIGHT: f32 = 0.3;

/// State of one pair of glasses.
pub(super) struct Session {
    id: GlassesId,
    connection: Option<Connection>,
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
}

/// What lasts as long as the link.
struct Connection {
    decoder: omi::Decoder,
    device_fps_limit: Option<f32>,
    /// When the photo on its way was asked for.
    requested_at: Option<Timestamp>,
    next_capture: Timestamp,
    /// Mean seconds a photo takes over the link.
    transfer_seconds: Option<f32>,
}

/// What everything here is decided with.
pub(super) struct Surroundings<'a> {
    pub(super) policies: &'a Policies,
    pub(super) facts: DeviceFacts,
    pub(super) now: Timestamp,
}

/// What the wearer did.
pub(super) enum Trigger {
    Button,
}

impl Session {
    pub(super) fn new(id: GlassesId) -> Self {
        Self {
            id,
            connection: None,
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
        }
    }

    pub(super) fn handle_connected(
        &mut self,
        firmware: omi::Firmware,
        device_fps_limit: Option<f32>,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        self.connection = Some(Connection {
            decoder: omi::Decoder::new(firmware),
            device_fps_limit,
            requested_at: None,
            next_capture: around.now,
            transfer_seconds: None,
        });
        effects.notice(Notice::Connected(self.id.clone()));
        for (kind, query, text) in std::mem::take(&mut self.undelivered) {
            self.tell(kind, query, &text, effects);
        }
        self.decide_rate(around, effects);
    }

    pub(super) fn handle_disconnected(&mut self, effects: &mut Effects) {
        if self.connection.take().is_some() {
            effects.notice(Notice::Disconnected(self.id.clone()));
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Takes a notification; says what the wearer did with it, if anything.
    pub(super) fn handle_notification(
        &mut self,
        characteristic: Characteristic,
        value: &[u8],
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) -> Option<Trigger> {
        let Some(connection) = &mut self.connection else {
            effects.count(Counter::Stray);
            return None;
        };
        effects.count(Counter::Notifications);
        effects.counters.add(Counter::NotificationBytes, value.len() as u64);
        connection.decoder.handle_notification(characteristic, value);
        let mut trigger = None;
        while let Some(event) = self.connection.as_mut().and_then(|c| c.decoder.poll_event()) {
            match event {
                LinkEvent::Photo { jpeg, orientation } => {
                    self.handle_photo(jpeg, orientation, around, effects);
                }
                LinkEvent::Audio { lost_before, .. } => {
                    effects.count(Counter::AudioFrames);
                    effects.counters.add(Counter::AudioLost, u64::from(lost_before));
                }
                LinkEvent::Codec(_) => {}
                LinkEvent::Button(ButtonEvent::Single) => trigger = Some(Trigger::Button),
                LinkEvent::Button(_) => effects.notice(Notice::Button(self.id.clone())),
                LinkEvent::Battery(percent) => {
                    self.battery = Some(percent);
                    self.decide_rate(around, effects);
                }
                LinkEvent::Dropped(reason) => {
                    effects.count(Counter::LinkDropped(reason));
                    self.recover_capture(reason, around.now);
                }
            }
        }
        trigger
    }

    /// A photo that was lost on the way need not be waited for.
    fn recover_capture(&mut self, reason: crate::link::DropReason, now: Timestamp) {
        use crate::link::DropReason::{
            AudioGap, Duplicate, Malformed, Overflow, PhotoGap, PhotoTooLong, PhotoWithoutStart,
            UnknownCharacteristic, UnknownValue,
        };
        match reason {
            PhotoGap | PhotoTooLong => {
                if let Some(connection) = &mut self.connection {
                    connection.requested_at = None;
                    connection.next_capture = now;
                }
            }
            Malformed
            | Overflow
            | UnknownValue
            | PhotoWithoutStart
            | Duplicate
            | AudioGap
            | UnknownCharacteristic => {}
        }
    }

    fn handle_photo(
        &mut self,
        jpeg: Vec<u8>,
        orientation: Orientation,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let requested_at = self.connection.as_mut().and_then(|c| c.requested_at.take());
        let transfer = requested_at.map_or(Duration::ZERO, |at| around.now.since(at));
        if let (Some(connection), Some(_)) = (&mut self.connection, requested_at) {
            let newest = transfer.as_secs_f32();
            let mean =
                connection.transfer_seconds.map_or(newest, |mean| mean + TRANSFER_WEIGHT * (newest - mean));
            connection.transfer_seconds = Some(mean);
        }
        let taken_at = requested_at.unwrap_or(around.now);
        self.handle_frame(jpeg, orientation, taken_at, transfer, effects);
    }

    /// Takes a frame in and has it probed.
    pub(super) fn handle_frame(
        &mut self,
        jpeg: Vec<u8>,
        orientation: Orientation,
        taken_at: Timestamp,
        transfer: Duration,
        effects: &mut Effects,
    ) {
        let frame = Frame {
            id: effects.next_frame_id(),
            glasses: self.id.clone(),
            jpeg: Arc::from(jpeg),
            orientation,
            taken_at,
            transfer,
        };
        effects.count(Counter::Frames);
        effects.notice(Notice::FrameArrived {
            glasses: self.id.clone(),
            frame: frame.id,
            bytes: frame.jpeg.len(),
            transfer,
        });
        self.pending.insert(frame.id, frame.clone());
        while self.pending.len() > MAX_PENDING_FRAMES {
            let oldest = self.pending.keys().find(|id| Some(**id) != self.promised).copied();
            let Some(oldest) = oldest else { break };
            self.pending.remove(&oldest);
            effects.count(Counter::FramesDropped("unanswered"));
        }
        effects.output(Output::Probe(frame));
    }

    /// Takes the result of a probe; `awaited` says until when a query waits for a frame, if one does.
    pub(super) fn handle_probed(
        &mut self,
        frame: FrameId,
        result: Result<Probe, FrameFailure>,
        awaited: Option<Timestamp>,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let Some(pending) = self.pending.get(&frame).cloned() else {
            effects.count(Counter::Stray);
            return;
        };
        let probe = match result {
            Ok(probe) => probe,
            Err(failure) => {
                self.pending.remove(&frame);
                effects.frame_failed(&failure);
                return;
            }
        };
        self.motion = probe.motion;
        self.decide_rate(around, effects);
        let keep = around.policies.frame_keep.decide(&FrameKeepFacts {
            motion: probe.motion,
            sharpness: probe.sharpness,
            light: probe.light,
            since_last_ms: self.perceived_at.map(|at| millis(pending.taken_at.since(at))),
            awaited: awaited.is_some(),
        });
        if keep.value {
            self.perceived_at = Some(pending.taken_at);
            self.latest = Some(pending.clone());
            effects.count(Counter::FramesPerceived);
            let urgency = self.urgency(frame, awaited, around.now);
            effects.output(Output::Perceive { frame: pending, urgency });
        } else {
            self.pending.remove(&frame);
            effects.count(Counter::FramesSkipped(keep.reasons.first().map_or("policy", |reason| {
                // Rules have fixed names, so the label set of the metric stays closed.
                match reason.rule.as_str() {
                    "dark" => "dark",
                    "blurred" => "blurred",
                    "unchanged" => "unchanged",
                    _ => "policy",
                }
            })));
            // Nothing moved: what was seen still holds.
            if let Some(scene) = &mut self.scene
                && keep.reasons.iter().any(|reason| reason.rule == "unchanged")
            {
                scene.seen_at = pending.taken_at;
                self.latest = Some(pending);
            }
        }
    }

    /// Says how much depends on a frame. One frame at a time is promised to the queries that wait: those behind it are
    /// as fresh, and replace each other.
    fn urgency(&mut self, frame: FrameId, awaited: Option<Timestamp>, now: Timestamp) -> Urgency {
        let is_promised = self.promised.is_some_and(|promised| self.pending.contains_key(&promised));
        match awaited {
            Some(until) if !is_promised => {
                self.promised = Some(frame);
                Urgency::Awaited { until }
            }
            Some(_) => Urgency::Active,
            None if self.is_active(now) => Urgency::Active,
            None => Urgency::Routine,
        }
    }

    fn is_active(&self, now: Timestamp) -> bool {
        self.last_trigger.is_some_and(|at| now.since(at) <= ACTIVE_AFTER_TRIGGER)
    }

    /// Takes what perception saw.
    pub(super) fn handle_perceived(
        &mut self,
        frame: FrameId,
        result: Result<Scene, FrameFailure>,
        effects: &mut Effects,
    ) {
        let Some(pending) = self.pending.remove(&frame) else {
            effects.count(Counter::Stray);
            return;
        };
        match result {
            Ok(mut scene) => {
                scene.seen_at = scene.seen_at.min(pending.taken_at);
                effects.notice(Notice::Scene { glasses: self.id.clone(), frame, scene: scene.clone() });
                if self.scene.as_ref().is_none_or(|known| known.seen_at <= scene.seen_at) {
                    self.scene = Some(scene);
                }
            }
            Err(failure) => effects.frame_failed(&failure),
        }
    }

    pub(super) fn has_pending(&self, frame: FrameId) -> bool {
        self.pending.contains_key(&frame)
    }

    /// Returns the scene, if it was seen at or after `since`.
    pub(super) fn scene_since(&self, since: Timestamp) -> Option<&Scene> {
        self.scene.as_ref().filter(|scene| scene.seen_at >= since)
    }

    /// Returns the newest useful frame, if it was taken at or after `since`.
    pub(super) fn frame_since(&self, since: Timestamp) -> Option<&Frame> {
        self.latest.as_ref().filter(|frame| frame.taken_at >= since)
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
    pub(super) fn tell(&mut self, kind: Kind, query: QueryId, text: &str, effects: &mut Effects) {
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
        effects.output(Output::Write {
            glasses: self.id.clone(),
            write: answer_text::encode(kind, query, text),
        });
        if let Some(write) = omi::encode(&LinkCommand::Vibrate(Duration::from_millis(100))) {
            effects.output(Output::Write { glasses: self.id.clone(), write });
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let connection = self.connection.as_ref()?;
        Some(match connection.requested_at {
            Some(requested_at) => requested_at + CAPTURE_TIMEOUT,
            None => connection.next_capture,
        })
    }

    /// Asks for the next photo when it is due, and again when one got lost.
    pub(super) fn handle_timeout(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        let interval = self.interval();
        let Some(connection) = &mut self.connection else { return };
        if let Some(requested_at) = connection.requested_at {
            if around.now < requested_at + CAPTURE_TIMEOUT {
                return;
            }
            effects.count(Counter::FramesDropped("never_arrived"));
            connection.requested_at = None;
            connection.next_capture = around.now;
        }
        if around.now < connection.next_capture {
            return;
        }
        // Paced from the moment it was due, so that the mean rate is the wanted one.
        let late = around.now.since(connection.next_capture);
        connection.next_capture = around.now + interval.saturating_sub(late.min(interval / 2));
        connection.requested_at = Some(around.now);
        if let Some(write) = omi::encode(&LinkCommand::TakePhoto) {
            effects.output(Output::Write { glasses: self.id.clone(), write });
        }
    }

    fn interval(&self) -> Duration {
        let fps = self.rate.as_ref().map_or(1.0, |decision| decision.value.fps).max(0.01);
        Duration::from_secs_f32(1.0 / fps)
    }

    fn decide_rate(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        let active = self.is_active(around.now);
        let connection = self.connection.as_ref();
        let facts = FrameRateFacts {
            // Glasses that do not tell their battery are taken as half full.
            battery: self.battery.unwrap_or(50),
            user_active: active,
            motion: self.motion,
            thermal_fps_limit: around.facts.thermal_fps_limit,
            device_fps_limit: connection.and_then(|c| c.device_fps_limit),
            link_fps_limit: connection
                .and_then(|c| c.transfer_seconds)
                .map(|seconds| 1.0 / seconds.max(0.01)),
        };
        let previous = self.rate.as_ref().map(|decision| decision.value);
        let decision = around.policies.frame_rate.decide(&facts, previous);
        if previous.is_none_or(|previous| is_told(previous, decision.value)) {
            effects.notice(Notice::FrameRate { glasses: self.id.clone(), decision: decision.clone() });
        }
        self.rate = Some(decision);
    }

    /// Returns the wanted frame rate with its reasons.
    pub(super) fn rate(&self) -> Option<&Decision<FrameRate>> {
        self.rate.as_ref()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A change of rate is told when it is one in kind, or by more than a fifth: the link's limit wanders.
fn is_told(previous: FrameRate, now: FrameRate) -> bool {
    previous.mode != now.mode || (previous.fps - now.fps).abs() > previous.fps / 5.0
}
