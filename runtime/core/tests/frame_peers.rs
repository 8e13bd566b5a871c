//! Our Frame, host and app, against peers that nobody here wrote; see `tests/peers`.

mod air;
mod peer;

use std::collections::VecDeque;
use std::time::Duration;

use air::frame::{Frame, Messages, jpeg, photo_packets};
use air::{Air, Device, Notification};
use glassd_core::link::frame::{Settings, Sound};
use glassd_core::link::{ButtonEvent, Characteristic, DropReason, LinkCommand, LinkEvent, Profile, Write};
use peer::{from_hex, has, hex, run};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use Characteristic::FrameRx;

const FRAME_MSG: &str = "frame_msg, PIL";
const FRAME_SDK: &str = "bleak, importlib.metadata; importlib.metadata.distribution(\"frame-sdk\")";

fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| random.random()).collect()
}

/// A picture that a decoder takes: one of 16 × 16 pixels, with a comment that makes it long.
fn photo() -> Vec<u8> {
    let picture = include_bytes!("../../../tests/fuzz/corpus/jpeg/grey");
    let comment = [&[0xFF, 0xFE, 0x30, 0x02][..], &random_bytes(1, 0x3000)].concat();
    [&picture[..2], &comment, &picture[2..]].concat()
}

fn lines<'a>(values: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    values.into_iter().map(|value| hex(value) + "\n").collect()
}

/// What we make of notifications, in the words of the peers.
fn told(events: &[LinkEvent]) -> Vec<String> {
    let words = |event: &LinkEvent| match event {
        LinkEvent::Photo { jpeg, .. } => Some(format!("photo {}", hex(jpeg))),
        LinkEvent::Audio { frame, .. } => Some(format!("audio {}", hex(frame))),
        LinkEvent::Motion(motion) => {
            let [x, y, z] = motion.acceleration.map(|axis| (axis * 4096.0) as i32);
            Some(format!("imu {x} {y} {z}"))
        }
        LinkEvent::Button(ButtonEvent::Single) => Some("tap 1".to_owned()),
        LinkEvent::Button(ButtonEvent::Double) => Some("tap 2".to_owned()),
        LinkEvent::Dropped(DropReason::PhotoGap) => Some("error".to_owned()),
        _ => None,
    };
    events.iter().filter_map(words).collect()
}

/// A Frame whose answers are known beforehand.
struct Replay(VecDeque<(Vec<u8>, Vec<Notification>)>);

impl Device for Replay {
    fn handle_write(&mut self, write: &Write) -> Vec<Notification> {
        let (expected, notifications) = self.0.pop_front().expect("no more is written");
        assert_eq!(write.value, expected);
        notifications
    }
}

/// What is asked of a Frame in these tests.
fn use_it<D: Device>(air: &mut Air<D>) {
    air.wait(Duration::from_secs(1));
    air.command(&LinkCommand::Microphone(true)).expect("there is one");
    air.command(&LinkCommand::Camera { longest_side: 640, quality: 30 }).expect("it is adjustable");
    air.command(&LinkCommand::TakePhoto).expect("there is a camera");
    // Six lines, which take two chunks.
    air.show(&format!("The red ball lies left of \"the\" blue cube \\ für 漢.\n{}", "illi".repeat(52)));
    air.command(&LinkCommand::Microphone(false)).expect("there is one");
    air.wait(Duration::from_secs(1));
}

