//! A connection to Omi, OpenGlass or OmiGlass: every command is one write, and nothing is answered.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::{
    Abilities, CameraAbilities, Characteristic, LinkCommand, LinkEvent, Protocol, Unsupported, Write,
    answer_text,
};
use super::{Decoder, Firmware, encode};
use crate::time::Timestamp;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    writes: VecDeque<Write>,
}

impl Connection {
    /// Makes a connection to glasses with this firmware.
    pub fn new(firmware: Firmware) -> Self {
        Self { decoder: Decoder::new(firmware), writes: VecDeque::new() }
    }
}

impl Protocol for Connection {
    fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8], _now: Timestamp) {
        self.decoder.handle_notification(characteristic, value);
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.decoder.poll_event()
    }

    fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    fn handle_command(&mut self, command: &LinkCommand, _now: Timestamp) -> Result<(), Unsupported> {
        let write = match command {
            LinkCommand::Show { kind, query, text } => answer_text::encode(*kind, *query, text),
            other => encode(other).ok_or(Unsupported)?,
        };
        self.writes.push_back(write);
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            camera: Some(CameraAbilities { shortest_interval: Duration::ZERO, is_adjustable: false }),
            microphone: true,
            display: true,
            haptics: true,
        }
    }
}
