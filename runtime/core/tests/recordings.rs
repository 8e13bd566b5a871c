//! What Omi recorded while nobody was connected, through the gateway: nothing is lost, and nothing comes twice, whatever
//! links and daemons do.

mod support;

use std::time::Duration;

use glassd_core::Timestamp;
use glassd_core::gateway::{Counter, Input, RecordedFrame, Recording};
use glassd_core::link::{AudioCodec, Characteristic, Profile, Write, omi};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{World, glasses};

const SECOND: Duration = Duration::from_secs(1);
const STAMP: u32 = 1_690_000_000;

/// The glasses' card: one frame a record, which holds the record's number.
#[derive(Clone, Debug)]
struct Ring {
    read: u64,
    end: u64,
}

impl Ring {
    fn handle_write(&mut self, value: &[u8]) -> Vec<Vec<u8>> {
        match *value {
            [0x10] => vec![
                [
                    &[2],
                    &self.read.to_be_bytes()[..],
                    &self.end.to_be_bytes(),
                    &[0, 0, 16, 0],
                    &[0; 8],
                    &[1, 0xBC],
                ]
                .concat(),
            ],
            [0x11, s0, s1, s2, s3, s4, s5, s6, s7, ref count @ ..] => {
                let start = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
                let count = u64::from(u32::from_be_bytes(count.try_into().expect("4 bytes")));
                let next = (start + count).min(self.end);
                let count = (next - start) as u32;
                let begin = [&[5], &start.to_be_bytes()[..], &count.to_be_bytes()].concat();
                let data = (start..next).map(|number| [vec![3], record(number)].concat());
                let done = [&[4, 0], &next.to_be_bytes()[..]].concat();
                [begin].into_iter().chain(data).chain([done]).collect()
            }
            [0x12, ref next @ ..] => {
                let next = u64::from_be_bytes(next.try_into().expect("8 bytes"));
                assert!((self.read..=self.end).contains(&next), "{next} of {self:?}");
                self.read = next;
                vec![vec![1, 0]]
            }
            _ => vec![vec![1, 0]],
        }
    }
}

/// Ten records a second, of a frame each.
fn record(number: u64) -> Vec<u8> {
    let stamp = STAMP + (number / 10) as u32;
    let mut record = [&stamp.to_be_bytes()[..], &[8], &number.to_be_bytes()].concat();
    record.resize(omi::RECORD, 0);
    record
}

/// A gateway, its disk, and glasses with a ring behind a link that carries one value at a time.
struct Radio {
    world: World,
    ring: Ring,
    /// Writes of the gateway that the link has carried.
    carried: usize,
    on_air: Vec<Vec<u8>>,
    /// Frames on disk, and the record after the last.
    disk: Vec<u64>,
    kept: u64,
}

fn world(from: u64, now: Timestamp) -> World {
    let mut world = World::new(|settings| {
        settings.offline_audio.insert(glasses("amber"), from);
    });
    world.now = now;
    world.device = Some(Box::new(|_: &Write| Vec::new()));
    world
}

impl Radio {
    fn new(ring: Ring) -> Self {
        let world = world(0, support::START);
        Self { world, ring, carried: 0, on_air: Vec::new(), disk: Vec::new(), kept: 0 }
    }

    fn connect(&mut self) {
        self.cut();
        self.world.connect_as("amber", Profile::Omi(omi::Firmware::Unknown));
        self.world.notify("amber", Characteristic::Codec, &[21]);
        self.world.notify("amber", Characteristic::Features, &0x40_u32.to_le_bytes());
    }

    /// What is on its way is gone.
    fn cut(&mut self) {
        self.world.handle(Input::GlassesDisconnected { glasses: glasses("amber") });
        self.carried = self.world.writes.len();
        self.on_air.clear();
    }

    /// Carries one value, or lets time pass.
    fn carry(&mut self) {
        if !self.on_air.is_empty() {
            let value = self.on_air.remove(0);
            self.world.notify("amber", Characteristic::Storage, &value);
        } else if let Some((_, write)) = self.world.writes.get(self.carried) {
            self.carried += 1;
            if write.characteristic == Characteristic::Storage {
                self.on_air = self.ring.handle_write(&write.value);
            }
        } else {
            self.world.run(SECOND);
        }
    }

    /// The disk writes what waits for it.
    fn write(&mut self) -> Option<Recording> {
        let recording = self.world.recordings.pop()?;
        assert!(self.world.recordings.is_empty(), "one batch at a time");
        assert_eq!(recording.first.max(self.kept), recording.first, "it is kept already");
        self.disk.extend(recording.frames.iter().map(number));
        self.kept = recording.next;
        Some(recording)
    }

