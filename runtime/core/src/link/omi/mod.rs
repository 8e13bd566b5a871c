//! Omi, OpenGlass and OmiGlass: what their notifications mean and what can be written to them.
//!
//! Facts from the vendor's firmware (`omi/firmware/omi/src/lib/core/transport.c`, `button.c`,
//! `omiGlass/firmware/src/app.cpp`) and, for lost and repeated audio, its app
//! (`ble_packet_continuity.dart`). All integers are little-endian. Where documents and firmware disagree,
//! the firmware wins.
//!
//! | characteristic | value |
//! |---|---|
//! | codec | `[id u8]`: 0 PCM 16 kHz, 1 PCM 8 kHz, 10 µ-law 16 kHz, 11 µ-law 8 kHz, 20 and 21 Opus with 160 and 320 samples a frame |
//! | audio data | `[packet id u16][index u8][payload]`, see `audio` |
//! | photo data | `[n u16][orientation u8 if n = 0][JPEG ≤ 200 B]`, end `[FF FF]`, see `photo` |
//! | button | `[event i32][i32]`: 1 single, 2 double, 3 long, 4 press, 5 release |
//! | battery | `[percent u8]` |
//! | photo control | write `[i8]`: -1 one photo, 0 stop, 5 to 127 an interval in seconds |
//! | haptic | write `[u8]`: 1, 2, 3 buzz for 100, 300, 500 ms |
//! | features | `[bits u32]`: 5 haptic, 6 offline storage; the others say what the GATT table says too |
//! | time sync | write `[seconds since 1970 u32]` |
//! | accelerometer | 6 × `[whole i32][millionths i32]`, see `motion` |
//! | storage | the audio that was stored while nobody was connected, see `storage` |
//!
//! Device settings (LED, microphone gain) are not written: OmiGlass has its update service under the same UUIDs.

mod audio;
mod connection;
mod features;
mod firmware;
mod motion;
mod photo;
mod record;
mod storage;

use std::time::Duration;

pub use audio::MAX_FRAME;
pub use connection::Connection;
use features::Features;
pub use firmware::Firmware;
pub use photo::MAX_PHOTO;
pub use record::RECORD;
pub use storage::{BATCH, MAX_FAILURES, PAUSE, SILENCE};

use super::{
    AudioCodec, ButtonEvent, Characteristic, DropReason, Events, LinkCommand, LinkEvent, MAX_VALUE, Write,
};

pub use super::MAX_EVENTS;

/// Every characteristic that these glasses may have.
pub const CHARACTERISTICS: [Characteristic; 12] = [
    Characteristic::Audio,
    Characteristic::Codec,
    Characteristic::PhotoData,
    Characteristic::PhotoControl,
    Characteristic::Button,
    Characteristic::Haptic,
    Characteristic::BatteryLevel,
    Characteristic::AnswerText,
    Characteristic::Features,
    Characteristic::TimeSync,
    Characteristic::Accelerometer,
    Characteristic::Storage,
];

/// Decodes the notifications of one connection.
///
/// Poll all events after each notification. Foreign bytes end at worst as [`LinkEvent::Dropped`].
#[derive(Debug)]
pub struct Decoder {
    photo: photo::Assembler,
    audio: audio::Assembler,
    events: Events,
}

impl Decoder {
    /// Makes a decoder for glasses with this firmware.
    pub fn new(firmware: Firmware) -> Self {
        Self {
            photo: photo::Assembler::new(firmware),
            audio: audio::Assembler::default(),
            events: Events::default(),
        }
    }

    /// Takes a notified value, or one that was read (codec, battery level).
    pub fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8]) {
        let events = &mut self.events;
        match characteristic {
            _ if value.len() > MAX_VALUE => events.drop_because(DropReason::Malformed),
            Characteristic::Audio => self.audio.handle(value, events),
            Characteristic::PhotoData => self.photo.handle(value, events),
            Characteristic::Codec => events.push_result(codec(value).map(LinkEvent::Codec)),
            Characteristic::Button => events.push_result(button(value).map(LinkEvent::Button)),
            Characteristic::BatteryLevel => events.push_result(battery(value).map(LinkEvent::Battery)),
            Characteristic::Accelerometer => match motion::read(value) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => {}
                Err(reason) => events.drop_because(reason),
            },
            _ => events.drop_because(DropReason::UnknownCharacteristic),
        }
    }

    /// Yields the next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop()
    }

    /// Forgets the photo and the audio frame that were on their way; events that wait stay.
    pub fn handle_disconnect(&mut self) {
        self.photo.forget();
        self.audio = audio::Assembler::default();
    }
}

/// Turns a command into a write; none where this firmware has no such command.
///
/// Intervals are rounded up to whole seconds and brought into 5 to 127 s; firmware 2.3.2 uses 30 s
/// whatever was asked. Buzzes become the nearest of 100, 300 and 500 ms.
pub fn encode(command: &LinkCommand) -> Option<Write> {
    let (characteristic, byte) = match command {
        LinkCommand::TakePhoto => (Characteristic::PhotoControl, 0xFF),
        LinkCommand::StopPhotos => (Characteristic::PhotoControl, 0),
        LinkCommand::PhotoEvery(interval) => (Characteristic::PhotoControl, interval_seconds(*interval)),
        LinkCommand::Vibrate(duration) => (Characteristic::Haptic, haptic_level(*duration)),
        LinkCommand::Camera { .. }
        | LinkCommand::Microphone(_)
        | LinkCommand::Show { .. }
        | LinkCommand::FetchRecordings { .. } => return None,
    };
    Some(Write { characteristic, value: vec![byte] })
}

fn interval_seconds(interval: Duration) -> u8 {
    let seconds = interval.as_secs().saturating_add(u64::from(interval.subsec_nanos() > 0));
    u8::try_from(seconds.clamp(5, 127)).expect("at most 127")
}

fn haptic_level(duration: Duration) -> u8 {
    match duration.as_millis() {
        0..200 => 1,
        200..400 => 2,
        _ => 3,
    }
}

fn codec(value: &[u8]) -> Result<AudioCodec, DropReason> {
    let [id] = value else { return Err(DropReason::Malformed) };
    match id {
        0 => Ok(AudioCodec::Pcm16(16_000)),
        1 => Ok(AudioCodec::Pcm16(8_000)),
        10 => Ok(AudioCodec::MuLaw(16_000)),
        11 => Ok(AudioCodec::MuLaw(8_000)),
        20 => Ok(AudioCodec::Opus(160)),
        21 => Ok(AudioCodec::Opus(320)),
        _ => Err(DropReason::UnknownValue),
    }
}

fn button(value: &[u8]) -> Result<ButtonEvent, DropReason> {
    let [a, b, c, d, _, _, _, _] = *value else { return Err(DropReason::Malformed) };
    match i32::from_le_bytes([a, b, c, d]) {
        1 => Ok(ButtonEvent::Single),
        2 => Ok(ButtonEvent::Double),
        3 => Ok(ButtonEvent::Long),
        4 => Ok(ButtonEvent::Press),
        5 => Ok(ButtonEvent::Release),
        _ => Err(DropReason::UnknownValue),
    }
}

fn battery(value: &[u8]) -> Result<u8, DropReason> {
    match *value {
        [percent @ 0..=100] => Ok(percent),
        [_] => Err(DropReason::UnknownValue),
        _ => Err(DropReason::Malformed),
    }
}
