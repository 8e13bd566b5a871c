//! Byte vectors of the open profile, and the worked example of its page.
//!
//! Firmware is built from them: if one fails do not change the test.

use std::time::Duration;

use glassd_core::link::answer_text::Kind;
use glassd_core::link::open::{self, Connection, Taken};
use glassd_core::link::{
    AudioCodec, ButtonEvent, Characteristic, DropReason, LinkCommand, LinkEvent, Motion, Orientation,
    Protocol, Unsupported, uuid,
};
use glassd_core::{QueryId, Timestamp};

use Characteristic::OpenData;
use LinkEvent::Dropped;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Camera with sizes 640 and 320, microphone in Opus of 20 ms, display, motor, clock; 244 bytes a write, 200 ms a photo.
const HELLO: [u8; 15] = [1, 1, 0x1F, 0xF4, 0, 0xC8, 0, 7, 0, 0, 2, 0x80, 2, 0x40, 1];

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("only those are left") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn events(connection: &mut Connection) -> Vec<LinkEvent> {
    std::iter::from_fn(|| connection.poll_event()).collect()
}

fn writes(connection: &mut Connection) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| connection.poll_write())
        .map(|write| {
            assert_eq!(write.characteristic, Characteristic::OpenControl);
            write.value
        })
        .collect()
}

fn connected() -> Connection {
    let mut connection = Connection::default();
    connection.handle_connected(START);
    connection.handle_notification(OpenData, &HELLO, START);
    writes(&mut connection);
    events(&mut connection);
    connection
}

#[track_caller]
fn check(notifications: &[&[u8]], expected: &[LinkEvent]) {
    let mut connection = connected();
    let mut got = Vec::new();
    for value in notifications {
        connection.handle_notification(OpenData, value, START);
        got.extend(events(&mut connection));
    }
    assert_eq!(got, expected);
}

/// `03` for these bytes, in chunks of 16.
fn announce(number: u8, jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let length = (jpeg.len() as u32).to_le_bytes();
    [&[3, number], &length[..], &[16, 0], &crc32fast::hash(jpeg).to_le_bytes(), &[orientation], &[0; 8]]
        .concat()
}

fn chunk(number: u8, index: u16, bytes: &[u8]) -> Vec<u8> {
    [&[4, number], &index.to_le_bytes()[..], bytes].concat()
}

#[test]
fn the_worked_example_of_the_page_is_what_happens() {
    let page = include_str!("../OPEN_PROFILE.md");
    let example =
        page.split("```example\n").nth(1).expect("the page has an example").split("```").next().unwrap();
    let mut connection = Connection::default();
    let mut now = START;
    connection.handle_connected(now);
    let mut told = Vec::new();
    for line in example.lines() {
        let (bytes, _) = line[1..].split_once(';').expect("each line says what it is");
        let bytes = from_hex(bytes);
        if line.starts_with('<') {
            connection.handle_notification(OpenData, &bytes, now);
            told.extend(events(&mut connection));
            continue;
        }
        assert!(line.starts_with('>'), "{line}");
        let command = match bytes[0] {
            0x42 => Some(LinkCommand::Camera { longest_side: 600, quality: 80 }),
            0x43 => Some(LinkCommand::TakePhoto),
            0x44 => Some(LinkCommand::Microphone(true)),
            0x45 => Some(LinkCommand::Vibrate(Duration::from_millis(100))),
            0x48 => Some(LinkCommand::Show {
                kind: Kind::Answer,
                query: QueryId(258),
                text: "A red ball.".into(),
            }),
            0x41 | 0x46 => {
                now = connection.poll_timeout().expect("something is due");
                connection.handle_timeout(now);
                None
            }
            _ => None,
        };
        if let Some(command) = command {
            connection.handle_command(&command, now).unwrap();
        }
        assert_eq!(writes(&mut connection), [bytes], "{line}");
    }
    let jpeg: Vec<u8> = [vec![0xFF, 0xD8], (1..=36).collect(), vec![0xFF, 0xD9]].concat();
    assert_eq!(
        told,
        [
            LinkEvent::Codec(AudioCodec::Opus(320)),
            LinkEvent::Photo { jpeg, orientation: Orientation::Quarter },
            LinkEvent::Audio { frame: vec![0xB8, 1, 2], lost_before: 0 },
            LinkEvent::Audio { frame: vec![0xB8, 3, 4], lost_before: 1 },
            LinkEvent::Button(ButtonEvent::Long),
            LinkEvent::Button(ButtonEvent::Double),
            LinkEvent::Battery(87),
            LinkEvent::Motion(Motion { acceleration: [0.0, -1.0, 0.02], rotation: Some([1.5, 0.0, -0.1]) }),
        ]
    );
}

