//! What holds of the open profile for all photos, links and bytes; the glasses here are built from `OPEN_PROFILE.md`.

use std::time::Duration;

use glassd_core::link::answer_text::Kind;
use glassd_core::link::open::{self, Connection};
use glassd_core::link::{
    Characteristic, DropReason, LinkCommand, LinkEvent, MAX_EVENTS, Orientation, Protocol,
};
use glassd_core::{QueryId, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
const TICK: Duration = Duration::from_millis(10);

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

/// Firmware with a camera and a display.
struct Glasses {
    mtu: usize,
    photo: Option<Sending>,
    outcome: Option<u8>,
    pieces: Vec<Vec<u8>>,
    /// A chunk that is never sent.
    broken: Option<usize>,
}

struct Sending {
    number: u8,
    jpeg: Vec<u8>,
    end_due: Timestamp,
    ends: u8,
}

impl Glasses {
    fn new(mtu: usize) -> Self {
        Self { mtu, photo: None, outcome: None, pieces: Vec::new(), broken: None }
    }

    fn take(&mut self, number: u8, jpeg: &[u8], now: Timestamp) -> Vec<Vec<u8>> {
        self.photo = Some(Sending { number, jpeg: jpeg.to_vec(), end_due: now, ends: 0 });
        self.outcome = None;
        let chunks = 0..jpeg.len().div_ceil(self.mtu - 7);
        [vec![self.announcement()], chunks.filter_map(|index| self.chunk(index)).collect()].concat()
    }

    fn announcement(&self) -> Vec<u8> {
        let Sending { number, jpeg, .. } = self.photo.as_ref().expect("there is one");
        let length = (jpeg.len() as u32).to_le_bytes();
        let chunk = (self.mtu as u16 - 7).to_le_bytes();
        [&[3, *number], &length[..], &chunk, &checksum(jpeg).to_le_bytes(), &[2], &[0; 8]].concat()
    }

    fn chunk(&self, index: usize) -> Option<Vec<u8>> {
        let Sending { number, jpeg, .. } = self.photo.as_ref().expect("there is one");
        let bytes = jpeg.chunks(self.mtu - 7).nth(index).expect("the gateway asks for chunks that there are");
        let number = [&[4, *number], &(index as u16).to_le_bytes()[..]].concat();
        (self.broken != Some(index)).then(|| [&number, bytes].concat())
    }

    fn handle_write(&mut self, value: &[u8], now: Timestamp) -> Vec<Vec<u8>> {
        assert!(value.len() <= self.mtu - 3, "{} bytes", value.len());
        match *value {
            [0x40, version, _, _, _, _, _, _, _, _] => {
                assert_eq!(version, 1);
                let [low, high] = (self.mtu as u16 - 3).to_le_bytes();
                vec![vec![1, 1, 0b101, low, high, 0, 0, 0, 0, 0, 0]]
            }
            [0x46, number, low, high, ref bits @ ..] => {
                let Some(photo) = self.photo.as_mut().filter(|photo| photo.number == number) else {
                    return vec![];
                };
                photo.end_due = now;
                photo.ends = 0;
                if bits.is_empty() {
                    return vec![self.announcement()];
                }
                let first = usize::from(u16::from_le_bytes([low, high]));
                let wanted = (0..8 * bits.len()).filter(|bit| bits[bit / 8] >> (bit % 8) & 1 == 1);
                wanted.filter_map(|bit| self.chunk(first + bit)).collect()
            }
            [0x47, number, outcome] => {
                if self.photo.take_if(|photo| photo.number == number).is_some() {
                    self.outcome = Some(outcome);
                }
                vec![]
            }
            [0x48, ..] => {
                self.pieces.push(value.to_vec());
                vec![]
            }
            _ => panic!("not of this profile: {value:02X?}"),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        let photo = self.photo.as_mut().filter(|photo| photo.end_due <= now)?;
        if photo.ends == 10 {
            self.photo = None;
            return None;
        }
        photo.ends += 1;
        photo.end_due = now + Duration::from_secs(1);
        Some(vec![5, photo.number])
    }
}

/// A link that loses and lets overtake, in both directions.
struct Air {
    random: ChaCha8Rng,
    loss: f64,
    flying: Vec<(Timestamp, Vec<u8>)>,
}

impl Air {
    fn new(seed: u64, loss: f64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), loss, flying: Vec::new() }
    }

    fn send(&mut self, values: impl IntoIterator<Item = Vec<u8>>, now: Timestamp) {
        for value in values {
            if !self.random.random_bool(self.loss) {
                let late = Duration::from_millis(self.random.random_range(5..60));
                self.flying.push((now + late, value));
            }
        }
    }

    fn arrived(&mut self, now: Timestamp) -> Vec<Vec<u8>> {
        let mut arrived: Vec<_> = self.flying.extract_if(.., |(at, _)| *at <= now).collect();
        arrived.sort_by_key(|(at, _)| *at);
        arrived.into_iter().map(|(_, value)| value).collect()
    }
}

