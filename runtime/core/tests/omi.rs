//! Byte vectors of the Omi protocol, from the vendor's firmware and the tests of its app.
//!
//! They say what real glasses send: if one fails do not change the test.

use std::time::Duration;

use glassd_core::link::omi::{self, Decoder, Firmware};
use glassd_core::link::{
    AudioCodec, ButtonEvent, Characteristic, DropReason, LinkCommand, LinkEvent, Orientation, Write, uuid,
};

use Characteristic::{Audio, BatteryLevel, Button, Codec, PhotoData};
use LinkEvent::Dropped;

#[track_caller]
fn check(firmware: Firmware, notifications: &[(Characteristic, &[u8])], expected: &[LinkEvent]) {
    let mut decoder = Decoder::new(firmware);
    let mut events = Vec::new();
    for (characteristic, value) in notifications {
        decoder.handle_notification(*characteristic, value);
        events.extend(std::iter::from_fn(|| decoder.poll_event()));
    }
    assert_eq!(events, expected);
}

#[track_caller]
fn check_photo(firmware: Firmware, values: &[&[u8]], expected: &[LinkEvent]) {
    let notifications: Vec<_> = values.iter().map(|value| (PhotoData, *value)).collect();
    check(firmware, &notifications, expected);
}

#[track_caller]
fn check_audio(values: &[&[u8]], expected: &[LinkEvent]) {
    let notifications: Vec<_> = values.iter().map(|value| (Audio, *value)).collect();
    check(Firmware::Oriented, &notifications, expected);
}

fn photo(jpeg: &[u8], orientation: Orientation) -> LinkEvent {
    LinkEvent::Photo { jpeg: jpeg.to_vec(), orientation }
}

fn audio(frame: &[u8], lost_before: u32) -> LinkEvent {
    LinkEvent::Audio { frame: frame.to_vec(), lost_before }
}

#[test]
fn photo_with_orientation() {
    check_photo(
        Firmware::from_revision("2.3.2"),
        &[&[0, 0, 2, 0xFF, 0xD8, 1], &[1, 0, 2, 3], &[2, 0, 0xFF, 0xD9], &[0xFF, 0xFF]],
        &[photo(&[0xFF, 0xD8, 1, 2, 3, 0xFF, 0xD9], Orientation::Half)],
    );
    for (byte, orientation) in [
        (0, Orientation::Upright),
        (1, Orientation::Quarter),
        (2, Orientation::Half),
        (3, Orientation::ThreeQuarters),
    ] {
        check_photo(Firmware::Oriented, &[&[0, 0, byte, 7], &[0xFF, 0xFF]], &[photo(&[7], orientation)]);
    }
}

#[test]
fn photo_of_older_firmware_is_upside_down() {
    let values: [&[u8]; 3] = [&[0, 0, 0xFF, 0xD8], &[1, 0, 9], &[0xFF, 0xFF]];
    let expected = [photo(&[0xFF, 0xD8, 9], Orientation::Half)];
    check_photo(Firmware::from_revision("2.1.0"), &values, &expected);
    check_photo(Firmware::UpsideDown, &values, &expected);
}

#[test]
fn photo_of_firmware_that_does_not_tell() {
    check_photo(
        Firmware::Unknown,
        &[&[0, 0, 0xFF, 0xD8], &[0xFF, 0xFF], &[0, 0, 1, 0xFF, 0xD8], &[0xFF, 0xFF]],
        &[photo(&[0xFF, 0xD8], Orientation::Half), photo(&[0xFF, 0xD8], Orientation::Quarter)],
    );
}

#[test]
fn photo_chunk_numbers_have_two_bytes() {
    let mut values: Vec<Vec<u8>> = vec![vec![0, 0, 0, 0]];
    let mut jpeg = vec![0];
    for number in 1..=300_u16 {
        let fill = number as u8;
        values.push([&number.to_le_bytes()[..], &[fill; 200]].concat());
        jpeg.extend([fill; 200]);
    }
    values.push(vec![0xFF, 0xFF]);
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    check_photo(Firmware::Oriented, &values, &[photo(&jpeg, Orientation::Upright)]);
}

