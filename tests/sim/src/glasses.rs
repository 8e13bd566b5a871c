//! Simulated OmiGlass: the peripheral's side of its protocol, firmware 2.3.2, written from the firmware's facts
//! and not from our decoder.
//!
//! | characteristic | value |
//! |---|---|
//! | photo data, first | `00 00`, orientation, up to 199 bytes |
//! | photo data, then | number u16 little-endian, up to 200 bytes |
//! | photo data, end | `FF FF` |
//! | photo control | i8: −1 one photo, 0 stop, 5 and more every so many seconds |
//! | audio | number of the notification u16 little-endian, index of the fragment in its frame, payload |
//! | button | event i32 little-endian, i32 |
//! | battery | percent |
//! | codec | 21: Opus, 320 samples a frame |
//! | answer text | version 1, kind, query id u64 big-endian, text (the gateway's own profile) |

use std::collections::VecDeque;
use std::time::Duration;

use glassd_core::link::{ButtonEvent, Characteristic, Write};
use glassd_core::{QueryId, Timestamp};
use glassd_media::{Image, encode};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{Camera, Room};

/// Longest part of a photo in one notification (OmiGlass `app.cpp`).
const CHUNK: usize = 200;
/// Time between photos by themselves: the firmware starts so at boot, and ignores what interval is asked for.
pub const PHOTO_INTERVAL: Duration = Duration::from_secs(30);
/// A frame of audio: 320 samples at 16 kHz.
const AUDIO_FRAME: Duration = Duration::from_millis(20);
/// Codec id of Opus with such frames.
const OPUS_320: u8 = 21;
/// Longest audio payload of a notification; Omi's Opus frames have at most 160 bytes (`config.h`).
const AUDIO_CHUNK: usize = 160;

/// What the simulated hardware is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GlassesSettings {
    /// Width of a photo in pixels.
    pub width: u32,
    /// Height of a photo in pixels.
    pub height: u32,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// Battery at the start, in percent.
    pub battery: f64,
    /// Percent an hour that the battery loses by itself: a setting of the simulation, not a measurement.
    pub drain_per_hour: f64,
    /// Percent that a photo costs: a setting of the simulation, not a measurement.
    pub drain_per_photo: f64,
    /// How far the wearer's head sways, as a share of the frame.
    pub sway: f32,
}

impl Default for GlassesSettings {
    /// A quarter of VGA: about 9 KB a photo, of which the radio carries about three a second.
    fn default() -> Self {
        Self {
            width: 320,
            height: 240,
            quality: 70,
            battery: 90.0,
            drain_per_hour: 8.0,
            drain_per_photo: 0.004,
            sway: 0.004,
        }
    }
}

/// What the camera delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CameraState {
    Working,
    /// Every photo ends in the middle.
    Broken,
}

/// One pair of glasses that looks into a room.
///
/// A photo is rendered and encoded within [`OmiGlasses::poll_notification`]: about 3 ms at 320×240 and 12 ms at
/// 640×480 on one core of a 2026 server. Everything else takes microseconds.
#[derive(Debug)]
pub struct OmiGlasses {
    seed: u64,
    settings: GlassesSettings,
    rng: ChaCha8Rng,
    room: Option<Room>,
    camera: Camera,
    camera_state: CameraState,
    /// The next photo that takes itself.
    photo_at: Option<Timestamp>,
    /// A photo that was asked for.
    asked_at: Option<Timestamp>,
    battery: f64,
    battery_seen_at: Option<Timestamp>,
    battery_told: Option<u8>,
    audio: VecDeque<(Timestamp, Vec<u8>)>,
    next_audio_packet: u16,
    /// Ready to be sent since the time beside it.
    outgoing: VecDeque<(Timestamp, Characteristic, Vec<u8>)>,
    answers: Vec<(QueryId, String)>,
    notices: Vec<(QueryId, String)>,
    photos: u64,
    buzzes: u64,
}

impl OmiGlasses {
    /// Makes glasses with [`GlassesSettings::default`].
    pub fn new(seed: u64) -> Self {
        Self::with(seed, GlassesSettings::default())
    }

