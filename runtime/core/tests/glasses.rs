//! Pairs of glasses of every kind at the gateway, in virtual time: what is asked of them, and when.

mod air;
mod support;

use std::time::Duration;

use air::Device as _;
use glassd_core::Timestamp;
use glassd_core::gateway::{Counter, Input};
use glassd_core::link::{Characteristic, DropReason, LinkCommand, Profile, Write, frame, omi};
use support::{START, World, glasses};

const SECOND: Duration = Duration::from_secs(1);
const OMI: Profile = Profile::Omi(omi::Firmware::Oriented);
const FRAME: Profile =
    Profile::Frame(frame::Settings { messages: frame::Messages::FrameMsg, sound: frame::Sound::Rate8Bits8 });

/// Glasses of the open profile with a camera that takes a photo every so often at most, and 512 and 320 pixels wide.
fn open_glasses(shortest_ms: u16) -> impl FnMut(&Write) -> Vec<(Characteristic, Vec<u8>)> {
    let mut number = 0;
    move |write| {
        let values = match write.value[..] {
            [0x40, ..] => {
                let [low, high] = shortest_ms.to_le_bytes();
                vec![vec![0x01, 1, 0x01, 0xF4, 0, low, high, 0, 0, 0, 2, 0x00, 0x02, 0x40, 0x01]]
            }
            [0x43, request, 0xFF, 0xFF, 0xFF, 0xFF] => {
                number += 1;
                let jpeg = [7; 40];
                let checksum = crc32fast::hash(&jpeg).to_le_bytes();
                let start = [&[0x03, number, 40, 0, 0, 0, 40, 0], &checksum[..], &[0; 9]].concat();
                vec![taken(request), start, [&[0x04, number, 0, 0], &jpeg[..]].concat()]
            }
            [0x42..=0x44, request, ..] => vec![taken(request)],
            _ => Vec::new(),
        };
        values.into_iter().map(|value| (Characteristic::OpenData, value)).collect()
    }
}

fn taken(request: u8) -> Vec<u8> {
    vec![0x02, request, 0, 2, 80, 0, 0, 0, 0, 0]
}

/// When photos of glasses of the open profile were asked for.
fn captures(world: &World) -> Vec<Timestamp> {
    let is_capture = |write: &Write| matches!(write.value[..], [0x43, _, 0xFF, 0xFF, 0xFF, 0xFF]);
    world.writes.iter().filter(|(_, write)| is_capture(write)).map(|(at, _)| *at).collect()
}

#[test]
fn what_a_timeout_makes_known_is_known_at_once() {
    // Nothing is ever notified: the hello that is not answered is news of the protocol's clock alone.
    let mut world = World::new(|_| {});
    world.connect_as("amber", Profile::Open);
    world.run(60 * SECOND);
    assert_eq!(world.count(Counter::Notifications), 0);
    assert_eq!(world.count(Counter::LinkDropped(DropReason::Unanswered)), 1);
}

#[test]
fn a_tap_asks_when_no_second_one_followed() {
    let mut world = World::new(|_| {});
    let mut device = air::frame::Frame::new(frame::Messages::FrameMsg);
    world.device = Some(Box::new(move |write| device.handle_write(write)));
    world.connect_as("amber", FRAME);
    world.run(SECOND);
    world.notify("amber", Characteristic::FrameRx, &[0x01, 0x09]);
    assert_eq!(world.gateway.open_queries(), 0, "it may become a double tap");
    world.run(SECOND);
    assert_eq!((world.gateway.open_queries(), world.count(Counter::QueriesAccepted)), (1, 1));
}

