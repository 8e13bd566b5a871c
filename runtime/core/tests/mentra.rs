//! Byte vectors of Mentra's protocol: the document's examples, and audio as its firmware packs it.
//!
//! They say what real glasses send: if one fails do not change the test.

use std::time::Duration;

use glassd_core::link::answer_text::Kind;
use glassd_core::link::mentra::{self, Connection};
use glassd_core::link::{
    Abilities, AudioCodec, ButtonEvent, Characteristic, DropReason, LinkCommand, LinkEvent, Motion,
    Orientation, Protocol, Unsupported, uuid,
};
use glassd_core::{QueryId, Timestamp};

use Characteristic::MentraRx;
use LinkEvent::Dropped;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn json(text: &str) -> Vec<u8> {
    [&[1], text.as_bytes()].concat()
}

fn events(connection: &mut Connection) -> Vec<LinkEvent> {
    std::iter::from_fn(|| connection.poll_event()).collect()
}

/// The JSON of what is written, without the messages' names.
fn said(connection: &mut Connection) -> Vec<String> {
    std::iter::from_fn(|| connection.poll_write())
        .map(|write| {
            assert_eq!(write.characteristic, Characteristic::MentraTx);
            assert!(write.value.len() <= mentra::LONGEST_WRITE, "{} bytes", write.value.len());
            assert_eq!(write.value[0], 1);
            let mut message: serde_json::Value =
                serde_json::from_slice(&write.value[1..]).expect("it is JSON");
            assert!(
                message
                    .as_object_mut()
                    .expect("a message is an object")
                    .remove("msg_id")
                    .is_some_and(|id| id.is_string())
            );
            message.to_string()
        })
        .collect()
}

#[track_caller]
fn check_said(connection: &mut Connection, expected: &[&str]) {
    // Through `Value`, which decides the order of the keys.
    let expected: Vec<_> = expected
        .iter()
        .map(|text| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON").to_string())
        .collect();
    assert_eq!(said(connection), expected);
}

fn connected() -> Connection {
    let mut connection = Connection::default();
    connection.handle_connected(START);
    said(&mut connection);
    connection
}

#[track_caller]
fn check(values: &[Vec<u8>], expected: &[LinkEvent]) {
    let mut connection = connected();
    let mut got = Vec::new();
    for value in values {
        connection.handle_notification(MentraRx, value, START);
        got.extend(events(&mut connection));
    }
    assert_eq!(got, expected);
}

#[test]
fn uuids() {
    let text = |uuid: u128| format!("{uuid:032X}");
    assert_eq!(text(uuid::MENTRA_SERVICE), "0000486000001000800000805F9B34FB");
    assert_eq!(text(uuid::of(Characteristic::MentraTx)), "000071FF00001000800000805F9B34FB");
    assert_eq!(text(uuid::of(MentraRx)), "000070FF00001000800000805F9B34FB");
}

#[test]
fn the_glasses_are_asked_what_they_are() {
    let mut connection = Connection::default();
    connection.handle_connected(START);
    check_said(
        &mut connection,
        &[r#"{"type":"request_glasses_info"}"#, r#"{"type":"request_battery_state"}"#],
    );
    assert_eq!(connection.abilities(), Abilities::default());
    let info = json(
        r#"{"type":"device_info","fw":"1.2.3","hw":"MentraLive","features":{"camera":true,"display":true,
        "audio_tx":true,"audio_rx":false,"imu":true,"vad":true,"mic_switching":true,"image_chunk_buffer":12}}"#,
    );
    connection.handle_notification(MentraRx, &info, START);
    let expected = Abilities { camera: None, microphone: true, display: true, haptics: false };
    assert_eq!((connection.abilities(), events(&mut connection)), (expected, vec![]));
    assert_eq!(connection.handle_command(&LinkCommand::TakePhoto, START), Err(Unsupported));
}

