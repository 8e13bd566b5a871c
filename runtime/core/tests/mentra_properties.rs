//! What holds of Mentra's protocol for all images, links and bytes.

use std::time::Duration;

use glassd_core::link::answer_text::Kind;
use glassd_core::link::mentra::{self, Connection};
use glassd_core::link::{Characteristic, LinkCommand, LinkEvent, MAX_EVENTS, Protocol};
use glassd_core::{QueryId, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn config(seed: u64) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

fn chunk(stream: u16, index: usize, bytes: &[u8]) -> Vec<u8> {
    [&[0xB0], &stream.to_be_bytes()[..], &[index as u8], bytes].concat()
}

/// JSON that resembles what the protocol has.
fn json() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![
        "battery_status",
        "button_event",
        "device_info",
        "imu_data",
        "display_image",
        "pong",
        "other",
    ]);
    let field =
        prop::sample::select(vec!["level", "state", "features", "accel", "stream_id", "total_chunks"]);
    let value =
        prop::sample::select(vec!["1", "-1", "256", "1e99", "\"down\"", "\"0001\"", "{}", "[[]]", "null"]);
    (kind, vec((field, value), 0..4)).prop_map(|(kind, fields)| {
        let fields: String = fields.into_iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        [&[1], format!("{{\"type\":\"{kind}\"{fields}}}").as_bytes()].concat()
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let header = prop::sample::select(vec![0x01_u8, 0xA0, 0xB0, 0x02]);
    prop_oneof![
        json(),
        (any::<u8>(), 1..20_usize)
            .prop_map(|(fill, frames)| [vec![0xA0, 0], vec![fill; 40 * frames]].concat()),
        (0..4_u8, vec(any::<u8>(), 0..50)).prop_map(|(index, bytes)| chunk(1, index.into(), &bytes)),
        (header, vec(any::<u8>(), 0..600)).prop_map(|(header, rest)| [vec![header], rest].concat()),
    ]
}

proptest! {
    #![proptest_config(config(31))]

    /// Announcements come through: the document has no answer to one that is lost.
    #[test]
    fn an_image_comes_through_a_link_that_loses_a_fifth_and_lets_overtake(
        jpeg in vec(any::<u8>(), 1..20_000), length in 80..=240_usize, stream: u16, seed: u64,
    ) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut connection = Connection::default();
        connection.handle_connected(START);
        while connection.poll_write().is_some() {}
        let chunks: Vec<_> = jpeg.chunks(length).collect();
        let announced = format!(
            r#"{{"type":"display_image","stream_id":"{stream:04X}","total_chunks":{}}}"#, chunks.len()
        );
        let announced = [&[1], announced.as_bytes()].concat();
        connection.handle_notification(Characteristic::MentraRx, &announced, START);
        let mut wanted: Vec<usize> = (0..chunks.len()).collect();
        let mut now = START;
        let photo = loop {
            wanted.shuffle(&mut random);
            for index in wanted.drain(..) {
                if random.random_bool(0.8) {
                    let value = chunk(stream, index, chunks[index]);
                    connection.handle_notification(Characteristic::MentraRx, &value, now);
                }
            }
            if let Some(LinkEvent::Photo { jpeg, .. }) = connection.poll_event() {
                break jpeg;
            }
            now = connection.poll_timeout().expect("it is waited for");
            prop_assert!(now.since(START) < Duration::from_secs(29));
            connection.handle_timeout(now);
            let write = connection.poll_write().expect("what is missing is asked for");
            if random.random_bool(0.8) {
                let answer: Value = serde_json::from_slice(&write.value[1..]).unwrap();
                prop_assert_eq!(&answer["status"], "incomplete");
                prop_assert_eq!(&answer["stream_id"], &format!("{stream:04X}"));
                let missing = answer["missing_chunks"].as_array().unwrap();
                wanted = missing.iter().map(|index| usize::try_from(index.as_u64().unwrap()).unwrap()).collect();
            }
        };
        prop_assert_eq!(photo, jpeg);
        let answer: Value = serde_json::from_slice(&connection.poll_write().unwrap().value[1..]).unwrap();
        prop_assert_eq!(&answer["status"], "ok");
    }

    #[test]
    fn any_values_end_in_few_and_small_events_and_writes(
        steps in vec((value(), 0..400_u64), 0..200), text in ".{0,500}", polled: bool,
    ) {
        let mut connection = Connection::default();
        connection.handle_connected(START);
        let show = LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text };
        connection.handle_command(&show, START).unwrap();
        let mut now = START;
        for (value, ms) in &steps {
            now = now + Duration::from_millis(*ms);
            connection.handle_notification(Characteristic::MentraRx, value, now);
            if polled {
                let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
                prop_assert!(events.len() <= 13, "{} events", events.len());
            }
            connection.handle_timeout(now);
            prop_assert!(connection.poll_timeout().is_none_or(|due| due > now));
            let written: Vec<_> = std::iter::from_fn(|| connection.poll_write()).collect();
            // Two questions and a page at the beginning, or: an answer, what is missing, a page, a ping, the battery.
            prop_assert!(written.len() <= 8);
            prop_assert!(written.iter().all(|write| write.value.len() <= mentra::LONGEST_WRITE));
        }
        let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
        prop_assert!(events.len() <= MAX_EVENTS);
    }

    #[test]
    fn a_text_is_shown_whole_in_pages_that_fit(text in ".{0,700}") {
        let mut connection = Connection::default();
        connection.handle_connected(START);
        connection.handle_command(
            &LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text: text.clone() }, START
        ).unwrap();
        let mut shown = String::new();
        let mut now = START;
        while now.since(START) < Duration::from_secs(300) {
            while let Some(write) = connection.poll_write() {
                prop_assert!(write.value.len() <= mentra::LONGEST_WRITE);
                let message: Value = serde_json::from_slice(&write.value[1..]).unwrap();
                if message["type"] == "display_text" {
                    shown += message["text"].as_str().unwrap();
                }
            }
            now = connection.poll_timeout().expect("the heart beats");
            connection.handle_timeout(now);
        }
        let wanted = &text[..text.floor_char_boundary(mentra::MAX_TEXT)];
        let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        prop_assert_eq!(visible(&shown), visible(wanted));
    }
}