struct World {
    connection: Connection,
    glasses: Glasses,
    up: Air,
    down: Air,
    now: Timestamp,
    events: Vec<LinkEvent>,
}

impl World {
    fn new(mtu: usize, seed: u64, loss: f64) -> Self {
        let mut connection = Connection::default();
        connection.handle_connected(START);
        Self {
            connection,
            glasses: Glasses::new(mtu),
            up: Air::new(seed, loss),
            down: Air::new(seed ^ 1, loss),
            now: START,
            events: Vec::new(),
        }
    }

    fn tick(&mut self) {
        self.now = self.now + TICK;
        for value in self.up.arrived(self.now) {
            self.connection.handle_notification(Characteristic::OpenData, &value, self.now);
            self.poll();
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= self.now) {
            self.connection.handle_timeout(self.now);
            assert!(
                self.connection.poll_timeout().is_none_or(|due| due > self.now),
                "it would be called forever"
            );
            self.poll();
        }
        for value in self.down.arrived(self.now) {
            let answers = self.glasses.handle_write(&value, self.now);
            self.up.send(answers, self.now);
        }
        let end = self.glasses.handle_timeout(self.now);
        self.up.send(end, self.now);
    }

    fn poll(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.connection.poll_event()));
        let writes: Vec<_> =
            std::iter::from_fn(|| self.connection.poll_write()).map(|write| write.value).collect();
        self.down.send(writes, self.now);
    }

    fn photos(&self) -> Vec<&LinkEvent> {
        self.events.iter().filter(|event| matches!(event, LinkEvent::Photo { .. })).collect()
    }
}

/// A message that resembles what the profile has.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let small = prop_oneof![0..4_u8, Just(16), any::<u8>()];
    (0..0x0D_u8, vec(small, 0..24), vec(any::<u8>(), 0..500))
        .prop_map(|(kind, fields, rest)| [vec![kind], fields, rest].concat())
}

fn command() -> impl Strategy<Value = LinkCommand> {
    prop_oneof![
        (any::<u16>(), any::<u8>())
            .prop_map(|(longest_side, quality)| LinkCommand::Camera { longest_side, quality }),
        any::<bool>().prop_map(LinkCommand::Microphone),
        any::<u64>().prop_map(|ms| LinkCommand::PhotoEvery(Duration::from_millis(ms))),
        any::<u64>().prop_map(|ms| LinkCommand::Vibrate(Duration::from_millis(ms))),
        Just(LinkCommand::TakePhoto),
        Just(LinkCommand::StopPhotos),
        ".{0,300}".prop_map(|text| LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text }),
    ]
}

