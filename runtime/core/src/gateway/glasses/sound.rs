//! When sound was heard: frames of audio placed in the gateway's time.
//!
//! Radio delivers in bunches: at connection events, and late where a packet had to be repeated. So arrival times jitter by
//! hundreds of milliseconds, while the glasses' sample clock does not, but drifts by the 100 ppm of a crystal.
//! Frames are placed by the sample clock, and that is set by the frames that were least delayed of the last
//! [`WINDOW`]: what remains is the link's least delay, which is constant, and what the crystal drifts in a window, 1 ms.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Session, Surroundings};
use crate::gateway::audio::Sound;
use crate::gateway::counters::Counter;
use crate::gateway::effects::Effects;
use crate::gateway::io::Output;
use crate::link::AudioCodec;
use crate::time::Timestamp;

/// How long the least delayed frame sets the clock: long enough for one that went through at once, short enough for a
/// crystal's drift.
const WINDOW: Duration = Duration::from_secs(10);
/// The window moves in steps of this.
const STEP: Duration = Duration::from_secs(1);
/// Frames that come later than this by the sample clock were not delayed but not recorded: the glasses paused.
/// BLE repeats a packet for that long in a poor link; one that is later places its frames late, until the next comes.
const PAUSE: Duration = Duration::from_secs(1);

/// A clock of the glasses' samples in the gateway's time.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Length of all sound since the clock was set, with what was lost.
    elapsed: Duration,
    /// Least difference between arrival and sample clock in each of the last steps, in microseconds.
    lows: VecDeque<(Timestamp, i64)>,
    heard_at: Option<Timestamp>,
    started_at: Timestamp,
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// When it began.
    starts_at: Timestamp,
    /// Length of what was lost right before it.
    lost: Duration,
}

impl Timeline {
    /// Places a frame of this length that has just arrived, after so many of its length that did not.
    fn place(&mut self, length: Duration, lost_frames: u32, now: Timestamp) -> Place {
        // No more was lost than there was time for, whatever the glasses count.
        let possible = self.heard_at.map_or(Duration::ZERO, |at| now.since(at) + PAUSE);
        let lost = length.saturating_mul(lost_frames).min(possible);
        self.heard_at = Some(now);
        self.elapsed += lost;
        let mut sample = micros(now) - as_micros(self.elapsed + length);
        if self.low().is_some_and(|low| sample > low + as_micros(PAUSE)) {
            self.lows.clear();
            self.elapsed = Duration::ZERO;
            sample = micros(now) - as_micros(length);
        }
        self.note(sample, now);
        let low = self.low().unwrap_or(sample);
        let starts_at = u64::try_from(low + as_micros(self.elapsed)).unwrap_or_default();
        self.elapsed += length;
        self.started_at = self.started_at.max(Timestamp::from_micros(starts_at));
        Place { starts_at: self.started_at, lost }
    }

    fn low(&self) -> Option<i64> {
        self.lows.iter().map(|(_, low)| *low).min()
    }

    fn note(&mut self, sample: i64, now: Timestamp) {
        while self.lows.pop_front_if(|(since, _)| now.since(*since) > WINDOW).is_some() {}
        match self.lows.back_mut() {
            Some((since, low)) if now.since(*since) < STEP => *low = sample.min(*low),
            Some(_) | None => self.lows.push_back((now, sample)),
        }
    }
}

impl Session {
    pub(super) fn handle_codec(&mut self, codec: AudioCodec) {
        if let Some(connection) = &mut self.connection
            && connection.codec.replace(codec) != Some(codec)
        {
            connection.timeline = Timeline::default();
        }
    }

    /// Hands a frame of audio on, with its place in time.
    pub(super) fn handle_audio(
        &mut self,
        frame: Vec<u8>,
        lost_frames: u32,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let Some(connection) = &mut self.connection else { return };
        effects.count(Counter::AudioFrames);
        let Some(codec) = connection.codec else {
            // Nobody could decode it, nor tell how long it is.
            return effects.count(Counter::AudioDropped("codec_unknown"));
        };
        let length = codec.length_of(frame.len());
        let Place { starts_at, lost } = connection.timeline.place(length, lost_frames, around.now);
        if lost_frames > 0 {
            effects.count(Counter::AudioGaps);
            effects.counters.add(Counter::AudioLost, u64::from(lost_frames));
            let millis = u64::try_from(lost.as_millis()).unwrap_or(u64::MAX);
            effects.counters.add(Counter::AudioLostMillis, millis);
        }
        effects.output(Output::Sound(Sound {
            glasses: self.id.clone(),
            codec,
            frame,
            starts_at,
            length,
            lost_frames,
            lost,
        }));
    }
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn as_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