#[test]
fn uuids() {
    let text = |uuid: u128| format!("{uuid:032X}");
    assert_eq!(text(uuid::OPEN_SERVICE), "7B1D00106C617373642D676C61737365");
    assert_eq!(text(uuid::of(Characteristic::OpenControl)), "7B1D00116C617373642D676C61737365");
    assert_eq!(text(uuid::of(OpenData)), "7B1D00126C617373642D676C61737365");
}

#[test]
fn hello_tells_the_abilities() {
    let connection = connected();
    let hello = connection.hello().expect("it came");
    let camera = hello.abilities.camera.expect("it has one");
    assert_eq!((camera.shortest_interval, camera.is_adjustable), (Duration::from_millis(200), true));
    assert!(
        hello.abilities.microphone && hello.abilities.display && hello.abilities.haptics && hello.has_clock
    );
    assert_eq!((hello.longest_write, &hello.sizes[..]), (244, &[640, 320][..]));
    assert_eq!(connection.abilities(), hello.abilities);
}

#[test]
fn hello_that_the_profile_does_not_define() {
    for (at, byte) in [(1, 0), (3, 60), (4, 3), (7, 9), (7, 8), (10, 17)] {
        let mut hello = [&HELLO[..], &[0; 40]].concat();
        hello[at] = byte;
        check(&[&hello], &[Dropped(DropReason::UnknownValue)]);
    }
    for length in 1..HELLO.len() {
        check(&[&HELLO[..length]], &[Dropped(DropReason::Malformed)]);
    }
}

#[test]
fn what_a_later_version_appends_is_skipped() {
    let mut later = [&HELLO[..], &[9, 9]].concat();
    later[1] = 2;
    check(&[&later], &[LinkEvent::Codec(AudioCodec::Opus(320))]);
    check(&[&[7, 1, 9], &[9, 50, 9]], &[LinkEvent::Button(ButtonEvent::Single), LinkEvent::Battery(50)]);
    check(&[&[0x0B, 1]], &[Dropped(DropReason::UnknownValue)]);
}

#[test]
fn codecs() {
    for (id, bytes, codec) in [
        (0, 0, AudioCodec::Pcm16(16_000)),
        (1, 0, AudioCodec::Pcm16(8_000)),
        (2, 0, AudioCodec::Pcm8(16_000)),
        (3, 0, AudioCodec::Pcm8(8_000)),
        (4, 0, AudioCodec::MuLaw(16_000)),
        (5, 0, AudioCodec::MuLaw(8_000)),
        (6, 0, AudioCodec::Opus(160)),
        (7, 0, AudioCodec::Opus(320)),
        (8, 40, AudioCodec::Lc3(40)),
    ] {
        let mut hello = HELLO;
        (hello[7], hello[8]) = (id, bytes);
        check(&[&hello], &[LinkEvent::Codec(codec)]);
    }
}

