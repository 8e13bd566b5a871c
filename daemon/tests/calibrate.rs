//! Outcomes on disk, and what `glassd calibrate` makes of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use glassd::calibration;
use glassd::outbox::{History, Opened, Outbox, OutboxSettings};
use glassd_policies::calibration::{Drift, Outcome};
use tokio::sync::mpsc::channel;

/// Scores that promise too much, as often right as `0.5 + score / 2`.
fn outcomes(count: usize) -> Vec<Outcome> {
    let outcome = |n: usize| {
        let score = (n as f32 * 0.618_034).fract();
        let right = (n as f32 * 0.754_878).fract() < 0.5 + score / 2.0;
        Outcome { kind: "is-there".to_owned(), score, right, share: 0.5 }
    };
    (0..count).map(outcome).collect()
}

fn open(path: &Path, known_outcome: i64) -> Opened {
    let (events, _) = channel(8);
    Outbox::open(&OutboxSettings { known_outcome, ..OutboxSettings::new(path) }, events).unwrap()
}

fn glassd(state_dir: &Path, arguments: &[&str]) -> Output {
    let config = state_dir.join("glassd.toml");
    std::fs::write(&config, format!("[gateway]\nstate_dir = {:?}\n", state_dir.join("state"))).unwrap();
    Command::new(env!("CARGO_BIN_EXE_glassd")).arg("--config").arg(config).args(arguments).output().unwrap()
}

#[test]
fn outcomes_survive_and_drift_goes_on_where_the_calibration_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let kept = outcomes(3);
    let opened = open(&path, 0);
    assert_eq!(opened.drift, Drift::default());
    for (n, outcome) in kept.iter().enumerate() {
        opened.outbox.keep_outcome(outcome.clone(), Drift::from_raise(n as f32 / 10.0)).unwrap();
    }
    opened.outbox.close().unwrap();
    assert_eq!(History::open(&path).unwrap().outcomes().unwrap(), (kept, 3));
    for (known, raise) in [(0, 0.2), (2, 0.2), (3, 0.0)] {
        let opened = open(&path, known);
        assert_eq!(opened.drift.raise(), raise, "known up to {known}");
        opened.outbox.close().unwrap();
    }
}

#[test]
fn an_outbox_of_the_first_version_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    open(&path, 0).outbox.close().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let insert = "INSERT INTO history (id, asked_at, ended_at, question, route, answer, explanation) \
                  VALUES ('000000000000002a', 1, 2, 'q', 'local', 'a', '{}')";
    let later = "DROP TABLE outcome; DROP TRIGGER history_added; DROP TRIGGER history_removed; \
                 DROP TABLE history_words; DROP INDEX history_ended; PRAGMA user_version = 1";
    connection.execute_batch(&format!("{later}; {insert}")).unwrap();
    drop(connection);
    let opened = open(&path, 0);
    assert_eq!(opened.set_aside, None);
    opened.outbox.keep_outcome(outcomes(1)[0].clone(), Drift::default()).unwrap();
    opened.outbox.close().unwrap();
    let history = History::open(&path).unwrap();
    assert_eq!(history.search("q", 5).unwrap().len(), 1, "what was there before is found");
    assert_eq!((history.last(5).unwrap().len(), history.outcomes().unwrap().1), (1, 1));
}

#[test]
fn a_calibration_is_written_told_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("state");
    std::fs::create_dir(&state_dir).unwrap();
    let file = folder.path().join("outcomes.jsonl");
    let lines: Vec<String> =
        outcomes(4000).iter().map(|outcome| serde_json::to_string(outcome).unwrap()).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let arguments = ["calibrate", "--outcomes", file.to_str().unwrap()];

    let tried = glassd(folder.path(), &[&arguments[..], &["--dry-run"]].concat());
    assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stderr));
    assert_eq!(calibration::read(&state_dir).unwrap(), None);

    let told = glassd(folder.path(), &arguments);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && text.contains("4000 outcomes") && text.contains("is-there"), "{text}");
    let calibrated = calibration::read(&state_dir).unwrap().unwrap().calibration;
    let bound = calibrated.ordinary.unwrap().probability;
    assert!(bound > 0.9 && text.contains(&format!("{bound:.3}")), "{bound} {text}");
    let probability = calibrated.probability("is-there", 0.4);
    assert!((probability - 0.7).abs() < 0.05, "{probability}");
}

#[test]
fn what_is_no_calibration_or_no_outcome_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("state");
    std::fs::create_dir(&state_dir).unwrap();
    open(&state_dir.join("outbox.sqlite"), 0).outbox.close().unwrap();
    let none = glassd(folder.path(), &["calibrate"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(!none.status.success() && said.contains("audit_share"), "{said}");

    let file = folder.path().join("outcomes.jsonl");
    std::fs::write(&file, "\n{\"kind\":\"see\",\"score\":0.5,\"right\":true,\"share\":1}\nno outcome\n")
        .unwrap();
    let broken = glassd(folder.path(), &["calibrate", "--outcomes", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(!broken.status.success() && said.contains("line 3"), "{said}");

    std::fs::write(state_dir.join("calibration.json"), "{}").unwrap();
    let error = format!("{:#}", calibration::read(&state_dir).unwrap_err());
    assert!(error.contains("glassd calibrate"), "{error}");
    let falling = r#"{"newest_outcome":0,"calibration":{"curves":{"see":[[0.1,0.9],[0.5,0.2]]},"ordinary":null,"costly":null}}"#;
    std::fs::write(state_dir.join("calibration.json"), falling).unwrap();
    let error = format!("{:#}", calibration::read(&state_dir).unwrap_err());
    assert!(error.contains("does not rise"), "{error}");
}
