//! A connection to Omi, OpenGlass or OmiGlass: every command is one write, and only stored audio is asked for.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::{
    Abilities, CameraAbilities, Characteristic, DropReason, LinkCommand, LinkEvent, Protocol, Unsupported,
    Write, answer_text,
};
use super::storage::Drain;
use super::{Decoder, Features, Firmware, encode, photo};
use crate::time::Timestamp;

/// OmiGlass takes photos so often from its boot on, whatever interval it is told (`PHOTO_CAPTURE_INTERVAL_MS` in its
/// `config.h`).
const OWN_INTERVAL: Duration = Duration::from_secs(30);

/// A photo of which nothing more comes for so long has been lost: the firmware sends its chunks one after the other.
const PHOTO_SILENCE: Duration = Duration::from_secs(3);

/// One connection.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    /// `None` until they were read; OmiGlass has none.
    features: Option<Features>,
    drain: Drain,
    /// When the photo on its way is given up.
    photo_due: Option<Timestamp>,
    writes: VecDeque<Write>,
}

impl Connection {
    /// Makes a connection to glasses with this firmware.
    pub fn new(firmware: Firmware) -> Self {
        Self {
            decoder: Decoder::new(firmware),
            features: None,
            drain: Drain::default(),
            photo_due: None,
            writes: VecDeque::new(),
        }
    }

    fn handle_features(&mut self, value: &[u8], now: Timestamp) -> Result<(), DropReason> {
        let features = Features::read(value)?;
        self.features = Some(features);
        if features.has_storage() {
            self.drain.handle_storage(now);
        }
        Ok(())
    }

    fn note(&mut self, result: Result<(), DropReason>) {
        if let Err(reason) = result {
            self.decoder.events.drop_because(reason);
        }
    }
}

impl Protocol for Connection {
    /// Sets the clock: firmware with a storage stamps its records with it. Other firmware has no such characteristic.
    fn handle_connected(&mut self, now: Timestamp) {
        self.decoder.handle_disconnect();
        self.photo_due = None;
        self.writes.clear();
        self.drain.handle_connected();
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let value = seconds.to_le_bytes().to_vec();
        self.writes.push_back(Write { characteristic: Characteristic::TimeSync, value });
    }

    fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8], now: Timestamp) {
        match characteristic {
            Characteristic::Features => {
                let result = self.handle_features(value, now);
                self.note(result);
            }
            Characteristic::Storage => {
                let result = self.drain.handle_notification(value, now);
                self.note(result);
            }
            Characteristic::PhotoData => {
                self.photo_due = (!photo::is_end(value)).then(|| now + PHOTO_SILENCE);
                self.decoder.handle_notification(characteristic, value);
            }
            _ => self.decoder.handle_notification(characteristic, value),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        let result = self.drain.handle_timeout(now);
        self.note(result);
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.drain.due()
    }

    fn photo_due(&self) -> Option<Timestamp> {
        self.photo_due
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.decoder.poll_event().or_else(|| self.drain.poll_batch())
    }

    fn poll_write(&mut self) -> Option<Write> {
        let storage = |value| Write { characteristic: Characteristic::Storage, value };
        self.writes.pop_front().or_else(|| self.drain.poll_write().map(storage))
    }

    fn handle_command(&mut self, command: &LinkCommand, now: Timestamp) -> Result<(), Unsupported> {
        let write = match command {
            LinkCommand::FetchRecordings { from } => {
                let result = self.drain.fetch(*from, now);
                self.note(result);
                return Ok(());
            }
            LinkCommand::Show { kind, query, text } => answer_text::encode(*kind, *query, text),
            LinkCommand::Vibrate(_) if !self.abilities().haptics => return Err(Unsupported),
            other => encode(other).ok_or(Unsupported)?,
        };
        self.writes.push_back(write);
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        // The pendants tell their features and have no camera; OmiGlass tells none (`omiGlass/firmware/src/app.cpp`).
        let camera = CameraAbilities {
            shortest_interval: Duration::ZERO,
            is_adjustable: false,
            own_interval: Some(OWN_INTERVAL),
        };
        Abilities {
            camera: self.features.is_none().then_some(camera),
            microphone: true,
            display: true,
            haptics: self.features.is_none_or(Features::has_haptics),
        }
    }
}
