//! The gateway in virtual time.

mod support;

use std::time::Duration;

use glassd_core::gateway::{Counter, FrameFailure, Input, Notice, Probe, Urgency};
use glassd_core::link::answer_text::Kind;
use glassd_core::link::{Characteristic, DropReason};
use glassd_core::query::{Ending, MAX_QUESTION};
use glassd_core::wire::{AnswerMessage, Encoding, Outcome, VERSION};
use glassd_core::{QueryId, Scene};
use glassd_policies::{Privacy, Reason, Route};
use support::{World, glasses, object, scene};

const SECOND: Duration = Duration::from_secs(1);

/// One pair of glasses that sees two red balls and a doubtful star.
fn world() -> World {
    let mut world = World::new(|_| {});
    world.scenes.insert(glasses("amber"), scene(&[object("red", "ball", 0.98), object("red", "ball", 0.97)]));
    world.connect("amber");
    world.run(SECOND);
    world
}

/// Models hang, and what was seen is too old for a question.
fn world_of_long_ago() -> World {
    let mut world = world();
    world.models_hang = true;
    world.run(2 * SECOND);
    world.urgencies.clear();
    world.looked_at.clear();
    world
}

#[test]
fn easy_questions_are_answered_here() {
    let check = |question: &str, answer: &str| {
        let mut world = world();
        world.handle(Input::UplinkConnected);
        let query = world.ask("amber", question);
        world.run(SECOND);
        let ended = world.ended(query);
        assert_eq!((ended.answer.as_str(), ended.route), (answer, Some(Route::Local)), "{question}");
        assert_eq!(world.told, vec![(glasses("amber"), Kind::Answer, query, answer.to_owned())]);
        assert!(world.published.is_empty() && world.disk.is_empty(), "{question}");
    };
    check("How many red balls are there?", "There are 2 red balls.");
    check("how many things do you see", "There are 2 things.");
    check("Is there a red ball?", "Yes, there is a red ball.");
    check("Do you see any blue cubes?", "No, I see no blue cube.");
    check("What do you see?", "I see 2 red balls.");
    check("What time is it?", "It is 22:13.");
    check("What's the date?", "It is Tuesday, 2023-11-14.");
    check("Say that again.", "I have not said anything yet.");
}

#[test]
fn a_question_is_plain_text_of_bounded_length() {
    let mut world = world();
    let query = world.ask("amber", " What\u{202e} time\u{1b} is it?\n");
    world.run(SECOND);
    assert_eq!(world.ended(query).question, "What  time  is it?");
    for (text, answer) in [
        ("\u{202e} \n".to_owned(), "The question is empty."),
        ("x".repeat(MAX_QUESTION + 1), "The question is too long."),
    ] {
        let query = world.ask("amber", &text);
        world.run(SECOND);
        assert_eq!(
            (world.ended(query).answer.as_str(), world.ended(query).ending),
            (answer, Ending::Refused)
        );
    }
    assert!(world.disk.is_empty());
}

#[test]
fn hard_questions_go_to_the_cloud_and_come_back_once() {
    let check = |question: &str| {
        let mut world = world();
        world.handle(Input::UplinkConnected);
        let query = world.ask("amber", question);
        world.run(SECOND);
        assert_eq!(world.published.len(), 1, "{question}");
        assert_eq!(world.published[0].text, question);
        assert!(world.published[0].image.is_some(), "{question}");
        world.answer(query, "A toy shop.");
        world.answer(query, "A toy shop, again.");
        world.run(SECOND);
        assert_eq!(world.ended(query).answer, "A toy shop.");
        assert_eq!(world.ended(query).route, Some(Route::Cloud));
        assert_eq!(world.told.len(), 1);
        assert_eq!(world.count(Counter::AnswersDropped("duplicate")), 1);
        assert!(world.disk.is_empty());
    };
    check("What kind of room is this?");
    check("Is there a red ball left of the blue cube?");
    check("How many dogs are there?");
}

