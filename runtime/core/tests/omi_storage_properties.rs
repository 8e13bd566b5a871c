//! What holds of draining Omi's storage for all rings, links and bytes; the ring here follows `storage.c`.

use std::collections::VecDeque;
use std::time::Duration;

use glassd_core::Timestamp;
use glassd_core::link::omi::{self, Connection, Firmware};
use glassd_core::link::{Characteristic, LinkCommand, LinkEvent, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Records that the firmware reads from its card at once.
const AT_ONCE: usize = 20;

fn config(seed: u64) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

/// Bit by bit, unlike the gateway's.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// The glasses' card.
#[derive(Debug)]
struct Ring {
    /// The record of this number is the first one.
    first: u64,
    records: Vec<Vec<u8>>,
    /// Records before this were advanced over.
    read: u64,
    mtu: usize,
    has_checksum: bool,
    /// The card fails at each of these reads, once.
    failures: VecDeque<usize>,
    reads: usize,
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn handle_write(&mut self, value: &[u8]) -> Vec<Vec<u8>> {
        match *value {
            [0x10] => {
                let (read, end) = (self.read.to_be_bytes(), self.end().to_be_bytes());
                vec![
                    [&[2], &read[..], &end, &1000_u32.to_be_bytes(), &[0; 8], &444_u16.to_be_bytes()]
                        .concat(),
                ]
            }
            [0x11, ref arguments @ ..] => {
                let start = u64::from_be_bytes(arguments[..8].try_into().expect("8 bytes"));
                let count =
                    u32::from_be_bytes(arguments[8..].try_into().expect("the gateway asks for batches"));
                self.read(start, count as usize)
            }
            [0x12, ref next @ ..] => {
                let next = u64::from_be_bytes(next.try_into().expect("8 bytes"));
                if !(self.read..=self.end()).contains(&next) {
                    return vec![vec![1, 10]];
                }
                self.read = next;
                vec![vec![1, 0]]
            }
            [0x03] => vec![vec![1, 0]],
            _ => panic!("nobody asked for {value:02X?}"),
        }
    }

    fn read(&mut self, start: u64, count: usize) -> Vec<Vec<u8>> {
        if !(self.read..=self.end()).contains(&start) {
            return vec![vec![1, 10]];
        }
        let from = (start - self.first) as usize;
        let count = count.min(self.records.len() - from);
        let mut sent = vec![[&[5], &start.to_be_bytes()[..], &(count as u32).to_be_bytes()].concat()];
        let mut bytes = Vec::new();
        let (mut next, mut status) = (start, 0);
        for records in self.records[from..from + count].chunks(AT_ONCE) {
            self.reads += 1;
            if self.failures.pop_front_if(|at| *at <= self.reads).is_some() {
                status = 9;
                break;
            }
            // Pieces do not heed where a record ends, but where a read from the card does.
            let read = records.concat();
            sent.extend(read.chunks(self.mtu - 4).map(|piece| [&[3], piece].concat()));
            bytes.extend(read);
            next += records.len() as u64;
        }
        let checksum = if self.has_checksum { checksum(&bytes).to_be_bytes().to_vec() } else { Vec::new() };
        sent.push([&[4, status], &next.to_be_bytes()[..], &checksum].concat());
        sent
    }
}

fn record(frames: &[Vec<u8>], stamp: u32) -> Vec<u8> {
    let mut record = stamp.to_be_bytes().to_vec();
    for frame in frames {
        record.push(frame.len() as u8);
        record.extend_from_slice(frame);
    }
    assert!(record.len() < omi::RECORD);
    record.resize(omi::RECORD, 0);
    record
}

/// Frames of records, no two alike.
fn records(most: usize) -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    vec(vec(vec(any::<u8>(), 4..=80), 0..=5), 0..most).prop_map(|mut records| {
        for (number, frame) in (0_u32..).zip(records.iter_mut().flatten()) {
            frame[..4].copy_from_slice(&number.to_be_bytes());
        }
        records
    })
}

/// A link that is lost after so many values, in either direction; then it is there again.
struct Link {
    connection: Connection,
    now: Timestamp,
    /// Values until the next loss.
    losses: VecDeque<usize>,
    left: Option<usize>,
    /// What a value that gets lost, while the link stays, is counted by; as BLE does not, but a full queue does.
    values: usize,
    drops: VecDeque<usize>,
    heard: Vec<LinkEvent>,
    /// The record after the last that is kept.
    kept: u64,
}

impl Link {
    fn new(losses: Vec<usize>, drops: Vec<usize>) -> Self {
        let mut losses = VecDeque::from(losses);
        let left = losses.pop_front();
        Self {
            connection: Connection::new(Firmware::Unknown),
            now: START,
            losses,
            left,
            values: 0,
            drops: drops.into(),
            heard: Vec::new(),
            kept: 0,
        }
    }

