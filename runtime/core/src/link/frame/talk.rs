//! What is said to a Frame, one thing after the other: each waits for the answer to the one before.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::{Characteristic, Write};
use crate::time::Timestamp;

/// The firmware needs a moment after a break or a reset before it takes more (`frame_ble.py`).
const PAUSE: Duration = Duration::from_millis(200);
/// What is not answered within this time is not answered (`frame_ble.py`).
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A byte that the firmware takes itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Break = 3,
    Reset = 4,
}

/// One thing to say.
#[derive(Debug)]
pub(super) enum Step {
    Signal(Signal),
    /// Lua source, and what it prints once it is done.
    Lua(String, Reply),
    /// A chunk of a message, with its `01`; the app acknowledges it.
    Chunk(Vec<u8>),
}

/// What Lua prints.
#[derive(Debug)]
pub(super) enum Reply {
    /// Nothing, or nothing that is waited for.
    None,
    /// These words.
    Words(String),
    /// A number: the level of the battery in percent.
    Battery,
}

/// What was waited for.
#[derive(Debug)]
pub(super) enum Heard {
    Words,
    /// A number, which may be any.
    Battery(f32),
}

/// What is waited for.
#[derive(Debug)]
enum Wait {
    Pause,
    Reply(Reply),
    Acknowledgement,
}

#[derive(Debug, Default)]
pub(super) struct Talk {
    steps: VecDeque<Step>,
    wait: Option<(Wait, Timestamp)>,
    writes: VecDeque<Vec<u8>>,
}

impl Talk {
    /// Says this in place of what is left to say.
    pub(super) fn restart(&mut self, steps: Vec<Step>, now: Timestamp) {
        *self = Self::default();
        self.say(steps, now);
    }

    /// Says this once all else is said.
    pub(super) fn say(&mut self, steps: Vec<Step>, now: Timestamp) {
        self.steps.extend(steps);
        self.proceed(now);
    }

    /// Returns whether all is said and answered.
    pub(super) fn is_idle(&self) -> bool {
        self.wait.is_none()
    }

    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.wait.as_ref().map(|(_, due)| *due)
    }

    pub(super) fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front().map(|value| Write { characteristic: Characteristic::FrameTx, value })
    }

    /// Takes what Lua printed; `None` where nobody waits for it.
    pub(super) fn handle_text(&mut self, text: &str, now: Timestamp) -> Option<Heard> {
        let heard = match &self.wait {
            Some((Wait::Reply(Reply::Words(words)), _)) if words == text => Heard::Words,
            Some((Wait::Reply(Reply::Battery), _)) => Heard::Battery(text.parse().ok()?),
            _ => return None,
        };
        self.wait = None;
        self.proceed(now);
        Some(heard)
    }

    /// Takes an acknowledgement; says whether one was waited for.
    pub(super) fn handle_acknowledgement(&mut self, now: Timestamp) -> bool {
        let is_awaited = matches!(self.wait, Some((Wait::Acknowledgement, _)));
        if is_awaited {
            self.wait = None;
            self.proceed(now);
        }
        is_awaited
    }

    /// Ends a pause that is over; says whether an answer is overdue.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> bool {
        match &self.wait {
            Some((Wait::Pause, due)) if *due <= now => {
                self.wait = None;
                self.proceed(now);
                false
            }
            Some((Wait::Reply(_) | Wait::Acknowledgement, due)) => *due <= now,
            Some((Wait::Pause, _)) | None => false,
        }
    }

    fn proceed(&mut self, now: Timestamp) {
        while self.wait.is_none()
            && let Some(step) = self.steps.pop_front()
        {
            let (value, wait) = match step {
                Step::Signal(signal) => (vec![signal as u8], Some((Wait::Pause, now + PAUSE))),
                Step::Lua(source, Reply::None) => (source.into_bytes(), None),
                Step::Lua(source, reply) => {
                    (source.into_bytes(), Some((Wait::Reply(reply), now + ANSWER_TIME)))
                }
                Step::Chunk(value) => (value, Some((Wait::Acknowledgement, now + ANSWER_TIME))),
            };
            self.writes.push_back(value);
            self.wait = wait;
        }
    }
}
