//! `glassd history`: found, taken along, forgotten.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use glassd::outbox::{Explanation, History, Outbox, OutboxSettings};
use glassd_core::{QueryId, Timestamp};
use tokio::sync::mpsc::channel;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Timestamp {
    Timestamp::from_secs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

fn ended(id: u64, days_ago: u32, question: &str, answer: &str) -> Explanation {
    let at = now() - DAY * days_ago;
    Explanation {
        query: QueryId(id),
        asked_at: at,
        ended_at: at,
        question: question.to_owned(),
        route: "cloud".to_owned(),
        answer: answer.to_owned(),
        json: format!("{{\"query\":\"{}\",\"question\":{question:?}}}", QueryId(id)),
    }
}

/// A gateway that ran and ended, with these in its history.
fn gateway(rows: &[Explanation], history_lifetime: Option<Duration>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        OutboxSettings { history_lifetime, ..OutboxSettings::new(folder.path().join("state/outbox.sqlite")) };
    let (events, _) = channel(64);
    let outbox = Outbox::open(&settings, events).unwrap().outbox;
    rows.iter().for_each(|row| outbox.end(row.clone()).unwrap());
    outbox.close().unwrap();
    folder
}

fn history(folder: &Path, arguments: &[&str]) -> Output {
    let config = folder.join("glassd.toml");
    std::fs::write(&config, format!("[gateway]\nstate_dir = {:?}\n", folder.join("state"))).unwrap();
    Command::new(env!("CARGO_BIN_EXE_glassd"))
        .arg("--config")
        .arg(config)
        .arg("history")
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn words_are_found_wherever_they_stand() {
    let rows = [
        ended(1, 3, "What is the café called?", "It is called Zum Löwen."),
        ended(2, 2, "Is there a red ball?", "Yes, there is a red ball."),
        ended(3, 1, "Where is the lion?", "In the zoo."),
    ];
    let folder = gateway(&rows, None);
    let found = |words: &[&str]| -> Vec<String> {
        let output = history(folder.path(), words);
        said(&output).lines().filter(|line| line.contains("→")).map(|line| line[21..37].to_owned()).collect()
    };
    let ids = |numbers: &[u64]| numbers.iter().map(|id| QueryId(*id).to_string()).collect::<Vec<_>>();
    assert_eq!(found(&[]), ids(&[1, 2, 3]));
    assert_eq!(found(&["-n", "2"]), ids(&[2, 3]));
    assert_eq!(found(&["cafe"]), ids(&[1]));
    assert_eq!(found(&["lowen", "called"]), ids(&[1]));
    assert_eq!(found(&["zo*"]), ids(&[3]));
    assert_eq!(found(&["ball", "zoo"]), Vec::<String>::new());
    // No query language, whatever is typed.
    for nasty in ["\"", "NEAR(", "a AND", "*", "question:red", "' OR 1 --", "(", "^"] {
        assert!(!said(&history(folder.path(), &["--", nasty])).contains("syntax"), "{nasty}");
    }
    assert_eq!(found(&["--", "question:red"]), Vec::<String>::new());
    let none = history(folder.path(), &["unicorn"]);
    assert!(!none.status.success() && said(&none).contains("nothing found"));
}

#[test]
fn what_is_purged_is_gone_from_the_file() {
    let rows =
        [ended(1, 40, "where is my hidden treasure", "under the oak"), ended(2, 1, "is it late", "No.")];
    let folder = gateway(&rows, None);
    let output = history(folder.path(), &["--purge", "30"]);
    assert!(output.status.success() && said(&output).contains("1 forgotten"), "{}", said(&output));
    assert_eq!(said(&history(folder.path(), &[])).lines().count(), 1);
    assert!(said(&history(folder.path(), &["treasure"])).contains("nothing found"));
    for file in std::fs::read_dir(folder.path().join("state")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"treasure"), "{}", path.display());
    }
    assert!(said(&history(folder.path(), &["--purge", "0"])).contains("1 forgotten"));
    assert!(said(&history(folder.path(), &[])).contains("nothing found"));
}

#[test]
fn the_history_forgets_by_itself() {
    let rows = [ended(1, 31, "old", "old"), ended(2, 29, "young", "young"), ended(3, 0, "new", "new")];
    let folder = gateway(&rows, Some(30 * DAY));
    let kept = History::open(&folder.path().join("state/outbox.sqlite")).unwrap().all().unwrap();
    assert_eq!(kept.iter().map(|row| row.query.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn an_export_is_whole_private_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = gateway(&[ended(1, 2, "first", "a"), ended(2, 1, "second", "b")], None);
    let file = folder.path().join("export.jsonl");
    let path = file.to_str().unwrap();
    assert!(history(folder.path(), &["--export", path]).status.success());
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().map(|line| line.contains("first")).collect::<Vec<_>>(), [true, false]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = history(folder.path(), &["--export", path]);
    assert!(!again.status.success() && said(&again).contains("exists"), "{}", said(&again));
}

#[test]
fn without_a_history_it_is_said_where_it_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let output = history(folder.path(), &[]);
    assert!(!output.status.success() && said(&output).contains("when the gateway runs"), "{}", said(&output));
}

#[test]
fn an_end_that_comes_again_takes_the_place_of_the_first() {
    let folder = gateway(&[ended(1, 2, "apples", "a"), ended(1, 1, "pears", "b")], None);
    assert!(said(&history(folder.path(), &["apples"])).contains("nothing found"));
    assert!(said(&history(folder.path(), &["pears"])).contains("pears"));
}
