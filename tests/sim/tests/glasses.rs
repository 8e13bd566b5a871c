//! The glasses: what they notify has the firmware's byte layout, and what they are told is kept.

use std::time::Duration;

use glassd_core::link::answer_text::{self, Kind};
use glassd_core::link::{Characteristic, Write};
use glassd_core::{QueryId, Timestamp};
use glassd_sim::glasses::{GlassesSettings, OmiGlasses, PHOTO_INTERVAL};
use glassd_sim::world::Room;

const START: Timestamp = Timestamp::from_secs(1_790_000_000);

fn glasses() -> OmiGlasses {
    let mut glasses = OmiGlasses::new(1);
    glasses.look_at(Room::random(1), START);
    glasses.handle_connect(START);
    glasses
}

fn control(value: i8) -> Write {
    Write { characteristic: Characteristic::PhotoControl, value: value.to_le_bytes().to_vec() }
}

/// Everything that is ready, on one characteristic.
fn notified(glasses: &mut OmiGlasses, on: Characteristic, now: Timestamp) -> Vec<Vec<u8>> {
    let all = std::iter::from_fn(|| glasses.poll_notification(now));
    all.filter(|(characteristic, _)| *characteristic == on).map(|(_, value)| value).collect()
}

#[test]
fn a_photo_has_the_layout_of_firmware_2_3_2() {
    let mut glasses = glasses();
    glasses.handle_write(&control(-1), START);
    let values = notified(&mut glasses, Characteristic::PhotoData, START);
    let [first, middle @ .., last] = values.as_slice() else { panic!("{} notifications", values.len()) };
    assert_eq!(first[..3], [0, 0, 0]);
    assert_eq!(first.len(), 202);
    assert_eq!(last, &[0xff, 0xff]);
    let mut jpeg = first[3..].to_vec();
    for (number, value) in (1u16..).zip(middle) {
        assert_eq!(value[..2], number.to_le_bytes());
        assert!(value.len() <= 202);
        jpeg.extend(&value[2..]);
    }
    let picture = glassd_media::decode(&jpeg).unwrap();
    assert_eq!((picture.width(), picture.height()), (320, 240));
    assert_eq!(glasses.photos(), 1);
}

#[test]
fn photos_take_themselves_until_they_are_stopped() {
    let mut glasses = glasses();
    let check = |glasses: &mut OmiGlasses, after: Duration, photos: u64| {
        notified(glasses, Characteristic::PhotoData, START + after);
        assert_eq!(glasses.photos(), photos, "after {after:?}");
    };
    check(&mut glasses, PHOTO_INTERVAL - Duration::from_millis(1), 0);
    check(&mut glasses, PHOTO_INTERVAL, 1);
    // The firmware does not read the interval that it is asked for.
    glasses.handle_write(&control(5), START + PHOTO_INTERVAL);
    check(&mut glasses, PHOTO_INTERVAL + Duration::from_secs(29), 1);
    check(&mut glasses, 2 * PHOTO_INTERVAL, 2);
    glasses.handle_write(&control(0), START + 2 * PHOTO_INTERVAL);
    check(&mut glasses, 10 * PHOTO_INTERVAL, 2);
    assert_eq!(glasses.poll_timeout(), None);
}

#[test]
fn a_broken_camera_sends_half_a_jpeg() {
    let mut glasses = glasses();
    glasses.break_camera();
    glasses.handle_write(&control(-1), START);
    let values = notified(&mut glasses, Characteristic::PhotoData, START);
    let jpeg: Vec<u8> =
        values[0][3..].iter().chain(values[1..].iter().flat_map(|v| &v[2..])).copied().collect();
    assert!(glassd_media::decode(&jpeg).is_err());
}

#[test]
fn audio_counts_notifications_and_fragments() {
    let mut glasses = glasses();
    glasses.speak([vec![1; 40], vec![2; 200], vec![3; 10]], START);
    let later = START + Duration::from_millis(19);
    assert_eq!(notified(&mut glasses, Characteristic::Audio, later).len(), 1, "one frame each 20 ms");
    let values = notified(&mut glasses, Characteristic::Audio, START + Duration::from_secs(1));
    let heads: Vec<_> = values.iter().map(|value| (value[..3].to_vec(), value.len() - 3)).collect();
    assert_eq!(heads, [(vec![1, 0, 0], 160), (vec![2, 0, 1], 40), (vec![3, 0, 0], 10)]);
}

#[test]
fn the_button_and_the_battery_speak() {
    let mut glasses = glasses();
    glasses.press(START);
    assert_eq!(notified(&mut glasses, Characteristic::Button, START), [vec![1, 0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(glasses.battery_level(), 90);
    let levels: Vec<Vec<u8>> = (1..=60)
        .flat_map(|minute| {
            let now = START + Duration::from_secs(minute * 60);
            notified(&mut glasses, Characteristic::BatteryLevel, now)
        })
        .collect();
    // 8 % an hour, and 60 photos of 0.004 %.
    assert_eq!(levels.last(), Some(&vec![82]));
    assert_eq!(levels.len(), 8);
}

#[test]
fn answers_are_remembered_with_their_query() {
    let mut glasses = glasses();
    let said = [(Kind::Notice, 1, "one moment"), (Kind::Answer, 1, "3 cubes"), (Kind::Answer, 1, "3 cubes")];
    for (kind, query, text) in said {
        glasses.handle_write(&answer_text::encode(kind, QueryId(query), text), START);
    }
    let broken = Write { characteristic: Characteristic::AnswerText, value: vec![1, 0, 0] };
    glasses.handle_write(&broken, START);
    let answer = (QueryId(1), "3 cubes".to_owned());
    assert_eq!(glasses.answers(), [answer.clone(), answer]);
    assert_eq!(glasses.notices(), [(QueryId(1), "one moment".to_owned())]);
}

#[test]
fn a_higher_quality_makes_a_longer_photo() {
    let length = |settings| {
        let mut glasses = OmiGlasses::with(1, settings);
        glasses.look_at(Room::random(1), START);
        glasses.handle_write(&control(-1), START);
        notified(&mut glasses, Characteristic::PhotoData, START).concat().len()
    };
    let default = GlassesSettings::default();
    let (small, large) = (length(default), length(GlassesSettings { width: 640, height: 480, ..default }));
    assert!(small < 15_000 && large > small, "{small} and {large} bytes");
}
