//! Micro-batches: how long jobs for one model wait for each other.

use std::time::{Duration, Instant};

/// How jobs for one target are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Most jobs in one batch, 1 upwards.
    pub largest: usize,
    /// How long the first job of a batch waits for more, at most.
    pub wait: Duration,
}

impl Default for Batching {
    /// Every job alone, at once.
    fn default() -> Self {
        Self { largest: 1, wait: Duration::ZERO }
    }
}

/// Whether a job waits for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// For as long as its target's batching says.
    Awaited,
    /// Not at all: it, and whatever waits for the same target, may run now.
    Declined,
}

/// What the queue knows of a job that may wait for company.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) since: Instant,
    pub(super) company: Company,
    /// The last moment at which it can start and still be in time.
    pub(super) latest_start: Option<Instant>,
}

impl Batching {
    /// Returns when a batch of these jobs is due: at the latest when the first has waited its time, earlier where a
    /// deadline would be missed, at once where it is full or somebody waits for it.
    pub(super) fn due(&self, members: &[Member]) -> Option<Instant> {
        let first = members.iter().map(|member| member.since).min()?;
        let declined = members.iter().any(|member| member.company == Company::Declined);
        if members.len() >= self.largest || declined {
            return Some(first);
        }
        let pressed = members.iter().filter_map(|member| member.latest_start);
        pressed.chain([first + self.wait]).min()
    }
}
