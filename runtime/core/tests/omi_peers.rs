//! The Omi decoder and encoder against peers that nobody here wrote; see `tests/peers`.

mod peer;

use glassd_core::QueryId;
use glassd_core::link::answer_text::{self, Kind};
use glassd_core::link::omi::{self, Decoder, Firmware};
use glassd_core::link::{
    AudioCodec, ButtonEvent, Characteristic, LinkCommand, LinkEvent, Orientation, Write, uuid,
};
use peer::{from_hex, has, hex, run};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn decode(decoder: &mut Decoder, characteristic: Characteristic, value: &[u8]) -> Vec<LinkEvent> {
    decoder.handle_notification(characteristic, value);
    std::iter::from_fn(|| decoder.poll_event()).collect()
}

#[test]
fn opus_frames_decode_to_what_the_vendor_hears() {
    if !has("opuslib, importlib.metadata; importlib.metadata.distribution(\"omi-sdk\")") {
        return;
    }
    let notifications = run("omi_audio.py", &["notifications"], "");
    let mut decoder = Decoder::new(Firmware::Oriented);
    let mut pairs = String::new();
    for notification in notifications.lines() {
        let events = decode(&mut decoder, Characteristic::Audio, &from_hex(notification));
        let [LinkEvent::Audio { frame, lost_before: 0 }] = &events[..] else {
            panic!("{notification} gave {events:?}");
        };
        pairs += &format!("{notification} {}\n", hex(frame));
    }
    assert_eq!(run("omi_audio.py", &["compare"], &pairs).trim(), "200");
}

/// The names that `omi_glass.py` has for the characteristics.
const NAMES: [(&str, Characteristic); 8] = [
    ("audio", Characteristic::Audio),
    ("codec", Characteristic::Codec),
    ("photo_data", Characteristic::PhotoData),
    ("photo_control", Characteristic::PhotoControl),
    ("button", Characteristic::Button),
    ("haptic", Characteristic::Haptic),
    ("battery_level", Characteristic::BatteryLevel),
    ("answer_text", Characteristic::AnswerText),
];

fn name(characteristic: Characteristic) -> &'static str {
    NAMES.iter().find(|(_, named)| *named == characteristic).expect("all are named").0
}

/// What crossed the air between Bumble's glasses and Bumble's phone.
struct Air {
    /// Firmware revision as read.
    revision: String,
    /// Reads and notifications.
    values: Vec<(Characteristic, Vec<u8>)>,
    /// What the glasses got.
    written: Vec<(String, Vec<u8>)>,
}

fn over_the_air(mtu: usize, photo: &[u8], audio: &[Vec<u8>], writes: &[Write]) -> Air {
    let mut uuids: serde_json::Map<_, _> = NAMES
        .iter()
        .map(|(name, characteristic)| {
            ((*name).to_owned(), format!("{:032X}", uuid::of(*characteristic)).into())
        })
        .collect();
    uuids.insert("firmware_revision".to_owned(), format!("{:032X}", uuid::FIRMWARE_REVISION).into());
    let writes: Vec<_> = writes.iter().map(|write| (name(write.characteristic), hex(&write.value))).collect();
    let request = serde_json::json!({
        "mtu": mtu,
        "photo": hex(photo),
        "orientation": 2,
        "audio": audio.iter().map(|frame| hex(frame)).collect::<Vec<_>>(),
        "uuids": uuids,
        "writes": writes,
    });
    let mut air = Air { revision: String::new(), values: Vec::new(), written: Vec::new() };
    for line in run("omi_glass.py", &[], &request.to_string()).lines() {
        let words: Vec<_> = line.splitn(3, ' ').collect();
        let [what, name, value] = words[..] else { panic!("unexpected line {line:?}") };
        let value = from_hex(value);
        match NAMES.iter().find(|(named, _)| *named == name) {
            _ if what == "written" => air.written.push((name.to_owned(), value)),
            Some((_, characteristic)) => air.values.push((*characteristic, value)),
            None => air.revision = String::from_utf8(value).expect("the revision is text"),
        }
    }
    air
}

fn random_bytes(random: &mut ChaCha8Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.random()).collect()
}

/// Sends a photo and audio over Bumble's link, and checks what the decoder makes of it.
fn check_air(mtu: usize, photo_bytes: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(mtu as u64);
    let photo = [vec![0xFF, 0xD8], random_bytes(&mut random, photo_bytes), vec![0xFF, 0xD9]].concat();
    let audio: Vec<_> = (0..50)
        .map(|_| {
            let length = random.random_range(20..=160);
            random_bytes(&mut random, length)
        })
        .collect();
    let question = QueryId(0x0123_4567_89AB_CDEF);
    let text = "A red ball lies left of the blue cube. ".repeat(if mtu > 500 { 20 } else { 2 });
    let writes = [
        omi::encode(&LinkCommand::Vibrate(std::time::Duration::from_millis(100))).expect("Omi has a motor"),
        answer_text::encode(Kind::Answer, question, &text),
        omi::encode(&LinkCommand::TakePhoto).expect("OmiGlass has a camera"),
    ];
    let air = over_the_air(mtu, &photo, &audio, &writes);

    let expected: Vec<_> =
        writes.iter().map(|write| (name(write.characteristic).to_owned(), write.value.clone())).collect();
    assert_eq!(air.written, expected);

    let mut decoder = Decoder::new(Firmware::from_revision(&air.revision));
    let mut events = Vec::new();
    for (characteristic, value) in &air.values {
        events.extend(decode(&mut decoder, *characteristic, value));
    }
    let mut heard = Vec::new();
    let mut others = Vec::new();
    for event in events {
        match event {
            LinkEvent::Audio { frame, lost_before } => {
                assert_eq!(lost_before, 0);
                heard.push(frame);
            }
            other => others.push(other),
        }
    }
    let mut sent = audio;
    if let Some(first) = sent.iter_mut().find(|frame| frame.len() > mtu - 6) {
        // From it the decoder learns that frames come in fragments.
        first.truncate(mtu - 6);
        others.retain(|event| !matches!(event, LinkEvent::Dropped(glassd_core::link::DropReason::AudioGap)));
    }
    assert_eq!(heard, sent);
    assert_eq!(
        others,
        [
            LinkEvent::Codec(AudioCodec::Opus(320)),
            LinkEvent::Photo { jpeg: photo, orientation: Orientation::Half },
            LinkEvent::Button(ButtonEvent::Double),
            LinkEvent::Battery(86),
        ]
    );
}

#[test]
fn what_crosses_bumbles_link_comes_out_byte_for_byte() {
    if has("bumble.testing.test_utils") {
        check_air(517, 30_000);
    }
}

#[test]
fn audio_in_fragments_comes_out_whole() {
    if has("bumble.testing.test_utils") {
        // Frames have up to 160 bytes, of which 124 fit; the photo is one small chunk, for the same reason.
        check_air(130, 100);
    }
}