/// Our app, as it was sent, runs on Lua and speaks with us; and the vendor's package understands it as we do.
#[test]
fn the_app_runs_on_lua_and_frame_msg_reads_it_as_we_do() {
    if !has("lupa.lua54") {
        return;
    }
    let (photo, sound) = (photo(), random_bytes(2, 3000));
    let mut device = Frame::new(Messages::FrameMsg);
    device.photo = photo.clone();
    let settings = Settings { messages: Messages::FrameMsg, sound: Sound::Rate8Bits16 };
    let mut played = Air::connect(Profile::Frame(settings), device);
    use_it(&mut played);
    let writes: Vec<_> = played.take_writes().into_iter().map(|write| write.value).collect();

    let request = serde_json::json!({
        "writes": writes.iter().map(|write| hex(write)).collect::<Vec<_>>(),
        "photo": hex(&photo),
        "sound": hex(&sound),
    });
    let (mut answers, mut shown) = (VecDeque::new(), Vec::new());
    let mut rest = writes.into_iter();
    for line in run("frame_lua.py", &[], &request.to_string()).lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["write"] => answers.push_back((rest.next().expect("one for each"), Vec::new())),
            ["notified", value] => {
                answers.back_mut().expect("it answers").1.push((FrameRx, from_hex(value)));
            }
            ["shown", x, y, text] => {
                let text = String::from_utf8(from_hex(text)).expect("no character is cut");
                shown.push(format!("{x} {y} {text}"));
            }
            _ => panic!("unexpected line {line:?}"),
        }
    }
    assert_eq!(rest.next(), None);
    let [first, second, narrow @ ..] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!(first, "1 1 The red ball lies left of \"the\"");
    assert_eq!(second, "1 61 blue cube \\ für 漢.");
    let narrow: Vec<_> = narrow.iter().map(|line| line.split_at(6)).collect();
    assert_eq!(
        narrow.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        ["1 121 ", "1 181 ", "1 241 ", "1 301 "]
    );
    assert_eq!(narrow.iter().map(|(_, text)| *text).collect::<String>(), "illi".repeat(52));

    let mut air = Air::connect(Profile::Frame(settings), Replay(answers));
    use_it(&mut air);
    assert!(air.device.0.is_empty(), "it writes less to Lua");
    assert!(!air.events.iter().any(|event| matches!(event, LinkEvent::Dropped(_))), "{:?}", air.events);
    let ours = told(&air.events);
    assert_eq!(ours.iter().filter(|line| line.starts_with("photo")).count(), 1);
    assert!(ours.contains(&format!("photo {}", hex(&photo))));
    let heard: String = ours.iter().filter_map(|line| line.strip_prefix("audio ")).collect();
    assert_eq!(heard, hex(&sound));
    assert!(ours.contains(&"imu 4096 -4096 2048".to_owned()));
    assert!(ours.contains(&"tap 1".to_owned()));
    assert!(air.events.contains(&LinkEvent::Battery(87)));

    if has(FRAME_MSG) {
        let notifications = air.notifications.iter().map(|(_, value)| value);
        check_told("frame_messages.py", &lines(notifications), ours);
    }
}

/// The peer tells the same, of each kind in the same order.
#[track_caller]
fn check_told(script: &str, notifications: &str, mut ours: Vec<String>) {
    let theirs = run(script, &["decode"], notifications);
    let mut theirs: Vec<_> = theirs.lines().map(str::to_owned).collect();
    let kind = |line: &String| line.split(' ').next().map(str::to_owned);
    ours.sort_by_key(kind);
    theirs.sort_by_key(kind);
    assert_eq!(ours, theirs);
}

#[test]
fn frame_msg_reads_photos_audio_and_taps_as_we_do() {
    if !has(FRAME_MSG) {
        return;
    }
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    air.notifications.clear();
    for number in 0..3 {
        let photo = jpeg(&random_bytes(number, 5000 + number as usize));
        for (at, packet) in (0..).zip(photo_packets(&photo)) {
            air.notify(FrameRx, &packet);
            air.notify(FrameRx, &[&[1, 5], &random_bytes(100 + at, 242)[..]].concat());
        }
    }
    air.notify(FrameRx, &[1, 6, 1, 2]);
    air.notify(FrameRx, &[1, 6]);
    air.notify(FrameRx, &[&[1, 0x0A], &random_bytes(9, 13)[..]].concat());
    for _ in 0..2 {
        air.notify(FrameRx, &[1, 9]);
        air.wait(Duration::from_millis(60));
    }
    air.wait(Duration::from_secs(1));
    let notifications = air.notifications.iter().map(|(_, value)| value);
    check_told("frame_messages.py", &lines(notifications), told(&air.events));
}