#[test]
fn what_the_glasses_do_not_have_is_not_asked_for() {
    let mut connection = connected();
    let info = json(r#"{"type":"device_info","features":{}}"#);
    connection.handle_notification(MentraRx, &info, START);
    let show = LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text: "x".into() };
    for command in [show, LinkCommand::Microphone(true)] {
        assert_eq!(connection.handle_command(&command, START), Err(Unsupported));
    }
}

#[test]
fn control_messages() {
    for (text, expected) in [
        (r#"{ "type": "battery_status", "level": 82, "charging": false }"#, LinkEvent::Battery(82)),
        (
            r#"{"type":"button_event","button":"center","state":"down"}"#,
            LinkEvent::Button(ButtonEvent::Press),
        ),
        (r#"{"type":"button_event","button":"left","state":"up"}"#, LinkEvent::Button(ButtonEvent::Release)),
        (
            r#"{"type":"imu_data","msg_id":"imu_001","accel":{"x":0,"y":-9.80665,"z":0},
                "gyro":{"x":0,"y":3.1415927,"z":0},"mag":{"x":-10.2,"y":2.1,"z":41.9}}"#,
            LinkEvent::Motion(Motion { acceleration: [0.0, -1.0, 0.0], rotation: Some([0.0, 180.0, 0.0]) }),
        ),
    ] {
        check(&[json(text)], &[expected]);
    }
}

#[test]
fn control_messages_that_mean_nothing_here() {
    for text in [
        r#"{"type":"pong"}"#,
        r#"{"type":"charging_state","state":"charging"}"#,
        r#"{"type":"head_position","angle":15}"#,
        r#"{"type":"head_up_angle_set","success":true}"#,
        r#"{"type":"vad_event","state":"active"}"#,
        r#"{"type":"head_gesture","gesture":"head_up"}"#,
    ] {
        check(&[json(text)], &[]);
    }
}

#[test]
fn control_messages_that_the_protocol_does_not_define() {
    for text in [
        r#"{"type":"make_coffee"}"#,
        r#"{"type":"battery_status","level":101}"#,
        r#"{"type":"battery_status","level":-1}"#,
        r#"{"type":"battery_status"}"#,
        r#"{"type":"button_event","state":"sideways"}"#,
        r#"{"type":"imu_data","accel":{"x":1e300,"y":0,"z":0}}"#,
        r#"{"type":7}"#,
        "{}",
        "[]",
        &"[".repeat(500),
    ] {
        check(&[json(text)], &[Dropped(DropReason::UnknownValue)]);
    }
    let nested = format!(r#"{{"type":"pong","x":{}"#, "[".repeat(400));
    for text in ["", "{", r#"{"type":"po"#, "{\"type\":\"\u{1}\"}", &nested] {
        check(&[json(text)], &[Dropped(DropReason::Malformed)]);
    }
    check(&[vec![1, b'"', 0xFF, b'"']], &[Dropped(DropReason::Malformed)]);
    check(&[json(&" ".repeat(600))], &[Dropped(DropReason::Malformed)]);
    check(&[vec![]], &[Dropped(DropReason::Malformed)]);
    // Protobuf, which newer firmware has, and what is reserved.
    check(&[vec![2, 8, 1]], &[Dropped(DropReason::UnknownValue)]);
    check(&[vec![0xD0]], &[Dropped(DropReason::UnknownValue)]);
    let mut connection = connected();
    connection.handle_notification(Characteristic::MentraTx, &json("{}"), START);
    assert_eq!(events(&mut connection), [Dropped(DropReason::UnknownCharacteristic)]);
}

#[test]
fn audio_in_five_frames() {
    let frames: Vec<_> = (1..=5).map(|fill| vec![fill; mentra::LC3_FRAME]).collect();
    let value = [vec![0xA0, 0], frames.concat()].concat();
    assert_eq!(value.len(), 202);
    let audio: Vec<_> = frames.into_iter().map(|frame| LinkEvent::Audio { frame, lost_before: 0 }).collect();
    let codec = vec![LinkEvent::Codec(AudioCodec::Lc3(40))];
    check(&[value.clone(), value], &[codec, audio.clone(), audio].concat());
}

#[test]
fn audio_that_is_not_whole_frames() {
    for length in [0, 1, 39, 41, 81] {
        check(&[[vec![0xA0, 0], vec![9; length]].concat()], &[Dropped(DropReason::Malformed)]);
    }
    check(&[vec![0xA0]], &[Dropped(DropReason::Malformed)]);
}

fn image(total: u16) -> Vec<u8> {
    json(&format!(
        r#"{{"type":"display_image","msg_id":"img_start_1","stream_id":"002A","x":0,"y":0,"width":128,"height":64,
        "encoding":"jpeg","total_chunks":{total}}}"#
    ))
}

