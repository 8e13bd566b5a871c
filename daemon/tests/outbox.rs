//! The outbox keeps what it confirmed: through kill −9, a full file, damage, and other processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use glassd::outbox::{
    Explanation, History, OpenError, Opened, Operation, Outbox, OutboxEvent, OutboxSettings, StoreError,
};
use glassd_core::query::{Source, Stage, StoredQuery};
use glassd_core::{QueryId, Timestamp};
use tokio::sync::mpsc::{Receiver, channel};

fn row(id: u64, stage: Stage) -> StoredQuery {
    StoredQuery {
        query: QueryId(id),
        glasses: id.is_multiple_of(2).then(|| "omi-1".parse().unwrap()),
        text: format!("what is number {id}?"),
        source: [Source::Cli, Source::Mqtt, Source::Button][id as usize % 3],
        asked_at: Timestamp::from_micros(1_700_000_000_000_000 + id % 1000),
        expires_at: Timestamp::from_micros(1_700_000_600_000_000 + id % 1000),
        stage,
    }
}

fn explanation(id: u64) -> Explanation {
    Explanation {
        query: QueryId(id),
        asked_at: Timestamp::from_secs(id),
        ended_at: Timestamp::from_secs(id + 1),
        question: "how many cups?".to_owned(),
        route: "cloud".to_owned(),
        answer: "three".to_owned(),
        json: format!(r#"{{"query":"{}"}}"#, QueryId(id)),
    }
}

fn open(path: &Path) -> (Opened, Receiver<OutboxEvent>) {
    let (events, inbox) = channel(64);
    (Outbox::open(&OutboxSettings::new(path), events).unwrap(), inbox)
}

/// Waits for the next event and expects it to be a success.
fn confirmed(events: &mut Receiver<OutboxEvent>) -> (QueryId, Operation) {
    let event = events.blocking_recv().unwrap();
    assert!(event.result.is_ok(), "{event:?}");
    (event.query, event.operation)
}

fn reopened(path: &Path) -> Vec<StoredQuery> {
    let (opened, events) = open(path);
    drop(events);
    assert_eq!(opened.set_aside, None);
    opened.outbox.close().unwrap();
    opened.queries
}

#[test]
fn rows_come_back_in_the_order_of_acceptance_with_their_last_stage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/outbox.db");
    let (opened, mut events) = open(&path);
    assert_eq!(opened.queries, []);
    // Names do not sort like acceptance; the largest name has the top bit set.
    let ids = [9, u64::MAX, 4, 7];
    for id in ids {
        opened.outbox.store(row(id, Stage::Accepted)).unwrap();
    }
    opened.outbox.store(row(9, Stage::Ready(vec![0, 255, 7]))).unwrap();
    opened.outbox.store(row(4, Stage::Ready(vec![1; 300_000]))).unwrap();
    opened.outbox.record_answer(QueryId(4), "a cup".to_owned()).unwrap();
    opened.outbox.end(explanation(7)).unwrap();
    let seen: Vec<_> = (0..8).map(|_| confirmed(&mut events)).collect();
    use Operation::{End, RecordAnswer, Store};
    let expected = [9, u64::MAX, 4, 7, 9, 4, 4, 7].map(QueryId).into_iter().zip([
        Store,
        Store,
        Store,
        Store,
        Store,
        Store,
        RecordAnswer,
        End,
    ]);
    assert_eq!(seen, expected.collect::<Vec<_>>());
    drop(events);
    opened.outbox.close().unwrap();

    let expected = [
        row(9, Stage::Ready(vec![0, 255, 7])),
        row(u64::MAX, Stage::Accepted),
        row(4, Stage::Answered("a cup".into())),
    ];
    assert_eq!(reopened(&path), expected);
}

#[test]
fn only_the_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/outbox.db");
    let (opened, mut events) = open(&path);
    opened.outbox.store(row(1, Stage::Accepted)).unwrap();
    confirmed(&mut events);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{suffix:?}");
    }
    assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn an_answer_needs_a_row_and_an_end_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let (opened, mut events) = open(&path);
    opened.outbox.record_answer(QueryId(1), "a cup".to_owned()).unwrap();
    let event = events.blocking_recv().unwrap();
    assert!(matches!(event.result, Err(StoreError::Unknown)), "{event:?}");
    opened.outbox.end(explanation(1)).unwrap();
    assert_eq!(confirmed(&mut events), (QueryId(1), Operation::End));
}

#[test]
fn the_history_is_read_beside_the_running_outbox_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let (opened, mut events) = open(&path);
    for id in [5, 3, 8] {
        opened.outbox.end(explanation(id)).unwrap();
        confirmed(&mut events);
    }
    let history = History::open(&path).unwrap();
    let check = |history: &History| {
        assert_eq!(history.lookup(QueryId(3)).unwrap(), Some(explanation(3)));
        assert_eq!(history.lookup(QueryId(4)).unwrap(), None);
        assert_eq!(history.last(2).unwrap(), [explanation(8), explanation(3)]);
        assert_eq!(history.last(0).unwrap(), []);
    };
    check(&history);
    opened.outbox.end(explanation(4)).unwrap();
    confirmed(&mut events);
    assert_eq!(history.lookup(QueryId(4)).unwrap(), Some(explanation(4)));
    drop((history, events));
    opened.outbox.close().unwrap();
    let after = History::open(&path).unwrap();
    assert_eq!(after.last(1).unwrap(), [explanation(4)]);
}

