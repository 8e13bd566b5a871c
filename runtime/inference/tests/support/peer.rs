//! `tests/peers/tasks.py`: what nobody here wrote, asked over standard input.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Asks the peer; nothing, and a line that says so, where Python has not the modules it needs.
pub(crate) fn ask(what: &str, modules: &str, request: &Value) -> Option<Value> {
    let python = std::env::var("GLASSD_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    // To look for a module without importing it: some import much.
    let names: Vec<String> = modules.split_whitespace().map(|name| format!("{name:?}")).collect();
    let look = format!(
        "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, [{}])))",
        names.join(",")
    );
    let found = Command::new(&python).args(["-c", &look]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!(
            "skipped: {python} has not all of {modules} (set GLASSD_PEERS_PYTHON, see tests/peers/README.md)"
        );
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/tasks.py");
    let mut peer = Command::new(&python)
        .args([script, what])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    peer.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = peer.wait_with_output().unwrap();
    assert!(output.status.success(), "{what} failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
