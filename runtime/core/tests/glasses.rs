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
fn a_microphone_is_turned_on_where_that_is_wanted() {
    // The bytes that turn it on, after what is written to each kind first.
    let frame = vec![0x01, 0x30, 0, 3, 0x1F, 0x40, 8];
    let cases = [
        (FRAME, frame),
        (Profile::Even, vec![0x0E, 1]),
        (Profile::Mentra, b"\x01{\"type\":\"set_mic_state\",\"enabled\":true,\"msg_id\":\"3\"}".to_vec()),
        (Profile::Open, vec![0x44, 1, 1]),
    ];
    for (profile, value) in cases {
        for wanted in [true, false] {
            let mut world = World::new(|settings| {
                settings.microphones.extend(wanted.then(|| glasses("amber")));
            });
            let mut device = air::frame::Frame::new(frame::Messages::FrameMsg);
            world.device = Some(Box::new(move |write| match write.characteristic {
                Characteristic::FrameTx => device.handle_write(write),
                _ => Vec::new(),
            }));
            let asked = |world: &World| world.writes.iter().filter(|(_, write)| write.value == value).count();
            world.connect_as("amber", profile);
            world.run(SECOND);
            let first = asked(&world);
            assert_eq!(first > 0, wanted, "{profile:?}: {:?}", world.writes);
            world.handle(Input::GlassesDisconnected { glasses: glasses("amber") });
            world.connect_as("amber", profile);
            world.run(SECOND);
            assert_eq!(asked(&world) > first, wanted, "{profile:?}: again on the next link");
        }
    }
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

/// Writes of a type of the open profile, without the number of the request.
fn told(world: &World, kind: u8) -> Vec<Vec<u8>> {
    let values = world.writes.iter().map(|(_, write)| &write.value);
    values.filter(|value| value[0] == kind).map(|value| value[2..].to_vec()).collect()
}

/// A photo of 10 kB that comes in pieces after so long an exposure.
fn send_photo(world: &mut World, number: u8, exposure: Duration, transfer: Duration) {
    let jpeg = [7; 10_000];
    let pieces = jpeg.chunks(200).zip(0_u16..);
    world.run(exposure);
    let checksum = crc32fast::hash(&jpeg).to_le_bytes();
    let start = [&[0x03, number][..], &10_000_u32.to_le_bytes(), &[200, 0], &checksum, &[0; 9]].concat();
    world.notify("amber", Characteristic::OpenData, &start);
    for (piece, index) in pieces {
        let chunk = [&[0x04, number][..], &index.to_le_bytes(), piece].concat();
        world.notify("amber", Characteristic::OpenData, &chunk);
        if index < 49 {
            world.run(transfer / 49);
        }
    }
}

#[test]
fn the_photos_that_omiglass_takes_by_itself_are_stopped() {
    let mut world = World::new(|_| {});
    world.connect("amber");
    world.run(SECOND);
    let control = |(_, write): &(Timestamp, Write)| {
        (write.characteristic == Characteristic::PhotoControl).then(|| write.value[0])
    };
    let control: Vec<_> = world.writes.iter().filter_map(control).collect();
    assert_eq!(control[..2], [0, 0xFF], "they are stopped, then the first one is asked for");
    assert!(control[2..].iter().all(|value| *value == 0xFF), "{control:?}");
    let state = world.gateway.glasses().next().unwrap();
    let camera = state.abilities.unwrap().camera.unwrap();
    assert_eq!((camera.own_interval, camera.is_adjustable), (Some(30 * SECOND), false));
    assert_eq!(state.camera, None);
}

#[test]
fn a_camera_is_set_before_its_first_photo_and_again_when_the_decision_changes() {
    let mut world = World::new(|_| {});
    let mut device = open_glasses(0);
    // Photos come when the test sends them.
    world.device = Some(Box::new(move |write| device(write).into_iter().take(1).collect()));
    world.connect_as("amber", Profile::Open);
    let kinds: Vec<_> = world.writes.iter().map(|(_, write)| write.value[0]).collect();
    assert_eq!(kinds, [0x40, 0x42, 0x43]);
    assert_eq!(told(&world, 0x42), [[0x00, 0x02, 75]], "512 px, and the quality of half a battery");
    // 3 to 5 kB a second; what the exposure takes is not the link's.
    for number in 1..=10 {
        send_photo(&mut world, number, SECOND, (if number % 2 == 0 { 2 } else { 3 }) * SECOND);
    }
    assert_eq!(told(&world, 0x42)[1..], [[0x40, 0x01, 60]], "the nearest to 192 px that there is, once");
    let state = world.gateway.glasses().next().unwrap();
    assert_eq!(state.limits.link_bytes_per_second, Some(4_500));
    assert!(state.camera.unwrap().is_because("smallest"), "{:?}", state.camera);
    world.handle(Input::GlassesDisconnected { glasses: glasses("amber") });
    world.connect_as("amber", Profile::Open);
    assert_eq!(told(&world, 0x42)[2..], [[0x00, 0x02, 75]], "another link may be another");
}

#[test]
fn small_values_between_the_pieces_of_a_photo_are_not_the_link_s_measure() {
    let mut world = World::new(|_| {});
    let mut device = open_glasses(0);
    world.device = Some(Box::new(move |write| device(write).into_iter().take(1).collect()));
    world.connect_as("amber", Profile::Open);
    for number in 1..=3 {
        // Audio goes on while the camera exposes.
        for _ in 0..50 {
            world.notify("amber", Characteristic::OpenData, &[&[0x0A][..], &[0; 12]].concat());
            world.run(SECOND / 50);
        }
        send_photo(&mut world, number, Duration::ZERO, SECOND);
    }
    let state = world.gateway.glasses().next().unwrap();
    assert_eq!(state.limits.link_bytes_per_second, Some(10_000));
}

#[test]
fn a_photo_that_nobody_asked_for_is_not_the_link_s_measure() {
    let mut world = World::new(|_| {});
    let mut device = open_glasses(0);
    world.device = Some(Box::new(move |write| device(write).into_iter().take(1).collect()));
    world.connect_as("amber", Profile::Open);
    // One photo a second, from the second one on.
    world.notify("amber", Characteristic::OpenData, &[0x09, 10]);
    send_photo(&mut world, 100, Duration::ZERO, SECOND / 2);
    for number in 0..5 {
        send_photo(&mut world, 2 * number, Duration::ZERO, SECOND / 2);
        send_photo(&mut world, 2 * number + 1, Duration::ZERO, SECOND / 10);
        world.run(2 * SECOND / 5);
    }
    let state = world.gateway.glasses().next().unwrap();
    assert_eq!(state.limits.link_bytes_per_second, Some(20_000));
}

#[test]
fn a_lost_photo_is_asked_for_again() {
    let mut world = World::new(|_| {});
    world.cameras_work = false;
    world.connect("amber");
    world.run(30 * SECOND);
    assert!((4..=6).contains(&world.photos_asked[&glasses("amber")]), "{:?}", world.photos_asked);
    assert!(world.count(Counter::FramesDropped("never_arrived")) >= 3);
}

#[test]
fn a_photo_that_comes_slowly_is_waited_for() {
    let mut world = World::new(|_| {});
    world.cameras_work = false;
    world.connect("amber");
    world.run(SECOND);
    let asked = world.photos_asked[&glasses("amber")];
    for number in 0_u16..10 {
        let mut chunk = number.to_le_bytes().to_vec();
        chunk.extend(if number == 0 { vec![0, 0xFF, 0xD8] } else { vec![7; 200] });
        world.notify("amber", Characteristic::PhotoData, &chunk);
        world.run(2 * SECOND);
    }
    assert_eq!(world.photos_asked[&glasses("amber")], asked, "its pieces would come among those of another");
    world.notify("amber", Characteristic::PhotoData, &[0xFF, 0xFF]);
    world.run(SECOND);
    assert_eq!(world.count(Counter::Frames), 1);
    assert!(world.photos_asked[&glasses("amber")] > asked);
    // One that is never finished is given up.
    world.notify("amber", Characteristic::PhotoData, &[0, 0, 0, 0xFF, 0xD8]);
    let asked = world.photos_asked[&glasses("amber")];
    world.run(12 * SECOND);
    assert!(world.photos_asked[&glasses("amber")] > asked);
}

#[test]
fn glasses_that_send_nonsense_are_hung_up_on() {
    let mut world = World::new(|_| {});
    world.connect("amber");
    // A bad moment now and then is none.
    for _ in 0..1000 {
        world.notify("amber", Characteristic::BatteryLevel, &[200]);
        world.run(SECOND / 10);
    }
    assert_eq!(world.hang_ups, 0);
    for _ in 0..300 {
        world.notify("amber", Characteristic::BatteryLevel, &[200]);
    }
    assert_eq!(world.hang_ups, 1);
    assert!(world.count(Counter::LinkDropped(DropReason::UnknownValue)) >= 1300);
}
