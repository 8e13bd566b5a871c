//! A transfer in numbered chunks, of which those that are missing can be asked for again.
//!
//! It ends in bounded time: after [`MAX_ROUNDS`] of asking without a new chunk, or [`LONGEST`] after it began.

use std::collections::BTreeMap;
use std::time::Duration;

use super::DropReason;
use crate::time::Timestamp;

/// Silence after which what is missing is asked for: some ten connection intervals of BLE.
pub(super) const QUIET: Duration = Duration::from_millis(300);
/// So long after the sender said that it sent everything the last chunks may still overtake each other.
pub(super) const SETTLE: Duration = Duration::from_millis(50);
/// How often in a row is asked without a new chunk. Where one in five chunks and one in five questions get lost, a
/// last chunk is still missing afterwards once in ten million photos.
pub(super) const MAX_ROUNDS: u8 = 16;
/// From this round of asking on no more patience is had.
const MOST_PATIENT: u8 = 3;
/// How long a transfer may take: the longest photo, 512 KiB, at the 10 KB/s of a poor link.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Transfer {
    total: u16,
    held: BTreeMap<u16, Vec<u8>>,
    rounds: u8,
    /// When to ask for what is missing.
    due: Timestamp,
    ends: Timestamp,
}

/// What to do about a transfer that has come to a halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    Ask,
    GiveUp,
}

impl Transfer {
    pub(super) fn begin(total: u16, now: Timestamp) -> Self {
        Self { total, held: BTreeMap::new(), rounds: 0, due: now + QUIET, ends: now + LONGEST }
    }

    pub(super) fn take(&mut self, index: u16, chunk: &[u8], now: Timestamp) -> Result<(), DropReason> {
        if index >= self.total {
            return Err(DropReason::Malformed);
        }
        if self.held.contains_key(&index) {
            return Err(DropReason::Duplicate);
        }
        self.held.insert(index, chunk.to_vec());
        self.rounds = 0;
        self.due = now + QUIET;
        Ok(())
    }

    /// The sender says that it sent everything.
    pub(super) fn handle_end(&mut self, now: Timestamp) {
        self.due = self.due.min(now + SETTLE);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.held.len() == usize::from(self.total)
    }

    pub(super) fn is_last(&self, index: u16) -> bool {
        index + 1 == self.total
    }

    pub(super) fn missing(&self) -> impl Iterator<Item = u16> {
        (0..self.total).filter(|index| !self.held.contains_key(index))
    }

    pub(super) fn due(&self) -> Timestamp {
        self.due.min(self.ends)
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Option<Halt> {
        if now < self.due() {
            return None;
        }
        if now >= self.ends || self.rounds == MAX_ROUNDS {
            return Some(Halt::GiveUp);
        }
        self.rounds += 1;
        // What was asked for may still be on its way over a slow link: each time it is given longer.
        self.due = now + QUIET * u32::from(self.rounds.min(MOST_PATIENT));
        Some(Halt::Ask)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.held.into_values().collect::<Vec<_>>().concat()
    }
}