#[test]
fn audio_order() {
    let frame = |sequence: u16| [&[6], &sequence.to_le_bytes()[..], &[0; 4], &[5]].concat();
    let audio = |lost_before| LinkEvent::Audio { frame: vec![5], lost_before };
    for (before, after, expected) in [
        (0xFFFF, 0, audio(0)),
        (100, 104, audio(3)),
        (100, 100, Dropped(DropReason::Duplicate)),
        (100, 99, Dropped(DropReason::AudioGap)),
        (5000, 1, audio(0)),
    ] {
        check(&[&frame(before), &frame(after)], &[audio(0), expected]);
    }
    check(&[&[6, 0, 0, 0, 0, 0, 0]], &[Dropped(DropReason::Malformed)]);
}

#[test]
fn events_that_the_profile_does_not_define() {
    for value in [&[7, 6][..], &[8, 3], &[9, 101]] {
        check(&[value], &[Dropped(DropReason::UnknownValue)]);
    }
    for value in
        [&[][..], &[7], &[8], &[9], &[0x0A, 1, 2, 3, 4, 5], &[2, 1, 2], &[3], &[4, 0], &[5], &[0; 513]]
    {
        check(&[value], &[Dropped(DropReason::Malformed)]);
    }
    let mut connection = connected();
    connection.handle_notification(Characteristic::OpenControl, &[1], START);
    assert_eq!(events(&mut connection), [Dropped(DropReason::UnknownCharacteristic)]);
}

#[test]
fn announcements_that_are_refused_are_answered() {
    let jpeg = [1; 40];
    for (change, reason) in [
        ((2, 0xFF, 4, 9), DropReason::PhotoTooLong),
        ((2, 0, 3, 0), DropReason::Malformed),
        ((6, 15, 7, 0), DropReason::Malformed),
        ((12, 4, 12, 4), DropReason::UnknownValue),
    ] {
        let mut announced = announce(9, &jpeg, 0);
        let (at, byte, and_at, and_byte) = change;
        (announced[at], announced[and_at]) = (byte, and_byte);
        let mut connection = connected();
        connection.handle_notification(OpenData, &announced, START);
        assert_eq!(events(&mut connection), [Dropped(reason)]);
        assert_eq!(writes(&mut connection), [[0x47, 9, 1]]);
        assert_eq!(connection.poll_timeout(), connected().poll_timeout(), "nothing is waited for");
    }
}

#[test]
fn a_wrong_checksum_is_answered() {
    let mut connection = connected();
    let mut announced = announce(1, &[7; 16], 0);
    announced[8] ^= 1;
    connection.handle_notification(OpenData, &announced, START);
    connection.handle_notification(OpenData, &chunk(1, 0, &[7; 16]), START);
    assert_eq!(events(&mut connection), [Dropped(DropReason::PhotoChecksum)]);
    assert_eq!(writes(&mut connection), [[0x47, 1, 2]]);
}

#[test]
fn a_photo_that_came_is_not_taken_twice() {
    let mut connection = connected();
    for value in [announce(1, &[7; 16], 0), chunk(1, 0, &[7; 16])] {
        connection.handle_notification(OpenData, &value, START);
    }
    assert_eq!(events(&mut connection).len(), 1);
    assert_eq!(writes(&mut connection), [[0x47, 1, 0]]);
    let duplicate = || vec![Dropped(DropReason::Duplicate)];
    for (value, told, answers) in [
        (announce(1, &[7; 16], 0), duplicate(), 1),
        (chunk(1, 0, &[7; 16]), duplicate(), 0),
        // The first one crosses the answer.
        (vec![5, 1], vec![], 0),
        (vec![5, 1], vec![], 1),
    ] {
        connection.handle_notification(OpenData, &value, START);
        assert_eq!(events(&mut connection), told);
        assert_eq!(writes(&mut connection), vec![vec![0x47, 1, 0]; answers]);
    }
    // The same number with another photo is a new one.
    connection.handle_notification(OpenData, &announce(1, &[8; 16], 0), START);
    connection.handle_notification(OpenData, &chunk(1, 0, &[8; 16]), START);
    assert!(matches!(events(&mut connection)[..], [LinkEvent::Photo { .. }]));
}

