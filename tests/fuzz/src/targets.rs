//! The parsers under test. A new one is an entry in [`TARGETS`] and a folder `corpus/<name>`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use glassd_core::capture;
use glassd_core::link::omi::{self, Decoder, Firmware};
use glassd_core::link::{
    Arm, Characteristic, LinkCommand, LinkEvent, MAX_EVENTS, Profile, Protocol, answer_text, frame, open,
};
use glassd_core::wire::{AnswerMessage, Encoding, QueryMessage};
use glassd_core::{QueryId, Timestamp};
use glassd_media::Turn;
use glassd_policies::PolicyFileError;

/// A parser of foreign bytes.
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Parses, and panics where something does not hold; gives a number for what happened.
    pub run: fn(&[u8]) -> u64,
}

/// All targets.
pub const TARGETS: [Target; 14] = [
    Target { name: "omi", run: omi },
    Target { name: "frame", run: frame },
    Target { name: "even", run: even },
    Target { name: "omi-storage", run: omi_storage },
    Target { name: "open", run: |bytes| conversation(Profile::Open, &[Characteristic::OpenData], bytes) },
    Target { name: "mentra", run: |bytes| conversation(Profile::Mentra, &[Characteristic::MentraRx], bytes) },
    Target { name: "capture", run: capture },
    Target { name: "wire-cbor", run: |bytes| wire(bytes, Encoding::Cbor) },
    Target { name: "wire-json", run: |bytes| wire(bytes, Encoding::Json) },
    Target { name: "answer-text", run: text_for_glasses },
    Target { name: "policy-file", run: policy_file },
    Target { name: "jpeg", run: jpeg },
    Target { name: "onnx", run: onnx },
    Target { name: "tokenizer", run: tokenizer },
];

