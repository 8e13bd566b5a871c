//! Peers: programs that nobody here wrote, in Python; see `tests/peers`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a peer is another process")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn python() -> String {
    std::env::var("GLASSD_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Tells whether the peers' Python has these modules; says so where not.
pub fn has(modules: &str) -> bool {
    let found = Command::new(python()).args(["-c", &format!("import {modules}")]).output();
    let there = found.is_ok_and(|output| output.status.success());
    if !there {
        println!(
            "skipped: {} has no {modules} (set GLASSD_PEERS_PYTHON, see tests/peers/README.md)",
            python()
        );
    }
    there
}

/// Runs a script of `tests/peers`; returns what it wrote.
pub fn run(script: &str, arguments: &[&str], input: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers").join(script);
    let mut child = Command::new(python())
        .arg(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the peers' Python was there a moment ago");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // From another thread, or both sides might wait for a full pipe; the peer may also end before it read all.
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the peer ends");
    let _ = feeder.join().expect("writing does not panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).expect("the peers write ASCII")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}
