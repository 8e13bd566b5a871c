//! Photos in chunks that can be asked for again, one at a time.
//!
//! | `03` photo: offset | size | field |
//! |---|---|---|
//! | 0 | 1 | `03` |
//! | 1 | 1 | number of the photo: one more than the last one's, wrapping |
//! | 2 | 4 | length of the JPEG, 1 to [`MAX_PHOTO`] |
//! | 6 | 2 | length of each chunk but the last, at least 16 |
//! | 8 | 4 | CRC-32 of the JPEG (IEEE, as in zip) |
//! | 12 | 1 | orientation: 0 upright, else so many quarters that the camera was turned clockwise |
//! | 13 | 8 | when it was taken, in ms since 1970; 0 where that is not known |
//!
//! A chunk of an unknown photo asks for that photo's `03`. What is missing is asked for when the glasses said `05` or
//! fell silent; how often and how long, see [`super::super::transfer`]. A photo ends with one `47`, and a later `03`
//! or a second `05` of it is answered with the same again.

use super::super::transfer::{Halt, QUIET, Transfer};
use super::super::{DropReason, LinkEvent, Orientation};
use super::control::{self, Outcome};
use crate::time::Timestamp;

/// Longest photo, in bytes.
pub const MAX_PHOTO: usize = 512 * 1024;
const SHORTEST_CHUNK: usize = 16;

/// What came of a message: an event, a write, both or neither.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) event: Option<LinkEvent>,
    pub(super) write: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Receiver {
    current: Option<Photo>,
    finished: Option<Finished>,
    /// When an announcement was last asked for.
    asked_start: Option<Timestamp>,
}

#[derive(Debug)]
struct Photo {
    number: u8,
    announced: Announced,
    transfer: Transfer,
}

#[derive(Clone, Copy, Debug)]
struct Finished {
    number: u8,
    outcome: Outcome,
    /// `None` where the announcement was refused.
    announced: Option<Announced>,
    /// Whether its `05` came: the first one crosses the `47`, a second one means that the `47` got lost.
    is_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    length: usize,
    chunk: usize,
    checksum: u32,
    orientation: Orientation,
}

impl Finished {
    fn answer(self) -> Vec<u8> {
        control::done(self.number, self.outcome)
    }
}

impl Announced {
    fn read(value: &[u8]) -> Result<Self, DropReason> {
        let &[l0, l1, l2, l3, c0, c1, s0, s1, s2, s3, turned, ..] = value else {
            return Err(DropReason::Malformed);
        };
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let chunk = usize::from(u16::from_le_bytes([c0, c1]));
        if length > MAX_PHOTO {
            return Err(DropReason::PhotoTooLong);
        }
        if length == 0 || chunk < SHORTEST_CHUNK {
            return Err(DropReason::Malformed);
        }
        let orientation = match turned {
            0 => Orientation::Upright,
            1 => Orientation::Quarter,
            2 => Orientation::Half,
            3 => Orientation::ThreeQuarters,
            _ => return Err(DropReason::UnknownValue),
        };
        Ok(Self { length, chunk, checksum: u32::from_le_bytes([s0, s1, s2, s3]), orientation })
    }

    fn chunks(self) -> u16 {
        u16::try_from(self.length.div_ceil(self.chunk)).expect("at most 512 Ki in chunks of 16 and more")
    }

    fn chunk_length(self, index: u16) -> usize {
        self.length.saturating_sub(usize::from(index) * self.chunk).min(self.chunk)
    }
}

impl Receiver {
    /// Reads what follows the type of `03`.
    pub(super) fn handle_start(&mut self, value: &[u8], now: Timestamp) -> Progress {
        let Some((&number, rest)) = value.split_first() else { return dropped(DropReason::Malformed) };
        let announced = match Announced::read(rest) {
            Ok(announced) => announced,
            Err(reason) => return self.finish(number, Outcome::GivenUp, None, LinkEvent::Dropped(reason)),
        };
        if let Some(finished) = self.finished(number).filter(|last| last.announced == Some(announced)) {
            let event = Some(LinkEvent::Dropped(DropReason::Duplicate));
            return Progress { event, write: Some(finished.answer()) };
        }
        let current = self.current.as_ref();
        if current.is_some_and(|photo| photo.number == number && photo.announced == announced) {
            return dropped(DropReason::Duplicate);
        }
        let transfer = Transfer::begin(announced.chunks(), now);
        let replaced = self.current.replace(Photo { number, announced, transfer });
        let event = replaced.map(|_| LinkEvent::Dropped(DropReason::PhotoGap));
        Progress { event, write: None }
    }

