//! The link of a pair of glasses: begun, listened to, talked over, lost.

use std::time::Duration;

use super::camera::{Camera, Goodput};
use super::{Connection, Nonsense, Session, Surroundings, Timeline};
use crate::gateway::counters::Counter;
use crate::gateway::effects::Effects;
use crate::gateway::io::{Notice, Output};
use crate::link::{
    Abilities, ButtonEvent, CameraAbilities, Characteristic, DropReason, LinkCommand, LinkEvent, Profile,
};
use crate::time::Timestamp;

/// Two presses in a shorter time are one question: a button that is stuck, or glasses that lie, would fill the queue.
const BETWEEN_PRESSES: Duration = Duration::from_secs(1);
/// So much nonsense within [`NONSENSE_TIME`] is no bad moment: these are no such glasses, or broken ones.
const MAX_NONSENSE: u32 = 200;
const NONSENSE_TIME: Duration = Duration::from_secs(10);

impl Session {
    /// Begins a link. Glasses that are known go on with the protocol that they had: it begins the conversation anew.
    pub(in crate::gateway) fn handle_connected(
        &mut self,
        profile: Profile,
        device_fps_limit: Option<f32>,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        self.part();
        let known = self.parted.take().filter(|(known, _)| *known == profile);
        let mut protocol = known.map_or_else(|| profile.connect(), |(_, protocol)| protocol);
        protocol.handle_connected(around.now);
        self.connection = Some(Connection {
            profile,
            abilities: protocol.abilities(),
            protocol,
            device_fps_limit,
            requested_at: None,
            asked_at: None,
            next_capture: around.now,
            transfer_seconds: None,
            goodput: Goodput::default(),
            camera: Camera::default(),
            codec: None,
            timeline: Timeline::default(),
            nonsense: Nonsense::default(),
        });
        self.settle(around, effects);
        if self.camera().is_some_and(|camera| camera.own_interval.is_some()) {
            // Photos that nobody asked for would stand in the way of those that are.
            self.command(&LinkCommand::StopPhotos, around, effects);
        }
        if self.listens {
            self.command(&LinkCommand::Microphone(true), around, effects);
        }
        self.fetch_recordings(around, effects);
        effects.notice(Notice::Connected(self.id.clone()));
        for (kind, query, text) in std::mem::take(&mut self.undelivered) {
            self.tell(kind, query, &text, around, effects);
        }
        self.decide_rate(around, effects);
    }

    pub(in crate::gateway) fn handle_disconnected(&mut self, effects: &mut Effects) {
        if self.part() {
            effects.notice(Notice::Disconnected(self.id.clone()));
        }
    }

    /// Ends the link, if there is one.
    fn part(&mut self) -> bool {
        let Some(connection) = self.connection.take() else { return false };
        self.parted = Some((connection.profile, connection.protocol));
        true
    }

    pub(in crate::gateway) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Returns what the glasses have, as far as is known by now; `None` while they are away.
    pub(in crate::gateway) fn abilities(&self) -> Option<Abilities> {
        self.connection.as_ref().map(|connection| connection.protocol.abilities())
    }

    /// Returns what the camera can be told; `None` where there is none, as far as is known by now.
    pub(super) fn camera(&self) -> Option<CameraAbilities> {
        self.abilities()?.camera
    }

    /// Takes a notification.
    pub(in crate::gateway) fn handle_notification(
        &mut self,
        characteristic: Characteristic,
        value: &[u8],
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let Some(connection) = &mut self.connection else {
            effects.count(Counter::Stray);
            return;
        };
        effects.count(Counter::Notifications);
        effects.counters.add(Counter::NotificationBytes, value.len() as u64);
        connection.goodput.handle_notification(value.len(), around.now);
        connection.protocol.handle_notification(characteristic, value, around.now);
        self.settle(around, effects);
    }

    /// Lets the protocol do what is due.
    pub(super) fn handle_link_timeout(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        if let Some(connection) = &mut self.connection {
            connection.protocol.handle_timeout(around.now);
        }
        self.settle(around, effects);
    }

    /// Asks something of the glasses, if they can.
    pub(super) fn command(
        &mut self,
        command: &LinkCommand,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let Some(connection) = &mut self.connection else { return };
        // What they cannot do is shown in their abilities.
        let _ = connection.protocol.handle_command(command, around.now);
        self.settle(around, effects);
    }

    /// Returns whether the wearer asked with the button since this was last called.
    pub(in crate::gateway) fn take_press(&mut self, now: Timestamp, effects: &mut Effects) -> bool {
        if !std::mem::take(&mut self.pressed) {
            return false;
        }
        if self.pressed_at.is_some_and(|at| now.since(at) < BETWEEN_PRESSES) {
            effects.count(Counter::QueriesRejected("too_soon"));
            return false;
        }
        self.pressed_at = Some(now);
        true
    }

    /// Hands on what the protocol wants written and takes what it has to tell: after each call of it, for an event may
    /// come of anything, and one that waits for the next notification may wait for ever.
    fn settle(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        while let Some(write) = self.connection.as_mut().and_then(|c| c.protocol.poll_write()) {
            effects.output(Output::Write { glasses: self.id.clone(), write });
        }
        while let Some(event) = self.connection.as_mut().and_then(|c| c.protocol.poll_event()) {
            self.handle_event(event, around, effects);
        }
        if let Some(connection) = &mut self.connection {
            let abilities = connection.protocol.abilities();
            if std::mem::replace(&mut connection.abilities, abilities) != abilities {
                self.decide_rate(around, effects);
            }
        }
    }

    /// Bytes that are nothing of the protocol cost time and battery: the link is ended.
    fn handle_nonsense(&mut self, reason: DropReason, around: &Surroundings<'_>, effects: &mut Effects) {
        let Some(Connection { nonsense, .. }) = &mut self.connection else { return };
        if around.now.since(nonsense.since) > NONSENSE_TIME {
            *nonsense = Nonsense { since: around.now, count: 0 };
        }
        nonsense.count += 1;
        if nonsense.count == MAX_NONSENSE {
            effects.output(Output::HangUp { glasses: self.id.clone(), reason });
        }
    }

    fn handle_event(&mut self, event: LinkEvent, around: &Surroundings<'_>, effects: &mut Effects) {
        match event {
            LinkEvent::Photo { jpeg, orientation } => self.handle_photo(jpeg, orientation, around, effects),
            LinkEvent::Audio { frame, lost_before } => self.handle_audio(frame, lost_before, around, effects),
            LinkEvent::Codec(codec) => self.handle_codec(codec),
            LinkEvent::Recorded { first, records } => self.handle_recorded(first, records, effects),
            LinkEvent::Motion(_) => {}
            LinkEvent::Button(ButtonEvent::Single) => self.pressed = true,
            LinkEvent::Button(_) => effects.notice(Notice::Button(self.id.clone())),
            LinkEvent::Battery(percent) => {
                self.battery = Some(percent);
                self.decide_rate(around, effects);
            }
            LinkEvent::Dropped(reason) => {
                effects.count(Counter::LinkDropped(reason));
                self.recover_capture(reason, around.now);
                if reason.is_nonsense() {
                    self.handle_nonsense(reason, around, effects);
                }
            }
        }
    }
}
