//! Draining the audio that the glasses stored while nobody was connected: the ring protocol of firmware 3.0.20 and later.
//!
//! Facts from `storage.c`, `ring_transfer_integrity.c` and the app's `ring_protocol.dart`. All integers are **BE**.
//!
//! | write | meaning |
//! |---|---|
//! | `10` | INFO |
//! | `11 [start u64][count u32]` | READ so many records; without count all |
//! | `12 [next u64]` | ADVANCE: the records before this one may be overwritten |
//! | `13` | CLEAR, never written here |
//! | `03` | STOP |
//!
//! | notification | meaning |
//! |---|---|
//! | `01 [status u8]` | ACK of ADVANCE and STOP, or what is wrong: 6 no such command, 9 not ready, 10 out of range |
//! | `02 [read u64][write u64][capacity u32][dropped u64][record u16]` | INFO: the records from read to before write are there |
//! | `05 [start u64][count u32]` | READ_BEGIN |
//! | `03 [bytes]` | DATA, without regard to where a record ends |
//! | `04 [status u8][next u64]`, newer `[CRC-32 u32]` | DONE, and the checksum of all DATA |
//!
//! Nothing is asked before it is known from which record on they are wanted. They are read in batches. One is given out
//! when its DONE has come and agrees with its DATA; when it is kept the ring is advanced over it, and the next one is
//! read. Who keeps them knows the number of the next record, over all links and restarts: what was kept and not yet
//! advanced over is not read again. (A ring that was cleared counts from 0; one that has meanwhile grown beyond the old
//! number is read from there.) What goes wrong is tried again from INFO on after a pause; after [`MAX_FAILURES`] without
//! a single record kept in between the drain ends, and begins again with the next link.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::{DropReason, LinkEvent};
use super::record::{self, RECORD};
use crate::time::Timestamp;

/// Records of a batch: three times what the firmware reads from its card at once.
pub const BATCH: u32 = 60;
/// Silence after which something has gone wrong; the firmware waits 5 s for its card.
pub const SILENCE: Duration = Duration::from_secs(8);
/// How long is waited before trying again.
pub const PAUSE: Duration = Duration::from_secs(2);
/// How often something may go wrong without a single record in between.
pub const MAX_FAILURES: u8 = 5;

const NO_SUCH_COMMAND: u8 = 6;

/// A drain of one ring, over all links.
#[derive(Debug, Default)]
pub(super) struct Drain {
    state: State,
    /// When what is awaited is given up, or the pause ends.
    due: Option<Timestamp>,
    failures: u8,
    /// These glasses have a ring.
    has_storage: bool,
    /// Records are wanted.
    is_wanted: bool,
    /// The record after the last that is kept.
    next: u64,
    batch: Option<LinkEvent>,
    writes: VecDeque<Vec<u8>>,
}

#[derive(Debug, Default)]
enum State {
    /// Not begun, drained or given up.
    #[default]
    Idle,
    AwaitingInfo,
    AwaitingBegin,
    Reading {
        count: u32,
        bytes: Vec<u8>,
    },
    /// Those before this record were given out; whoever keeps them says when they are.
    Keeping {
        next: u64,
    },
    Advancing,
    Pausing,
}

impl Drain {
    /// Forgets all that was on its way.
    pub(super) fn handle_connected(&mut self) {
        *self = Self::default();
    }

    /// These glasses have a ring.
    pub(super) fn handle_storage(&mut self, now: Timestamp) {
        self.has_storage = true;
        self.begin(now);
    }

    /// Records from this one on are wanted, and those before it are kept.
    pub(super) fn fetch(&mut self, from: u64, now: Timestamp) -> Result<(), DropReason> {
        match self.state {
            State::Keeping { next } if next == from => {
                self.next = next;
                self.failures = 0;
                self.advance(now);
            }
            State::Keeping { .. } => return self.fail(DropReason::NotKept, now),
            State::Idle => {
                self.is_wanted = true;
                self.next = from;
                self.begin(now);
            }
            // What is on its way goes on from where it is.
            State::AwaitingInfo
            | State::AwaitingBegin
            | State::Reading { .. }
            | State::Advancing
            | State::Pausing => {}
        }
        Ok(())
    }

    /// Begins, unless it has or something is missing.
    fn begin(&mut self, now: Timestamp) {
        if self.has_storage && self.is_wanted && matches!(self.state, State::Idle) {
            self.ask(State::AwaitingInfo, vec![0x10], now);
        }
    }