#[test]
fn photo_with_a_chunk_missing_is_lost_and_told_once() {
    check_photo(
        Firmware::Oriented,
        &[&[0, 0, 0, 1], &[1, 0, 2], &[3, 0, 4], &[4, 0, 5], &[0xFF, 0xFF], &[0, 0, 0, 6], &[0xFF, 0xFF]],
        &[Dropped(DropReason::PhotoGap), photo(&[6], Orientation::Upright)],
    );
}

#[test]
fn photo_without_its_end_is_lost_when_the_next_begins() {
    check_photo(
        Firmware::Oriented,
        &[&[0, 0, 0, 1], &[1, 0, 2], &[0, 0, 3, 6], &[0xFF, 0xFF]],
        &[Dropped(DropReason::PhotoGap), photo(&[6], Orientation::ThreeQuarters)],
    );
}

#[test]
fn photo_without_its_beginning_is_told_once() {
    check_photo(
        Firmware::Oriented,
        &[&[7, 0, 1], &[8, 0, 2], &[0xFF, 0xFF], &[0xFF, 0xFF]],
        &[Dropped(DropReason::PhotoWithoutStart), Dropped(DropReason::PhotoWithoutStart)],
    );
}

#[test]
fn photo_that_the_protocol_does_not_define() {
    let end: &[u8] = &[0xFF, 0xFF];
    let malformed = [Dropped(DropReason::Malformed)];
    check_photo(Firmware::Oriented, &[&[]], &malformed);
    check_photo(Firmware::Oriented, &[&[0]], &malformed);
    check_photo(Firmware::Oriented, &[&[0, 0], end], &malformed);
    check_photo(Firmware::Oriented, &[&[0, 0, 1], end], &malformed);
    check_photo(Firmware::Oriented, &[&[0; 513]], &malformed);
    check_photo(Firmware::Oriented, &[&[0, 0, 4, 1], &[1, 0, 1], end], &[Dropped(DropReason::UnknownValue)]);
}

#[test]
fn photo_past_200_kb_is_given_up() {
    let mut decoder = Decoder::new(Firmware::Oriented);
    decoder.handle_notification(PhotoData, &[0, 0, 0, 1]);
    for number in 1..=omi::MAX_PHOTO.div_ceil(200) as u16 {
        assert_eq!(decoder.poll_event(), None);
        decoder.handle_notification(PhotoData, &[&number.to_le_bytes()[..], &[1; 200]].concat());
    }
    assert_eq!(decoder.poll_event(), Some(Dropped(DropReason::PhotoTooLong)));
    decoder.handle_notification(PhotoData, &[0xFF, 0xFF]);
    assert_eq!(decoder.poll_event(), None);
}

#[test]
fn audio_payload() {
    check_audio(&[&[0, 0, 0, 9, 8]], &[audio(&[9, 8], 0)]);
    check_audio(&[&[1, 2]], &[Dropped(DropReason::Malformed)]);
    check_audio(&[&[]], &[Dropped(DropReason::Malformed)]);
}

/// Each notification is a frame of its own, and comes out before the next one is there.
#[test]
fn audio_continuity() {
    let lost_between = |before: u16, after: u16| {
        let notification = |id: u16| [&id.to_le_bytes()[..], &[0, 5]].concat();
        let mut decoder = Decoder::new(Firmware::Oriented);
        decoder.handle_notification(Audio, &notification(before));
        assert_eq!(decoder.poll_event(), Some(audio(&[5], 0)));
        decoder.handle_notification(Audio, &notification(after));
        match decoder.poll_event() {
            Some(LinkEvent::Audio { lost_before, .. }) => lost_before,
            other => panic!("expected a frame, got {other:?}"),
        }
    };
    assert_eq!(lost_between(0xFFFE, 0xFFFF), 0);
    assert_eq!(lost_between(0xFFFF, 0), 0);
    assert_eq!(lost_between(100, 104), 3);
    assert_eq!(lost_between(5000, 1), 0, "a reset");
    assert_eq!(lost_between(50_000, 1), 15_536);
    assert_eq!(lost_between(0, 0x7FFF), 0x7FFE);
    assert_eq!(lost_between(0, 0x8000), 0, "a reset");
}

