//! A radio link as a queue: so many bytes a second, some delay, some loss, and cuts.

use std::collections::VecDeque;
use std::time::Duration;

use glassd_core::Timestamp;
use glassd_core::link::Characteristic;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How much air time the stack buffers: a connection interval, so that none is left empty.
pub const BUFFERED: Duration = Duration::from_millis(50);

/// What a link can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RadioSettings {
    /// Longest value in bytes. ATT's MTU less 3: 517 is what Omi firmware asks for (`transport.c`).
    pub longest: usize,
    /// Bytes a second of values. 25 to 32 KB/s were measured with notifications back to back, through BlueZ and
    /// a virtual controller; see [`RadioSettings::default`].
    pub goodput: f64,
    /// Shortest time in the air. Omi firmware asks for a connection interval of 25 to 50 ms.
    pub latency: Duration,
    /// Most time that is added, at random.
    pub jitter: Duration,
    /// Share of the notifications that never arrive, 0 to 1. BLE repeats lost packets; what is lost is lost in
    /// full queues of the stacks.
    pub loss: f64,
}

impl Default for RadioSettings {
    fn default() -> Self {
        Self {
            longest: 514,
            goodput: 28_000.0,
            latency: Duration::from_millis(25),
            jitter: Duration::from_millis(25),
            loss: 0.0,
        }
    }
}

/// One direction of a link between glasses and gateway.
#[derive(Debug)]
pub struct Radio {
    settings: RadioSettings,
    rng: ChaCha8Rng,
    /// When the air is free again.
    free_at: Timestamp,
    /// In the order of sending, which is that of arrival.
    in_flight: VecDeque<(Timestamp, Characteristic, Vec<u8>)>,
    is_cut: bool,
    lost: u64,
}

impl Radio {
    /// Makes a link with [`RadioSettings::default`].
    pub fn new(seed: u64) -> Self {
        Self::with(seed, RadioSettings::default())
    }

    /// Makes a link that can do what the settings say.
    pub fn with(seed: u64, settings: RadioSettings) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed ^ 0x72_6164_696f);
        let free_at = Timestamp::default();
        Self { settings, rng, free_at, in_flight: VecDeque::new(), is_cut: false, lost: 0 }
    }

    /// Takes a value to carry. One that is too long, or that the link loses, is counted and gone.
    pub fn send(&mut self, characteristic: Characteristic, value: Vec<u8>, now: Timestamp) {
        let on_air = Duration::from_secs_f64(value.len() as f64 / self.settings.goodput);
        let is_lost = self.rng.random_bool(self.settings.loss.clamp(0.0, 1.0));
        let jitter = self.settings.jitter.mul_f64(self.rng.random::<f64>());
        if self.is_cut || value.len() > self.settings.longest {
            self.lost += 1;
            return;
        }
        self.free_at = self.free_at.max(now) + on_air;
        if is_lost {
            self.lost += 1;
            return;
        }
        let earliest = self.in_flight.back().map_or(Timestamp::default(), |(arrives, ..)| *arrives);
        let arrives = (self.free_at + self.settings.latency + jitter).max(earliest);
        self.in_flight.push_back((arrives, characteristic, value));
    }

    /// Returns the next value that has arrived.
    pub fn poll(&mut self, now: Timestamp) -> Option<(Characteristic, Vec<u8>)> {
        if self.in_flight.front()?.0 > now {
            return None;
        }
        self.in_flight.pop_front().map(|(_, characteristic, value)| (characteristic, value))
    }

    /// Returns when the next value arrives.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.in_flight.front().map(|(arrives, ..)| *arrives)
    }

    /// Says whether the stack below would take another value now: it buffers [`BUFFERED`] of air time, and a
    /// sender that goes on regardless only makes its photos late.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.free_at.since(now) < BUFFERED
    }

    /// Loses what is in the air, as a dropped link does.
    pub fn clear(&mut self) {
        self.lost += self.in_flight.len() as u64;
        self.in_flight.clear();
        self.free_at = Timestamp::default();
    }

    /// Cuts the link: what is in the air and what is sent from now on is lost.
    pub fn cut(&mut self) {
        self.clear();
        self.is_cut = true;
    }

    /// Restores the link.
    pub fn heal(&mut self) {
        self.is_cut = false;
    }

    /// Returns how many values did not arrive.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
