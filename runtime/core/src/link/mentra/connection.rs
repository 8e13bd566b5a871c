//! A connection to Mentra's glasses.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::{
    Abilities, AudioCodec, Characteristic, DropReason, Events, LinkCommand, LinkEvent, MAX_VALUE, Protocol,
    Unsupported, Write,
};
use super::image::{Progress, Receiver};
use super::json::{Command, Features, Said, motion};
use super::pages::{self, Pages};
use super::{LC3_FRAME, LONGEST_WRITE};
use crate::time::Timestamp;

/// How often the glasses are pinged and asked for their battery: ours, the document names no period.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug, Default)]
pub struct Connection {
    /// `None` until the glasses have told.
    features: Option<Features>,
    /// Whether the codec was told.
    is_heard: bool,
    images: Receiver,
    pages: Pages,
    heartbeat: Option<Timestamp>,
    messages: u32,
    events: Events,
    writes: VecDeque<Write>,
}

impl Connection {
    fn say(&mut self, command: &Command<'_>) {
        self.messages = self.messages.wrapping_add(1);
        let value = command.encode(self.messages);
        debug_assert!(value.len() <= LONGEST_WRITE, "{} bytes", value.len());
        self.writes.push_back(Write { characteristic: Characteristic::MentraTx, value });
    }

    fn handle_json(&mut self, json: &[u8], now: Timestamp) {
        match Said::read(json) {
            Ok(Said::BatteryStatus { level: level @ 0..=100 }) => self.events.push(LinkEvent::Battery(level)),
            Ok(Said::ButtonEvent { state }) => self.events.push(LinkEvent::Button(state.event())),
            Ok(Said::DeviceInfo { features }) => self.features = Some(features),
            Ok(Said::ImuData { accel, gyro }) => {
                self.events.push_result(motion(accel, gyro).map(LinkEvent::Motion));
            }
            Ok(Said::DisplayImage { stream_id, total_chunks, encoding }) => {
                let event = self.images.begin(&stream_id, total_chunks, encoding.as_deref(), now);
                if let Some(event) = event {
                    self.events.push(event);
                }
            }
            Ok(
                Said::ChargingState
                | Said::HeadGesture
                | Said::HeadPosition
                | Said::HeadUpAngleSet
                | Said::Pong
                | Said::VadEvent
                | Said::VadStatus,
            ) => {}
            Ok(Said::BatteryStatus { .. } | Said::Unknown) => {
                self.events.drop_because(DropReason::UnknownValue);
            }
            Err(reason) => self.events.drop_because(reason),
        }
    }

    /// Glasses that have not told what they have are asked for anything.
    fn require(&self, has: impl FnOnce(Features) -> bool) -> Result<(), Unsupported> {
        if self.features.is_none_or(has) { Ok(()) } else { Err(Unsupported) }
    }

    /// Reads what follows the `A0`.
    fn handle_audio(&mut self, value: &[u8]) {
        let Some((_stream, frames)) = value.split_first() else {
            return self.events.drop_because(DropReason::Malformed);
        };
        let (frames, rest) = frames.as_chunks::<LC3_FRAME>();
        if frames.is_empty() || !rest.is_empty() {
            return self.events.drop_because(DropReason::Malformed);
        }
        if !std::mem::replace(&mut self.is_heard, true) {
            self.events.push(LinkEvent::Codec(AudioCodec::Lc3(LC3_FRAME as u32)));
        }
        for frame in frames {
            self.events.push(LinkEvent::Audio { frame: frame.to_vec(), lost_before: 0 });
        }
    }

    fn handle_image(&mut self, progress: Progress) {
        if let Some(event) = progress.event {
            self.events.push(event);
        }
        if let Some(answer) = progress.answer {
            self.say(&answer.command());
        }
    }

    fn show(&mut self, page: Option<String>) {
        if let Some(page) = page {
            self.say(&pages::command(&page));
        }
    }
}

impl Protocol for Connection {
    fn handle_connected(&mut self, now: Timestamp) {
        *self = Self { heartbeat: Some(now + HEARTBEAT), ..Self::default() };
        self.say(&Command::RequestGlassesInfo);
        self.say(&Command::RequestBatteryState);
    }

    fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8], now: Timestamp) {
        if characteristic != Characteristic::MentraRx {
            return self.events.drop_because(DropReason::UnknownCharacteristic);
        }
        match value {
            _ if value.len() > MAX_VALUE => self.events.drop_because(DropReason::Malformed),
            [0x01, json @ ..] => self.handle_json(json, now),
            [0xA0, audio @ ..] => self.handle_audio(audio),
            [0xB0, chunk @ ..] => {
                let progress = self.images.handle_chunk(chunk, now);
                self.handle_image(progress);
            }
            [_, ..] => self.events.drop_because(DropReason::UnknownValue),
            [] => self.events.drop_because(DropReason::Malformed),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        let progress = self.images.handle_timeout(now);
        self.handle_image(progress);
        let page = self.pages.handle_timeout(now);
        self.show(page);
        if self.heartbeat.is_some_and(|due| due <= now) {
            self.heartbeat = Some(now + HEARTBEAT);
            self.say(&Command::Ping);
            self.say(&Command::RequestBatteryState);
        }
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        [self.images.due(), self.pages.due(), self.heartbeat].into_iter().flatten().min()
    }

    fn photo_due(&self) -> Option<Timestamp> {
        self.images.due()
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop()
    }

    fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    fn handle_command(&mut self, command: &LinkCommand, now: Timestamp) -> Result<(), Unsupported> {
        match command {
            LinkCommand::Microphone(enabled) => {
                self.require(|features| features.audio_tx)?;
                self.say(&Command::SetMicState { enabled: *enabled });
            }
            LinkCommand::Show { text, .. } => {
                self.require(|features| features.display)?;
                let page = self.pages.show(text, now);
                self.show(page);
            }
            LinkCommand::Camera { .. }
            | LinkCommand::TakePhoto
            | LinkCommand::PhotoEvery(_)
            | LinkCommand::StopPhotos
            | LinkCommand::Vibrate(_)
            | LinkCommand::FetchRecordings { .. } => return Err(Unsupported),
        }
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        let Features { display, audio_tx: microphone } = self.features.unwrap_or_default();
        Abilities { camera: None, microphone, display, haptics: false }
    }
}
