//! One pair of glasses: its link, its [camera's pace](pace), [what it looks at](frames).

mod frames;
mod pace;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use glassd_policies::{Decision, FrameRate, Policies};

use super::counters::Counter;
use super::effects::Effects;
use super::io::{DeviceFacts, Frame, Notice, Output};
use crate::ids::{FrameId, GlassesId, QueryId};
use crate::link::answer_text::Kind;
use crate::link::{ButtonEvent, Characteristic, LinkCommand, LinkEvent, Profile, Protocol};
use crate::scene::Scene;
use crate::time::Timestamp;

/// Answers kept for glasses that are away; the oldest goes first.
const MAX_UNDELIVERED: usize = 16;

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
    protocol: Box<dyn Protocol>,
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
        profile: Profile,
        device_fps_limit: Option<f32>,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        self.connection = Some(Connection {
            protocol: profile.connect(),
            device_fps_limit,
            requested_at: None,
            next_capture: around.now,
            transfer_seconds: None,
        });
        if let Some(connection) = &mut self.connection {
            connection.protocol.handle_connected(around.now);
        }
        self.send(effects);
        effects.notice(Notice::Connected(self.id.clone()));
        for (kind, query, text) in std::mem::take(&mut self.undelivered) {
            self.tell(kind, query, &text, around.now, effects);
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
        connection.protocol.handle_notification(characteristic, value, around.now);
        self.send(effects);
        let mut trigger = None;
        while let Some(event) = self.connection.as_mut().and_then(|c| c.protocol.poll_event()) {
            match event {
                LinkEvent::Photo { jpeg, orientation } => {
                    self.handle_photo(jpeg, orientation, around, effects);
                }
                LinkEvent::Audio { lost_before, .. } => {
                    effects.count(Counter::AudioFrames);
                    effects.counters.add(Counter::AudioLost, u64::from(lost_before));
                }
                LinkEvent::Recorded { .. } | LinkEvent::Codec(_) | LinkEvent::Motion(_) => {}
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
        now: Timestamp,
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
        self.command(&LinkCommand::Show { kind, query, text: text.to_owned() }, now, effects);
        self.command(&LinkCommand::Vibrate(Duration::from_millis(100)), now, effects);
    }

    /// Asks something of the glasses, if they can.
    fn command(&mut self, command: &LinkCommand, now: Timestamp, effects: &mut Effects) {
        let Some(connection) = &mut self.connection else { return };
        // What they cannot do is shown in their abilities.
        let _ = connection.protocol.handle_command(command, now);
        self.send(effects);
    }

    /// Hands on what the protocol wants written.
    fn send(&mut self, effects: &mut Effects) {
        while let Some(write) = self.connection.as_mut().and_then(|c| c.protocol.poll_write()) {
            effects.output(Output::Write { glasses: self.id.clone(), write });
        }
    }
}