/// Returns the target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What happened, as a number: equal for equal outcomes within one build.
fn outcome(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Notifications of one connection: `[firmware u8]`, then `[characteristic u8][length u16][value]` each,
/// the last one cut where the bytes end.
fn omi(bytes: &[u8]) -> u64 {
    let Some((firmware, mut rest)) = bytes.split_first() else { return 0 };
    let firmwares = [Firmware::Oriented, Firmware::UpsideDown, Firmware::Unknown];
    let mut decoder = Decoder::new(firmwares[usize::from(*firmware) % firmwares.len()]);
    let mut kinds = Vec::new();
    while let [characteristic, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (value, next) = after.split_at(length);
        rest = next;
        let all = omi::CHARACTERISTICS;
        decoder.handle_notification(all[usize::from(*characteristic) % all.len()], value);
        let events: Vec<_> = std::iter::from_fn(|| decoder.poll_event()).collect();
        assert!(events.len() <= 3, "one notification made {} events", events.len());
        kinds.extend(events.iter().map(event_kind));
    }
    decoder.handle_disconnect();
    assert_eq!(decoder.poll_event(), None);
    kinds.sort_unstable();
    kinds.dedup();
    outcome(kinds)
}

/// A file that `glassd record` may have written; what parses is written the same again.
fn capture(bytes: &[u8]) -> u64 {
    let lines = match capture::read(bytes) {
        Ok(lines) => lines,
        Err(error) => return outcome(error.to_string().len()),
    };
    let mut kinds = Vec::new();
    for line in lines {
        let Ok(line) = line else {
            kinds.push(0_u8);
            break;
        };
        let text = serde_json::to_string(&line).expect("a line is JSON");
        let again = capture::header() + "\n" + &text;
        let again = capture::read(again.as_bytes()).expect("a capture").next();
        assert_eq!(again.expect("a line").expect("what was written is read"), line);
        kinds.push(line.into_input().map_or(1, |_| 2));
    }
    kinds.dedup();
    outcome(kinds)
}

fn omi_storage(bytes: &[u8]) -> u64 {
    let characteristics = [Characteristic::Storage, Characteristic::Features, Characteristic::Accelerometer];
    conversation(Profile::Omi(Firmware::Unknown), &characteristics, bytes)
}

/// Those that wait and a batch of recordings.
const MOST_EVENTS: usize = glassd_core::link::MAX_EVENTS + 1;

/// One connection: `[what u8][tens of ms u8][length u16][value]` each, the last one cut where the bytes end. What is a
/// characteristic, or, from F0 on, a command.
fn conversation(profile: Profile, characteristics: &[Characteristic], bytes: &[u8]) -> u64 {
    let mut connection = profile.connect();
    let mut now = Timestamp::from_secs(1_700_000_000);
    connection.handle_connected(now);
    // Those that have no ring cannot do that.
    let _ = connection.handle_command(&LinkCommand::FetchRecordings { from: 0 }, now);
    let mut kinds = Vec::new();
    let mut rest = bytes;
    while let [what, tens, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (value, next) = after.split_at(length);
        rest = next;
        now = now + Duration::from_millis(10 * u64::from(*tens));
        match what {
            0xF0.. => {
                let _ = connection.handle_command(&command(*what, value), now);
            }
            _ => {
                let characteristic = characteristics[usize::from(*what) % characteristics.len()];
                connection.handle_notification(characteristic, value, now);
            }
        }
        connection.handle_timeout(now);
        assert!(connection.poll_timeout().is_none_or(|due| due > now), "it would be called forever");
        let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
        assert!(events.len() <= MOST_EVENTS, "one notification made {} events", events.len());
        kinds.extend(events.iter().map(event_kind));
        for event in &events {
            if let LinkEvent::Recorded { first, records } = event {
                let from = first.saturating_add(records.len() as u64);
                let _ = connection.handle_command(&LinkCommand::FetchRecordings { from }, now);
            }
        }
        while let Some(write) = connection.poll_write() {
            assert!(write.value.len() <= 512, "{} bytes in one write", write.value.len());
            kinds.push(written_kind(write.value.first().copied()));
        }
    }
    kinds.sort_unstable();
    kinds.dedup();
    outcome(kinds)
}

fn command(what: u8, value: &[u8]) -> LinkCommand {
    let number = value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    match what % 7 {
        0 => LinkCommand::TakePhoto,
        1 => LinkCommand::PhotoEvery(Duration::from_millis(number)),
        2 => LinkCommand::StopPhotos,
        3 => LinkCommand::Microphone(number != 0),
        4 => LinkCommand::Vibrate(Duration::from_millis(number)),
        5 => LinkCommand::Camera { longest_side: number as u16, quality: (number >> 16) as u8 },
        _ => LinkCommand::Show {
            kind: answer_text::Kind::Answer,
            query: glassd_core::QueryId(number),
            text: String::from_utf8_lossy(value).into_owned(),
        },
    }
}

/// The first byte of a write is its type in the protocols that have more than one.
fn written_kind(first: Option<u8>) -> &'static str {
    match first {
        Some(0x03) => "stop",
        Some(0x10) => "info",
        Some(0x11) => "read",
        Some(0x12) => "advance",
        Some(0x46) => "missing",
        Some(0x47) => "done",
        Some(0x48) => "text",
        Some(_) => "write",
        None => "nothing",
    }
}

fn event_kind(event: &LinkEvent) -> &'static str {
    match event {
        LinkEvent::Photo { jpeg, .. } => {
            assert!((1..=open::MAX_PHOTO.max(frame::MAX_PHOTO)).contains(&jpeg.len()));
            "photo"
        }
        LinkEvent::Audio { frame, .. } => {
            assert!((1..=omi::MAX_FRAME).contains(&frame.len()));
            "audio"
        }
        LinkEvent::Battery(percent) => {
            assert!(*percent <= 100);
            "battery"
        }
        LinkEvent::Recorded { records, .. } => {
            let mut frames = records.iter().flat_map(|record| &record.frames);
            assert!(frames.all(|frame| (1..=usize::from(u8::MAX)).contains(&frame.len())));
            "recorded"
        }
        LinkEvent::Motion(motion) => {
            let mut axes = motion.acceleration.iter().chain(motion.rotation.iter().flatten());
            assert!(axes.all(|axis| axis.is_finite()));
            "motion"
        }
        LinkEvent::Codec(_) => "codec",
        LinkEvent::Button(_) => "button",
        LinkEvent::Dropped(reason) => reason.label(),
    }
}

