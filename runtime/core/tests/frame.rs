//! Byte vectors of Brilliant's Frame: from its firmware, `frame_msg` 5.2.1 and `frame-sdk` 1.2.4.
//!
//! They say what a real Frame sends and takes: if one fails do not change the test.

mod air;

use std::time::Duration;

use air::Air;
use air::frame::{Frame, Messages, jpeg};
use glassd_core::link::frame::{self, Settings, Sound};
use glassd_core::link::{
    AudioCodec, ButtonEvent, Characteristic, DropReason, LinkCommand, LinkEvent, Motion, Orientation,
    Profile, Unsupported, uuid,
};

use Characteristic::FrameRx;
use LinkEvent::{Battery, Button, Dropped};

/// What comes of these notifications once the app runs.
#[track_caller]
fn check(messages: Messages, values: &[&[u8]], expected: &[LinkEvent]) {
    let mut air = Frame::new(messages).air(Sound::default());
    air.take_events();
    for value in values {
        air.notify(FrameRx, value);
    }
    assert_eq!(air.events, expected, "{messages:?}");
}

fn photo(jpeg: &[u8]) -> LinkEvent {
    LinkEvent::Photo { jpeg: jpeg.to_vec(), orientation: Orientation::Quarter }
}

fn audio(samples: &[u8]) -> LinkEvent {
    LinkEvent::Audio { frame: samples.to_vec(), lost_before: 0 }
}

/// Writes of data since the last time.
fn data(air: &mut Air<Frame>) -> Vec<Vec<u8>> {
    air.take_writes().into_iter().map(|write| write.value).filter(|value| value[0] == 1).collect()
}

fn source(air: &mut Air<Frame>) -> Vec<String> {
    let values = air.take_writes().into_iter().map(|write| write.value);
    values.map(|value| String::from_utf8(value).expect("Lua, or one byte")).collect()
}

#[test]
fn photo_of_frame_msg() {
    let packets: [&[u8]; 3] = [&[1, 7, 0xFF, 0xD8, 1], &[1, 7, 2, 0xFF, 0xD9], &[1, 8]];
    check(Messages::FrameMsg, &packets, &[photo(&[0xFF, 0xD8, 1, 2, 0xFF, 0xD9])]);
    // `rx_photo.py` takes bytes of the last packet too.
    let packets: [&[u8]; 2] = [&[1, 7, 0xFF, 0xD8, 1], &[1, 8, 2, 0xFF, 0xD9]];
    check(Messages::FrameMsg, &packets, &[photo(&[0xFF, 0xD8, 1, 2, 0xFF, 0xD9])]);
}

#[test]
fn photo_of_frame_sdk() {
    let packets: [&[u8]; 3] = [&[1, 1, 0xFF, 0xD8, 1], &[1, 1, 2, 0xFF, 0xD9], &[1, 2, b'2']];
    check(Messages::FrameSdk, &packets, &[photo(&[0xFF, 0xD8, 1, 2, 0xFF, 0xD9])]);
    let packets: [&[u8]; 2] = [&[1, 1, 0xFF, 0xD8, 0xFF, 0xD9], &[1, 2]];
    check(Messages::FrameSdk, &packets, &[photo(&[0xFF, 0xD8, 0xFF, 0xD9])]);
    let packets: [&[u8]; 2] = [&[1, 1, 0xFF, 0xD8, 0xFF, 0xD9], &[1, 2, b'3']];
    check(Messages::FrameSdk, &packets, &[Dropped(DropReason::PhotoGap)]);
    let packets: [&[u8]; 1] = [&[1, 2, b'x']];
    check(Messages::FrameSdk, &packets, &[Dropped(DropReason::Malformed)]);
}

#[test]
fn photo_that_is_none() {
    for (values, reason) in [
        (&[&[1, 8][..]][..], DropReason::PhotoWithoutStart),
        (&[&[1, 7, 0xFF, 0xD8], &[1, 8]], DropReason::PhotoGap),
        (&[&[1, 7, 1, 2], &[1, 7, 0xFF, 0xD9], &[1, 8]], DropReason::PhotoWithoutStart),
        (&[&[1, 7], &[1, 8]], DropReason::PhotoWithoutStart),
    ] {
        check(Messages::FrameMsg, values, &[Dropped(reason)]);
    }
}

