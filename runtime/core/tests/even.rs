//! Byte vectors of Even Realities' G1, from the vendor's app.
//!
//! They say what real glasses send and take: if one fails do not change the test.

mod air;

use std::time::Duration;

use air::Air;
use air::even::Glasses;
use glassd_core::link::{
    Arm, AudioCodec, ButtonEvent, Characteristic, DropReason, LinkCommand, LinkEvent, Unsupported, even, uuid,
};

use Arm::{Left, Right};
use LinkEvent::{Button, Dropped};

const MICROPHONE_ON: LinkCommand = LinkCommand::Microphone(true);

/// What comes of these notifications.
#[track_caller]
fn check(values: &[(Arm, &[u8])], expected: &[LinkEvent]) {
    let mut air = Glasses::default().air();
    for (arm, value) in values {
        air.notify(Characteristic::EvenRx(*arm), value);
    }
    assert_eq!(air.events, expected);
}

/// A notification of audio: the first byte of each frame is its number.
fn audio(seq: u8) -> Vec<u8> {
    let frames = (0..10).flat_map(|number| [&[number], &[seq; 19][..]].concat());
    [0xF1, seq].into_iter().chain(frames).collect()
}

fn frames(seq: u8, lost_notifications: u32) -> impl Iterator<Item = LinkEvent> {
    (0..10).map(move |number| LinkEvent::Audio {
        frame: [&[number], &[seq; 19][..]].concat(),
        // Each had ten frames.
        lost_before: if number == 0 { 10 * lost_notifications } else { 0 },
    })
}

#[track_caller]
fn check_audio(seqs: &[u8], expected: &[(u8, u32)]) {
    let mut air = Glasses::default().air();
    for seq in seqs {
        air.notify(Characteristic::EvenRx(Right), &audio(*seq));
    }
    let expected: Vec<_> = expected.iter().flat_map(|(seq, lost)| frames(*seq, *lost)).collect();
    assert_eq!(air.events, expected);
}

fn said(air: &mut Air<Glasses>) -> Vec<(Arm, Vec<u8>)> {
    std::mem::take(&mut air.device.said)
}

#[test]
fn audio_is_ten_frames() {
    check_audio(&[7], &[(7, 0)]);
}

#[test]
fn audio_lost_is_counted() {
    check_audio(&[0, 1, 5], &[(0, 0), (1, 0), (5, 3)]);
    check_audio(&[254, 255, 0, 1], &[(254, 0), (255, 0), (0, 0), (1, 0)]);
    check_audio(&[250, 2], &[(250, 0), (2, 7)]);
    check_audio(&[0, 0x7F], &[(0, 0), (0x7F, 0x7E)]);
    check_audio(&[0, 0x80], &[(0, 0), (0x80, 0)]);
}

#[test]
fn audio_repeated_is_suppressed() {
    let again = Dropped(DropReason::Duplicate);
    let expected: Vec<_> = frames(7, 0).chain([again]).collect();
    check(&[(Right, &audio(7)), (Right, &audio(7))], &expected);
    // The same number with other bytes is a new count.
    let mut other = audio(7);
    other[5] ^= 1;
    let mut air = Glasses::default().air();
    air.notify(Characteristic::EvenRx(Right), &audio(7));
    air.notify(Characteristic::EvenRx(Right), &other);
    assert_eq!(air.events.len(), 20);
}

#[test]
fn audio_of_another_length_or_of_the_left_arm_is_none() {
    for length in [0, 1, 2, 201, 203] {
        let mut value = audio(1);
        value.resize(length.max(1), 0);
        check(&[(Right, &value)], &[Dropped(DropReason::Malformed)]);
    }
    check(&[(Left, &audio(1))], &[Dropped(DropReason::UnknownValue)]);
}

#[test]
fn touches() {
    for (event, expected) in [
        (0x00, ButtonEvent::Double),
        (0x01, ButtonEvent::Single),
        (0x17, ButtonEvent::Press),
        (0x18, ButtonEvent::Release),
    ] {
        check(&[(Left, &[0xF5, event])], &[Button(expected)]);
        check(&[(Right, &[0xF5, event, 0, 0])], &[Button(expected)]);
    }
    check(&[(Left, &[0xF5, 0x04]), (Right, &[0xF5, 0x05])], &[]);
    check(&[(Left, &[0xF5, 0x06])], &[Dropped(DropReason::UnknownValue)]);
    check(&[(Left, &[0xF5])], &[Dropped(DropReason::Malformed)]);
}