/// A Frame: `[messages u8]`, then a conversation.
fn frame(bytes: &[u8]) -> u64 {
    let Some((messages, rest)) = bytes.split_first() else { return 0 };
    let messages = [frame::Messages::FrameMsg, frame::Messages::FrameSdk][usize::from(*messages) % 2];
    let settings = frame::Settings { messages, ..frame::Settings::default() };
    let mut frame = Profile::Frame(settings).connect();
    frame.handle_connected(START);
    // Lua answers until the app runs.
    let mut now = START;
    for _ in 0..100 {
        now = now.max(frame.poll_timeout().unwrap_or(now));
        frame.handle_timeout(now);
        while let Some(write) = frame.poll_write() {
            let lua = String::from_utf8_lossy(&write.value).into_owned();
            let reply = match lua.rsplit_once("print(") {
                Some((_, "frame.battery_level())")) => "50",
                Some((_, number)) => number.trim_end_matches(')'),
                None => "glassd 1",
            };
            frame.handle_notification(Characteristic::FrameRx, reply.as_bytes(), now);
        }
    }
    converse(frame, now, |_| Characteristic::FrameRx, rest)
}

/// A G1: a conversation.
fn even(bytes: &[u8]) -> u64 {
    let mut even = Profile::Even.connect();
    even.handle_connected(START);
    let arms = [Arm::Left, Arm::Right];
    converse(even, START, |which| Characteristic::EvenRx(arms[usize::from(which) % 2]), bytes)
}

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// What happens to a connection, one after the other, the last one cut where the bytes end: `[what u8][length u8]`,
/// then that many bytes of a notification, whose characteristic is `what` / 8, of a command, or of a time in ms.
fn converse(
    mut protocol: Box<dyn Protocol>,
    mut now: Timestamp,
    characteristic: impl Fn(u8) -> Characteristic,
    mut rest: &[u8],
) -> u64 {
    let mut kinds = Vec::new();
    while let [what, length, after @ ..] = rest {
        let (value, next) = after.split_at(usize::from(*length).min(after.len()));
        rest = next;
        match what % 7 {
            6 => drop(protocol.handle_command(&asked(value), now)),
            7 => {
                let ms = value.iter().take(2).fold(0, |ms, byte| ms << 8 | u64::from(*byte));
                let until = now + Duration::from_millis(ms);
                while let Some(due) = protocol.poll_timeout().filter(|due| *due <= until) {
                    now = now.max(due);
                    protocol.handle_timeout(now);
                    while protocol.poll_write().is_some() {}
                    let next = protocol.poll_timeout();
                    assert!(next.is_none_or(|next| next > now), "it is not done with what was due");
                }
                now = until;
            }
            _ => protocol.handle_notification(characteristic(what / 8), value, now),
        }
        while protocol.poll_write().is_some() {}
        let events: Vec<_> = std::iter::from_fn(|| protocol.poll_event()).collect();
        assert!(events.len() <= MAX_EVENTS, "{} events", events.len());
        kinds.extend(events.iter().map(event_kind));
    }
    kinds.sort_unstable();
    kinds.dedup();
    outcome(kinds)
}

/// A command from its number and what follows.
fn asked(bytes: &[u8]) -> LinkCommand {
    match bytes {
        [0, quality, side @ ..] => {
            let longest_side = side.iter().take(2).fold(0, |side, byte| side << 8 | u16::from(*byte));
            LinkCommand::Camera { longest_side, quality: *quality }
        }
        [1, is_on, ..] => LinkCommand::Microphone(is_on % 2 == 1),
        [2, text @ ..] => {
            let text = String::from_utf8_lossy(text).into_owned();
            LinkCommand::Show { kind: answer_text::Kind::Answer, query: QueryId(1), text }
        }
        _ => LinkCommand::TakePhoto,
    }
}

/// A message that can be read can be written, and then reads the same.
fn wire(bytes: &[u8], encoding: Encoding) -> u64 {
    let query = QueryMessage::decode(bytes, encoding);
    if let Ok(message) = &query {
        let again = QueryMessage::decode(&message.encode(encoding), encoding);
        assert_eq!(again.expect("a message that was read can be written"), *message);
    }
    let answer = AnswerMessage::decode(bytes, encoding);
    if let Ok(message) = &answer {
        let again = AnswerMessage::decode(&message.encode(encoding), encoding);
        assert_eq!(again.expect("a message that was read can be written"), *message);
    }
    outcome((
        query.map(|_| ()).map_err(|error| kind_of(&error.to_string())),
        answer.map(|_| ()).map_err(|error| kind_of(&error.to_string())),
    ))
}