    /// Reads what follows the type of `04`.
    pub(super) fn handle_chunk(&mut self, value: &[u8], now: Timestamp) -> Progress {
        let &[number, low, high, ref chunk @ ..] = value else { return dropped(DropReason::Malformed) };
        let Some(photo) = self.current.as_mut().filter(|photo| photo.number == number) else {
            return match self.finished(number) {
                Some(_) => dropped(DropReason::Duplicate),
                None => self.ask_start(number, now),
            };
        };
        let index = u16::from_le_bytes([low, high]);
        if chunk.is_empty() || chunk.len() != photo.announced.chunk_length(index) {
            return dropped(DropReason::Malformed);
        }
        match photo.transfer.take(index, chunk, now) {
            Err(reason) => dropped(reason),
            Ok(()) if photo.transfer.is_whole() => self.complete(),
            Ok(()) => Progress::default(),
        }
    }

    /// Reads what follows the type of `05`.
    pub(super) fn handle_end(&mut self, value: &[u8], now: Timestamp) -> Progress {
        let Some(&number) = value.first() else { return dropped(DropReason::Malformed) };
        if let Some(photo) = self.current.as_mut().filter(|photo| photo.number == number) {
            photo.transfer.handle_end(now);
            return Progress::default();
        }
        match self.finished.as_mut().filter(|finished| finished.number == number) {
            Some(finished) => {
                let is_repeated = std::mem::replace(&mut finished.is_ended, true);
                Progress { event: None, write: is_repeated.then(|| finished.answer()) }
            }
            None => self.ask_start(number, now),
        }
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|photo| photo.transfer.due())
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp, longest_write: usize) -> Progress {
        let Some(photo) = &mut self.current else { return Progress::default() };
        match photo.transfer.handle_timeout(now) {
            None => Progress::default(),
            Some(Halt::Ask) => {
                let write = control::missing(photo.number, photo.transfer.missing(), longest_write);
                Progress { event: None, write: Some(write) }
            }
            Some(Halt::GiveUp) => {
                let (number, announced) = (photo.number, photo.announced);
                let event = LinkEvent::Dropped(DropReason::PhotoIncomplete);
                self.finish(number, Outcome::GivenUp, Some(announced), event)
            }
        }
    }

    fn complete(&mut self) -> Progress {
        let Some(Photo { number, announced, transfer }) = self.current.take() else {
            return Progress::default();
        };
        let jpeg = transfer.into_bytes();
        let (outcome, event) = if crc32fast::hash(&jpeg) == announced.checksum {
            (Outcome::Whole, LinkEvent::Photo { jpeg, orientation: announced.orientation })
        } else {
            (Outcome::WrongChecksum, LinkEvent::Dropped(DropReason::PhotoChecksum))
        };
        self.finish(number, outcome, Some(announced), event)
    }

    fn finish(
        &mut self,
        number: u8,
        outcome: Outcome,
        announced: Option<Announced>,
        event: LinkEvent,
    ) -> Progress {
        self.current = None;
        self.finished = Some(Finished { number, outcome, announced, is_ended: false });
        Progress { event: Some(event), write: Some(control::done(number, outcome)) }
    }

    fn finished(&self, number: u8) -> Option<Finished> {
        self.finished.filter(|finished| finished.number == number)
    }

    /// The announcement got lost, or is being overtaken. No more often than chunks are asked for.
    fn ask_start(&mut self, number: u8, now: Timestamp) -> Progress {
        let event = Some(LinkEvent::Dropped(DropReason::PhotoWithoutStart));
        if self.asked_start.is_some_and(|asked| now.since(asked) < QUIET) {
            return Progress { event, write: None };
        }
        self.asked_start = Some(now);
        Progress { event, write: Some(control::missing_start(number)) }
    }
}

fn dropped(reason: DropReason) -> Progress {
    Progress { event: Some(LinkEvent::Dropped(reason)), write: None }
}
