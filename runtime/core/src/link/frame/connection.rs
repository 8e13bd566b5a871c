//! A connection to a Frame: what is wanted of it, and what is told it next.

use std::time::Duration;

use super::super::pages::Pages;
use super::super::{Abilities, CameraAbilities, LinkCommand, LinkEvent, Protocol, Unsupported, Write};
use super::messages::Message;
use super::settings::CaptureSettings;
use super::talk::{Heard, Step, Talk};
use super::taps::Taps;
use super::{Characteristic, DropReason, Events, MAX_VALUE, Settings, display, photo, sdk};
use crate::time::Timestamp;

/// A photo begins within this time: the exposure settles for a second, then it is taken and compressed.
const CAPTURE_TIME: Duration = Duration::from_secs(5);
/// The next packet of a photo comes within this time: the Frame tries to send it for 2 s (`camera.lua`).
const PACKET_TIME: Duration = Duration::from_secs(3);
/// A Frame that does not begin is let alone for so long.
const REST: Duration = Duration::from_secs(10);
/// How often `frame-sdk`'s Frame is asked for its battery; our app tells it as often.
const BATTERY_TIME: Duration = Duration::from_secs(60);

/// One connection.
#[derive(Debug)]
pub struct Connection {
    settings: Settings,
    state: State,
    talk: Talk,
    events: Events,
    photo: photo::Assembler,
    /// When the photo that was asked for or has begun is given up.
    photo_due: Option<Timestamp>,
    taps: Taps,
    pages: Pages,
    battery_due: Timestamp,
    capture: CaptureSettings,
    wants_photo: bool,
    wants_microphone: bool,
    /// Whether the microphone was started.
    hears: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The link is not up.
    Away,
    /// The app is sent and started.
    Starting,
    /// The app runs.
    Ready,
    /// It did not start; it is tried again then.
    Resting(Timestamp),
}

impl Connection {
    /// Makes a connection to a Frame.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Away,
            talk: Talk::default(),
            events: Events::default(),
            photo: photo::Assembler::default(),
            photo_due: None,
            taps: Taps::default(),
            pages: Pages::default(),
            battery_due: Timestamp::default(),
            capture: CaptureSettings::default(),
            wants_photo: false,
            wants_microphone: false,
            hears: false,
        }
    }

    /// Starts the app anew; a photo on its way is lost.
    fn restart(&mut self, now: Timestamp) {
        self.forget();
        self.state = State::Starting;
        self.talk.restart(self.settings.messages.start(), now);
    }

    /// Forgets what the Frame was doing.
    fn forget(&mut self) {
        if self.photo_due.take().is_some() {
            self.events.drop_because(DropReason::PhotoGap);
        }
        self.photo = photo::Assembler::default();
        self.hears = false;
        self.talk = Talk::default();
    }

    /// What was said is refused or not answered: the app may be in any state.
    fn give_up(&mut self, now: Timestamp) {
        self.events.drop_because(DropReason::Unanswered);
        if self.state == State::Ready {
            self.restart(now);
        } else {
            self.forget();
            self.state = State::Resting(now + REST);
        }
    }

    /// Says all that can be said now.
    fn advance(&mut self, now: Timestamp) {
        if self.state == State::Starting && self.talk.is_idle() {
            self.state = State::Ready;
        }
        while self.is_free()
            && let Some(steps) = self.next_steps(now)
        {
            self.talk.say(steps, now);
        }
    }

    /// Returns whether the Frame would listen.
    fn is_free(&self) -> bool {
        let is_busy = self.settings.messages.are_lua() && self.photo_due.is_some();
        self.state == State::Ready && self.talk.is_idle() && !is_busy
    }

    fn next_steps(&mut self, now: Timestamp) -> Option<Vec<Step>> {
        let messages = self.settings.messages;
        if let Some(page) = self.pages.take_due(now) {
            return Some(self.interrupting(messages.show(&page)));
        }
        if std::mem::take(&mut self.wants_photo) {
            self.photo_due = Some(now + CAPTURE_TIME);
            return Some(self.interrupting(messages.take_photo(self.capture)));
        }
        if messages.are_lua() && now >= self.battery_due {
            self.battery_due = now + BATTERY_TIME;
            return Some(self.interrupting(sdk::ask_battery()));
        }
        if self.wants_microphone != self.hears {
            self.hears = self.wants_microphone;
            let sound = self.hears.then_some(self.settings.sound);
            if let Some(sound) = sound {
                self.events.push(LinkEvent::Codec(sound.codec()));
            }
            return Some(messages.microphone(sound));
        }
        None
    }

    /// Makes room for these steps where the microphone would not let them through.
    fn interrupting(&mut self, steps: Vec<Step>) -> Vec<Step> {
        if self.settings.messages.are_lua() && std::mem::take(&mut self.hears) {
            self.settings.messages.microphone(None).into_iter().chain(steps).collect()
        } else {
            steps
        }
    }

    fn handle_message(&mut self, message: Message<'_>, now: Timestamp) {
        match message {
            Message::Acknowledgement(true) if self.talk.handle_acknowledgement(now) => {}
            Message::Acknowledgement(false) if self.talk.handle_acknowledgement(now) => self.give_up(now),
            Message::Acknowledgement(_) => self.events.drop_because(DropReason::Unexpected),
            Message::Text(text) => match self.talk.handle_text(text, now) {
                Some(Heard::Words) => {}
                Some(Heard::Battery(percent @ 0.0..=100.0)) => {
                    self.events.push(LinkEvent::Battery(percent as u8));
                }
                Some(Heard::Battery(_)) => self.events.drop_because(DropReason::UnknownValue),
                None => self.events.drop_because(DropReason::Unexpected),
            },
            // Of the app that ran before.
            _ if self.state != State::Ready => self.events.drop_because(DropReason::Unexpected),
            Message::Photo(jpeg) => self.handle_photo(jpeg, now),
            Message::PhotoEnd { jpeg, packets } => {
                if !jpeg.is_empty() {
                    self.photo.append(jpeg, &mut self.events);
                }
                self.photo.end(packets, &mut self.events);
                self.photo_due = None;
            }
            Message::Audio(samples) => self.handle_audio(samples),
            Message::AudioEnd(samples) => {
                self.handle_audio(samples);
                self.hears = false;
            }
            Message::Tap => {
                if self.taps.handle_tap(now) {
                    self.events.drop_because(DropReason::Duplicate);
                }
            }
            Message::Battery(percent) => self.events.push(LinkEvent::Battery(percent)),
            Message::Motion(motion) => self.events.push(LinkEvent::Motion(motion)),
        }
    }

    fn handle_photo(&mut self, jpeg: &[u8], now: Timestamp) {
        self.photo.append(jpeg, &mut self.events);
        self.photo_due = Some(now + PACKET_TIME);
    }

    fn handle_audio(&mut self, samples: &[u8]) {
        let is_whole = samples.len().is_multiple_of(usize::from(self.settings.sound.depth() / 8));
        if !is_whole {
            self.events.drop_because(DropReason::Malformed);
        } else if !samples.is_empty() {
            self.events.push(LinkEvent::Audio { frame: samples.to_vec(), lost_before: 0 });
        }
    }
}

