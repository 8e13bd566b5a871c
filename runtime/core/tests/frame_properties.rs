//! What holds of a Frame for all photos, texts and bytes, whatever becomes of its notifications.

mod air;

use std::time::Duration;

use air::frame::{Frame, Messages, jpeg, photo_packets};
use air::{Air, Fate, check_shown};
use glassd_core::QueryId;
use glassd_core::link::answer_text::Kind;
use glassd_core::link::frame::{self, Settings, Sound};
use glassd_core::link::{Characteristic, LinkCommand, LinkEvent, MAX_EVENTS, Orientation, Profile};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use Characteristic::FrameRx;

fn config(seed: u64) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

fn messages() -> impl Strategy<Value = Messages> {
    select(vec![Messages::FrameMsg, Messages::FrameSdk])
}

fn sound() -> impl Strategy<Value = Sound> {
    select(vec![Sound::Rate8Bits8, Sound::Rate8Bits16, Sound::Rate16Bits8, Sound::Rate16Bits16])
}

/// A value that resembles what a Frame sends.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![0..=0x0C_u8, any::<u8>()];
    let data = (code, vec(any::<u8>(), 0..20)).prop_map(|(code, rest)| [vec![1, code], rest].concat());
    let photo = select(vec![7_u8, 8, 1, 2]).prop_map(|code| vec![1, code, 0xFF, 0xD8, 0xFF, 0xD9]);
    let said = select(vec!["1", "2", "87.5", "NaN", "1e9", "glassd 1", "error"]).prop_map(|text| text.into());
    prop_oneof![4 => data, 2 => photo, 1 => said, 1 => vec(any::<u8>(), 0..600)]
}