#[test]
fn messages_to_the_app_are_those_of_frame_msg() {
    if !has(FRAME_MSG) {
        return;
    }
    let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
    air.take_writes();
    let mut asked = Vec::new();
    for (side, quality, level) in [(512, 100, 4), (100, 15, 0), (720, 26, 2), (640, 19, 1)] {
        asked.push(serde_json::json!(["capture", side, level]));
        air.command(&LinkCommand::Camera { longest_side: side, quality }).expect("it is adjustable");
        air.command(&LinkCommand::TakePhoto).expect("there is a camera");
        // The simulated Frame has no picture, and says so at once.
    }
    let line = "illi".repeat(13);
    for text in ["Hello", "für 漢", &line, &[line.as_str(); 6].join("\n")] {
        asked.push(serde_json::json!(["text", text]));
        air.show(text);
    }
    let ours: Vec<_> = air.take_writes().iter().map(|write| hex(&write.value)).collect();
    let theirs = run("frame_messages.py", &["pack"], &serde_json::Value::from(asked).to_string());
    assert_eq!(ours, theirs.lines().collect::<Vec<_>>());
}

#[test]
fn frame_sdk_reads_photos_audio_and_taps_as_we_do() {
    if !has(FRAME_SDK) {
        return;
    }
    let mut air = Frame::new(Messages::FrameSdk).air(Sound::default());
    air.take_events();
    air.notifications.clear();
    for (number, told_more) in [(0, 0), (1, 1), (2, 0)] {
        let photo = jpeg(&random_bytes(number, 5000));
        let packets = photo.chunks(242);
        let end = (packets.len() + told_more).to_string();
        for (at, packet) in (0..).zip(packets) {
            air.notify(FrameRx, &[&[1, 1], packet].concat());
            air.notify(FrameRx, &[&[1, 5], &random_bytes(100 + at, 242)[..]].concat());
        }
        air.notify(FrameRx, &[&[1, 2], end.as_bytes()].concat());
    }
    let notifications = air.notifications.iter().map(|(_, value)| value);
    check_told("frame_sdk_peer.py", &lines(notifications), told(&air.events));
}

#[test]
fn lines_break_where_frame_sdk_breaks_them() {
    if !has(FRAME_SDK) {
        return;
    }
    let words =
        ["a", "red", "ball", "lies", "WWW", "illi", "illuminated", "(left)", "7%", "@home", "of", "the,"];
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let texts: Vec<_> = (0..50)
        .map(|_| {
            let text: Vec<_> = (0..40).map(|_| words[random.random_range(0..words.len())]).collect();
            text.join(" ").replacen(" of ", "\n", 1)
        })
        .collect();
    let theirs = run("frame_sdk_peer.py", &["wrap"], &serde_json::json!(texts).to_string());
    let theirs: Vec<Vec<String>> = serde_json::from_str(&theirs).expect("a list of lists");
    for (text, theirs) in texts.iter().zip(theirs) {
        let mut air = Frame::new(Messages::FrameMsg).air(Sound::default());
        air.show(text);
        air.wait(Duration::from_secs(100));
        let pages = air.device.got.iter().map(|(_, page)| String::from_utf8_lossy(&page[6..]).into_owned());
        let ours: Vec<_> =
            pages.flat_map(|page| page.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        assert_eq!(ours, theirs, "{text}");
    }
}

#[test]
fn the_library_is_where_frame_sdk_leaves_it() {
    if !has(FRAME_SDK) {
        return;
    }
    let mut air = Frame::new(Messages::FrameSdk).air(Sound::default());
    let name = run("frame_sdk_peer.py", &["library"], "");
    let expected = format!("require(\"{}\");print(1)", name.trim());
    assert!(air.take_writes().iter().any(|write| write.value == expected.as_bytes()), "{expected}");
}