#[test]
fn photo_past_what_the_firmware_can_hold_is_given_up_once() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    air.take_events();
    air.notify(FrameRx, &[1, 7, 0xFF, 0xD8]);
    for _ in 0..frame::MAX_PHOTO / 242 + 10 {
        air.notify(FrameRx, &[&[1, 7][..], &[9; 242]].concat());
    }
    air.notify(FrameRx, &[1, 8]);
    assert_eq!(air.events, [Dropped(DropReason::PhotoTooLong)]);
}

#[test]
fn photo_that_stops_ends_in_time_and_the_app_is_started_anew() {
    for messages in [Messages::FrameMsg, Messages::FrameSdk] {
        let mut air = Frame::new(messages).air(Sound::default());
        air.take_events();
        air.command(&LinkCommand::TakePhoto).expect("there is a camera");
        air.take_writes();
        let first = if messages == Messages::FrameMsg { 7 } else { 1 };
        air.notify(FrameRx, &[1, first, 0xFF, 0xD8]);
        air.wait(Duration::from_millis(2900));
        assert_eq!(air.writes, []);
        air.wait(Duration::from_millis(200));
        assert!(air.events.contains(&Dropped(DropReason::PhotoGap)), "{:?}", air.events);
        assert_eq!(air.writes[0].value, [3], "a break");
    }
}

#[test]
fn audio_as_it_comes() {
    check(
        Messages::FrameMsg,
        &[&[1, 5, 0x80, 0x7F], &[1, 5], &[1, 6, 9], &[1, 6]],
        &[audio(&[0x80, 0x7F]), audio(&[9])],
    );
    check(Messages::FrameSdk, &[&[1, 5, 0x80, 0x7F]], &[audio(&[0x80, 0x7F])]);
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::Rate8Bits16);
    air.take_events();
    air.notify(FrameRx, &[1, 5, 1, 2, 3]);
    assert_eq!(air.events, [Dropped(DropReason::Malformed)]);
}

#[test]
fn motion_and_battery() {
    let motion = [1, 0x0A, 0, 1, 0, 2, 0, 3, 0, 0x00, 0x10, 0x00, 0xF0, 0x00, 0x08];
    let expected = Motion { acceleration: [1.0, -1.0, 0.5], rotation: None };
    check(
        Messages::FrameMsg,
        &[&motion, &[1, 0x0C, 100], &[1, 0x0C, 101]],
        &[LinkEvent::Motion(expected), Battery(100), Dropped(DropReason::UnknownValue)],
    );
}

#[test]
fn what_no_message_has() {
    let long = [1; 513];
    for (value, reason) in [
        (&[][..], DropReason::Malformed),
        (&[1], DropReason::Malformed),
        (&[1, 0], DropReason::Unexpected),
        (&[1, 1], DropReason::Unexpected),
        (&[1, 0, 0], DropReason::Malformed),
        (&[1, 9, 0], DropReason::Malformed),
        (&[1, 0x0A, 0, 1], DropReason::Malformed),
        (&[1, 0x0C], DropReason::Malformed),
        (&[1, 0x42], DropReason::UnknownValue),
        (b"[string \"x\"]:1: break signal", DropReason::Unexpected),
        (&[0xC0, 0xC0], DropReason::Malformed),
        (&long, DropReason::Malformed),
    ] {
        check(Messages::FrameMsg, &[value], &[Dropped(reason)]);
    }
    for (value, reason) in [
        (&[1, 3][..], DropReason::Unexpected),
        (&[1, 6, b'x'], DropReason::Unexpected),
        (&[0x0A, b'x'], DropReason::Unexpected),
        (&[0x0B, b'1'], DropReason::Unexpected),
        (&[1, 7, 1], DropReason::UnknownValue),
        (&[1, 4, 0], DropReason::Malformed),
    ] {
        check(Messages::FrameSdk, &[value], &[Dropped(reason)]);
    }
}