    fn is_lost(&mut self) -> bool {
        match &mut self.left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// Connects until the glasses have nothing more to say; as often as the link is lost.
    fn drain(&mut self, ring: &mut Ring) {
        while self.drain_until_lost(ring) {
            self.left = self.losses.pop_front();
            self.now = self.now + Duration::from_secs(10);
        }
    }

    fn drain_until_lost(&mut self, ring: &mut Ring) -> bool {
        self.connection.handle_connected(self.now);
        let clock = self.connection.poll_write().expect("the clock is set");
        assert_eq!(clock.characteristic, Characteristic::TimeSync);
        self.keep(self.kept);
        self.connection.handle_notification(Characteristic::Features, &0x40_u32.to_le_bytes(), self.now);
        loop {
            let mut answers = Vec::new();
            while let Some(write) = self.connection.poll_write() {
                if self.is_lost() {
                    return true;
                }
                answers.extend(ring.handle_write(&write.value));
            }
            if answers.is_empty() {
                let Some(due) = self.connection.poll_timeout() else { return false };
                self.now = due;
                self.connection.handle_timeout(due);
            }
            for answer in answers {
                if self.is_lost() {
                    return true;
                }
                self.values += 1;
                if self.drops.pop_front_if(|at| *at <= self.values).is_some() {
                    continue;
                }
                self.connection.handle_notification(Characteristic::Storage, &answer, self.now);
                while let Some(event) = self.connection.poll_event() {
                    if let LinkEvent::Recorded { first, records } = &event {
                        self.keep(first + records.len() as u64);
                    }
                    self.heard.push(event);
                }
            }
        }
    }

    /// What is before this record is on disk.
    fn keep(&mut self, from: u64) {
        self.kept = from;
        let fetch = LinkCommand::FetchRecordings { from };
        self.connection.handle_command(&fetch, self.now).expect("there may be a ring");
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for event in &self.heard {
            let LinkEvent::Recorded { records, .. } = event else { continue };
            for record in records {
                assert_eq!(record.at, Some(START));
                frames.extend(record.frames.clone());
            }
        }
        frames
    }
}

fn ring(records: &[Vec<Vec<u8>>], first: u64, mtu: usize, has_checksum: bool) -> Ring {
    let records = records.iter().map(|frames| record(frames, 1_700_000_000)).collect();
    Ring { first, records, read: first, mtu, has_checksum, failures: VecDeque::new(), reads: 0 }
}

proptest! {
    #![proptest_config(config(41))]

    #[test]
    fn a_ring_is_drained_once_whenever_the_link_is_lost(
        records in records(150), first in 0..u64::MAX / 2, mtu in 23..=512_usize, has_checksum: bool,
        losses in vec(0..200_usize, 0..8),
    ) {
        let mut ring = ring(&records, first, mtu, has_checksum);
        let mut link = Link::new(losses, Vec::new());
        link.drain(&mut ring);
        prop_assert_eq!(link.frames(), records.concat());
        prop_assert_eq!(ring.read, ring.end());
    }

    #[test]
    fn a_ring_is_drained_once_whatever_the_card_fails_and_a_queue_drops(
        records in records(150), mtu in 100..=512_usize,
        mut failures in vec(0..10_usize, 0..3), mut drops in vec(0..300_usize, 0..3),
    ) {
        failures.sort_unstable();
        drops.sort_unstable();
        let mut ring = ring(&records, 5, mtu, true);
        ring.failures = failures.into();
        let mut link = Link::new(Vec::new(), drops);
        link.drain(&mut ring);
        prop_assert_eq!(link.frames(), records.concat());
        prop_assert_eq!(ring.read, ring.end());
    }

    #[test]
    fn what_is_recorded_meanwhile_comes_too(records in records(80), more in records(80), loss in 0..100_usize) {
        let mut ring = ring(&records, 0, 247, true);
        let mut link = Link::new(vec![loss], Vec::new());
        if link.drain_until_lost(&mut ring) {
            link.left = None;
            ring.records.extend(more.iter().map(|frames| record(frames, 1_700_000_000)));
            link.drain(&mut ring);
            prop_assert_eq!(link.frames(), [records.concat(), more.concat()].concat());
        } else {
            prop_assert_eq!(link.frames(), records.concat());
        }
    }

    #[test]
    fn any_values_end_in_few_events_and_writes(
        steps in vec((0..7_u8, vec(prop_oneof![Just(0_u8), 0..4_u8, any::<u8>()], 0..40), 0..600_usize, 0..9000_u64), 0..200),
        polled: bool,
    ) {
        let mut connection = Connection::new(Firmware::Unknown);
        connection.handle_connected(START);
        connection.handle_notification(Characteristic::Features, &[0x40, 0, 0, 0], START);
        let fetch = |from| LinkCommand::FetchRecordings { from };
        connection.handle_command(&fetch(0), START).expect("there may be a ring");
        let mut now = START;
        for (kind, fields, padding, ms) in &steps {
            now = now + Duration::from_millis(*ms);
            let value = [&[*kind], &fields[..], &vec![1; *padding]].concat();
            connection.handle_notification(Characteristic::Storage, &value, now);
            connection.handle_timeout(now);
            if *ms % 5 == 0 {
                let from = fields.first().map_or(0, |from| u64::from(*from));
                connection.handle_command(&fetch(from), now).expect("there is a ring");
            }
            prop_assert!(connection.poll_timeout().is_none_or(|due| due > now));
            let writes = std::iter::from_fn(|| connection.poll_write()).count();
            prop_assert!(writes <= 4, "{writes}");
            if polled {
                let events = std::iter::from_fn(|| connection.poll_event()).count();
                prop_assert!(events <= 4, "{events}");
            }
        }
        let events = std::iter::from_fn(|| connection.poll_event()).count();
        prop_assert!(events <= 17, "{events}");
    }
}