#[test]
fn a_lost_announcement_is_asked_for_now_and_then() {
    let mut connection = connected();
    for ms in [0, 100, 200, 350] {
        connection.handle_notification(OpenData, &chunk(3, 1, &[0; 16]), START + Duration::from_millis(ms));
    }
    assert_eq!(events(&mut connection), vec![Dropped(DropReason::PhotoWithoutStart); 4]);
    assert_eq!(writes(&mut connection), vec![vec![0x46, 3, 0, 0]; 2]);
}

#[test]
fn a_photo_that_another_one_replaces_is_lost() {
    check(
        &[&announce(1, &[7; 40], 0), &announce(2, &[8; 40], 0), &announce(2, &[8; 40], 0)],
        &[Dropped(DropReason::PhotoGap), Dropped(DropReason::Duplicate)],
    );
}

#[test]
fn chunks_of_another_length_are_dropped() {
    let start = announce(1, &[7; 40], 0);
    for bad in [chunk(1, 0, &[7; 15]), chunk(1, 2, &[7; 16]), chunk(1, 3, &[7; 8]), chunk(1, 0, &[])] {
        check(&[&start, &bad], &[Dropped(DropReason::Malformed)]);
    }
    let good = chunk(1, 2, &[7; 8]);
    check(&[&start, &good, &good], &[Dropped(DropReason::Duplicate)]);
}

#[test]
fn a_photo_that_stops_is_given_up_in_bounded_time() {
    let mut connection = connected();
    connection.handle_notification(OpenData, &announce(1, &[7; 40], 0), START);
    let mut asked = 0;
    loop {
        let now = connection.poll_timeout().expect("it is waited for");
        assert!(now.since(START) < Duration::from_secs(15), "asked {asked} times");
        connection.handle_timeout(now);
        let written = writes(&mut connection);
        if written == [[0x47, 1, 1]] {
            break;
        }
        assert_eq!(written, [[0x46, 1, 0, 0, 7]]);
        asked += 1;
    }
    assert_eq!(asked, 16);
    assert_eq!(events(&mut connection), [Dropped(DropReason::PhotoIncomplete)]);
}

#[test]
fn a_photo_that_trickles_is_given_up_in_bounded_time() {
    let mut connection = connected();
    let jpeg = vec![7; 512 * 1024];
    connection.handle_notification(OpenData, &announce(1, &jpeg, 0), START);
    let mut now = START;
    for index in 0.. {
        now = now + Duration::from_millis(290);
        connection.handle_timeout(now);
        if writes(&mut connection).contains(&vec![0x47, 1, 1]) {
            break;
        }
        connection.handle_notification(OpenData, &chunk(1, index, &[7; 16]), now);
    }
    assert!(now.since(START) <= Duration::from_secs(61));
    assert_eq!(events(&mut connection), [Dropped(DropReason::PhotoIncomplete)]);
}

#[test]
fn what_is_missing_fits_into_one_write() {
    let mut connection = connected();
    let jpeg = vec![7; 16 * 4000];
    connection.handle_notification(OpenData, &announce(1, &jpeg, 0), START);
    connection.handle_notification(OpenData, &chunk(1, 0, &[7; 16]), START);
    connection.handle_timeout(START + Duration::from_millis(300));
    let [missing] = &writes(&mut connection)[..] else { panic!("one question") };
    assert_eq!((missing.len(), &missing[..4]), (244, &[0x46, 1, 1, 0][..]));
    assert!(missing[4..].iter().all(|bits| *bits == 0xFF));
}

#[test]
fn what_is_not_answered_is_asked_again_in_the_same_bytes() {
    let mut connection = connected();
    connection.handle_command(&LinkCommand::TakePhoto, START).unwrap();
    let asked = writes(&mut connection);
    assert_eq!(asked, [[0x43, 1, 0xFF, 0xFF, 0xFF, 0xFF]]);
    for time in 1..u64::from(open::TRIES) {
        assert_eq!(connection.poll_timeout(), Some(START + Duration::from_secs(time)));
        connection.handle_timeout(START + Duration::from_secs(time));
        assert_eq!(writes(&mut connection), asked);
    }
    connection.handle_timeout(START + Duration::from_secs(5));
    assert_eq!(writes(&mut connection), Vec::<Vec<u8>>::new());
    assert_eq!(events(&mut connection), [Dropped(DropReason::Unanswered)]);
}