    /// Makes glasses of this kind.
    pub fn with(seed: u64, settings: GlassesSettings) -> Self {
        Self {
            seed,
            settings,
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x67_6c61_7373_6573),
            room: None,
            camera: Camera::default(),
            camera_state: CameraState::Working,
            photo_at: None,
            asked_at: None,
            battery: settings.battery,
            battery_seen_at: None,
            battery_told: None,
            audio: VecDeque::new(),
            next_audio_packet: 0,
            outgoing: VecDeque::new(),
            answers: Vec::new(),
            notices: Vec::new(),
            photos: 0,
            buzzes: 0,
        }
    }

    /// Returns the seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Turns the wearer's head to another room.
    pub fn look_at(&mut self, room: Room, now: Timestamp) {
        self.spend(now);
        self.room = Some(room);
    }

    /// Points the camera.
    pub fn point(&mut self, camera: Camera) {
        self.camera = camera;
    }

    /// Says that a central has connected and subscribed: what was not sent before is gone, the battery level is
    /// told, the codec is read, and photos take themselves from now on.
    pub fn handle_connect(&mut self, now: Timestamp) {
        self.outgoing.clear();
        self.audio.clear();
        self.asked_at = None;
        self.battery_told = None;
        self.photo_at = Some(now + PHOTO_INTERVAL);
        self.outgoing.push_back((now, Characteristic::Codec, vec![OPUS_320]));
        self.spend(now);
    }

    /// Takes a GATT write. What a characteristic does not define is ignored, as firmware does.
    pub fn handle_write(&mut self, write: &Write, now: Timestamp) {
        self.spend(now);
        match (write.characteristic, write.value.as_slice()) {
            (Characteristic::PhotoControl, &[value]) => match i8::from_le_bytes([value]) {
                -1 => self.asked_at = self.asked_at.or(Some(now)),
                0 => self.photo_at = None,
                5.. => self.photo_at = Some(now + PHOTO_INTERVAL),
                _ => {}
            },
            (Characteristic::AnswerText, value) => self.hear(value),
            (Characteristic::Haptic, &[1..=3]) => self.buzzes += 1,
            _ => {}
        }
    }

    /// Shows or speaks a text: answers and notices apart.
    fn hear(&mut self, value: &[u8]) {
        let Some((&[1, kind, ref id @ ..], text)) = value.split_first_chunk::<10>() else { return };
        let id = QueryId(u64::from_be_bytes(*id));
        let text = String::from_utf8_lossy(text).into_owned();
        match kind {
            0 => self.answers.push((id, text)),
            1 => self.notices.push((id, text)),
            _ => {}
        }
    }

    /// Taps the button once.
    pub fn press(&mut self, now: Timestamp) {
        self.press_as(ButtonEvent::Single, now);
    }

    /// Uses the button.
    pub fn press_as(&mut self, event: ButtonEvent, now: Timestamp) {
        let code: i32 = match event {
            ButtonEvent::Single => 1,
            ButtonEvent::Double => 2,
            ButtonEvent::Long => 3,
            ButtonEvent::Press => 4,
            ButtonEvent::Release => 5,
        };
        let value = [code.to_le_bytes(), 0i32.to_le_bytes()].concat();
        // A press overtakes the photo that is being sent.
        self.outgoing.push_front((now, Characteristic::Button, value));
    }

    /// Lets the microphone hear encoded frames, one each 20 ms from now on.
    pub fn speak(&mut self, frames: impl IntoIterator<Item = Vec<u8>>, now: Timestamp) {
        let mut at = self.audio.back().map_or(now, |(at, _)| (*at + AUDIO_FRAME).max(now));
        for frame in frames {
            self.audio.push_back((at, frame));
            at = at + AUDIO_FRAME;
        }
    }

    /// Breaks the camera: from now on every photo ends in the middle.
    pub fn break_camera(&mut self) {
        self.camera_state = CameraState::Broken;
    }

    /// Returns the next notification that is ready, and takes a photo when it is time to.
    pub fn poll_notification(&mut self, now: Timestamp) -> Option<(Characteristic, Vec<u8>)> {
        self.spend(now);
        let is_speaking = matches!(self.outgoing.front(), Some((_, Characteristic::Audio, _)));
        if !is_speaking && let Some((_, frame)) = self.audio.pop_front_if(|(at, _)| *at <= now) {
            self.send_audio(&frame, now);
        }
        // One photo at a time, as the firmware has one buffer.
        let is_sending = self.outgoing.iter().any(|(_, what, _)| *what == Characteristic::PhotoData);
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if !is_sending && (is_due(self.asked_at) || is_due(self.photo_at)) {
            if is_due(self.photo_at) {
                self.photo_at = Some(now + PHOTO_INTERVAL);
            }
            self.asked_at = None;
            self.take_photo(now);
        }
        self.outgoing.pop_front().map(|(_, characteristic, value)| (characteristic, value))
    }

    /// Returns when there will be something to poll for.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let ready = self.outgoing.front().map(|(at, ..)| *at);
        let audio = self.audio.front().map(|(at, _)| *at);
        [ready, audio, self.asked_at, self.photo_at].into_iter().flatten().min()
    }

    fn take_photo(&mut self, now: Timestamp) {
        let Some(room) = &self.room else { return };
        let mut sway = || self.rng.random_range(-1.0..=1.0f32) * self.settings.sway;
        let pan = [self.camera.pan[0] + sway(), self.camera.pan[1] + sway()];
        let picture = room.render(self.settings.width, self.settings.height, Camera { pan, ..self.camera });
        self.photos += 1;
        self.battery = (self.battery - self.settings.drain_per_photo).max(0.0);
        self.send_photo(&picture, now);
    }

    fn send_photo(&mut self, picture: &Image, now: Timestamp) {
        let mut jpeg = encode(picture, self.settings.quality);
        if self.camera_state == CameraState::Broken {
            jpeg.truncate(jpeg.len() / 2);
        }
        let mut send = |value: Vec<u8>| self.outgoing.push_back((now, Characteristic::PhotoData, value));
        // The orientation takes the place of one byte of the first chunk: 0 is upright.
        let (first, rest) = jpeg.split_at(jpeg.len().min(CHUNK - 1));
        send([&[0, 0, 0], first].concat());
        for (number, chunk) in (1u16..).zip(rest.chunks(CHUNK)) {
            send([&number.to_le_bytes(), chunk].concat());
        }
        send(vec![0xff, 0xff]);
    }

    fn send_audio(&mut self, frame: &[u8], now: Timestamp) {
        let mut values = Vec::new();
        for (index, chunk) in (0u8..).zip(frame.chunks(AUDIO_CHUNK)) {
            let id = self.next_audio_packet;
            self.next_audio_packet = id.wrapping_add(1);
            values.push([&id.to_le_bytes(), &[index][..], chunk].concat());
        }
        // Sound cannot wait for the end of a photo.
        for value in values.into_iter().rev() {
            self.outgoing.push_front((now, Characteristic::Audio, value));
        }
    }

    /// Drains the battery up to now, and tells its level when that has changed.
    fn spend(&mut self, now: Timestamp) {
        let hours = self.battery_seen_at.map_or(0.0, |before| now.since(before).as_secs_f64() / 3600.0);
        self.battery_seen_at = Some(now);
        self.battery = (self.battery - hours * self.settings.drain_per_hour).max(0.0);
        let level = self.battery_level();
        if self.battery_told != Some(level) {
            self.battery_told = Some(level);
            self.outgoing.push_front((now, Characteristic::BatteryLevel, vec![level]));
        }
    }

    /// Returns the battery's level in percent.
    pub fn battery_level(&self) -> u8 {
        self.battery.round().clamp(0.0, 100.0) as u8
    }

    /// Returns every answer that reached the wearer, in order, repeated ones too.
    pub fn answers(&self) -> &[(QueryId, String)] {
        &self.answers
    }

    /// Returns every notice that reached the wearer, in order.
    pub fn notices(&self) -> &[(QueryId, String)] {
        &self.notices
    }

    /// Returns how many photos were taken.
    pub fn photos(&self) -> u64 {
        self.photos
    }

    /// Returns how often the motor buzzed.
    pub fn buzzes(&self) -> u64 {
        self.buzzes
    }
}