#[test]
fn a_second_gateway_is_kept_out_and_a_newer_schema_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let (opened, events) = open(&path);
    let again = Outbox::open(&OutboxSettings::new(&path), channel(1).0).unwrap_err();
    assert!(matches!(again, OpenError::InUse(_)), "{again}");
    drop(events);
    opened.outbox.close().unwrap();

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(connection);
    let newer = Outbox::open(&OutboxSettings::new(&path), channel(1).0).unwrap_err();
    assert!(matches!(newer, OpenError::NewerSchema { found: 7, supported: 3, .. }), "{newer}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "the file and its lock, nothing set aside"
    );
}

#[test]
fn a_full_outbox_forgets_history_first_then_refuses_and_can_still_end_queries() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        OutboxSettings { max_bytes: 512 * 1024, ..OutboxSettings::new(folder.path().join("outbox.db")) };
    let (sender, mut events) = channel(64);
    let opened = Outbox::open(&settings, sender).unwrap();
    // A history that fills the file to the brim …
    for id in 0..60 {
        opened.outbox.end(Explanation { json: "x".repeat(10_000), ..explanation(id) }).unwrap();
        confirmed(&mut events);
    }
    let history = History::open(&settings.path).unwrap();
    let kept = history.last(100).unwrap().len();
    assert!((1..60).contains(&kept), "{kept} of 60 explanations kept");
    // … makes room for queries until nothing is left to forget.
    let mut stored = Vec::new();
    let refused = loop {
        let id = 100 + stored.len() as u64;
        opened.outbox.store(row(id, Stage::Ready(vec![9; 40_000]))).unwrap();
        match events.blocking_recv().unwrap().result {
            Ok(()) => stored.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full), "{refused}");
    assert!(stored.len() >= 10, "{} rows of 40 KB in 512 KB", stored.len());
    opened.outbox.end(explanation(stored[0])).unwrap();
    events.blocking_recv().unwrap();
    opened.outbox.store(row(999, Stage::Ready(vec![9; 30_000]))).unwrap();
    confirmed(&mut events);
    drop((history, events));
    opened.outbox.close().unwrap();
    let left: Vec<u64> = reopened(&settings.path).iter().map(|row| row.query.0).collect();
    assert_eq!(left, [&stored[1..], &[999]].concat());
}

#[test]
fn a_damaged_file_is_set_aside_and_named() {
    type Damage = (&'static str, fn(&Path));
    let damage: [Damage; 4] = [
        ("no database at all", |path| std::fs::write(path, "<html>".repeat(1000)).unwrap()),
        ("pages overwritten", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[4096..].fill(0xA5);
            std::fs::write(path, bytes).unwrap();
        }),
        // Not read at the start, so that only a check of the whole file finds it.
        ("the last page overwritten", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let last = bytes.len() - 4096;
            bytes[last..].fill(0xA5);
            std::fs::write(path, bytes).unwrap();
        }),
        ("a row nobody wrote", |path| {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.execute("UPDATE query SET id = 'first'", []).unwrap();
        }),
    ];
    for (name, damage) in damage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let (opened, mut events) = open(&path);
        opened.outbox.store(row(1, Stage::Accepted)).unwrap();
        confirmed(&mut events);
        drop(events);
        opened.outbox.close().unwrap();
        damage(&path);
        let damaged = std::fs::read(&path).unwrap();

        let (opened, mut events) = open(&path);
        let set_aside = opened.set_aside.unwrap_or_else(|| panic!("{name}: not noticed"));
        assert_eq!(opened.queries, [], "{name}");
        assert!(set_aside.path.to_str().unwrap().contains("outbox.db.corrupt-"), "{name}: {set_aside:?}");
        assert!(!set_aside.reason.is_empty(), "{name}");
        assert_eq!(std::fs::read(&set_aside.path).unwrap().len(), damaged.len(), "{name}");
        opened.outbox.store(row(2, Stage::Accepted)).unwrap();
        assert_eq!(confirmed(&mut events), (QueryId(2), Operation::Store), "{name}: the new file works");
    }
}

const CHILD_PATH: &str = "GLASSD_TEST_OUTBOX";

/// Not a test of its own: the process that [`what_was_confirmed_survives_kill_9`] kills.
#[test]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD_PATH) else { return };
    let (opened, mut events) = open(Path::new(&path));
    for id in 1.. {
        opened.outbox.store(row(id, Stage::Accepted)).unwrap();
        confirmed(&mut events);
        opened.outbox.store(row(id, Stage::Ready(vec![id as u8; 20_000]))).unwrap();
        confirmed(&mut events);
        println!("\nconfirmed {id}");
    }
}

#[test]
fn what_was_confirmed_survives_kill_9() {
    for kill_after in [1, 7, 40] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD_PATH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        while last < kill_after {
            let line = lines.next().expect("the child writes until it is killed").unwrap();
            if let Some(id) = line.strip_prefix("confirmed ") {
                last = id.parse().unwrap();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let rows = reopened(&path);
        assert!(rows.len() >= last as usize, "{} rows of {last} confirmed", rows.len());
        for (i, found) in rows.iter().take(last as usize).enumerate() {
            let id = i as u64 + 1;
            assert_eq!(*found, row(id, Stage::Ready(vec![id as u8; 20_000])));
        }
    }
}
