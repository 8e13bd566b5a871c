//! A connection to glasses of the open profile.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::{
    Abilities, Characteristic, DropReason, Events, LinkCommand, LinkEvent, MAX_VALUE, Protocol, Unsupported,
    Write,
};
use super::audio::Frames;
use super::photo::{Progress, Receiver};
use super::requests::{Kind, Requests, Taken};
use super::{Hello, SHORTEST_WRITE, battery, button, control, motion, tap};
use crate::time::Timestamp;

/// How often the clock is set: a crystal of 100 ppm is then off by 60 ms at most.
const CLOCK: Duration = Duration::from_secs(600);

/// One connection.
#[derive(Debug, Default)]
pub struct Connection {
    hello: Option<Hello>,
    taken: Option<Taken>,
    requests: Requests,
    clock_due: Option<Timestamp>,
    photos: Receiver,
    frames: Frames,
    events: Events,
    writes: VecDeque<Write>,
}

impl Connection {
    /// Returns what the glasses said of themselves.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Returns what the glasses last confirmed.
    pub fn taken(&self) -> Option<Taken> {
        self.taken
    }

    fn handle_hello(&mut self, value: &[u8], now: Timestamp) {
        match Hello::read(value) {
            Ok(hello) => {
                self.requests.handle_hello();
                if let Some(codec) = hello.codec {
                    self.events.push(LinkEvent::Codec(codec));
                }
                self.clock_due = hello.has_clock.then_some(now + CLOCK);
                self.hello = Some(hello);
            }
            Err(reason) => self.events.drop_because(reason),
        }
    }

    fn handle_photo(&mut self, progress: Progress) {
        if let Some(event) = progress.event {
            self.events.push(event);
        }
        if let Some(value) = progress.write {
            self.write(value);
        }
    }

    fn write(&mut self, value: Vec<u8>) {
        self.writes.push_back(control::write(value));
    }

    fn longest_write(&self) -> usize {
        self.hello.as_ref().map_or(SHORTEST_WRITE, |hello| hello.longest_write)
    }

    /// Glasses that have not said what they have are asked for anything: they skip what they cannot do.
    fn require(&self, has: impl FnOnce(&Hello) -> bool) -> Result<(), Unsupported> {
        if self.hello.as_ref().is_none_or(has) { Ok(()) } else { Err(Unsupported) }
    }

    fn capture(&mut self, interval_ms: u32, now: Timestamp) -> Result<(), Unsupported> {
        self.require(|hello| hello.abilities.camera.is_some())?;
        let value = self.requests.ask(Kind::Capture, |request| control::capture(request, interval_ms), now);
        self.write(value);
        Ok(())
    }

    fn set_camera(&mut self, longest_side: u16, quality: u8, now: Timestamp) -> Result<(), Unsupported> {
        let side = match &self.hello {
            Some(hello) => {
                hello.abilities.camera.ok_or(Unsupported)?;
                hello.nearest_size(longest_side).ok_or(Unsupported)?
            }
            None => longest_side,
        };
        let value = self.requests.ask(Kind::Camera, |request| control::camera(request, side, quality), now);
        self.write(value);
        Ok(())
    }

    fn interval_ms(&self, wanted: Duration) -> u32 {
        let camera = self.hello.as_ref().and_then(|hello| hello.abilities.camera);
        control::interval_ms(camera.map_or(wanted, |camera| wanted.max(camera.shortest_interval)))
    }
}

impl Protocol for Connection {
    fn handle_connected(&mut self, now: Timestamp) {
        *self = Self::default();
        let value = self.requests.hello(now);
        self.write(value);
    }

    fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8], now: Timestamp) {
        if characteristic != Characteristic::OpenData {
            return self.events.drop_because(DropReason::UnknownCharacteristic);
        }
        let Some((kind, rest)) = value.split_first().filter(|_| value.len() <= MAX_VALUE) else {
            return self.events.drop_because(DropReason::Malformed);
        };
        let events = &mut self.events;
        match kind {
            0x01 => self.handle_hello(rest, now),
            0x02 => match self.requests.handle_taken(rest) {
                Ok(taken) => self.taken = Some(taken),
                Err(reason) => events.drop_because(reason),
            },
            0x03 => {
                let progress = self.photos.handle_start(rest, now);
                self.handle_photo(progress);
            }
            0x04 => {
                let progress = self.photos.handle_chunk(rest, now);
                self.handle_photo(progress);
            }
            0x05 => {
                let progress = self.photos.handle_end(rest, now);
                self.handle_photo(progress);
            }
            0x06 => events.push_result(self.frames.handle(rest)),
            0x07 => events.push_result(button(rest).map(LinkEvent::Button)),
            0x08 => events.push_result(tap(rest).map(LinkEvent::Button)),
            0x09 => events.push_result(battery(rest).map(LinkEvent::Battery)),
            0x0A => events.push_result(motion(rest).map(LinkEvent::Motion)),
            _ => events.drop_because(DropReason::UnknownValue),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(due) = self.requests.handle_timeout(now) {
            match due {
                Ok(value) => self.write(value),
                Err(reason) => self.events.drop_because(reason),
            }
        }
        if self.clock_due.is_some_and(|due| due <= now) {
            self.clock_due = Some(now + CLOCK);
            self.write(control::clock(now));
        }
        let progress = self.photos.handle_timeout(now, self.longest_write());
        self.handle_photo(progress);
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        [self.requests.due(), self.clock_due, self.photos.due()].into_iter().flatten().min()
    }

    fn photo_due(&self) -> Option<Timestamp> {
        self.photos.due()
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop()
    }

    fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    fn handle_command(&mut self, command: &LinkCommand, now: Timestamp) -> Result<(), Unsupported> {
        match command {
            LinkCommand::Camera { longest_side, quality } => self.set_camera(*longest_side, *quality, now)?,
            LinkCommand::TakePhoto => self.capture(control::NOW, now)?,
            LinkCommand::PhotoEvery(interval) => self.capture(self.interval_ms(*interval), now)?,
            LinkCommand::StopPhotos => self.capture(0, now)?,
            LinkCommand::Microphone(on) => {
                self.require(|hello| hello.abilities.microphone)?;
                let value =
                    self.requests.ask(Kind::Microphone, |request| control::microphone(request, *on), now);
                self.write(value);
            }
            LinkCommand::Vibrate(duration) => {
                self.require(|hello| hello.abilities.haptics)?;
                self.write(control::vibrate(*duration));
            }
            LinkCommand::FetchRecordings { .. } => return Err(Unsupported),
            LinkCommand::Show { kind, query, text } => {
                self.require(|hello| hello.abilities.display)?;
                for piece in control::text(*kind, *query, text, self.longest_write()) {
                    self.write(piece);
                }
            }
        }
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        self.hello.as_ref().map(|hello| hello.abilities).unwrap_or_default()
    }
}
