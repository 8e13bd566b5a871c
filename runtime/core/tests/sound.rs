//! Where the gateway places in time what the glasses hear.

mod support;

use std::time::Duration;

use glassd_core::Timestamp;
use glassd_core::gateway::{Counter, Input};
use glassd_core::link::{AudioCodec, Characteristic, Profile, omi};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{START, World, glasses};

const FRAME: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// A pendant, which codes 20 ms a frame.
fn pendant() -> World {
    let mut world = World::new(|_| {});
    world.connect_as("amber", Profile::Omi(omi::Firmware::Unknown));
    world.notify("amber", Characteristic::Features, &[0, 0, 0, 0]);
    world.notify("amber", Characteristic::Codec, &[21]);
    world
}

fn hear(world: &mut World, number: u32, at: Timestamp) {
    world.now = at;
    let id = (number as u16).to_le_bytes();
    world.notify("amber", Characteristic::Audio, &[&id[..], &[0, 0xB8], &number.to_le_bytes()].concat());
}

/// A link with events every so often, of which some are missed, and frames that get lost.
#[derive(Clone, Debug)]
struct Radio {
    /// Of the glasses' crystal, in millionths.
    drift: f64,
    interval: f64,
    delay: f64,
    /// When the link stalls, and for how long, in seconds.
    stalls: Vec<(f64, f64)>,
    lost: Vec<bool>,
}

fn radio() -> impl Strategy<Value = Radio> {
    // Intervals are multiples of 1.25 ms from 7.5 ms on (Bluetooth Core 5.4, Vol 6, Part B, 4.5.1); with an event they
    // make a jitter of up to 200 ms.
    let stalls = prop::collection::vec((0.0..60.0, 0.0..0.15), 0..60);
    let lost = prop::collection::vec(prop::bool::weighted(0.05), 3000);
    (-100.0..100.0, 6..=40_u32, 0.0..0.05, stalls, lost).prop_map(|(drift, steps, delay, stalls, lost)| {
        Radio { drift: drift * 1e-6, interval: f64::from(steps) * 1.25e-3, delay, stalls, lost }
    })
}

impl Radio {
    /// When a frame begins, in seconds.
    fn begins(&self, number: usize) -> f64 {
        number as f64 * 0.02 * (1.0 + self.drift)
    }

    /// When a frame arrives, in seconds.
    fn arrives(&self, number: usize) -> f64 {
        let mut at = self.begins(number + 1) + self.delay;
        loop {
            at = (at / self.interval).ceil() * self.interval;
            match self.stalls.iter().find(|(since, length)| (*since..since + length).contains(&at)) {
                Some((since, length)) => at = since + length,
                None => return at,
            }
        }
    }
}

fn moment(seconds: f64) -> Timestamp {
    START + Duration::from_secs_f64(1.0 + seconds)
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(51), failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn frames_are_placed_where_they_were_heard(radio in radio()) {
        let mut world = pendant();
        // Stalls end in any order; what was sent first arrives first.
        let mut arrived = 0.0_f64;
        let mut least = f64::MAX;
        let mut sent = Vec::new();
        for number in (0..radio.lost.len()).filter(|number| !radio.lost[*number]) {
            arrived = arrived.max(radio.arrives(number));
            least = least.min(arrived - radio.begins(number + 1));
            sent.push(number);
            hear(&mut world, number as u32, moment(arrived));
        }
        prop_assert_eq!(world.sounds.len(), sent.len());
        prop_assert!(world.sounds.is_sorted_by_key(|sound| sound.starts_at), "time went back");
        for (sound, number) in world.sounds.iter().zip(sent).filter(|(_, number)| *number > 500) {
            let truth = moment(radio.begins(number) + least);
            let off = sound.starts_at.since(truth).max(truth.since(sound.starts_at));
            // The phase of frames and events wanders by a frame at most; a window of drift comes on top.
            prop_assert!(off <= FRAME + Duration::from_millis(2), "frame {number}: off by {off:?}");
        }
    }

    #[test]
    fn what_is_lost_is_told(radio in radio()) {
        let mut world = pendant();
        let mut expected = 0;
        for number in 0..1000 {
            if radio.lost[number] {
                expected += u32::from(!world.sounds.is_empty());
            } else {
                hear(&mut world, number as u32, moment(radio.begins(number + 1)));
                let sound = world.sounds.last().unwrap();
                prop_assert_eq!((sound.lost_frames, sound.lost), (expected, FRAME * expected));
                expected = 0;
            }
        }
        let lost: u32 = world.sounds.iter().map(|sound| sound.lost_frames).sum();
        let gaps = world.sounds.iter().filter(|sound| sound.lost_frames > 0).count();
        prop_assert_eq!(world.count(Counter::AudioLost), u64::from(lost));
        prop_assert_eq!(world.count(Counter::AudioLostMillis), 20 * u64::from(lost));
        prop_assert_eq!(world.count(Counter::AudioGaps), gaps as u64);
    }
}

