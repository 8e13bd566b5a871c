//! What was asked of the glasses and is not answered yet.
//!
//! `02` answers: | 0 | `02` | 1 | request | 2 u16 longest side | 4 quality | 5 u32 interval in ms | 9 microphone |.
//! What is not answered within [`RETRY`] is written again, in the same bytes: glasses do a request once, and
//! answer it as often as it comes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::DropReason;
use super::control;
use crate::time::Timestamp;

/// How long an answer is waited for.
pub const RETRY: Duration = Duration::from_secs(1);
/// How often something is asked.
pub const TRIES: u8 = 5;

/// What the glasses really took of what they were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Longer side of photos, in pixels.
    pub longest_side: u16,
    /// JPEG quality.
    pub quality: u8,
    /// Time between photos; zero where they take none by themselves.
    pub interval: Duration,
    /// Whether they send what they hear.
    pub microphone: bool,
}

/// What can be asked; of each kind the newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Hello,
    Camera,
    Capture,
    Microphone,
}

#[derive(Debug)]
struct Request {
    value: Vec<u8>,
    due: Timestamp,
    tries: u8,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<Kind, Request>,
    last: u8,
}

impl Requests {
    pub(super) fn hello(&mut self, now: Timestamp) -> Vec<u8> {
        self.await_answer(Kind::Hello, control::hello(now), now)
    }

    /// Numbers a request; returns what is to be written.
    pub(super) fn ask(&mut self, kind: Kind, encode: impl FnOnce(u8) -> Vec<u8>, now: Timestamp) -> Vec<u8> {
        self.last = self.last.wrapping_add(1);
        self.await_answer(kind, encode(self.last), now)
    }

    fn await_answer(&mut self, kind: Kind, value: Vec<u8>, now: Timestamp) -> Vec<u8> {
        self.open.insert(kind, Request { value: value.clone(), due: now + RETRY, tries: 1 });
        value
    }

    pub(super) fn handle_hello(&mut self) {
        self.open.remove(&Kind::Hello);
    }

    /// Reads what follows the type.
    pub(super) fn handle_taken(&mut self, value: &[u8]) -> Result<Taken, DropReason> {
        let &[request, l0, l1, quality, i0, i1, i2, i3, microphone, ..] = value else {
            return Err(DropReason::Malformed);
        };
        self.open.retain(|kind, asked| *kind == Kind::Hello || asked.value[1] != request);
        Ok(Taken {
            longest_side: u16::from_le_bytes([l0, l1]),
            quality,
            interval: Duration::from_millis(u32::from_le_bytes([i0, i1, i2, i3]).into()),
            microphone: microphone != 0,
        })
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.open.values().map(|request| request.due).min()
    }

    /// Yields what is to be written again; an error for what was never answered.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Option<Result<Vec<u8>, DropReason>> {
        let (kind, request) = self.open.iter_mut().find(|(_, request)| request.due <= now)?;
        let kind = *kind;
        if request.tries == TRIES {
            self.open.remove(&kind);
            return Some(Err(DropReason::Unanswered));
        }
        request.tries += 1;
        request.due = now + RETRY;
        Some(Ok(request.value.clone()))
    }
}
