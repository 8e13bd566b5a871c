//! The open profile over a Bluetooth stack that nobody here wrote; see `tests/peers`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a peer is another process")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use glassd_core::link::answer_text::Kind;
use glassd_core::link::open::Connection;
use glassd_core::link::{Characteristic, LinkCommand, LinkEvent, Orientation, Protocol, uuid};
use glassd_core::{QueryId, Timestamp};

fn python() -> String {
    std::env::var("GLASSD_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Tells whether the peers' Python has Bumble; says so where not.
fn has_bumble() -> bool {
    let found = Command::new(python()).args(["-c", "import bumble.testing.test_utils"]).output();
    let there = found.is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: {} has no bumble (set GLASSD_PEERS_PYTHON, see tests/peers/README.md)", python());
    }
    there
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// The glasses and the phone in Bumble.
struct Peer {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Peer {
    fn start(mtu: usize, jpeg: &[u8]) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/open_glasses.py");
        let mut child = Command::new(python())
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peers' Python was there a moment ago");
        let mut stdin = child.stdin.take().expect("it is piped");
        let uuid_of = |characteristic| format!("{:032X}", uuid::of(characteristic));
        let wanted = serde_json::json!({
            "mtu": mtu,
            "jpeg": hex(jpeg),
            "control": uuid_of(Characteristic::OpenControl),
            "data": uuid_of(Characteristic::OpenData),
        });
        writeln!(stdin, "{wanted}").expect("it reads");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, stdin, lines }
    }
}

fn check(mtu: usize, photo_bytes: usize) {
    let jpeg: Vec<u8> = (0..photo_bytes).map(|i| (i * 31 % 251) as u8).collect();
    let text = "Ein roter Ball – größer als der Würfel. ".repeat(20);
    let mut peer = Peer::start(mtu, &jpeg);
    assert_eq!(peer.lines.recv().as_deref(), Ok("ready"));
    let mut connection = Connection::default();
    let mut now = Timestamp::from_secs(1_700_000_000);
    connection.handle_connected(now);
    let mut events = Vec::new();
    let mut said = Vec::new();
    let take_photo = LinkCommand::TakePhoto;
    let show = LinkCommand::Show { kind: Kind::Answer, query: QueryId(77), text: text.clone() };
    let mut commands = [take_photo, show].into_iter();
    while said.len() < 2 {
        while let Some(write) = connection.poll_write() {
            writeln!(peer.stdin, "{}", hex(&write.value)).expect("it reads");
        }
        match peer.lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => match line.split_once(' ') {
                Some(("notified", value)) => {
                    connection.handle_notification(Characteristic::OpenData, &from_hex(value), now);
                }
                _ => said.push(line),
            },
            // Everything is silent: time goes on.
            Err(_) => {
                assert_eq!(peer.child.try_wait().expect("it is our child"), None, "the peer ended");
                if let Some(due) = connection.poll_timeout() {
                    now = due;
                    assert!(now < Timestamp::from_secs(1_700_000_060), "{said:?}");
                    connection.handle_timeout(now);
                }
            }
        }
        events.extend(std::iter::from_fn(|| connection.poll_event()));
        // The first one when the glasses have said hello, the second one when the photo is there.
        if connection.hello().is_some() && commands.len() + events.len() == 2 {
            let command = commands.next().expect("there are as many as events and one");
            connection.handle_command(&command, now).expect("the glasses have a camera and a display");
        }
    }
    assert_eq!(events, [LinkEvent::Photo { jpeg, orientation: Orientation::ThreeQuarters }]);
    assert_eq!(said, ["done 0".to_owned(), format!("text 0 77 {}", hex(text.as_bytes()))]);
    drop(peer.stdin);
    assert!(peer.child.wait().expect("it is our child").success());
}

#[test]
fn photos_and_texts_cross_bumbles_link() {
    if has_bumble() {
        check(247, 30_000);
    }
}

#[test]
fn photos_and_texts_cross_at_the_smallest_mtu() {
    if has_bumble() {
        check(64, 3_000);
    }
}