#[test]
fn a_hold_that_both_arms_tell_is_one() {
    let mut air = Glasses::default().air();
    let mut hold = |after_ms, event| {
        air.wait(Duration::from_millis(after_ms));
        air.notify(Characteristic::EvenRx(Left), &[0xF5, event]);
        air.take_events()
    };
    assert_eq!(hold(0, 0x17), [Button(ButtonEvent::Press)]);
    assert_eq!(hold(499, 0x17), [Dropped(DropReason::Duplicate)]);
    assert_eq!(hold(100, 0x18), [Button(ButtonEvent::Release)]);
    assert_eq!(hold(100, 0x17), [Button(ButtonEvent::Press)]);
    assert_eq!(hold(500, 0x17), [Button(ButtonEvent::Press)]);
    // Taps may follow each other as they like.
    assert_eq!(hold(0, 0x01), [Button(ButtonEvent::Single)]);
    assert_eq!(hold(0, 0x01), [Button(ButtonEvent::Single)]);
}

#[test]
fn what_no_message_has() {
    for (value, reason) in [
        (&[][..], DropReason::Malformed),
        (&[0x0E], DropReason::Malformed),
        (&[0x4E], DropReason::Malformed),
        (&[0x25], DropReason::Malformed),
        (&[0x0E, 0xC8], DropReason::UnknownValue),
        (&[0x25, 6, 0, 1, 3, 1], DropReason::UnknownValue),
        (&[0x77, 1], DropReason::UnknownValue),
        (&[0x0E, 0xC9, 1], DropReason::Unexpected),
        (&[0x4E, 0xCA], DropReason::Unexpected),
        (&[0x25, 6, 0, 1, 4, 1], DropReason::Unexpected),
        (&[0xF1; 513], DropReason::Malformed),
    ] {
        check(&[(Right, value)], &[Dropped(reason)]);
    }
    check(&[(Left, &[0x4D, 0xC9])], &[]);
}

#[test]
fn both_arms_are_greeted() {
    let air = Glasses::default().air();
    let writes: Vec<_> =
        air.writes.iter().map(|write| (write.characteristic, write.value.as_slice())).collect();
    assert_eq!(
        writes,
        [(Characteristic::EvenTx(Left), &[0x4D, 1][..]), (Characteristic::EvenTx(Right), &[0x4D, 1])]
    );
}

#[test]
fn heartbeats_go_left_and_then_right_every_8_s() {
    let mut air = Glasses::default().air();
    air.take_writes();
    air.wait(Duration::from_millis(7999));
    assert_eq!(air.writes, []);
    air.wait(Duration::from_millis(1));
    let beat = |air: &mut Air<Glasses>| -> Vec<_> {
        air.take_writes().into_iter().map(|write| (write.characteristic, write.value)).collect()
    };
    let expected =
        |seq| [Left, Right].map(|arm| (Characteristic::EvenTx(arm), vec![0x25, 6, 0, seq, 4, seq]));
    assert_eq!(beat(&mut air), expected(0));
    air.wait(Duration::from_secs(8));
    assert_eq!(beat(&mut air), expected(1));
    air.wait(Duration::from_secs(8 * 255));
    assert_eq!(beat(&mut air).last(), Some(&expected(0)[1]), "it wraps at 256");
}

#[test]
fn microphone_is_the_right_arms() {
    let mut air = Glasses::default().air();
    air.command(&MICROPHONE_ON).expect("there is one");
    air.command(&MICROPHONE_ON).expect("there is one");
    assert_eq!(said(&mut air), [(Right, vec![0x0E, 1])]);
    assert_eq!(air.take_events(), [LinkEvent::Codec(AudioCodec::Lc3(20))]);
    // The glasses turn it off after 30 s.
    air.wait(Duration::from_millis(19_999));
    assert_eq!(said(&mut air), []);
    air.wait(Duration::from_millis(20_001));
    assert_eq!(said(&mut air), [(Right, vec![0x0E, 1]), (Right, vec![0x0E, 1])]);
    air.command(&LinkCommand::Microphone(false)).expect("there is one");
    air.wait(Duration::from_secs(100));
    assert_eq!(said(&mut air), [(Right, vec![0x0E, 0])]);
    assert_eq!(air.take_events(), []);
}