#[test]
fn audio_repeated_is_suppressed() {
    check_audio(
        &[&[7, 0, 0, 1], &[7, 0, 0, 1], &[8, 0, 0, 2]],
        &[audio(&[1], 0), Dropped(DropReason::Duplicate), audio(&[2], 0)],
    );
}

#[test]
fn audio_with_the_same_id_and_another_payload_is_kept() {
    check_audio(&[&[7, 0, 0, 1], &[7, 0, 0, 2]], &[audio(&[1], 0), audio(&[2], 0)]);
}

#[test]
fn audio_lost_is_counted_until_a_frame_comes() {
    check_audio(
        &[&[0, 0, 0, 1], &[2, 0, 1, 1], &[4, 0, 0, 1]],
        &[audio(&[1], 0), Dropped(DropReason::AudioGap), audio(&[1], 2)],
    );
}

/// MTU 100: the firmware fills 97 bytes, so 150 bytes of Opus go as 94 and 56.
#[test]
fn audio_in_fragments() {
    let frame = |fill: u8| [fill; 150];
    let fragments = |id: u16, fill: u8| {
        let fragment =
            |id: u16, index: u8, payload: &[u8]| [&id.to_le_bytes()[..], &[index], payload].concat();
        [fragment(id, 0, &frame(fill)[..94]), fragment(id + 1, 1, &frame(fill)[94..])]
    };
    let values = [fragments(0, 1), fragments(2, 2), fragments(4, 3)].concat();
    let short = [6, 0, 0, 4];
    let mut values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    values.push(&short);
    check_audio(
        &values,
        &[
            // That a notification of 97 bytes can be continued is learnt from the first frame.
            audio(&frame(1)[..94], 0),
            Dropped(DropReason::AudioGap),
            audio(&frame(2), 0),
            audio(&frame(3), 0),
            audio(&[4], 0),
        ],
    );
    // The first half of the third frame gets lost, then the second half of the second.
    values.remove(4);
    values.remove(3);
    check_audio(
        &values,
        &[
            audio(&frame(1)[..94], 0),
            Dropped(DropReason::AudioGap),
            Dropped(DropReason::AudioGap),
            Dropped(DropReason::AudioGap),
            audio(&[4], 2),
        ],
    );
}

#[test]
fn audio_fragments_of_two_counts_are_not_one_frame() {
    let full = |id: u16, index: u8| [&id.to_le_bytes()[..], &[index], &[1; 509]].concat();
    check_audio(
        &[&full(5000, 0), &[1, 0, 1, 2], &[2, 0, 0, 3]],
        &[Dropped(DropReason::AudioGap), Dropped(DropReason::AudioGap), audio(&[3], 0)],
    );
}

/// Else one hostile notification would delay all frames by a packet.
#[test]
fn audio_continued_after_a_short_notification_teaches_nothing() {
    check_audio(
        &[&[0, 0, 0, 1], &[1, 0, 1, 2], &[2, 0, 0, 3, 3]],
        &[audio(&[1], 0), Dropped(DropReason::AudioGap), audio(&[3, 3], 0)],
    );
}

#[test]
fn audio_frame_past_its_bound_is_dropped() {
    let mut decoder = Decoder::new(Firmware::Oriented);
    for index in 0..=(omi::MAX_FRAME / 509) as u8 {
        assert_eq!(decoder.poll_event(), None);
        decoder.handle_notification(Audio, &[&[index, 0, index][..], &[1; 509]].concat());
    }
    assert_eq!(decoder.poll_event(), Some(Dropped(DropReason::Malformed)));
}