#[test]
fn a_doubtful_scene_makes_an_easy_question_hard() {
    let mut world = world();
    world.scenes.insert(glasses("amber"), scene(&[object("red", "ball", 0.55), object("red", "star", 0.52)]));
    world.handle(Input::UplinkConnected);
    world.run(6 * SECOND);
    let query = world.ask("amber", "How many things are there?");
    world.run(SECOND);
    assert_eq!(world.published.len(), 1);
    assert_eq!(world.published[0].hint.as_deref(), Some("There are 2 things."));
    world.answer(query, "One ball.");
    let ended = world.ended(query);
    assert_eq!(ended.candidate.as_deref(), Some("There are 2 things."));
    assert!(!ended.reasons.is_empty());
}

#[test]
fn two_pairs_of_glasses_do_not_see_through_each_other() {
    let mut world = world();
    world.scenes.insert(glasses("birch"), scene(&[object("blue", "cube", 0.99)]));
    world.connect("birch");
    world.run(SECOND);
    let first = world.ask("amber", "What do you see?");
    let second = world.ask("birch", "What do you see?");
    world.run(SECOND);
    assert_eq!(world.ended(first).answer, "I see 2 red balls.");
    assert_eq!(world.ended(second).answer, "I see a blue cube.");
    // Unnamed glasses are only guessed when there is one pair.
    let third = world.ask("", "What do you see?");
    world.run(5 * SECOND);
    assert_eq!(world.ended(third).ending, Ending::Refused);
}

#[test]
fn what_a_question_waits_for_is_promised_and_outlives_newer_frames() {
    let mut world = world_of_long_ago();
    let query = world.ask("amber", "What do you see?");
    world.run(2 * SECOND + SECOND / 2);
    let promised =
        world.urgencies.iter().position(|urgency| matches!(urgency, Urgency::Awaited { .. })).unwrap();
    let rest: Vec<_> = world.urgencies.iter().skip(promised + 1).collect();
    assert!(rest.len() > 5 && rest.iter().all(|urgency| **urgency == Urgency::Active), "{rest:?}");
    let frame = world.looked_at[promised].id;
    let how = vec![Reason::new("variant", "model", "small of seeing", "")];
    let seen = scene(&[object("red", "ball", 0.98)]);
    world.handle(Input::Perceived { frame, result: Ok(Scene { how: how.clone(), ..seen }) });
    world.run(SECOND / 10);
    let ended = world.ended(query);
    assert_eq!((ended.answer.as_str(), ended.route), ("I see a red ball.", Some(Route::Local)));
    assert!(ended.reasons.ends_with(&how), "{:?}", ended.reasons);
}

#[test]
fn a_perception_that_came_too_late_is_counted_and_the_question_goes_on() {
    let mut world = world_of_long_ago();
    let query = world.ask("amber", "What do you see?");
    world.run(SECOND);
    let promised =
        world.urgencies.iter().position(|urgency| matches!(urgency, Urgency::Awaited { .. })).unwrap();
    let frame = world.looked_at[promised].id;
    world.handle(Input::Perceived { frame, result: Err(FrameFailure::Expired) });
    assert_eq!(world.count(Counter::FramesDropped("expired")), 1);
    // The next frame is promised in its place.
    world.run(SECOND);
    let promises = world.urgencies.iter().filter(|urgency| matches!(urgency, Urgency::Awaited { .. }));
    assert_eq!(promises.count(), 2);
    world.run(5 * SECOND);
    // Nobody looked: it is the cloud's, which is away for now.
    assert!(world.ended.is_empty() && world.disk.contains_key(&query));
    world.handle(Input::UplinkConnected);
    world.run(SECOND);
    assert_eq!(world.published.len(), 1);
}