#[test]
fn a_pause_sets_the_clock_anew() {
    let mut world = pendant();
    for number in 0..100 {
        hear(&mut world, number, moment(0.02 * f64::from(number + 1)));
    }
    // The glasses stop for a while, and count on where they were.
    for number in 100..200 {
        hear(&mut world, number, moment(5.0 + 0.02 * f64::from(number + 1)));
    }
    assert_eq!(world.sounds[99].starts_at, moment(0.02 * 99.0));
    assert_eq!(world.sounds[100].starts_at, moment(5.0 + 2.0));
    assert_eq!(world.sounds[199].starts_at, moment(5.0 + 0.02 * 199.0));
}

#[test]
fn a_long_frame_behind_a_short_one_does_not_take_time_back() {
    let mut world = pendant();
    // 16 kHz of 16 bits.
    world.notify("amber", Characteristic::Codec, &[0]);
    world.now = moment(1.0);
    for (number, bytes) in [(0, 320), (1, 480), (2, 320)] {
        world.notify("amber", Characteristic::Audio, &[&[number, 0, 0], &vec![0; bytes][..]].concat());
    }
    let starts: Vec<_> = world.sounds.iter().map(|sound| sound.starts_at).collect();
    assert_eq!(starts, [moment(0.99), moment(0.99), moment(0.99)]);
}

#[test]
fn no_more_is_lost_than_there_was_time_for() {
    let mut world = pendant();
    for number in 0..10 {
        hear(&mut world, number, moment(0.02 * f64::from(number + 1)));
    }
    hear(&mut world, 10_000, moment(0.24));
    let sound = world.sounds.last().unwrap();
    assert_eq!(sound.lost_frames, 9_990);
    assert!(sound.lost <= Duration::from_millis(1_040), "{:?}", sound.lost);
    assert_eq!(sound.starts_at, moment(0.22));
    hear(&mut world, 10_001, moment(0.26));
    assert_eq!(world.sounds.last().unwrap().starts_at, moment(0.24));
}

#[test]
fn frames_of_every_codec_have_their_length() {
    let check = |codec: AudioCodec, bytes: usize, micros: u64| {
        assert_eq!(codec.length_of(bytes), Duration::from_micros(micros), "{codec:?} of {bytes}");
    };
    check(AudioCodec::Opus(160), 40, 10_000);
    check(AudioCodec::Opus(320), 80, 20_000);
    check(AudioCodec::Lc3(20), 20, 10_000);
    check(AudioCodec::Pcm16(16_000), 320, 10_000);
    check(AudioCodec::Pcm16(8_000), 320, 20_000);
    check(AudioCodec::Pcm8(8_000), 240, 30_000);
    check(AudioCodec::MuLaw(16_000), 160, 10_000);
    check(AudioCodec::Pcm8(0), 1, 1_000_000);
}

#[test]
fn sound_without_a_codec_is_counted_and_dropped() {
    let mut world = World::new(|_| {});
    world.connect("amber");
    hear(&mut world, 0, START + SECOND);
    assert_eq!((world.sounds.len(), world.count(Counter::AudioDropped("codec_unknown"))), (0, 1));
    world.notify("amber", Characteristic::Codec, &[20]);
    hear(&mut world, 1, START + 2 * SECOND);
    assert_eq!(world.sounds[0].codec, AudioCodec::Opus(160));
    // Another link, another codec perhaps.
    world.handle(Input::GlassesDisconnected { glasses: glasses("amber") });
    world.connect("amber");
    hear(&mut world, 2, START + 3 * SECOND);
    assert_eq!(world.sounds.len(), 1);
}

#[test]
fn a_crystal_is_followed_for_an_hour() {
    for drift in [-1e-4, 1e-4] {
        let mut world = pendant();
        // One frame in ten arrives, a bit late by turns.
        for number in (0..180_000).step_by(10) {
            let begins = f64::from(number) * 0.02 * (1.0 + drift);
            hear(&mut world, number, moment(begins + 0.02 + 0.01 * f64::from(number / 10 % 10)));
            let truth = moment(begins);
            let placed = world.sounds.pop().unwrap().starts_at;
            let off = placed.since(truth).max(truth.since(placed));
            assert!(off <= Duration::from_millis(3), "{drift}: frame {number} is off by {off:?}");
        }
    }
}