impl Protocol for Connection {
    fn handle_connected(&mut self, now: Timestamp) {
        *self = Self { battery_due: now, ..Self::new(self.settings) };
        self.restart(now);
    }

    fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8], now: Timestamp) {
        let message = match characteristic {
            Characteristic::FrameRx if value.len() > MAX_VALUE => Err(DropReason::Malformed),
            Characteristic::FrameRx => self.settings.messages.decode(value),
            _ => Err(DropReason::UnknownCharacteristic),
        };
        match message {
            Ok(message) => self.handle_message(message, now),
            Err(reason) => self.events.drop_because(reason),
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        if let Some(gesture) = self.taps.take_due(now) {
            self.events.push(LinkEvent::Button(gesture));
        }
        match self.state {
            State::Resting(until) if until <= now => self.restart(now),
            _ if self.talk.handle_timeout(now) => self.give_up(now),
            _ if self.photo_due.is_some_and(|due| due <= now) => self.restart(now),
            _ => {}
        }
        self.advance(now);
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let rest = match self.state {
            State::Resting(until) => Some(until),
            State::Away | State::Starting | State::Ready => None,
        };
        let page = self.pages.due_at().filter(|_| self.is_free());
        let battery = (self.is_free() && self.settings.messages.are_lua()).then_some(self.battery_due);
        [rest, self.talk.due_at(), self.photo_due, self.taps.due_at(), page, battery]
            .into_iter()
            .flatten()
            .min()
    }

    fn photo_due(&self) -> Option<Timestamp> {
        self.photo_due
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop()
    }

    fn poll_write(&mut self) -> Option<Write> {
        self.talk.poll_write()
    }

    fn handle_command(&mut self, command: &LinkCommand, now: Timestamp) -> Result<(), Unsupported> {
        match command {
            LinkCommand::Camera { longest_side, quality } => {
                self.capture = CaptureSettings::nearest(*longest_side, *quality);
            }
            LinkCommand::Microphone(is_on) => self.wants_microphone = *is_on,
            LinkCommand::Show { text, .. } => {
                self.pages.show(text, &display::SCREEN);
                self.pages.then_clear();
            }
            // The one on its way will do.
            LinkCommand::TakePhoto => self.wants_photo = self.photo_due.is_none(),
            LinkCommand::PhotoEvery(_)
            | LinkCommand::StopPhotos
            | LinkCommand::Vibrate(_)
            | LinkCommand::FetchRecordings { .. } => {
                return Err(Unsupported);
            }
        }
        self.advance(now);
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            camera: Some(CameraAbilities {
                shortest_interval: Duration::ZERO,
                is_adjustable: true,
                own_interval: None,
            }),
            microphone: true,
            display: true,
            haptics: false,
        }
    }
}
