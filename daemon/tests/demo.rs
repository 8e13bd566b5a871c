//! The demo as people run it: it works, and it notices when a part does not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Broker, Process, wait_until};

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glassd"));
    command.arg("demo").args(args);
    command
}

fn summary(json: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn answers_here_and_in_the_cloud_and_all_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("summary.json");
    let output = demo(&["--questions", "12", "--json"]).arg(&json).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let summary = summary(&json);
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(number("queries"), 12);
    assert_eq!(number("right") + number("wrong"), 12);
    assert!(number("right") >= 11 && number("local") >= 4 && number("cloud") >= 4, "{summary}");
    assert_eq!((number("lost"), number("duplicated")), (0, 0));
    assert!(summary["kb_per_min"].as_f64().unwrap() > 0.0 && summary["rss_mb"].as_f64().unwrap() > 1.0);
    let stages: Vec<&str> =
        summary["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    for stage in ["transfer", "decode", "probe", "perceive", "shrink", "store", "cloud", "answer_local"] {
        assert!(stages.contains(&stage), "{stage} is missing in {stages:?}");
    }
}

#[test]
fn a_broken_part_is_noticed() {
    let check = |part: &str, complaint: &str| {
        let output = demo(&["--questions", "6", "--patience", "8", "--break", part]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{part}: {}", said(&output));
        assert!(said(&output).contains(complaint), "{part}: {}", said(&output));
    };
    check("cloud", "answers are wrong");
    check("worker", "got no answer");
    check("camera", "nothing was answered");
}

/// The promise: the broker may die in the middle of it.
#[test]
fn a_broker_killed_in_the_middle_loses_and_repeats_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("summary.json");
    let queries = broker.subscribe("glassd/demo/query");
    let mut command = demo(&["--questions", "18", "--patience", "60", "--broker", &broker.url(), "--json"]);
    let mut process = Process(command.arg(&json).stdout(Stdio::null()).spawn().unwrap());
    // Twice: each time while a hard query is on its way.
    for _ in 0..2 {
        let before = queries.lines().len();
        wait_until("another hard query is on its way", || queries.lines().len() > before);
        broker.mosquitto.kill();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        broker.mosquitto.restart();
        // mosquitto_sub comes back by itself, within its own second.
        std::thread::sleep(std::time::Duration::from_millis(1500));
    }
    let status = process.0.wait().unwrap();
    let summary = summary(&json);
    assert!(status.success(), "{summary:#}");
    assert_eq!((summary["lost"].as_u64(), summary["duplicated"].as_u64()), (Some(0), Some(0)), "{summary:#}");
    assert_eq!(summary["queries"].as_u64(), Some(18));
}