#[test]
fn what_was_remembered_is_as_old_as_the_picture_that_was_looked_at() {
    let mut world = world_of_long_ago();
    let query = world.ask("amber", "What do you see?");
    world.run(SECOND);
    let frame = world.looked_at.last().unwrap().clone();
    let seen = |color, seen_at| Scene { seen_at, ..scene(&[object(color, "ball", 0.98)]) };
    let remembered = Ok(seen("blue", frame.taken_at - 3 * SECOND));
    world.handle(Input::Perceived { frame: frame.id, result: remembered });
    world.run(SECOND / 2);
    assert!(
        world.ended.iter().all(|ended| ended.query != query),
        "a picture of before the question answered it"
    );
    let frame = world.looked_at.last().unwrap().clone();
    world.handle(Input::Perceived { frame: frame.id, result: Ok(seen("red", frame.taken_at)) });
    world.run(SECOND / 10);
    assert_eq!(world.ended(query).answer, "I see a red ball.");
}

#[test]
fn the_button_asks() {
    let mut world = world();
    let press = [1i32.to_le_bytes(), 0i32.to_le_bytes()].concat();
    world.notify("amber", Characteristic::Button, &press);
    world.run(SECOND);
    assert_eq!(world.ended.len(), 1);
    assert_eq!(world.ended[0].answer, "I see 2 red balls.");
}

#[test]
fn a_button_that_is_stuck_asks_no_more_than_people_do() {
    let mut world = world();
    let press = [1i32.to_le_bytes(), 0i32.to_le_bytes()].concat();
    for _ in 0..1000 {
        world.notify("amber", Characteristic::Button, &press);
        world.run(SECOND / 100);
    }
    assert_eq!((world.ended.len(), world.count(Counter::QueriesRejected("too_soon"))), (10, 990));
}

#[test]
fn battery_sets_the_pace() {
    let check = |percent: u8, low: u32, high: u32| {
        let mut world = World::new(|_| {});
        world.probe = Ok(Probe { motion: 0.0, sharpness: 1.0, light: 0.5 });
        world.connect("amber");
        world.notify("amber", Characteristic::BatteryLevel, &[percent]);
        world.run(SECOND);
        let before = world.photos_asked[&glasses("amber")];
        world.run(20 * SECOND);
        let photos = world.photos_asked[&glasses("amber")] - before;
        assert!((low..=high).contains(&photos), "{percent} %: {photos} photos in 20 s");
    };
    check(90, 98, 102);
    check(20, 98, 102);
    check(10, 19, 21);
}

#[test]
fn bad_frames_are_counted_and_cost_no_query() {
    let mut world = world();
    world.probe = Err(FrameFailure::Undecodable { reason: "truncated", detail: String::new() });
    let query = world.ask("amber", "What do you see?");
    world.run(10 * SECOND);
    // The scene of a second ago is still fresh enough.
    assert_eq!(world.ended(query).answer, "I see 2 red balls.");
    let later = world.ask("amber", "What do you see?");
    world.run(10 * SECOND);
    assert_eq!(world.ended(later).ending, Ending::Refused);
    assert!(world.count(Counter::FramesDropped("truncated")) > 10);
}

#[test]
fn without_an_uplink_a_hard_question_waits_and_the_wearer_knows() {
    let mut world = world();
    let query = world.ask("amber", "What would a poet say?");
    world.run(SECOND);
    assert!(world.published.is_empty());
    assert_eq!(world.told[0].1, Kind::Notice);
    assert!(world.notices.contains(&Notice::Deferred { query }));
    world.handle(Input::UplinkConnected);
    assert_eq!(world.published.len(), 1);
    world.answer(query, "Much.");
    assert_eq!(world.ended(query).answer, "Much.");
}

#[test]
fn a_broker_that_comes_and_goes_neither_loses_nor_repeats() {
    let mut world = world();
    world.handle(Input::UplinkConnected);
    let query = world.ask("amber", "Why?");
    world.run(SECOND);
    world.handle(Input::UplinkDisconnected);
    world.run(SECOND);
    world.handle(Input::UplinkConnected);
    assert_eq!(world.published.len(), 2, "published again, it may never have left");
    world.answer(query, "Because.");
    world.answer(query, "Because of that.");
    assert_eq!(world.ended(query).answer, "Because.");
    assert_eq!(world.count(Counter::AnswersDropped("duplicate")), 1);
}