#[test]
fn the_newest_wish_of_a_kind_counts() {
    let mut connection = connected();
    connection.handle_command(&LinkCommand::PhotoEvery(Duration::from_millis(50)), START).unwrap();
    connection.handle_command(&LinkCommand::StopPhotos, START).unwrap();
    connection.handle_command(&LinkCommand::Microphone(true), START).unwrap();
    assert_eq!(
        writes(&mut connection),
        [vec![0x43, 1, 200, 0, 0, 0], vec![0x43, 2, 0, 0, 0, 0], vec![0x44, 3, 1]]
    );
    connection.handle_notification(OpenData, &[2, 2, 0x40, 1, 70, 0, 0, 0, 0, 0], START);
    assert_eq!(
        connection.taken(),
        Some(Taken { longest_side: 320, quality: 70, interval: Duration::ZERO, microphone: false })
    );
    connection.handle_timeout(START + open::RETRY);
    assert_eq!(writes(&mut connection), [[0x44, 3, 1]], "of the first nobody wants to know any more");
}

#[test]
fn commands_that_the_glasses_do_not_have() {
    let mut connection = Connection::default();
    connection.handle_connected(START);
    let mut hello = HELLO;
    hello[2] = 0;
    connection.handle_notification(OpenData, &hello, START);
    let show = LinkCommand::Show { kind: Kind::Notice, query: QueryId(1), text: "x".into() };
    for command in [
        LinkCommand::Camera { longest_side: 1, quality: 1 },
        LinkCommand::TakePhoto,
        LinkCommand::PhotoEvery(Duration::ZERO),
        LinkCommand::StopPhotos,
        LinkCommand::Microphone(true),
        LinkCommand::Vibrate(Duration::ZERO),
        show,
    ] {
        assert_eq!(connection.handle_command(&command, START), Err(Unsupported), "{command:?}");
    }
}

#[test]
fn texts_go_in_pieces_between_characters() {
    for (text, length) in [("", 0), ("short", 5), (&"größer ".repeat(100), 900), (&"€".repeat(1000), 2046)]
    {
        let mut connection = Connection::default();
        connection.handle_connected(START);
        writes(&mut connection);
        let show = LinkCommand::Show { kind: Kind::Notice, query: QueryId(7), text: text.to_owned() };
        connection.handle_command(&show, START).unwrap();
        let pieces = writes(&mut connection);
        let mut joined = String::new();
        for (number, piece) in pieces.iter().enumerate() {
            assert!(piece.len() <= open::SHORTEST_WRITE);
            assert_eq!(piece[..10], [0x48, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
            assert_eq!(piece[10..12], [u8::try_from(number).unwrap(), u8::try_from(pieces.len()).unwrap()]);
            joined += std::str::from_utf8(&piece[12..]).expect("whole characters");
        }
        assert_eq!((joined.len(), text.starts_with(&joined)), (length, true));
    }
}

#[test]
fn the_clock_is_set_again() {
    let mut connection = connected();
    let later = START + Duration::from_secs(600);
    assert_eq!(connection.poll_timeout(), Some(later));
    connection.handle_timeout(later);
    assert_eq!(writes(&mut connection), [[&[0x41], &1_700_000_600_000_u64.to_le_bytes()[..]].concat()]);
}

#[test]
fn a_connection_that_begins_again_has_forgotten() {
    let mut connection = connected();
    connection.handle_notification(OpenData, &announce(1, &[7; 40], 0), START);
    connection.handle_connected(START);
    assert_eq!(connection.hello(), None);
    assert_eq!(writes(&mut connection).len(), 1);
    assert_eq!(connection.poll_timeout(), Some(START + open::RETRY));
}
