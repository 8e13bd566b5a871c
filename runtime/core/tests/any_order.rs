//! Whatever happens in whatever order: no query is lost, none is answered twice, nothing spins.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use glassd_core::QueryId;
use glassd_core::gateway::{Input, Notice};
use glassd_core::link::Characteristic;
use glassd_core::link::answer_text::Kind;
use glassd_core::query::Stage;
use glassd_core::wire::Outcome;
use glassd_policies::Privacy;
use proptest::prelude::*;
use support::{World, glasses, object, scene};

/// Something that may happen.
#[derive(Clone, Debug)]
enum Event {
    Ask(&'static str),
    Uplink(bool),
    Glasses(bool),
    Cameras(bool),
    Disk(bool),
    Privacy(bool),
    /// The cloud answers the query asked n-th from the end, open or not.
    Answer(usize),
    Fail(usize, bool),
    Notification(Vec<u8>),
    CloudNoise(Vec<u8>),
    Wait(u64),
    /// kill −9 and start again from the disk.
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let question =
        prop::sample::select(vec!["Why?", "How many red balls are there?", "What time is it?", " "]);
    prop_oneof![
        4 => question.prop_map(Event::Ask),
        2 => any::<bool>().prop_map(Event::Uplink),
        1 => any::<bool>().prop_map(Event::Glasses),
        1 => any::<bool>().prop_map(Event::Cameras),
        1 => any::<bool>().prop_map(Event::Disk),
        1 => any::<bool>().prop_map(Event::Privacy),
        4 => (0usize..6).prop_map(Event::Answer),
        1 => ((0usize..6), any::<bool>()).prop_map(|(which, retry)| Event::Fail(which, retry)),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Event::Notification),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Event::CloudNoise),
        4 => (1u64..40_000).prop_map(Event::Wait),
        1 => Just(Event::Crash),
    ]
}

fn new_world() -> World {
    let mut world = World::new(|_| {});
    world.scenes.insert(glasses("amber"), scene(&[object("red", "ball", 0.97)]));
    world
}

/// A world that knows only what was on disk, and what the outside saw.
fn restarted(before: World) -> World {
    let mut world = new_world();
    world.now = before.now;
    world.disk_full = before.disk_full;
    world.cameras_work = before.cameras_work;
    world.ended = before.ended;
    world.told = before.told;
    world.notices = before.notices;
    world.next_query = before.next_query;
    for row in before.disk.into_values() {
        world.disk.insert(row.query, row.clone());
        world.handle(Input::Restored(row));
    }
    world
}

fn happen(mut world: World, asked: &mut Vec<QueryId>, event: Event) -> World {
    let nth = |asked: &[QueryId], n: usize| asked.iter().rev().nth(n).copied();
    match event {
        Event::Ask(text) => asked.push(world.ask("amber", text)),
        Event::Uplink(true) => world.handle(Input::UplinkConnected),
        Event::Uplink(false) => world.handle(Input::UplinkDisconnected),
        Event::Glasses(true) => world.connect("amber"),
        Event::Glasses(false) => world.handle(Input::GlassesDisconnected { glasses: glasses("amber") }),
        Event::Cameras(work) => world.cameras_work = work,
        Event::Disk(full) => world.disk_full = full,
        Event::Privacy(open) => {
            world.handle(Input::SetPrivacy(if open { Privacy::Open } else { Privacy::LocalOnly }));
        }
        Event::Answer(n) => {
            if let Some(query) = nth(asked, n) {
                world.answer(query, "Because.");
            }
        }
        Event::Fail(n, retry) => {
            if let Some(query) = nth(asked, n) {
                world.reply(query, Outcome::Failed, "no", retry);
            }
        }
        Event::Notification(value) => world.notify("amber", Characteristic::PhotoData, &value),
        Event::CloudNoise(payload) => world.handle(Input::CloudMessage {
            correlation: payload.iter().take(8).copied().collect(),
            content_type: None,
            payload,
        }),
        Event::Wait(ms) => world.run(Duration::from_millis(ms)),
        Event::Crash => world = restarted(world),
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_query_is_lost_or_answered_twice(events in prop::collection::vec(event(), 1..60)) {
        let mut world = new_world();
        world.connect("amber");
        let mut asked = Vec::new();
        for event in events {
            world = happen(world, &mut asked, event);
        }
        // In the end all is well for longer than any query lives.
        world.disk_full = false;
        world.cameras_work = true;
        world.connect("amber");
        world.run(Duration::from_secs(700));
        prop_assert_eq!(world.gateway.open_queries(), 0);
        prop_assert!(world.disk.is_empty(), "{:?}", world.disk);
        for query in &asked {
            let ended = world.ended.iter().filter(|answered| answered.query == *query).count();
            // What could not be kept on a full disk was not accepted, and a crash may take it along.
            let accepted = world.notices.iter().any(|n| matches!(n, Notice::Accepted { query: q, .. } if q == query));
            prop_assert!(ended == 1 || (ended == 0 && !accepted), "{} ended {} times", query, ended);
        }
        let mut told: BTreeMap<QueryId, usize> = BTreeMap::new();
        for (_, kind, query, _) in &world.told {
            *told.entry(*query).or_default() += usize::from(*kind == Kind::Answer);
        }
        prop_assert!(told.values().all(|times| *times <= 1), "{:?}", told);
    }

    #[test]
    fn local_only_from_the_start_publishes_nothing(events in prop::collection::vec(event(), 1..60)) {
        let mut world = new_world();
        world.handle(Input::SetPrivacy(Privacy::LocalOnly));
        world.connect("amber");
        let mut asked = Vec::new();
        for event in events.into_iter().filter(|event| !matches!(event, Event::Privacy(_) | Event::Crash)) {
            world = happen(world, &mut asked, event);
        }
        prop_assert!(world.published.is_empty());
        prop_assert!(world.disk.values().all(|row| row.stage == Stage::Accepted), "{:?}", world.disk);
    }
}