#[test]
fn audio_frame_of_full_notifications_ends_where_the_next_begins() {
    let mut decoder = Decoder::new(Firmware::Oriented);
    let longest = [&[0, 0, 0][..], &[1; 509]].concat();
    decoder.handle_notification(Audio, &longest);
    assert_eq!(decoder.poll_event(), None);
    decoder.handle_notification(Audio, &[1, 0, 0, 2]);
    assert_eq!(decoder.poll_event(), Some(audio(&[1; 509], 0)));
    assert_eq!(decoder.poll_event(), Some(audio(&[2], 0)));
}

#[test]
fn codecs() {
    for (id, codec) in [
        (0, AudioCodec::Pcm16(16_000)),
        (1, AudioCodec::Pcm16(8_000)),
        (10, AudioCodec::MuLaw(16_000)),
        (11, AudioCodec::MuLaw(8_000)),
        (20, AudioCodec::Opus(160)),
        (21, AudioCodec::Opus(320)),
    ] {
        check(Firmware::Oriented, &[(Codec, &[id])], &[LinkEvent::Codec(codec)]);
    }
    check(Firmware::Oriented, &[(Codec, &[22])], &[Dropped(DropReason::UnknownValue)]);
    check(Firmware::Oriented, &[(Codec, &[])], &[Dropped(DropReason::Malformed)]);
}

#[test]
fn buttons() {
    for (number, event) in [
        (1, ButtonEvent::Single),
        (2, ButtonEvent::Double),
        (3, ButtonEvent::Long),
        (4, ButtonEvent::Press),
        (5, ButtonEvent::Release),
    ] {
        check(Firmware::Oriented, &[(Button, &[number, 0, 0, 0, 9, 9, 9, 9])], &[LinkEvent::Button(event)]);
    }
    let unknown = [Dropped(DropReason::UnknownValue)];
    check(Firmware::Oriented, &[(Button, &[0; 8])], &unknown);
    check(Firmware::Oriented, &[(Button, &[1, 0, 0, 1, 0, 0, 0, 0])], &unknown);
    check(Firmware::Oriented, &[(Button, &[1, 0, 0, 0])], &[Dropped(DropReason::Malformed)]);
}

#[test]
fn battery_levels() {
    check(Firmware::Oriented, &[(BatteryLevel, &[0])], &[LinkEvent::Battery(0)]);
    check(Firmware::Oriented, &[(BatteryLevel, &[100])], &[LinkEvent::Battery(100)]);
    check(Firmware::Oriented, &[(BatteryLevel, &[101])], &[Dropped(DropReason::UnknownValue)]);
    check(Firmware::Oriented, &[(BatteryLevel, &[])], &[Dropped(DropReason::Malformed)]);
    check(Firmware::Oriented, &[(BatteryLevel, &[50, 0])], &[Dropped(DropReason::Malformed)]);
}

#[test]
fn characteristics_that_only_take_writes() {
    for characteristic in [Characteristic::PhotoControl, Characteristic::Haptic, Characteristic::AnswerText] {
        check(Firmware::Oriented, &[(characteristic, &[1])], &[Dropped(DropReason::UnknownCharacteristic)]);
    }
}

#[test]
fn disconnection_forgets_what_was_on_its_way() {
    let mut decoder = Decoder::new(Firmware::Oriented);
    decoder.handle_notification(PhotoData, &[0, 0, 0, 1]);
    decoder.handle_notification(Audio, &[9, 0, 0, 1]);
    decoder.handle_disconnect();
    assert_eq!(decoder.poll_event(), Some(audio(&[1], 0)));
    decoder.handle_notification(PhotoData, &[1, 0, 1]);
    assert_eq!(decoder.poll_event(), Some(Dropped(DropReason::PhotoWithoutStart)));
    decoder.handle_notification(Audio, &[20, 0, 0, 2]);
    assert_eq!(decoder.poll_event(), Some(audio(&[2], 0)));
}

