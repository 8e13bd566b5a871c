//! What holds of a G1 for all audio, texts and bytes, whatever becomes of its notifications.

mod air;

use std::time::Duration;

use air::even::Glasses;
use air::{Air, Fate, check_shown};
use glassd_core::QueryId;
use glassd_core::link::answer_text::Kind;
use glassd_core::link::{Arm, Characteristic, LinkCommand, LinkEvent, MAX_EVENTS};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

fn config(seed: u64) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

fn arm() -> impl Strategy<Value = Arm> {
    select(vec![Arm::Left, Arm::Right])
}

/// A value that resembles what the glasses send.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let first = select(vec![0x0E, 0x25, 0x4E, 0x4D, 0xF5, 0xF1]);
    let status = prop_oneof![select(vec![0xC9, 0xCA, 0xCB, 0, 1, 0x17, 0x18]), any::<u8>()];
    let short = (first, status, vec(any::<u8>(), 0..6))
        .prop_map(|(first, status, rest)| [vec![first, status], rest].concat());
    let audio =
        (any::<u8>(), any::<u8>()).prop_map(|(seq, fill)| [vec![0xF1, seq], vec![fill; 200]].concat());
    prop_oneof![3 => short, 1 => audio, 1 => vec(any::<u8>(), 0..600)]
}

fn command() -> impl Strategy<Value = LinkCommand> {
    prop_oneof![
        any::<bool>().prop_map(LinkCommand::Microphone),
        "\\PC{0,400}".prop_map(|text| LinkCommand::Show { kind: Kind::Notice, query: QueryId(1), text }),
        Just(LinkCommand::TakePhoto),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Notified(Arm, Vec<u8>),
    Commanded(LinkCommand),
    Waited(u64),
    Statuses(Vec<u8>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (arm(), value()).prop_map(|(arm, value)| Event::Notified(arm, value)),
        1 => command().prop_map(Event::Commanded),
        1 => (0..10_000_u64).prop_map(Event::Waited),
        1 => vec(select(vec![0_u8, 0xC9, 0xCA, 0xCB]), 0..8).prop_map(Event::Statuses),
    ]
}

/// All is well: a text comes to both arms, and the microphone is on in the end.
fn check_works(air: &mut Air<Glasses>) -> Result<(), TestCaseError> {
    air.device.statuses.clear();
    air.device.shown.clear();
    air.show("works");
    air.wait(Duration::from_secs(10));
    air.command(&LinkCommand::Microphone(false)).expect("there is one");
    air.command(&LinkCommand::Microphone(true)).expect("there is one");
    air.wait(Duration::from_secs(10));
    for arm in [Arm::Left, Arm::Right] {
        let shown = air.device.shown.get(&arm).and_then(|pages| pages.last());
        prop_assert_eq!(shown, Some(&(1, 1, b"\n\nworks\n".to_vec())));
    }
    prop_assert_eq!(air.device.said.last(), Some(&(Arm::Right, vec![0x0E, 1])));
    Ok(())
}

proptest! {
    #![proptest_config(config(31))]

    #[test]
    fn any_bytes_in_any_order_end_in_few_and_small_events(happened in vec(event(), 0..150)) {
        let mut air = Glasses::default().air();
        for event in happened {
            air.take_events();
            match event {
                Event::Notified(arm, value) => air.notify(Characteristic::EvenRx(arm), &value),
                Event::Commanded(command) => drop(air.command(&command)),
                Event::Waited(ms) => air.wait(Duration::from_millis(ms)),
                Event::Statuses(statuses) => air.device.statuses = statuses,
            }
            prop_assert!(air.events.len() <= MAX_EVENTS, "{:?}", air.events);
            let is_whole = |event: &LinkEvent| !matches!(event, LinkEvent::Audio { frame, .. } if frame.len() != 20);
            prop_assert!(air.events.iter().all(is_whole));
        }
        air.device.statuses.clear();
        air.wait(Duration::from_secs(10));
        check_works(&mut air)?;
    }

    #[test]
    fn whatever_becomes_of_notifications_all_is_well_in_the_end(
        fates in vec(select(vec![Fate::Arrives, Fate::Lost, Fate::Twice, Fate::Late]), 0..60),
        commands in vec((command(), 0..9_000_u64), 0..10),
    ) {
        let mut air = Glasses::default().air();
        air.fates = fates.into();
        for (command, ms) in commands {
            let _ = air.command(&command);
            air.wait(Duration::from_millis(ms));
        }
        air.fates.clear();
        air.wait(Duration::from_secs(100));
        check_works(&mut air)?;
    }

    #[test]
    fn audio_that_arrives_comes_out_and_what_is_lost_is_counted(
        first: u8, arrives in vec(proptest::bool::weighted(0.7), 1..300),
    ) {
        let mut air = Glasses::default().air();
        let mut lost = None;
        for (number, arrives) in arrives.into_iter().enumerate() {
            if !arrives {
                lost = lost.map(|lost| lost + 1);
                continue;
            }
            let payload: Vec<u8> = (0..200).map(|at| (number * 7 + at) as u8).collect();
            let seq = first.wrapping_add(number as u8);
            air.notify(Characteristic::EvenRx(Arm::Right), &[&[0xF1, seq], &payload[..]].concat());
            let heard = air.take_events();
            prop_assert_eq!(heard.len(), 10);
            for (at, (event, frame)) in heard.iter().zip(payload.chunks(20)).enumerate() {
                // What was lost before the first one cannot be known.
                let lost_before = if at == 0 { 10 * lost.unwrap_or(0) } else { 0 };
                prop_assert_eq!(event, &LinkEvent::Audio { frame: frame.to_vec(), lost_before });
            }
            lost = Some(0);
        }
    }

    #[test]
    fn both_arms_show_every_word_in_lines_that_fit(text in "[ \\nil.,a-zA-Z0-9äß漢\\\\\"]{0,1500}") {
        let mut air = Glasses::default().air();
        air.show(&text);
        air.wait(Duration::from_secs(200));
        if text.trim().is_empty() {
            prop_assert!(air.device.shown.is_empty());
            return Ok(());
        }
        prop_assert_eq!(&air.device.shown[&Arm::Left], &air.device.shown[&Arm::Right]);
        let mut shown = String::new();
        let pages = &air.device.shown[&Arm::Left];
        for (at, (number, total, text)) in (1..).zip(pages) {
            prop_assert_eq!((*number, usize::from(*total)), (at, pages.len()));
            let page = std::str::from_utf8(text).expect("no character is cut");
            prop_assert!(page.lines().count() <= 5, "{}", page);
            prop_assert!(page.lines().all(|line| line.chars().count() <= 40), "{}", page);
            shown += page;
        }
        check_shown(&shown, &text, pages.len())?;
    }
}