#[test]
fn taps_that_follow_each_other_are_one_gesture() {
    for (messages, tap) in [(Messages::FrameMsg, [1, 9]), (Messages::FrameSdk, [1, 4])] {
        let gesture = |gaps_ms: &[u64]| {
            let mut air = Frame::new(messages).air(Sound::default());
            air.take_events();
            air.notify(FrameRx, &tap);
            for gap in gaps_ms {
                air.wait(Duration::from_millis(*gap));
                air.notify(FrameRx, &tap);
            }
            air.wait(Duration::from_millis(299));
            assert!(!air.events.iter().any(|event| matches!(event, Button(_))));
            air.wait(Duration::from_millis(1));
            air.take_events()
        };
        assert_eq!(gesture(&[]), [Button(ButtonEvent::Single)]);
        assert_eq!(gesture(&[200]), [Button(ButtonEvent::Double)]);
        assert_eq!(gesture(&[200, 200]), [Button(ButtonEvent::Double)]);
        assert_eq!(gesture(&[39]), [Dropped(DropReason::Duplicate), Button(ButtonEvent::Single)]);
    }
}

#[test]
fn the_app_is_sent_in_lines_of_lua_and_started() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    let values: Vec<_> = air.take_writes().into_iter().map(|write| write.value).collect();
    assert_eq!(values[..3], [vec![3], vec![4], vec![3]], "break, reset, break");
    assert_eq!(values[3], b"f=frame.file.open('glassd.lua','w');print(1)");
    assert!(values[4].starts_with(b"f:write(\"") && values[4].ends_with(b"\");print(2)"));
    assert_eq!(*values.last().expect("many"), b"require('glassd')");
    assert_eq!(air.device.starts, 1);
    let app = include_str!("../src/link/frame/app.lua");
    let lines = app.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("--"));
    assert_eq!(air.device.file, lines.collect::<Vec<_>>().join("\n"));
    assert_eq!(air.events, []);
}

/// 200 ms after a break or a reset, as `frame_ble.py` has it.
#[test]
fn signals_are_given_time() {
    let settings = Settings::default();
    let mut air = Air::connect(Profile::Frame(settings), Frame::new(Messages::FrameMsg));
    for sent in 1..=3 {
        assert_eq!(air.writes.len(), sent);
        air.wait(Duration::from_millis(199));
        assert_eq!(air.writes.len(), sent);
        air.wait(Duration::from_millis(1));
    }
    assert!(air.writes.len() > 3);
}

#[test]
fn a_frame_that_does_not_answer_is_tried_again() {
    let mut device = Frame::new(Messages::FrameMsg);
    device.is_mute = true;
    let mut air = device.air(Sound::default());
    air.wait(Duration::from_secs(60));
    let losses = air.take_events();
    assert_eq!(losses, vec![Dropped(DropReason::Unanswered); 4]);
    air.device.is_mute = false;
    air.wait(Duration::from_secs(20));
    assert_eq!(air.device.starts, 1);
}

#[test]
fn photo_is_asked_for_with_its_settings() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    air.device.photo = jpeg(&[1; 1000]);
    data(&mut air);
    for (command, expected) in [
        (None, [4, 1, 0, 0, 0x8C, 0]),
        (Some((720, 100)), [4, 1, 0x68, 0, 0x8C, 0]),
        (Some((101, 1)), [0, 0, 50, 0, 0x8C, 0]),
        (Some((4000, 22)), [1, 1, 0x68, 0, 0x8C, 0]),
    ] {
        if let Some((longest_side, quality)) = command {
            air.command(&LinkCommand::Camera { longest_side, quality }).expect("it is adjustable");
        }
        air.command(&LinkCommand::TakePhoto).expect("there is a camera");
        assert_eq!(data(&mut air), [[&[1, 0x0D, 0, 6], &expected[..]].concat()]);
        assert_eq!(air.take_events(), [photo(&jpeg(&[1; 1000]))]);
    }
}

