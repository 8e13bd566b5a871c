//! A connection to both arms: what is wanted of them, and what is told them next.

use std::time::Duration;

use super::super::pages::Pages;
use super::super::{
    Abilities, AudioCodec, ButtonEvent, LinkCommand, LinkEvent, Protocol, Unsupported, Write,
};
use super::audio::{self, Audio};
use super::requests::{Answer, HEARTBEAT, MICROPHONE, Outcome, Request, Requests, TEXT};
use super::{Arm, Characteristic, DropReason, Events, MAX_VALUE, text};
use crate::time::Timestamp;

/// What each arm is told when its link is up (`BluetoothManager.swift`).
const INIT: [u8; 2] = [0x4D, 0x01];
/// Time between two heartbeats (`ble_manager.dart`).
const HEARTBEAT_TIME: Duration = Duration::from_secs(8);
/// The microphone is turned on again before the glasses turn it off, which they do after 30 s (`README.md`).
const MICROPHONE_TIME: Duration = Duration::from_secs(20);
/// What is held or let go again within this time is the same once more (`evenai.dart`).
const ECHO: Duration = Duration::from_millis(500);

/// One connection to a pair of glasses.
#[derive(Debug, Default)]
pub struct Connection {
    requests: Requests,
    /// Arms that were not told yet that their link is up.
    uninitialised: Vec<Arm>,
    events: Events,
    audio: Audio,
    pages: Pages,
    /// Number of the next page.
    text_seq: u8,
    heartbeat_seq: u8,
    /// When the next heartbeat is due; none before the link is up.
    heartbeat_due: Option<Timestamp>,
    wants_microphone: bool,
    /// When the microphone must be turned on again; none while it is off.
    microphone_due: Option<Timestamp>,
    /// What was held or let go last, and when.
    held: Option<(ButtonEvent, Timestamp)>,
}

impl Connection {
    /// Makes a connection to glasses both of whose links are up or will be.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what can be said now.
    fn advance(&mut self, now: Timestamp) {
        let Some(heartbeat_due) = self.heartbeat_due.filter(|_| self.requests.is_idle()) else { return };
        if self.wants_microphone != self.microphone_due.is_some()
            || self.microphone_due.is_some_and(|due| due <= now)
        {
            self.switch_microphone(now);
        } else if heartbeat_due <= now {
            let seq = self.heartbeat_seq;
            self.heartbeat_seq = seq.wrapping_add(1);
            self.heartbeat_due = Some(now + HEARTBEAT_TIME);
            self.requests.say_to_both(&[vec![HEARTBEAT, 6, 0, seq, 4, seq]], now);
        } else if let Some(page) = self.pages.take_due(now) {
            self.requests.say_to_both(&text::packets(&page, self.text_seq), now);
            self.text_seq = self.text_seq.wrapping_add(1);
        }
    }

    fn switch_microphone(&mut self, now: Timestamp) {
        if self.wants_microphone && self.microphone_due.is_none() {
            self.audio = Audio::default();
            self.events.push(LinkEvent::Codec(AudioCodec::Lc3(audio::FRAME as u32)));
        }
        self.microphone_due = self.wants_microphone.then(|| now + MICROPHONE_TIME);
        let value = vec![MICROPHONE, u8::from(self.wants_microphone)];
        self.requests.say(Request { arm: Arm::Right, value }, now);
    }

    fn handle_value(&mut self, arm: Arm, value: &[u8], now: Timestamp) {
        match *value {
            [0xF1, ref rest @ ..] if arm == Arm::Right => self.audio.handle(rest, &mut self.events),
            [0xF5, event, ..] => self.handle_event(event, now),
            // Of the answer to the first words nothing is known.
            [0x4D, ..] => {}
            [HEARTBEAT, _, _, _, 4, ..] => self.handle_answer(arm, HEARTBEAT, Answer::Done, now),
            [first @ (MICROPHONE | TEXT), 0xC9 | 0xCB, ..] => {
                self.handle_answer(arm, first, Answer::Done, now);
            }
            [first @ (MICROPHONE | TEXT), 0xCA, ..] => self.handle_answer(arm, first, Answer::Failed, now),
            [] | [0xF5 | HEARTBEAT | MICROPHONE | TEXT] => self.events.drop_because(DropReason::Malformed),
            _ => self.events.drop_because(DropReason::UnknownValue),
        }
    }

    fn handle_answer(&mut self, arm: Arm, first: u8, answer: Answer, now: Timestamp) {
        match self.requests.handle_answer(arm, first, answer, now) {
            Some(outcome) => self.handle_outcome(outcome),
            None => self.events.drop_because(DropReason::Unexpected),
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome) {
        if let Outcome::GivenUp(first) = outcome {
            self.events.drop_because(DropReason::Unanswered);
            // The other pages of a text without one of them are none.
            if first == TEXT {
                self.pages.clear();
            }
        }
    }

    fn handle_event(&mut self, event: u8, now: Timestamp) {
        let event = match event {
            0x00 => ButtonEvent::Double,
            0x01 => ButtonEvent::Single,
            0x17 => ButtonEvent::Press,
            0x18 => ButtonEvent::Release,
            0x04 | 0x05 => return,
            _ => return self.events.drop_because(DropReason::UnknownValue),
        };
        if matches!(event, ButtonEvent::Press | ButtonEvent::Release) {
            let last = self.held.replace((event, now));
            if last.is_some_and(|(last, at)| last == event && now.since(at) < ECHO) {
                return self.events.drop_because(DropReason::Duplicate);
            }
        }
        self.events.push(LinkEvent::Button(event));
    }
}

impl Protocol for Connection {
    fn handle_connected(&mut self, now: Timestamp) {
        *self = Self {
            uninitialised: vec![Arm::Right, Arm::Left],
            heartbeat_due: Some(now + HEARTBEAT_TIME),
            ..Self::default()
        };
        self.advance(now);
    }

    fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8], now: Timestamp) {
        match characteristic {
            Characteristic::EvenRx(_) if value.len() > MAX_VALUE => {
                self.events.drop_because(DropReason::Malformed);
            }
            Characteristic::EvenRx(arm) => self.handle_value(arm, value, now),
            _ => self.events.drop_because(DropReason::UnknownCharacteristic),
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        if let Some(outcome) = self.requests.handle_timeout(now) {
            self.handle_outcome(outcome);
        }
        self.advance(now);
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let idle = [self.heartbeat_due, self.microphone_due, self.pages.due_at()];
        let idle = idle.into_iter().flatten().min();
        if self.requests.is_idle() {
            idle.filter(|_| self.heartbeat_due.is_some())
        } else {
            self.requests.due_at()
        }
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop()
    }

    fn poll_write(&mut self) -> Option<Write> {
        if let Some(arm) = self.uninitialised.pop() {
            return Some(Write { characteristic: Characteristic::EvenTx(arm), value: INIT.to_vec() });
        }
        self.requests.poll_write()
    }

    fn handle_command(&mut self, command: &LinkCommand, now: Timestamp) -> Result<(), Unsupported> {
        match command {
            LinkCommand::Microphone(is_on) => self.wants_microphone = *is_on,
            LinkCommand::Show { text, .. } => self.pages.show(text, &text::SCREEN),
            LinkCommand::Camera { .. }
            | LinkCommand::TakePhoto
            | LinkCommand::PhotoEvery(_)
            | LinkCommand::StopPhotos
            | LinkCommand::Vibrate(_)
            | LinkCommand::FetchRecordings { .. } => return Err(Unsupported),
        }
        self.advance(now);
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        Abilities { camera: None, microphone: true, display: true, haptics: false }
    }
}