    pub(super) fn handle_notification(&mut self, value: &[u8], now: Timestamp) -> Result<(), DropReason> {
        match value {
            &[0x01, status] => self.handle_ack(status, now),
            [0x02, info @ ..] => self.handle_info(info, now),
            [0x03, data @ ..] => self.handle_data(data, now),
            [0x04, done @ ..] => self.handle_done(done, now),
            [0x05, begin @ ..] => self.handle_begin(begin, now),
            [] | [0x01, ..] => Err(DropReason::Malformed),
            [_, ..] => Err(DropReason::UnknownValue),
        }
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Result<(), DropReason> {
        if self.due.is_none_or(|due| now < due) {
            return Ok(());
        }
        if matches!(self.state, State::Pausing) {
            self.writes.push_back(vec![0x03]);
            self.ask(State::AwaitingInfo, vec![0x10], now);
            return Ok(());
        }
        self.fail(DropReason::RecordGap, now)
    }

    pub(super) fn poll_batch(&mut self) -> Option<LinkEvent> {
        self.batch.take()
    }

    pub(super) fn poll_write(&mut self) -> Option<Vec<u8>> {
        self.writes.pop_front()
    }

    fn handle_ack(&mut self, status: u8, now: Timestamp) -> Result<(), DropReason> {
        match (&self.state, status) {
            (State::Advancing, 0) => {
                self.read(now);
                Ok(())
            }
            // Of a STOP, or too late.
            (_, 0) | (State::Idle | State::Pausing | State::Keeping { .. }, _) => Ok(()),
            (_, NO_SUCH_COMMAND) => {
                self.become_idle();
                Err(DropReason::Unanswered)
            }
            (_, _) => self.fail(DropReason::RecordGap, now),
        }
    }

    fn handle_info(&mut self, info: &[u8], now: Timestamp) -> Result<(), DropReason> {
        let (first, rest) = u64_be(info).ok_or(DropReason::Malformed)?;
        let (end, rest) = u64_be(rest).ok_or(DropReason::Malformed)?;
        let &[_, _, _, _, _, _, _, _, _, _, _, _, high, low] = rest else {
            return Err(DropReason::Malformed);
        };
        if !matches!(self.state, State::AwaitingInfo) {
            return Err(DropReason::Duplicate);
        }
        if usize::from(u16::from_be_bytes([high, low])) != RECORD || end < first {
            self.become_idle();
            return Err(DropReason::UnknownValue);
        }
        if self.next > first && self.next <= end {
            // Kept, but not advanced over: the link was lost in between.
            self.advance(now);
        } else {
            self.next = first;
            self.read(now);
        }
        Ok(())
    }

    fn handle_begin(&mut self, begin: &[u8], now: Timestamp) -> Result<(), DropReason> {
        let (start, rest) = u64_be(begin).ok_or(DropReason::Malformed)?;
        let count = u32::from_be_bytes(rest.try_into().map_err(|_| DropReason::Malformed)?);
        let is_awaited = matches!(self.state, State::AwaitingBegin | State::Reading { .. });
        // Another one is of a READ that was given up.
        if !is_awaited || start != self.next || count > BATCH {
            return Err(DropReason::RecordGap);
        }
        self.state = State::Reading { count, bytes: Vec::new() };
        self.due = Some(now + SILENCE);
        Ok(())
    }

    fn handle_data(&mut self, data: &[u8], now: Timestamp) -> Result<(), DropReason> {
        let State::Reading { count, bytes } = &mut self.state else { return Err(DropReason::RecordGap) };
        if bytes.len() + data.len() > *count as usize * RECORD {
            return self.fail(DropReason::RecordGap, now);
        }
        bytes.extend_from_slice(data);
        self.due = Some(now + SILENCE);
        Ok(())
    }

    fn handle_done(&mut self, done: &[u8], now: Timestamp) -> Result<(), DropReason> {
        let (&status, rest) = done.split_first().ok_or(DropReason::Malformed)?;
        let (next, rest) = u64_be(rest).ok_or(DropReason::Malformed)?;
        let checksum = match rest {
            [] => None,
            rest => Some(u32::from_be_bytes(rest.try_into().map_err(|_| DropReason::Malformed)?)),
        };
        let State::Reading { bytes, .. } = &mut self.state else { return Err(DropReason::RecordGap) };
        let bytes = std::mem::take(bytes);
        let (records, rest) = bytes.as_chunks::<RECORD>();
        let given = next.checked_sub(self.next).and_then(|given| records.get(..usize::try_from(given).ok()?));
        let is_right = checksum.is_none_or(|checksum| checksum == crc32fast::hash(&bytes));
        // A READ that failed half way may have sent more than it answers for.
        let is_exact =
            status != 0 || given.is_some_and(|given| given.len() == records.len()) && rest.is_empty();
        match given {
            Some([]) if is_right && is_exact && status == 0 => {
                self.become_idle();
                Ok(())
            }
            Some(given @ [_, ..]) if is_right && is_exact => {
                let records = given.iter().map(record::read).collect();
                self.batch = Some(LinkEvent::Recorded { first: self.next, records });
                self.state = State::Keeping { next };
                self.due = None;
                Ok(())
            }
            _ => self.fail(DropReason::RecordGap, now),
        }
    }

    fn read(&mut self, now: Timestamp) {
        let command = [&[0x11], &self.next.to_be_bytes()[..], &BATCH.to_be_bytes()].concat();
        self.ask(State::AwaitingBegin, command, now);
    }

    fn advance(&mut self, now: Timestamp) {
        let command = [&[0x12], &self.next.to_be_bytes()[..]].concat();
        self.ask(State::Advancing, command, now);
    }

    fn ask(&mut self, state: State, command: Vec<u8>, now: Timestamp) {
        self.state = state;
        self.due = Some(now + SILENCE);
        self.writes.push_back(command);
    }

    fn become_idle(&mut self) {
        self.state = State::Idle;
        self.due = None;
    }

    /// Tries again after a pause, or gives up until the next link.
    fn fail(&mut self, reason: DropReason, now: Timestamp) -> Result<(), DropReason> {
        self.failures += 1;
        if self.failures > MAX_FAILURES {
            self.become_idle();
            return Err(DropReason::Unanswered);
        }
        self.state = State::Pausing;
        self.due = Some(now + PAUSE);
        Err(reason)
    }
}

fn u64_be(bytes: &[u8]) -> Option<(u64, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u64::from_be_bytes(*number), rest))
}
