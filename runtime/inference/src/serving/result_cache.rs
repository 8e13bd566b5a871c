//! What was seen in a picture like this one, a moment ago.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::sighting::Sighting;

/// When pictures are alike enough, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultCacheSettings {
    /// How long a result holds; zero turns the cache off.
    pub lifetime: Duration,
    /// Most bits in which the fingerprints of two pictures that count as the same may differ, 0 to 64.
    pub distance: u32,
    /// Most results kept; the oldest goes first.
    pub most: usize,
}

/// A result that stands for a picture like its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// What was seen.
    pub sightings: Vec<Sighting>,
    /// How long ago the model looked.
    pub age: Duration,
    /// Bits in which the fingerprints differ.
    pub distance: u32,
}

/// Results by target, stream and the fingerprint of the picture: a perceptual hash, as
/// [`glassd_media::Probe::fingerprint`] gives. What one stream saw is never told to another.
#[derive(Clone, Debug)]
pub struct ResultCache {
    settings: ResultCacheSettings,
    /// The oldest first.
    entries: VecDeque<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    target: String,
    stream: String,
    fingerprint: u64,
    at: Instant,
    sightings: Vec<Sighting>,
}

impl ResultCache {
    /// Makes an empty cache.
    pub fn new(settings: ResultCacheSettings) -> Self {
        Self { settings, entries: VecDeque::new() }
    }

    /// Tells whether it can hold anything.
    pub fn is_on(&self) -> bool {
        !self.settings.lifetime.is_zero() && self.settings.most > 0
    }

    /// Returns the result whose picture is the most alike, the younger of two; a hit makes nothing younger.
    pub fn find(&self, target: &str, stream: &str, fingerprint: u64, now: Instant) -> Option<Hit> {
        let is_same = |entry: &&Entry| entry.target == target && entry.stream == stream;
        let hits = self.entries.iter().filter(is_same).map(|entry| {
            let age = now.saturating_duration_since(entry.at);
            (entry, age, (entry.fingerprint ^ fingerprint).count_ones())
        });
        let hits = hits.filter(|(_, age, distance)| {
            *age < self.settings.lifetime && *distance <= self.settings.distance
        });
        let (entry, age, distance) = hits.min_by_key(|(_, age, distance)| (*distance, *age))?;
        Some(Hit { sightings: entry.sightings.clone(), age, distance })
    }

    /// Keeps what was seen in a picture; forgets what is too old, and the oldest where there is no room.
    pub fn insert(
        &mut self,
        target: &str,
        stream: &str,
        fingerprint: u64,
        sightings: Vec<Sighting>,
        now: Instant,
    ) {
        let lifetime = self.settings.lifetime;
        self.entries.retain(|entry| now.saturating_duration_since(entry.at) < lifetime);
        if !self.is_on() {
            return;
        }
        while self.entries.len() >= self.settings.most {
            self.entries.pop_front();
        }
        let (target, stream) = (target.to_owned(), stream.to_owned());
        self.entries.push_back(Entry { target, stream, fingerprint, at: now, sightings });
    }

    /// Returns how many results it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