#[test]
fn text_goes_left_and_then_right() {
    let mut air = Glasses::default().air();
    air.show("Hello");
    let packet = [&[0x4E, 0, 1, 0, 0x71, 0, 0, 1, 1], &b"\n\nHello\n"[..]].concat();
    assert_eq!(said(&mut air), [(Left, packet.clone()), (Right, packet)]);
    air.show("again");
    assert_eq!(said(&mut air)[0].1[..3], [0x4E, 1, 1]);
}

#[test]
fn text_in_pages_of_five_lines_every_5_s() {
    let mut air = Glasses::default().air();
    let line = "a line of exactly forty characters, so..";
    assert_eq!(line.len(), 40);
    air.show(&[line; 7].join(" "));
    let packets = said(&mut air);
    let headers: Vec<_> =
        packets.iter().map(|(arm, value)| (*arm, value[..9].to_vec(), value.len())).collect();
    let header = |number| vec![0x4E, 0, 2, number, 0x71, 0, 0, 1, 2];
    assert_eq!(
        headers,
        [(Left, header(0), 200), (Left, header(1), 23), (Right, header(0), 200), (Right, header(1), 23)]
    );
    air.wait(Duration::from_secs(5));
    let page = |number, lines| (number, 2, format!("{line}\n").repeat(lines).into_bytes());
    for arm in [Left, Right] {
        assert_eq!(air.device.shown[&arm], [page(1, 5), page(2, 2)]);
    }
}

#[test]
fn right_waits_for_left() {
    let mut air = Glasses::default().air();
    air.device.statuses = vec![0];
    air.show("x");
    assert_eq!(air.device.said.len(), 1);
    air.wait(Duration::from_millis(1999));
    assert_eq!(air.device.said.len(), 1);
    air.wait(Duration::from_millis(1));
    let arms: Vec<_> = said(&mut air).into_iter().map(|(arm, _)| arm).collect();
    assert_eq!(arms, [Left, Left, Right]);
    // The answer of the other arm is not the one that is waited for.
    air.device.statuses = vec![0];
    air.show("y");
    air.notify(Characteristic::EvenRx(Right), &[0x4E, 0xC9]);
    assert_eq!(air.events, [Dropped(DropReason::Unexpected)]);
    assert_eq!(air.device.said.len(), 1);
}

#[test]
fn what_fails_is_tried_three_times() {
    for status in [0xCA, 0] {
        let mut air = Glasses::default().air();
        air.device.statuses = vec![status; 3];
        air.show(&"word ".repeat(100));
        air.wait(Duration::from_secs(7));
        assert_eq!(air.take_events(), [Dropped(DropReason::Unanswered)]);
        assert_eq!(air.device.said.len(), 3);
        assert!(air.device.said.iter().all(|said| *said == air.device.said[0]));
        assert!(air.device.shown.is_empty());
        air.device.statuses.clear();
        air.show("next");
        assert_eq!(air.device.shown[&Right].len(), 1);
    }
}

#[test]
fn a_packet_to_go_on_from_is_done() {
    let mut air = Glasses::default().air();
    air.device.statuses = vec![0xCB];
    air.show("x");
    assert_eq!(air.device.said.len(), 2);
}

#[test]
fn what_a_g1_cannot_do() {
    let mut air = Glasses::default().air();
    for command in [
        LinkCommand::TakePhoto,
        LinkCommand::StopPhotos,
        LinkCommand::Camera { longest_side: 1, quality: 1 },
        LinkCommand::PhotoEvery(Duration::from_secs(1)),
        LinkCommand::Vibrate(Duration::ZERO),
    ] {
        assert_eq!(air.command(&command), Err(Unsupported));
    }
    air.notify(Characteristic::EvenTx(Left), &[1]);
    assert_eq!(air.events, [Dropped(DropReason::UnknownCharacteristic)]);
}

#[test]
fn uuids() {
    let text = |uuid: u128| format!("{uuid:032X}");
    assert_eq!(text(uuid::EVEN_SERVICE), "6E400001B5A3F393E0A9E50E24DCCA9E");
    let [tx, rx] = even::LEFT.map(uuid::of).map(text);
    assert_eq!([&tx, &rx], even::RIGHT.map(uuid::of).map(text).each_ref());
    assert_eq!([tx, rx], ["6E400002B5A3F393E0A9E50E24DCCA9E", "6E400003B5A3F393E0A9E50E24DCCA9E"]);
}