fn chunk(index: u8, fill: u8) -> Vec<u8> {
    vec![0xB0, 0x00, 0x2A, index, fill, fill]
}

#[test]
fn an_image_is_acknowledged() {
    let mut connection = connected();
    for value in [image(3), chunk(0, 1), chunk(2, 3), chunk(1, 2)] {
        connection.handle_notification(MentraRx, &value, START);
    }
    let jpeg = vec![1, 1, 2, 2, 3, 3];
    assert_eq!(events(&mut connection), [LinkEvent::Photo { jpeg, orientation: Orientation::Upright }]);
    check_said(&mut connection, &[r#"{"type":"image_transfer_complete","stream_id":"002A","status":"ok"}"#]);
}

#[test]
fn missing_chunks_are_asked_for_until_they_come() {
    let mut connection = connected();
    for value in [image(9), chunk(0, 0), chunk(1, 0), chunk(2, 0), chunk(5, 0), chunk(7, 0), chunk(8, 0)] {
        connection.handle_notification(MentraRx, &value, START);
    }
    let incomplete = r#"{"type":"image_transfer_complete","stream_id":"002A","status":"incomplete","missing_chunks":[3,4,6]}"#;
    let mut now = START;
    for quiet_ms in [50, 300] {
        now = now + Duration::from_millis(quiet_ms);
        assert_eq!(connection.poll_timeout(), Some(now));
        connection.handle_timeout(now);
        check_said(&mut connection, &[incomplete]);
    }
    for index in [3, 4, 6] {
        assert_eq!(events(&mut connection), []);
        connection.handle_notification(MentraRx, &chunk(index, 0), now);
    }
    assert!(matches!(&events(&mut connection)[..], [LinkEvent::Photo { jpeg, .. }] if jpeg.len() == 18));
}

#[test]
fn an_image_that_stops_is_given_up_in_bounded_time() {
    let mut connection = connected();
    connection.handle_notification(MentraRx, &image(256), START);
    while events(&mut connection) != [Dropped(DropReason::PhotoIncomplete)] {
        let now = connection.poll_timeout().expect("it is waited for");
        assert!(now.since(START) < Duration::from_secs(15));
        connection.handle_timeout(now);
        // As many as fit into a message.
        assert!(said(&mut connection).len() <= 1);
    }
    assert_eq!(connection.poll_timeout(), Some(START + mentra::HEARTBEAT));
}

#[test]
fn images_that_the_protocol_does_not_define() {
    let announced = |stream: &str, total: &str, encoding: &str| {
        json(&format!(
            r#"{{"type":"display_image","stream_id":"{stream}","total_chunks":{total},"encoding":"{encoding}"}}"#
        ))
    };
    for (stream, total, encoding) in [
        ("00G0", "1", "jpeg"),
        ("12345", "1", "jpeg"),
        ("", "1", "jpeg"),
        ("0001", "0", "jpeg"),
        ("0001", "257", "jpeg"),
        ("0001", "-1", "jpeg"),
        ("0001", "1", "rle"),
    ] {
        check(&[announced(stream, total, encoding)], &[Dropped(DropReason::UnknownValue)]);
    }
    check(&[chunk(0, 1)], &[Dropped(DropReason::PhotoWithoutStart)]);
    check(&[vec![0xB0, 0, 0x2A]], &[Dropped(DropReason::Malformed)]);
    check(&[image(2), vec![0xB0, 0, 0x2A, 0]], &[Dropped(DropReason::Malformed)]);
    check(&[image(2), chunk(2, 1)], &[Dropped(DropReason::Malformed)]);
    check(&[image(2), chunk(0, 1), chunk(0, 1)], &[Dropped(DropReason::Duplicate)]);
    check(&[image(2), image(2)], &[Dropped(DropReason::PhotoGap)]);
}

#[test]
fn the_heart_beats() {
    let mut connection = connected();
    for beat in 1..4 {
        let due = START + mentra::HEARTBEAT * beat;
        assert_eq!(connection.poll_timeout(), Some(due));
        connection.handle_timeout(due);
        check_said(&mut connection, &[r#"{"type":"ping"}"#, r#"{"type":"request_battery_state"}"#]);
    }
}

#[test]
fn the_microphone() {
    let mut connection = connected();
    connection.handle_command(&LinkCommand::Microphone(true), START).unwrap();
    check_said(&mut connection, &[r#"{"type":"set_mic_state","enabled":true}"#]);
}

#[test]
fn bytes_of_a_message() {
    let mut connection = Connection::default();
    connection.handle_connected(START);
    let first = connection.poll_write().expect("the glasses are asked");
    assert_eq!(first.value, json(r#"{"type":"request_glasses_info","msg_id":"1"}"#));
}

/// Shows a text; returns its pages with the times at which they came.
fn pages(text: &str) -> Vec<(Duration, String)> {
    let mut connection = connected();
    let show = LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text: text.to_owned() };
    connection.handle_command(&show, START).expect("nobody said that there is no display");
    let mut pages = Vec::new();
    let mut now = START;
    loop {
        for message in said(&mut connection) {
            let message: serde_json::Value = serde_json::from_str(&message).expect("it is JSON");
            if message["type"] == "display_text" {
                pages.push((now.since(START), message["text"].as_str().expect("a text is one").to_owned()));
            }
        }
        now = connection.poll_timeout().expect("the heart beats");
        if now.since(START) > Duration::from_secs(600) {
            return pages;
        }
        connection.handle_timeout(now);
    }
}

#[test]
fn a_short_text_is_one_page() {
    assert_eq!(pages(" A red ball. "), [(Duration::ZERO, "A red ball.".to_owned())]);
    assert_eq!(pages(""), []);
    let mut connection = connected();
    let show = LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text: "A red ball.".to_owned() };
    connection.handle_command(&show, START).unwrap();
    let shown = r#"{"type":"display_text","text":"A red ball.","color":"0xFFFF","font_code":"0x11","x":0,"y":0,"size":2}"#;
    check_said(&mut connection, &[shown]);
}

#[test]
fn a_long_text_is_paged_between_words() {
    let text = "twelve chars ".repeat(30);
    let pages = pages(&text);
    let times: Vec<_> = pages.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(times, [0, 6, 12, 18]);
    let joined: Vec<_> = pages.into_iter().map(|(_, page)| page).collect();
    assert_eq!(joined.join(" "), text.trim());
}

#[test]
fn a_text_without_spaces_or_with_many_escapes_is_paged_too() {
    for text in ["€".repeat(200), "\\\"".repeat(200), "\u{1}".repeat(100)] {
        let joined: String = pages(&text).into_iter().map(|(_, page)| page).collect();
        assert_eq!(joined, text);
    }
}

#[test]
fn a_new_text_replaces_the_pages_of_the_last() {
    let mut connection = connected();
    for text in ["first ".repeat(100), "second".to_owned()] {
        let show = LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text };
        connection.handle_command(&show, START).unwrap();
    }
    assert_eq!(said(&mut connection).len(), 2);
    assert_eq!(connection.poll_timeout(), Some(START + mentra::HEARTBEAT));
}