#[test]
fn events_that_nobody_polls_make_room() {
    let mut decoder = Decoder::new(Firmware::Oriented);
    for percent in 0..100 {
        decoder.handle_notification(BatteryLevel, &[percent]);
    }
    let events: Vec<_> = std::iter::from_fn(|| decoder.poll_event()).collect();
    assert_eq!(events.len(), omi::MAX_EVENTS);
    assert_eq!(events.first(), Some(&Dropped(DropReason::Overflow)));
    assert_eq!(events.last(), Some(&LinkEvent::Battery(99)));
}

#[test]
fn commands() {
    let photo_control =
        |value| Some(Write { characteristic: Characteristic::PhotoControl, value: vec![value] });
    let haptic = |value| Some(Write { characteristic: Characteristic::Haptic, value: vec![value] });
    let every = |seconds| LinkCommand::PhotoEvery(Duration::from_secs_f32(seconds));
    let vibrate = |ms| LinkCommand::Vibrate(Duration::from_millis(ms));
    for (command, expected) in [
        (LinkCommand::TakePhoto, photo_control(0xFF)),
        (LinkCommand::StopPhotos, photo_control(0)),
        (every(0.0), photo_control(5)),
        (every(5.0), photo_control(5)),
        (every(5.5), photo_control(6)),
        (every(127.0), photo_control(127)),
        (every(1e9), photo_control(127)),
        (vibrate(0), haptic(1)),
        (vibrate(199), haptic(1)),
        (vibrate(300), haptic(2)),
        (vibrate(399), haptic(2)),
        (vibrate(60_000), haptic(3)),
    ] {
        assert_eq!(omi::encode(&command), expected, "{command:?}");
    }
}

#[test]
fn firmware_revisions() {
    for (revision, expected) in [
        ("2.1.1", Firmware::Oriented),
        ("2.3.2", Firmware::Oriented),
        ("v2.10", Firmware::Oriented),
        ("3", Firmware::Oriented),
        (" 2.1.1-beta.4\0", Firmware::Oriented),
        ("2.1.0", Firmware::UpsideDown),
        ("2.1", Firmware::UpsideDown),
        ("1.9.9", Firmware::UpsideDown),
        ("", Firmware::Unknown),
        ("glass", Firmware::Unknown),
        ("99999999999.1", Firmware::Unknown),
        ("2..1", Firmware::Unknown),
    ] {
        assert_eq!(Firmware::from_revision(revision), expected, "{revision:?}");
    }
}

#[test]
fn uuids() {
    let text = |uuid: u128| format!("{uuid:032X}");
    assert_eq!(text(uuid::OMI_SERVICE), "19B10000E8F2537E4F6CD104768A1214");
    for (characteristic, expected) in [
        (Audio, "19B10001E8F2537E4F6CD104768A1214"),
        (Codec, "19B10002E8F2537E4F6CD104768A1214"),
        (PhotoData, "19B10005E8F2537E4F6CD104768A1214"),
        (Characteristic::PhotoControl, "19B10006E8F2537E4F6CD104768A1214"),
        (Button, "23BA7925000010007450346EAC492E92"),
        (Characteristic::Haptic, "CAB1AB962EA54F4DBB56874B72CFC984"),
        (BatteryLevel, "00002A1900001000800000805F9B34FB"),
        (Characteristic::AnswerText, "7B1D00026C617373642D676C61737365"),
    ] {
        assert_eq!(text(uuid::of(characteristic)), expected);
    }
    // Each has its own, so that a GATT table can be read back.
    let mut all: Vec<u128> = omi::CHARACTERISTICS.map(uuid::of).to_vec();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), omi::CHARACTERISTICS.len());
}
