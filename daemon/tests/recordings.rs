//! Recordings on disk: kept, found again, bounded.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use glassd::config::{Config, GlassesConfig};
use glassd::event_loop::Event;
use glassd::recordings::{Opened, Recordings};
use glassd_core::gateway::{Input, RecordedFrame, Recording};
use glassd_core::link::AudioCodec;
use glassd_core::{GlassesId, Timestamp};
use tokio::sync::mpsc::{Receiver, channel};

fn amber() -> GlassesId {
    "amber".parse().unwrap()
}

fn glasses(offline_audio: &str) -> Vec<GlassesConfig> {
    let text = format!("[[glasses]]\nname = \"amber\"\nkind = \"omi\"\n{offline_audio}");
    toml::from_str::<Config>(&text).unwrap().glasses
}

/// The thread, the record after the last on disk, and what the thread tells.
fn open(state_dir: &Path) -> (Recordings, u64, Receiver<Event>) {
    let (events, told) = channel(8);
    let wanted = glasses("offline_audio = true\noffline_audio_mb = 1\n");
    let Opened { recordings, kept } = Recordings::open(state_dir, &wanted, events).unwrap().unwrap();
    (recordings, kept[&amber()], told)
}

fn batch(first: u64, next: u64, frames: &[(u64, &[u8])]) -> Recording {
    let frames = frames.iter().map(|(at, frame)| RecordedFrame {
        at: (*at > 0).then_some(Timestamp::from_micros(*at)),
        frame: frame.to_vec(),
    });
    let codec = Some(AudioCodec::Opus(320));
    Recording { glasses: amber(), codec, first, next, frames: frames.collect() }
}

/// Has a batch written; tells whether it was.
fn keep(recordings: &Recordings, told: &mut Receiver<Event>, recording: Recording) -> bool {
    let next = recording.next;
    assert!(recordings.keep(recording).is_none(), "the thread has ended");
    match told.blocking_recv() {
        Some(Event::Input(Input::RecordingKept { glasses, up_to })) => {
            assert_eq!((glasses, up_to), (amber(), next));
            true
        }
        Some(Event::Input(Input::RecordingFailed { up_to, .. })) => {
            assert_eq!(up_to, next);
            false
        }
        other => panic!("{other:?}"),
    }
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("recordings/amber")
}

fn files(state_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder(state_dir)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// If this fails do not change the test: such files are on people's disks.
#[test]
fn a_file_byte_by_byte() {
    let state = tempfile::tempdir().unwrap();
    let (recordings, kept, mut told) = open(state.path());
    assert_eq!(kept, 0);
    assert!(keep(&recordings, &mut told, batch(7, 9, &[(0x0102_0304, &[0xB8, 1]), (0, &[2])])));
    let path = folder(state.path()).join("0000000001-7-9.audio");
    let bytes = std::fs::read(&path).unwrap();
    let body = [
        &b"GLSR\x01\x03"[..],
        &[0x40, 1, 0, 0, 2, 0, 0, 0],
        &[4, 3, 2, 1, 0, 0, 0, 0, 2, 0, 0xB8, 1],
        &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2],
    ]
    .concat();
    assert_eq!(bytes[..bytes.len() - 4], body);
    assert_eq!(bytes[bytes.len() - 4..], crc32fast::hash(&body).to_le_bytes());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&folder(state.path()))), (0o600, 0o700));
}

#[test]
fn what_is_kept_is_known_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let check = |from: u64, batches: &[(u64, u64)], until: u64| {
        let (recordings, kept, mut told) = open(state.path());
        assert_eq!(kept, from);
        for (first, next) in batches {
            assert!(keep(&recordings, &mut told, batch(*first, *next, &[(1, &[1; 80])])));
        }
        drop(recordings);
        assert_eq!(open(state.path()).1, until);
    };
    check(0, &[(500, 560), (560, 620)], 620);
    // The daemon died while it wrote; somebody left a note.
    std::fs::write(folder(state.path()).join("unfinished"), [1; 100]).unwrap();
    std::fs::write(folder(state.path()).join("9999999999-note.audio"), "hello").unwrap();
    check(620, &[], 620);
    assert!(!files(state.path()).contains(&"unfinished".to_owned()));
    check(620, &[(620, 630)], 630);
    // The ring was cleared, and counts anew: the newest counts, not the highest.
    check(630, &[(0, 10)], 10);
    assert_eq!(files(state.path()).len(), 5);
}

#[test]
fn the_oldest_makes_room_and_the_newest_stays() {
    let state = tempfile::tempdir().unwrap();
    let (recordings, _, mut told) = open(state.path());
    // 0.3 MB each, of which a million bytes hold three.
    let frames = vec![(1, &[1_u8; 190][..]); 1500];
    for number in 0..5 {
        assert!(keep(&recordings, &mut told, batch(60 * number, 60 * (number + 1), &frames)));
    }
    assert_eq!(
        files(state.path()),
        ["0000000003-120-180.audio", "0000000004-180-240.audio", "0000000005-240-300.audio"]
    );
    assert_eq!(recordings.given_up(), 2);
    // One that is too large alone takes the place of all but the newest before it.
    assert!(keep(&recordings, &mut told, batch(300, 360, &vec![(1, &[1; 190][..]); 6000])));
    assert_eq!(files(state.path()), ["0000000005-240-300.audio", "0000000006-300-360.audio"]);
}

#[test]
fn a_disk_that_fails_is_told_and_leaves_nothing() {
    let state = tempfile::tempdir().unwrap();
    let (recordings, _, mut told) = open(state.path());
    let path = folder(state.path());
    std::fs::remove_dir(&path).unwrap();
    assert!(!keep(&recordings, &mut told, batch(0, 60, &[(1, &[1])])));
    std::fs::create_dir(&path).unwrap();
    // The name is taken by something that a file cannot replace.
    std::fs::create_dir(path.join("0000000001-0-60.audio")).unwrap();
    std::fs::create_dir(path.join("unfinished")).unwrap();
    assert!(!keep(&recordings, &mut told, batch(0, 60, &[(1, &[1])])));
    std::fs::remove_dir(path.join("0000000001-0-60.audio")).unwrap();
    std::fs::remove_dir(path.join("unfinished")).unwrap();
    assert!(keep(&recordings, &mut told, batch(0, 60, &[(1, &[1])])));
    assert_eq!(files(state.path()), ["0000000001-0-60.audio"]);
}

#[test]
fn nothing_is_kept_of_who_does_not_want_it() {
    let state = tempfile::tempdir().unwrap();
    let (events, _told) = channel(8);
    assert!(Recordings::open(state.path(), &glasses(""), events).unwrap().is_none());
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}