#[test]
fn microphone_of_frame_msg() {
    for (sound, codec, told) in [
        (Sound::Rate8Bits8, AudioCodec::Pcm8(8_000), [0x1F, 0x40, 8]),
        (Sound::Rate8Bits16, AudioCodec::Pcm16(8_000), [0x1F, 0x40, 16]),
        (Sound::Rate16Bits8, AudioCodec::Pcm8(16_000), [0x3E, 0x80, 8]),
        (Sound::Rate16Bits16, AudioCodec::Pcm16(16_000), [0x3E, 0x80, 16]),
    ] {
        let mut air = Frame::new(Messages::FrameMsg).air(sound);
        air.device.sound = vec![vec![1, 2, 3, 4]];
        air.take_events();
        data(&mut air);
        air.command(&LinkCommand::Microphone(true)).expect("there is one");
        air.command(&LinkCommand::Microphone(true)).expect("there is one");
        assert_eq!(data(&mut air), [[&[1, 0x30, 0, 3], &told[..]].concat()]);
        assert_eq!(air.take_events(), [LinkEvent::Codec(codec), audio(&[1, 2, 3, 4])]);
        air.command(&LinkCommand::Microphone(false)).expect("there is one");
        assert_eq!(data(&mut air), [[1, 0x30, 0, 3, 0, 0, 0]]);
    }
}

#[test]
fn text_is_shown_in_pages_and_then_cleared() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    data(&mut air);
    air.show("Hello");
    assert_eq!(data(&mut air), [b"\x01\x0A\x00\x0B\x00\x01\x00\x01\x01\x04Hello"]);
    air.wait(Duration::from_secs(5));
    assert_eq!(data(&mut air), [b"\x01\x0A\x00\x06\x00\x01\x00\x01\x01\x04"]);
    air.wait(Duration::from_secs(100));
    assert!(data(&mut air).is_empty());

    // Seven lines: six and one. A message of more than 239 bytes goes in chunks.
    air.device.got.clear();
    let line = "illi".repeat(13);
    air.show(&[line.as_str(); 7].join("\n"));
    let chunks = data(&mut air);
    assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [243, 2 + 6 + 6 * line.len() + 5 - 239]);
    assert_eq!(chunks[1][..2], [1, 0x0A]);
    air.wait(Duration::from_secs(5));
    air.wait(Duration::from_secs(5));
    let shown: Vec<_> = air.device.got.iter().map(|(_, text)| String::from_utf8_lossy(&text[6..])).collect();
    assert_eq!(shown, [[line.as_str(); 6].join("\n"), line, String::new()]);
}

#[test]
fn a_new_text_takes_the_place_of_the_one_before() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    air.show(&"word ".repeat(500));
    air.show("new");
    air.wait(Duration::from_secs(200));
    let shown: Vec<_> = air.device.got.iter().map(|(_, text)| String::from_utf8_lossy(&text[6..])).collect();
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[1..], ["new", ""]);
}

#[test]
fn commands_of_frame_sdk_are_calls_of_its_library() {
    let mut air = Frame::new(Messages::FrameSdk).air(Sound::default());
    air.device.photo = jpeg(&[1; 1000]);
    assert_eq!(
        source(&mut air),
        [
            "\u{3}",
            "require(\"lib-b6c885/prntLng\");print(1)",
            "frame.imu.tap_callback(function();frame.bluetooth.send('\\x04');end);print(2)",
            "print(frame.battery_level())",
        ]
    );
    assert_eq!(air.take_events(), [Battery(87)]);

    air.command(&LinkCommand::Camera { longest_side: 720, quality: 25 }).expect("it is adjustable");
    air.command(&LinkCommand::TakePhoto).expect("there is a camera");
    assert_eq!(source(&mut air), ["cameraCaptureAndSend('MEDIUM',1,'CENTER_WEIGHTED',720,0)"]);
    assert_eq!(air.take_events(), [photo(&jpeg(&[1; 1000]))]);

    air.show("a \"b\" \\ c");
    assert_eq!(
        source(&mut air),
        ["frame.display.text(\"a \\\"b\\\" \\\\ c\",1,1);print(1)", "frame.display.show();print(2)"]
    );
}