proptest! {
    #![proptest_config(config(21))]

    #[test]
    fn a_photo_comes_through_a_link_that_loses_a_fifth_and_lets_overtake(
        jpeg in vec(any::<u8>(), 1..20_000), mtu in 64..=515_usize, seed: u64, number: u8,
    ) {
        let mut world = World::new(mtu, seed, 0.2);
        let values = world.glasses.take(number, &jpeg, world.now);
        world.up.send(values, world.now);
        while world.glasses.outcome.is_none() {
            world.tick();
            prop_assert!(world.now.since(START) < Duration::from_secs(60));
            if world.glasses.photo.is_none() {
                // No `47` came through.
                break;
            }
        }
        prop_assert_eq!(world.photos(), [&LinkEvent::Photo { jpeg, orientation: Orientation::Half }]);
    }

    #[test]
    fn a_photo_that_cannot_come_is_given_up_in_bounded_time(
        jpeg in vec(any::<u8>(), 1..5000), mtu in 64..=515_usize, seed: u64,
        broken in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new(mtu, seed, 0.0);
        world.glasses.broken = Some(broken.index(jpeg.len().div_ceil(mtu - 7)));
        let values = world.glasses.take(1, &jpeg, world.now);
        world.up.send(values, world.now);
        while world.glasses.outcome.is_none() {
            world.tick();
            prop_assert!(world.now.since(START) < Duration::from_secs(7));
        }
        prop_assert_eq!(world.glasses.outcome, Some(1));
        prop_assert_eq!(world.photos(), Vec::<&LinkEvent>::new());
        prop_assert!(world.events.contains(&LinkEvent::Dropped(DropReason::PhotoIncomplete)));
        // The next one comes.
        world.glasses.broken = None;
        let values = world.glasses.take(2, &jpeg, world.now);
        world.up.send(values, world.now);
        for _ in 0..100 {
            world.tick();
        }
        prop_assert_eq!(world.photos().len(), 1);
    }

    #[test]
    fn a_damaged_photo_never_comes_out(
        jpeg in vec(any::<u8>(), 1..3000), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut connection = Connection::default();
        let mut glasses = Glasses::new(247);
        let mut values = glasses.take(1, &jpeg, START);
        let at = at.index(jpeg.len());
        values[1 + at / 240][4 + at % 240] ^= 1 << bit;
        for value in &values {
            connection.handle_notification(Characteristic::OpenData, value, START);
        }
        let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
        prop_assert_eq!(events, [LinkEvent::Dropped(DropReason::PhotoChecksum)]);
    }

    #[test]
    fn texts_come_together_whatever_the_mtu(text in ".{0,600}", mtu in 64..=515_usize) {
        let mut world = World::new(mtu, 0, 0.0);
        for _ in 0..20 {
            world.tick();
            world.poll();
        }
        let show = LinkCommand::Show { kind: Kind::Answer, query: QueryId(5), text: text.clone() };
        world.connection.handle_command(&show, world.now).unwrap();
        let pieces: Vec<_> = std::iter::from_fn(|| world.connection.poll_write()).map(|write| write.value).collect();
        for piece in &pieces {
            world.glasses.handle_write(piece, world.now);
        }
        let joined: Vec<u8> = world.glasses.pieces.iter().flat_map(|piece| piece[12..].to_vec()).collect();
        let shown = &text[..text.floor_char_boundary(open::MAX_TEXT)];
        prop_assert_eq!(std::str::from_utf8(&joined).unwrap(), shown);
        prop_assert!(world.glasses.pieces.len() <= shown.len() / (mtu - 3 - 12 - 3) + 1);
    }

    #[test]
    fn any_messages_end_in_few_and_small_events_and_writes(
        steps in vec((message(), 0..400_u64, prop::option::weighted(0.1, command())), 0..200), polled: bool,
    ) {
        let mut connection = Connection::default();
        let mut now = START;
        connection.handle_connected(now);
        let mut writes = 1;
        for (value, ms, command) in &steps {
            now = now + Duration::from_millis(*ms);
            connection.handle_notification(Characteristic::OpenData, value, now);
            if let Some(command) = command {
                let _ = connection.handle_command(command, now);
            }
            if polled {
                let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
                // Two of the message, and of the time before it four requests and a photo that were given up.
                prop_assert!(events.len() <= 7, "{events:?}");
            }
            connection.handle_timeout(now);
            prop_assert!(connection.poll_timeout().is_none_or(|due| due > now));
            let written: Vec<_> = std::iter::from_fn(|| connection.poll_write()).collect();
            prop_assert!(written.iter().all(|write| write.value.len() <= 512));
            writes += written.len();
        }
        // A text has at most 45 pieces, a command is repeated 4 times, each message is answered once.
        prop_assert!(writes <= 60 * (steps.len() + 1), "{writes}");
        let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
        prop_assert!(events.len() <= MAX_EVENTS);
    }
}