#[test]
fn a_silent_worker_is_asked_again_and_at_last_the_query_expires() {
    let mut world = world();
    world.handle(Input::UplinkConnected);
    let query = world.ask("amber", "Why?");
    world.run(100 * SECOND);
    assert!((3..=5).contains(&world.published.len()), "{}", world.published.len());
    world.run(600 * SECOND);
    let ended = world.ended(query);
    assert_eq!(ended.ending, Ending::Expired);
    assert_eq!(world.told.len(), 1, "expiry comes with notice");
    world.answer(query, "Late.");
    assert_eq!(world.count(Counter::AnswersDropped("late")), 1);
    assert_eq!(world.gateway.open_queries(), 0);
}

#[test]
fn failures_of_the_cloud_are_retried_or_final() {
    let mut world = world();
    world.handle(Input::UplinkConnected);
    let query = world.ask("amber", "Why?");
    world.run(SECOND);
    world.reply(query, Outcome::Failed, "overloaded", true);
    world.run(10 * SECOND);
    assert_eq!(world.published.len(), 2);
    world.reply(query, Outcome::Failed, "not for me", false);
    assert_eq!(world.ended(query).ending, Ending::Failed);
}

#[test]
fn foreign_answers_are_dropped_with_a_reason() {
    let mut world = world();
    world.handle(Input::UplinkConnected);
    let query = world.ask("amber", "Why?");
    world.run(SECOND);
    let message = |correlation: &[u8], content_type: Option<&str>, payload: &[u8]| Input::CloudMessage {
        correlation: correlation.to_vec(),
        content_type: content_type.map(str::to_owned),
        payload: payload.to_vec(),
    };
    world.handle(message(&[1, 2, 3], None, &[]));
    world.handle(message(&query.correlation(), Some("text/html"), b"<html>"));
    world.handle(message(&query.correlation(), None, b"\xff\xfe nonsense"));
    world.answer(QueryId(999), "Who asked?");
    for reason in ["no_correlation", "content_type", "malformed", "unknown"] {
        assert_eq!(world.count(Counter::AnswersDropped(reason)), 1, "{reason}");
    }
    world.answer(query, "Because.");
    assert_eq!(world.ended(query).answer, "Because.");
}

/// MQTT 3.1.1 carries neither correlation data nor content type.
#[test]
fn an_answer_without_properties_is_matched_by_the_name_in_it() {
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let mut world = world();
        world.handle(Input::UplinkConnected);
        let query = world.ask("amber", "Why?");
        world.run(SECOND);
        let answer = |query| {
            let text = "Because.".to_owned();
            let message = AnswerMessage {
                version: VERSION,
                query,
                outcome: Outcome::Answered,
                text,
                retry: false,
                model: String::new(),
            };
            let payload = message.encode(encoding);
            Input::CloudMessage { correlation: Vec::new(), content_type: None, payload }
        };
        world.handle(answer(QueryId(999)));
        assert_eq!(world.count(Counter::AnswersDropped("unknown")), 1);
        world.handle(answer(query));
        assert_eq!(world.ended(query).answer, "Because.");
        world.handle(answer(query));
        assert_eq!(world.count(Counter::AnswersDropped("duplicate")), 1);
    }
}