/// The library's functions hold the Frame until they are done, or until a break.
#[test]
fn microphone_of_frame_sdk_makes_room_for_a_photo() {
    let mut air = Frame::new(Messages::FrameSdk).air(Sound::Rate16Bits8);
    air.device.photo = jpeg(&[1; 100]);
    source(&mut air);
    air.take_events();
    air.command(&LinkCommand::Microphone(true)).expect("there is one");
    assert_eq!(source(&mut air), ["microphoneRecordAndSend(16000,8,nil)"]);
    air.command(&LinkCommand::TakePhoto).expect("there is a camera");
    air.wait(Duration::from_secs(1));
    assert_eq!(
        source(&mut air),
        [
            "\u{3}",
            "frame.microphone.stop();print(1)",
            "cameraCaptureAndSend('VERY_HIGH',1,'CENTER_WEIGHTED',512,0)",
            "microphoneRecordAndSend(16000,8,nil)",
        ]
    );
    let codec = LinkEvent::Codec(AudioCodec::Pcm8(16_000));
    let broken = Dropped(DropReason::Unexpected);
    assert_eq!(air.take_events(), [codec.clone(), broken, photo(&jpeg(&[1; 100])), codec]);
}

#[test]
fn microphone_of_frame_sdk_makes_room_for_the_battery() {
    let mut air = Frame::new(Messages::FrameSdk).air(Sound::default());
    source(&mut air);
    air.command(&LinkCommand::Microphone(true)).expect("there is one");
    source(&mut air);
    air.take_events();
    air.wait(Duration::from_secs(60));
    assert_eq!(
        source(&mut air),
        [
            "\u{3}",
            "frame.microphone.stop();print(1)",
            "print(frame.battery_level())",
            "microphoneRecordAndSend(8000,8,nil)",
        ]
    );
    assert!(air.take_events().contains(&Battery(87)));

    let mut air = Air::connect(
        Profile::Frame(Settings { messages: Messages::FrameSdk, sound: Sound::default() }),
        Frame::new(Messages::FrameSdk),
    );
    air.command(&LinkCommand::Microphone(true)).expect("there is one");
    air.wait(Duration::from_secs(1));
    assert!(air.take_events().contains(&Battery(87)), "asked before the microphone is on");
}

#[test]
fn a_refused_message_starts_the_app_anew() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    air.device.runs = false; // It does not answer, so that the test can.
    air.command(&LinkCommand::TakePhoto).expect("there is a camera");
    air.notify(FrameRx, &[1, 1]);
    assert_eq!(air.take_events(), [Dropped(DropReason::Unanswered), Dropped(DropReason::PhotoGap)]);
    air.wait(Duration::from_secs(1));
    assert_eq!(air.device.starts, 2);
}

#[test]
fn a_message_that_is_not_acknowledged_starts_the_app_anew_and_the_microphone_with_it() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    air.command(&LinkCommand::Microphone(true)).expect("there is one");
    air.device.runs = false;
    air.take_events();
    air.show("x");
    air.wait(Duration::from_millis(4999));
    assert_eq!(air.events, []);
    air.wait(Duration::from_secs(2));
    assert_eq!(air.events, [Dropped(DropReason::Unanswered), LinkEvent::Codec(AudioCodec::Pcm8(8_000))]);
    assert_eq!(air.device.got.last(), Some(&(0x30, vec![0x1F, 0x40, 8])));
}

#[test]
fn what_a_frame_cannot_do() {
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    for command in [
        LinkCommand::Vibrate(Duration::ZERO),
        LinkCommand::StopPhotos,
        LinkCommand::PhotoEvery(Duration::from_secs(1)),
    ] {
        assert_eq!(air.command(&command), Err(Unsupported));
    }
    air.take_events();
    air.notify(Characteristic::FrameTx, &[1]);
    assert_eq!(air.events, [Dropped(DropReason::UnknownCharacteristic)]);
}

#[test]
fn uuids() {
    let text = |uuid: u128| format!("{uuid:032X}");
    assert_eq!(text(uuid::FRAME_SERVICE), "7A2300015475A6A4654C8431F6AD49C4");
    assert_eq!(
        frame::CHARACTERISTICS.map(uuid::of).map(text),
        ["7A2300025475A6A4654C8431F6AD49C4", "7A2300035475A6A4654C8431F6AD49C4"]
    );
}
