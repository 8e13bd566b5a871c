//! What holds of the Omi decoder for all photos, audio and bytes.

use glassd_core::link::omi::{self, Decoder, Firmware};
use glassd_core::link::{Characteristic, LinkEvent, Orientation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn config(seed: u64) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

fn characteristic() -> impl Strategy<Value = Characteristic> {
    proptest::sample::select(omi::CHARACTERISTICS.to_vec())
}

fn firmware() -> impl Strategy<Value = Firmware> {
    proptest::sample::select(vec![Firmware::Oriented, Firmware::UpsideDown, Firmware::Unknown])
}

/// A value that resembles what the protocol has: mostly small numbers in the header.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![Just(0_u8), Just(0xFF), 0..4_u8, any::<u8>()];
    (vec(header, 0..4), vec(any::<u8>(), 0..600)).prop_map(|(header, rest)| [header, rest].concat())
}

/// Sends a photo as the firmware does.
fn photo_notifications(jpeg: &[u8], orientation: u8) -> Vec<Vec<u8>> {
    let (first, rest) = jpeg.split_at(jpeg.len().min(199));
    let mut all = vec![[&[0, 0, orientation][..], first].concat()];
    for (number, chunk) in (1_u16..).zip(rest.chunks(200)) {
        all.push([&number.to_le_bytes()[..], chunk].concat());
    }
    all.push(vec![0xFF, 0xFF]);
    all
}

/// Sends audio frames as the firmware does: every fragment but the last of a frame is full.
fn audio_notifications(frames: &[Vec<u8>], first_id: u16, mtu: usize) -> Vec<(usize, Vec<u8>)> {
    let mut id = first_id;
    let mut all = Vec::new();
    for (frame, bytes) in frames.iter().enumerate() {
        for (index, payload) in (0_u8..).zip(bytes.chunks(mtu - 3 - 3)) {
            all.push((frame, [&id.to_le_bytes()[..], &[index], payload].concat()));
            id = id.wrapping_add(1);
        }
    }
    all
}

/// Opus frames: at most 160 bytes, and no two alike, so that each can be told from the others.
fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 3..=160), 1..30).prop_map(|mut frames| {
        for (number, frame) in (0_u8..).zip(&mut frames) {
            frame[0] = number;
        }
        frames
    })
}

fn decode(decoder: &mut Decoder, characteristic: Characteristic, value: &[u8]) -> Vec<LinkEvent> {
    decoder.handle_notification(characteristic, value);
    std::iter::from_fn(|| decoder.poll_event()).collect()
}

fn event_bytes(event: &LinkEvent) -> usize {
    match event {
        LinkEvent::Photo { jpeg, .. } => jpeg.len(),
        LinkEvent::Audio { frame, .. } => frame.len(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(config(11))]

    #[test]
    fn any_bytes_end_in_few_and_small_events(
        firmware in firmware(),
        notifications in vec((characteristic(), value()), 0..200),
        polled: bool,
    ) {
        let mut decoder = Decoder::new(firmware);
        for (characteristic, value) in &notifications {
            decoder.handle_notification(*characteristic, value);
            if polled {
                let events: Vec<_> = std::iter::from_fn(|| decoder.poll_event()).collect();
                prop_assert!(events.len() <= 3, "{events:?}");
            }
        }
        let events: Vec<_> = std::iter::from_fn(|| decoder.poll_event()).collect();
        prop_assert!(events.len() <= omi::MAX_EVENTS);
        prop_assert!(events.iter().all(|event| event_bytes(event) <= omi::MAX_PHOTO));
    }

    #[test]
    fn a_photo_comes_out_as_it_went_in_with_audio_in_between(
        jpeg in vec(any::<u8>(), 1..5000), frames in frames(), orientation in 0..4_u8,
    ) {
        let mut decoder = Decoder::new(Firmware::Oriented);
        let mut audio = audio_notifications(&frames, 7, 517).into_iter();
        let (mut photos, mut heard) = (Vec::new(), Vec::new());
        for value in photo_notifications(&jpeg, orientation) {
            photos.extend(decode(&mut decoder, Characteristic::PhotoData, &value));
            if let Some((frame, value)) = audio.next() {
                heard.extend(decode(&mut decoder, Characteristic::Audio, &value));
                prop_assert_eq!(heard.last(), Some(&LinkEvent::Audio { frame: frames[frame].clone(), lost_before: 0 }));
            }
        }
        let orientations =
            [Orientation::Upright, Orientation::Quarter, Orientation::Half, Orientation::ThreeQuarters];
        let orientation = orientations[usize::from(orientation)];
        prop_assert_eq!(photos, vec![LinkEvent::Photo { jpeg, orientation }]);
    }

    #[test]
    fn a_photo_with_anything_lost_never_comes_out_and_the_next_one_does(
        jpeg in vec(any::<u8>(), 200..3000), lost in any::<proptest::sample::Index>(),
    ) {
        let mut decoder = Decoder::new(Firmware::Oriented);
        let mut notifications = photo_notifications(&jpeg, 0);
        // All but the last chunk, whose loss nothing in the protocol tells.
        let lost = lost.index(notifications.len() - 1);
        notifications.remove(if lost == notifications.len() - 2 { lost + 1 } else { lost });
        let mut events = Vec::new();
        for value in notifications.into_iter().chain(photo_notifications(&[1, 2, 3], 0)) {
            events.extend(decode(&mut decoder, Characteristic::PhotoData, &value));
        }
        let photos: Vec<_> = events.iter().filter(|event| matches!(event, LinkEvent::Photo { .. })).collect();
        prop_assert_eq!(photos, [&LinkEvent::Photo { jpeg: vec![1, 2, 3], orientation: Orientation::Upright }]);
        prop_assert!(events.iter().any(|event| matches!(event, LinkEvent::Dropped(_))));
    }

    #[test]
    fn audio_frames_that_arrive_come_out_at_once_and_the_others_are_counted(
        frames in frames(), first_id: u16, arrives in vec(proptest::bool::weighted(0.8), 30),
    ) {
        let mut decoder = Decoder::new(Firmware::Oriented);
        let mut lost = None;
        for (frame, value) in audio_notifications(&frames, first_id, 517) {
            if !arrives[frame] {
                lost = lost.map(|lost| lost + 1);
                continue;
            }
            // What was lost before the first one cannot be known.
            let expected = LinkEvent::Audio { frame: frames[frame].clone(), lost_before: lost.unwrap_or(0) };
            prop_assert_eq!(decode(&mut decoder, Characteristic::Audio, &value), vec![expected]);
            lost = Some(0);
        }
    }

    #[test]
    fn audio_in_fragments_comes_out_whole_but_for_the_first(
        frames in frames(), first_id: u16, mtu in 100..=517_usize,
    ) {
        let mut decoder = Decoder::new(Firmware::Oriented);
        let mut heard = Vec::new();
        // One more frame ends the one before, whose last fragment may happen to be full.
        let frames = [frames, vec![vec![0xEE]]].concat();
        for (_, value) in audio_notifications(&frames, first_id, mtu) {
            heard.extend(decode(&mut decoder, Characteristic::Audio, &value));
        }
        let mut expected = frames;
        if let Some(split) = expected.iter_mut().find(|frame| frame.len() > mtu - 6) {
            split.truncate(mtu - 6);
        }
        let heard: Vec<_> = heard
            .into_iter()
            .filter_map(|event| match event {
                LinkEvent::Audio { frame, .. } => Some(frame),
                _ => None,
            })
            .collect();
        prop_assert_eq!(heard, expected);
    }
}