#[test]
fn glasses_without_a_camera_are_asked_for_no_photo() {
    // Even's have none, those of the open profile have not told of one.
    for profile in [Profile::Even, Profile::Mentra, Profile::Open] {
        let mut world = World::new(|_| {});
        world.connect_as("amber", profile);
        world.run(30 * SECOND);
        assert!(captures(&world).is_empty(), "{profile:?}: {:?}", world.writes);
        assert_eq!(world.count(Counter::FramesDropped("never_arrived")), 0, "{profile:?}");
    }
    let mut world = World::new(|_| {});
    world.connect("amber");
    world.cameras_work = false;
    world.run(SECOND);
    world.notify("amber", Characteristic::Features, &[0x60, 0, 0, 0]);
    let asked = world.photos_asked[&glasses("amber")];
    world.ask("amber", "What do you see?");
    world.run(30 * SECOND);
    assert_eq!(world.photos_asked[&glasses("amber")], asked, "a pendant has no camera");
    assert_eq!(world.count(Counter::FramesDropped("never_arrived")), 0);
}

#[test]
fn a_camera_is_given_the_time_that_it_needs() {
    let mut world = World::new(|_| {});
    world.device = Some(Box::new(open_glasses(2_000)));
    world.connect_as("amber", Profile::Open);
    world.run(10 * SECOND + SECOND / 2);
    // A question wants a photo at once, and gets the next one.
    world.ask("amber", "What do you see?");
    world.run(10 * SECOND);
    let asked = captures(&world);
    assert!((10..=11).contains(&asked.len()), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[1].since(pair[0]) >= 2 * SECOND), "{asked:?}");
    let rate = world.gateway.glasses().next().unwrap().rate.unwrap().clone();
    assert!(rate.is_because("device-limit") && (rate.value.fps - 0.5).abs() < 0.01, "{rate:?}");
}

#[test]
fn what_is_known_of_glasses_outlives_their_link() {
    let check = |again: Profile, photos: bool| {
        let mut world = World::new(|_| {});
        world.connect_as("amber", OMI);
        world.notify("amber", Characteristic::Features, &[0x60, 0, 0, 0]);
        world.handle(Input::GlassesDisconnected { glasses: glasses("amber") });
        world.photos_asked.clear();
        world.connect_as("amber", again);
        world.run(5 * SECOND);
        assert_eq!(world.photos_asked.contains_key(&glasses("amber")), photos, "{again:?}");
    };
    check(OMI, false);
    check(Profile::Omi(omi::Firmware::UpsideDown), true);
}

/// The gateway goes on with the object of the lost link, so it must say all that a new one would.
#[test]
fn a_conversation_that_begins_again_begins_as_a_new_one() {
    for profile in [OMI, FRAME, Profile::Even, Profile::Mentra, Profile::Open] {
        let begin = |protocol: &mut Box<dyn glassd_core::link::Protocol>, now| {
            protocol.handle_connected(now);
            let writes: Vec<_> = std::iter::from_fn(|| protocol.poll_write()).collect();
            (writes, protocol.poll_timeout())
        };
        let mut known = profile.connect();
        begin(&mut known, START);
        for command in [
            LinkCommand::Microphone(true),
            LinkCommand::TakePhoto,
            LinkCommand::Show {
                kind: glassd_core::link::answer_text::Kind::Answer,
                query: glassd_core::QueryId(1),
                text: "Two red balls. ".repeat(40),
            },
        ] {
            // Not every one can do everything; nothing of it is written before the link is lost.
            let _ = known.handle_command(&command, START);
        }
        let later = START + 3 * SECOND;
        let again = begin(&mut known, later);
        assert_eq!(again, begin(&mut profile.connect(), later), "{profile:?}");
    }
}

#[test]
fn a_frame_that_comes_back_is_told_nothing_of_the_link_before() {
    let frame = || air::frame::Frame::new(frame::Messages::FrameMsg).air(frame::Sound::Rate8Bits8);
    let mut air = frame();
    air.command(&LinkCommand::Microphone(true)).unwrap();
    air.take_writes();
    air.protocol.handle_connected(air.now);
    // Any command lets the glasses answer.
    air.command(&LinkCommand::StopPhotos).unwrap_err();
    air.wait(SECOND);
    assert_eq!(air.take_writes(), frame().take_writes());
}
