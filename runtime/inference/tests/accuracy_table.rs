//! One table of all scores: `tests/accuracy/all`, with parts that are played.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const ALL: &str = include_str!("../../../tests/accuracy/all");

fn script(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A part that writes these rows, says this and ends so.
fn part(folder: &Path, name: &str, rows: &str, says: &str, code: u8) {
    let text = format!("#!/bin/sh\nprintf '%s' '{rows}' > \"$4\"\necho '{says}'\nexit {code}\n");
    script(folder, name, &text);
}

/// Runs the command; returns whether it succeeded, what it printed and the rows that it wrote.
fn run(folder: &Path) -> (bool, String, serde_json::Value) {
    script(folder, "all", ALL);
    let json = folder.join("rows.json");
    let output =
        Command::new(folder.join("all")).args(["--data", "/nowhere", "--json"]).arg(&json).output().unwrap();
    let rows = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap(), rows)
}

#[test]
fn the_parts_make_one_table_and_what_is_skipped_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let row = |model: &str, value: f64| serde_json::json!({ "task": "t", "model": model, "metric": "m", "value": value });
    part(folder.path(), "vision", &format!("[{}]", row("a", 0.5)), "t   a   m 0.5", 0);
    part(folder.path(), "text", "[]", "sentences      skipped: /nowhere/text is not there", 0);
    part(folder.path(), "keywords", &format!("[{}]", row("b", 0.25)), "", 0);
    let (succeeded, table, rows) = run(folder.path());
    assert!(succeeded, "{table}");
    assert_eq!(
        table,
        "| task | model | metric | value |\n|---|---|---|---|\n| t | a | m | 0.5000 |\n| t | b | m | 0.2500 |\n\n\
         sentences skipped: /nowhere/text is not there\n"
    );
    assert_eq!(rows, serde_json::json!([row("a", 0.5), row("b", 0.25)]));
}

#[test]
fn a_part_that_fails_fails_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), "vision", "[]", "t  a  FAILED: it is broken", 1);
    part(folder.path(), "text", "[]", "", 101);
    part(folder.path(), "keywords", "[]", "", 0);
    let (succeeded, table, _) = run(folder.path());
    assert!(!succeeded);
    assert!(table.contains("\nt a FAILED: it is broken\n"), "{table}");
    assert!(table.contains("\ntext: it ended with 101\n"), "{table}");
}