fn command() -> impl Strategy<Value = LinkCommand> {
    prop_oneof![
        (any::<u16>(), any::<u8>())
            .prop_map(|(longest_side, quality)| LinkCommand::Camera { longest_side, quality }),
        any::<bool>().prop_map(LinkCommand::Microphone),
        "\\PC{0,400}".prop_map(|text| LinkCommand::Show { kind: Kind::Notice, query: QueryId(1), text }),
        Just(LinkCommand::TakePhoto),
        Just(LinkCommand::StopPhotos),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Notified(Vec<u8>),
    Commanded(LinkCommand),
    Waited(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => value().prop_map(Event::Notified),
        1 => command().prop_map(Event::Commanded),
        1 => (0..8_000_u64).prop_map(Event::Waited),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    select(vec![Fate::Arrives, Fate::Lost, Fate::Twice, Fate::Late])
}

/// The photos among the events.
fn photos(events: &[LinkEvent]) -> Vec<Vec<u8>> {
    let photos = events.iter().filter_map(|event| match event {
        LinkEvent::Photo { jpeg, orientation: Orientation::Quarter } => Some(jpeg.clone()),
        _ => None,
    });
    photos.collect()
}

/// All is well: a photo, a text and the microphone come through.
fn check_works(air: &mut Air<Frame>) -> Result<(), TestCaseError> {
    air.device.photo = jpeg(b"works");
    air.device.got.clear();
    air.device.ran.clear();
    air.take_events();
    air.command(&LinkCommand::Microphone(false)).expect("there is one");
    air.command(&LinkCommand::TakePhoto).expect("there is a camera");
    air.show("works");
    air.wait(Duration::from_secs(2));
    prop_assert_eq!(photos(&air.take_events()), vec![jpeg(b"works")]);
    let is_shown = match air.device.messages {
        Messages::FrameMsg => {
            air.device.got.iter().any(|(code, text)| *code == 0x0A && text.ends_with(b"works"))
        }
        Messages::FrameSdk => air.device.ran.iter().any(|lua| lua.contains("text(\"works\"")),
    };
    prop_assert!(is_shown, "{:?} {:?}", air.device.got, air.device.ran);
    Ok(())
}

proptest! {
    #![proptest_config(config(21))]

    #[test]
    fn any_bytes_in_any_order_end_in_few_and_small_events(
        messages in messages(), sound in sound(), is_mute: bool, happened in vec(event(), 0..150),
    ) {
        let mut device = Frame::new(messages);
        device.is_mute = is_mute;
        let mut air = device.air(sound);
        for event in happened {
            air.take_events();
            match event {
                Event::Notified(value) => air.notify(FrameRx, &value),
                Event::Commanded(command) => drop(air.command(&command)),
                Event::Waited(ms) => air.wait(Duration::from_millis(ms)),
            }
            prop_assert!(air.events.len() <= MAX_EVENTS, "{:?}", air.events);
            for event in &air.events {
                match event {
                    LinkEvent::Photo { jpeg, .. } => prop_assert!(jpeg.len() <= frame::MAX_PHOTO),
                    LinkEvent::Audio { frame, .. } => prop_assert!((1..=510).contains(&frame.len())),
                    _ => {}
                }
            }
        }
        // And it is as it was: what came of the noise is over after a while.
        air.device.is_mute = false;
        air.wait(Duration::from_secs(150));
        check_works(&mut air)?;
    }

    #[test]
    fn events_that_nobody_polls_make_room(values in vec(value(), 0..100)) {
        let mut connection = Profile::Frame(Settings::default()).connect();
        connection.handle_connected(air::START);
        for value in values {
            connection.handle_notification(FrameRx, &value, air::START);
        }
        prop_assert!(std::iter::from_fn(|| connection.poll_event()).count() <= MAX_EVENTS);
    }

    #[test]
    fn whatever_becomes_of_notifications_all_is_well_in_the_end(
        messages in messages(),
        fates in vec(fate(), 0..60),
        commands in vec((command(), 0..3_000_u64), 0..10),
    ) {
        let settings = Settings { messages, sound: Sound::default() };
        let mut device = Frame::new(messages);
        device.photo = jpeg(&[3; 2000]);
        let mut air = Air::connect(Profile::Frame(settings), device);
        air.fates = fates.into();
        for (command, ms) in commands {
            let _ = air.command(&command);
            air.wait(Duration::from_millis(ms));
        }
        air.wait(Duration::from_secs(60));
        air.fates.clear();
        air.wait(Duration::from_secs(150));
        check_works(&mut air)?;
    }

    #[test]
    fn a_photo_comes_out_as_it_went_in_with_audio_in_between(
        messages in messages(), middle in vec(any::<u8>(), 0..5000),
    ) {
        let photo = jpeg(&middle);
        let mut air = Frame::new(messages).air(Sound::default());
        air.take_events();
        let packets: Vec<_> = match messages {
            Messages::FrameMsg => photo_packets(&photo),
            Messages::FrameSdk => {
                let count = photo.len().div_ceil(242).to_string();
                photo.chunks(242).map(|jpeg| [&[1, 1], jpeg].concat())
                    .chain([[&[1, 2], count.as_bytes()].concat()]).collect()
            }
        };
        for packet in &packets {
            air.notify(FrameRx, packet);
            air.notify(FrameRx, &[1, 5, 7, 8]);
        }
        prop_assert_eq!(photos(&air.events), vec![photo]);
        prop_assert_eq!(air.events.len(), 1 + packets.len());
    }

    #[test]
    fn a_photo_with_its_beginning_or_end_lost_never_comes_out_and_the_next_one_does(
        middle in vec(any::<u8>(), 600..3000), lost in 0..3_usize,
    ) {
        let photo = jpeg(&middle);
        let mut packets = photo_packets(&photo);
        // The first, the last, or the one that says that it was the last.
        let at = [0, packets.len() - 2, packets.len() - 1][lost];
        packets.remove(at);
        let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
        for packet in &packets {
            air.notify(FrameRx, packet);
        }
        air.wait(Duration::from_secs(10));
        prop_assert_eq!(photos(&air.take_events()), Vec::<Vec<u8>>::new());
        check_works(&mut air)?;
    }

    /// `frame-sdk` tells how many packets there were.
    #[test]
    fn a_photo_with_anything_lost_or_repeated_never_comes_out(
        middle in vec(any::<u8>(), 600..3000), at in any::<Index>(), is_lost: bool,
    ) {
        let mut air = Frame::new(Messages::FrameSdk).air(Sound::default());
        air.device.photo = jpeg(&middle);
        air.take_events();
        let fates = at.index(air.device.photo.len().div_ceil(242));
        air.fates = vec![Fate::Arrives; fates].into();
        air.fates.push_back(if is_lost { Fate::Lost } else { Fate::Twice });
        air.command(&LinkCommand::TakePhoto).expect("there is a camera");
        prop_assert_eq!(photos(&air.take_events()), Vec::<Vec<u8>>::new());
        air.wait(Duration::from_secs(10));
        check_works(&mut air)?;
    }

    #[test]
    fn every_word_of_a_text_is_shown_in_lines_that_fit(text in "[ \\nil.,a-zA-Z0-9äß漢\\\\\"]{0,1500}") {
        let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
        air.show(&text);
        air.wait(Duration::from_secs(200));
        let pages: Vec<_> = air.device.got.iter().map(|(_, text)| {
            String::from_utf8(text[6..].to_vec()).expect("no character is cut")
        }).collect();
        for page in &pages {
            prop_assert!(page.lines().count() <= 6, "{}", page);
            prop_assert!(page.lines().all(|line| line.chars().count() <= 640 / 9), "{}", page);
        }
        check_shown(&pages.concat(), &text, pages.len() - 1)?;
        prop_assert_eq!(pages.last(), Some(&String::new()), "it is cleared");
    }
}
