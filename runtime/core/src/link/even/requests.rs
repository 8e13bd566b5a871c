//! What is said to the arms, one thing after the other: each waits for the acknowledgement of the one before.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::Write;
use super::{Arm, Characteristic};
use crate::time::Timestamp;

/// What is not acknowledged within this time is said again: the longest that the app waits (`proto.dart`).
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How often something is said before it is given up: as the app tries its heartbeat (`ble_manager.dart`).
const ATTEMPTS: u8 = 3;

/// First byte of what is said, and of its answer.
pub(super) const MICROPHONE: u8 = 0x0E;
pub(super) const HEARTBEAT: u8 = 0x25;
pub(super) const TEXT: u8 = 0x4E;

/// Something to say to an arm.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) arm: Arm,
    pub(super) value: Vec<u8>,
}

/// What an arm said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Failed,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// It is said again.
    Again,
    /// What begins with this byte failed as often as it was tried: what was to follow it is not said.
    GivenUp(u8),
}

#[derive(Debug)]
struct InFlight {
    request: Request,
    attempts: u8,
    due: Timestamp,
    is_written: bool,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<Request>,
    in_flight: Option<InFlight>,
}

impl Requests {
    /// Says each of these to the left arm, then each of these to the right one.
    pub(super) fn say_to_both(&mut self, values: &[Vec<u8>], now: Timestamp) {
        for arm in [Arm::Left, Arm::Right] {
            self.waiting.extend(values.iter().map(|value| Request { arm, value: value.clone() }));
        }
        self.proceed(now);
    }

    pub(super) fn say(&mut self, request: Request, now: Timestamp) {
        self.waiting.push_back(request);
        self.proceed(now);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.in_flight.as_ref().map(|in_flight| in_flight.due)
    }

    pub(super) fn poll_write(&mut self) -> Option<Write> {
        let in_flight = self.in_flight.as_mut().filter(|in_flight| !in_flight.is_written)?;
        in_flight.is_written = true;
        let Request { arm, value } = in_flight.request.clone();
        Some(Write { characteristic: Characteristic::EvenTx(arm), value })
    }

    /// Takes an answer to what begins with this byte; `None` where nobody waits for it.
    pub(super) fn handle_answer(
        &mut self,
        arm: Arm,
        first: u8,
        answer: Answer,
        now: Timestamp,
    ) -> Option<Outcome> {
        let in_flight = self.in_flight.as_ref()?;
        if in_flight.request.arm != arm || in_flight.request.value.first() != Some(&first) {
            return None;
        }
        if answer == Answer::Failed {
            return self.fail(now);
        }
        self.in_flight = None;
        self.proceed(now);
        Some(Outcome::Done)
    }

    /// Says again what is overdue.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Option<Outcome> {
        if self.due_at()? > now {
            return None;
        }
        self.fail(now)
    }

    fn fail(&mut self, now: Timestamp) -> Option<Outcome> {
        let in_flight = self.in_flight.as_mut()?;
        if in_flight.attempts < ATTEMPTS {
            in_flight.attempts += 1;
            in_flight.due = now + ANSWER_TIME;
            in_flight.is_written = false;
            return Some(Outcome::Again);
        }
        let first = in_flight.request.value.first().copied()?;
        *self = Self::default();
        Some(Outcome::GivenUp(first))
    }

    fn proceed(&mut self, now: Timestamp) {
        if self.in_flight.is_none() {
            self.in_flight = self.waiting.pop_front().map(|request| InFlight {
                request,
                attempts: 1,
                due: now + ANSWER_TIME,
                is_written: false,
            });
        }
    }
}