    fn tell_kept(&mut self, recording: &Recording) {
        let up_to = recording.next;
        self.world.handle(Input::RecordingKept { glasses: recording.glasses.clone(), up_to });
    }

    /// kill −9 and start again.
    fn restart(&mut self) {
        self.world = world(self.kept, self.world.now);
        self.carried = 0;
        self.on_air.clear();
    }
}

fn number(frame: &RecordedFrame) -> u64 {
    u64::from_be_bytes(frame.frame[..].try_into().expect("8 bytes"))
}

/// Something that may happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    Carry(u16),
    Cut,
    Connect,
    /// The disk writes, and the gateway is told.
    Keep,
    /// The disk writes, and the daemon dies before the gateway is told.
    KeepAndCrash,
    /// The disk is full.
    Fail,
    Crash,
    /// The glasses go on recording.
    Record(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1..200_u16).prop_map(Event::Carry),
        1 => Just(Event::Cut),
        3 => Just(Event::Connect),
        6 => Just(Event::Keep),
        1 => Just(Event::KeepAndCrash),
        1 => Just(Event::Fail),
        1 => Just(Event::Crash),
        1 => any::<u8>().prop_map(Event::Record),
    ]
}

impl Radio {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Carry(values) => (0..values).for_each(|_| self.carry()),
            Event::Cut => self.cut(),
            Event::Connect => self.connect(),
            Event::Keep => {
                if let Some(recording) = self.write() {
                    self.tell_kept(&recording);
                }
            }
            Event::KeepAndCrash => {
                self.write();
                self.restart();
            }
            Event::Fail => {
                if let Some(Recording { glasses, next: up_to, .. }) = self.world.recordings.pop() {
                    self.world.handle(Input::RecordingFailed { glasses, up_to });
                }
            }
            Event::Crash => self.restart(),
            Event::Record(records) => self.ring.end += u64::from(records),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(61), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_is_kept_once_and_whole(
        first in 0..1_000_u64, records in 0..300_u64, events in prop::collection::vec(event(), 0..60),
    ) {
        let mut radio = Radio::new(Ring { read: first, end: first + records });
        for event in events {
            radio.happen(event);
            let expected: Vec<u64> = (first..first + radio.disk.len() as u64).collect();
            prop_assert_eq!(&radio.disk, &expected, "in order, and none twice");
            prop_assert!(radio.ring.read <= first.max(radio.kept), "let go before it was kept");
        }
        // In the end the link holds.
        radio.happen(Event::Keep);
        radio.connect();
        for _ in 0..50 {
            radio.happen(Event::Carry(100));
            radio.happen(Event::Keep);
        }
        let all: Vec<u64> = (first..radio.ring.end).collect();
        prop_assert_eq!(radio.disk, all);
        prop_assert_eq!(radio.ring.read, radio.ring.end);
    }
}

#[test]
fn recordings_stay_on_the_glasses_where_they_are_not_wanted() {
    let mut radio = Radio::new(Ring { read: 0, end: 100 });
    radio.world = World::new(|_| {});
    radio.world.device = Some(Box::new(|_: &Write| Vec::new()));
    radio.connect();
    radio.happen(Event::Carry(300));
    assert!(radio.world.recordings.is_empty());
    assert!(radio.world.writes.iter().all(|(_, write)| write.characteristic != Characteristic::Storage));
}

#[test]
fn frames_follow_each_other_within_the_second_of_their_stamp() {
    let mut radio = Radio::new(Ring { read: 5, end: 25 });
    radio.connect();
    radio.happen(Event::Carry(100));
    let recording = radio.write().unwrap();
    assert_eq!((recording.first, recording.next), (5, 25));
    assert_eq!(recording.codec, Some(AudioCodec::Opus(320)));
    let at = |number: u64, since: u64| {
        let stamp = Timestamp::from_secs(u64::from(STAMP) + number / 10);
        (number, Some(stamp + Duration::from_millis(20 * (number - since))))
    };
    // Five of the first second follow each other; ten of the next begin with it, as do those after.
    let expected: Vec<_> = (5..25).map(|number| at(number, (number / 10 * 10).max(5))).collect();
    let placed: Vec<_> = recording.frames.iter().map(|frame| (number(frame), frame.at)).collect();
    assert_eq!(placed, expected);
    assert_eq!(radio.world.count(Counter::RecordedFrames), 0, "it is not known to be kept");
    radio.tell_kept(&recording);
    assert_eq!(radio.world.count(Counter::RecordedFrames), 20);
    radio.tell_kept(&recording);
    assert_eq!(radio.world.count(Counter::Stray), 2, "it was told before, and the first cut cut nothing");
}