#[test]
fn local_only_mode_publishes_nothing_whatever_happens() {
    let mut world = World::new(|settings| settings.privacy = Privacy::LocalOnly);
    world.scenes.insert(glasses("amber"), scene(&[object("red", "ball", 0.6)]));
    world.connect("amber");
    world.handle(Input::UplinkConnected);
    world.run(SECOND);
    let unsure = world.ask("amber", "Is there a red ball?");
    let hard = world.ask("amber", "Why?");
    world.run(700 * SECOND);
    assert!(world.published.is_empty());
    assert_eq!(world.ended(unsure).answer, "I am not sure: Yes, there is a red ball.");
    assert_eq!(world.ended(hard).ending, Ending::Refused);
    // Also what was on its way when the mode was set stays here.
    let mut world = support::World::new(|_| {});
    world.connect("amber");
    let query = world.ask("amber", "Why?");
    world.run(5 * SECOND);
    world.handle(Input::SetPrivacy(Privacy::LocalOnly));
    world.handle(Input::UplinkConnected);
    world.run(700 * SECOND);
    assert!(world.published.is_empty());
    assert_eq!(world.ended(query).ending, Ending::Refused);
}

#[test]
fn a_full_disk_refuses_the_cloud_and_still_answers_here() {
    let mut world = world();
    world.handle(Input::UplinkConnected);
    world.disk_full = true;
    let easy = world.ask("amber", "How many red balls are there?");
    let hard = world.ask("amber", "Why?");
    world.run(5 * SECOND);
    assert_eq!(world.ended(easy).answer, "There are 2 red balls.");
    assert_eq!(world.ended(hard).ending, Ending::Refused);
    assert!(world.published.is_empty());
}

#[test]
fn a_restart_takes_up_every_row() {
    let mut before = world();
    let hard = before.ask("amber", "Why?");
    before.run(SECOND);
    let rows: Vec<_> = before.disk.values().cloned().collect();
    assert_eq!(rows.len(), 1);

    let mut after = World::new(|_| {});
    after.now = before.now;
    for row in rows {
        after.disk.insert(row.query, row.clone());
        after.handle(Input::Restored(row));
    }
    after.handle(Input::UplinkConnected);
    assert_eq!(after.published.len(), 1);
    after.answer(hard, "Because.");
    assert_eq!(after.ended(hard).answer, "Because.");
    assert!(after.told.is_empty(), "the glasses are away");
    after.connect("amber");
    assert_eq!(after.told.len(), 1, "and get it when they are back");
}

#[test]
fn the_budget_holds_publishes_back() {
    let mut world = World::new(|settings| settings.uplink_bytes_per_minute = 4 * 700);
    world.connect("amber");
    world.handle(Input::UplinkConnected);
    world.run(SECOND);
    for _ in 0..4 {
        world.ask("amber", "Why?");
    }
    world.run(SECOND);
    assert_eq!(world.published.len(), 1);
    world.run(120 * SECOND);
    assert!(world.published.len() >= 4, "{}", world.published.len());
}

#[test]
fn at_most_a_few_are_in_flight() {
    let mut world = world();
    world.handle(Input::UplinkConnected);
    let queries: Vec<_> = (0..9).map(|_| world.ask("amber", "Why?")).collect();
    world.run(SECOND);
    assert_eq!(world.published.len(), 4);
    world.answer(queries[0], "Because.");
    assert_eq!(world.published.len(), 5);
}

#[test]
fn the_door_is_guarded() {
    let mut world = world();
    for (text, counter) in [("  ", "empty"), (&*"x".repeat(20_000), "too_long")] {
        let query = world.ask("amber", text);
        assert_eq!(world.ended(query).ending, Ending::Refused);
        assert_eq!(world.count(Counter::QueriesRejected(counter)), 1);
    }
    world.notify("nobody", Characteristic::PhotoData, &[1, 2, 3]);
    assert_eq!(world.count(Counter::Stray), 1);
    world.notify("amber", Characteristic::PhotoData, &[9]);
    assert_eq!(world.count(Counter::LinkDropped(DropReason::Malformed)), 1);
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut world = world();
        world.handle(Input::UplinkConnected);
        let query = world.ask("amber", "Why?");
        world.run(50 * SECOND);
        world.answer(query, "Because.");
        format!("{:?}{:?}{:?}", world.ended, world.notices, world.gateway.counters())
    };
    assert_eq!(run(), run());
}