/// What error messages say besides what was found and where, which mutation makes endlessly new.
const SAID: [&str; 36] = [
    "`asked_at_ms`",
    "`frame-rate`",
    "`language`",
    "`query`",
    "`text`",
    "`version`",
    "EOF",
    "Invalid",
    "Io(",
    "RecursionLimit",
    "Semantic(",
    "Syntax(",
    "array",
    "base64",
    "control character",
    "duplicate",
    "expected",
    "float",
    "glasses are named",
    "hex digits",
    "integer",
    "invalid length",
    "invalid type",
    "invalid value",
    "key",
    "longer than",
    "map",
    "message version",
    "missing field",
    "newline",
    "string",
    "table",
    "trailing",
    "unicode",
    "unknown field",
    "unknown variant",
];

/// Returns which of [`SAID`] an error message says.
fn kind_of(message: &str) -> Vec<bool> {
    SAID.iter().map(|words| message.contains(words)).collect()
}

fn text_for_glasses(bytes: &[u8]) -> u64 {
    let Some((kind, query, text)) = answer_text::decode(bytes) else { return outcome("none") };
    assert!(text.len() <= answer_text::MAX_TEXT);
    assert_eq!(answer_text::encode(kind, query, text).value, bytes);
    outcome((kind == answer_text::Kind::Answer, text.is_empty(), text.is_ascii()))
}

fn policy_file(bytes: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(bytes) else { return outcome("not text") };
    match glassd_policies::test_file(text) {
        Ok(report) => outcome((report.policy, report.passed, report.failures.len())),
        Err(PolicyFileError::OutOfRange(problems)) => {
            assert!(!problems.is_empty());
            outcome(problems.into_iter().map(|problem| problem.key).collect::<Vec<_>>())
        }
        Err(PolicyFileError::Malformed(message)) => outcome(kind_of(&message)),
    }
}

/// The whole way of a frame: decode, look at it, shrink it for the cloud.
fn jpeg(bytes: &[u8]) -> u64 {
    match glassd_media::decode(bytes) {
        Ok(image) => {
            assert!(image.width() <= glassd_media::MAX_SIDE && image.height() <= glassd_media::MAX_SIDE);
            let probe = glassd_media::Prober::default().probe(&image);
            assert!(
                (0.0..=1.0).contains(&probe.sharpness) && (0.0..=1.0).contains(&probe.light),
                "{probe:?}"
            );
            let small = glassd_media::shrink_jpeg(bytes, Turn::Quarter, 64, 60).expect("it decoded before");
            let small = glassd_media::decode(&small).expect("our own JPEG");
            assert!(small.width() <= 64 && small.height() <= 64);
            outcome((image.width().ilog2(), image.height().ilog2()))
        }
        Err(error) => outcome(error.to_string().replace(|c: char| c.is_ascii_digit(), "")),
    }
}

/// A model from anywhere: it is refused in a sentence, or it loads and runs once or fails in a sentence.
fn onnx(bytes: &[u8]) -> u64 {
    match glassd_inference::Accelerator::Cpu.prepare(bytes) {
        Ok(model) => match model.explain(std::time::Duration::ZERO) {
            Ok(nodes) => outcome(nodes.into_iter().map(|node| node.operation).collect::<Vec<_>>()),
            Err(error) => outcome(said(&error.to_string())),
        },
        Err(error) => outcome(said(&error.to_string())),
    }
}

/// A `tokenizer.json`, and after the first 0 a text: both from anywhere.
fn tokenizer(bytes: &[u8]) -> u64 {
    const MOST: usize = 16;
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let described = parts.next().unwrap_or_default();
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    match glassd_inference::Tokenizer::parse(described) {
        Ok(tokenizer) => {
            let tokens = tokenizer.encode(&text, MOST);
            assert!((2..=MOST).contains(&tokens.len()), "{} tokens", tokens.len());
            outcome((tokens.len(), tokens.iter().min()))
        }
        Err(error) => outcome(said(&error.to_string())),
    }
}

/// Returns the words of a message without names and numbers, which mutation makes endlessly new.
fn said(message: &str) -> String {
    message.split(' ').filter(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect()
}
