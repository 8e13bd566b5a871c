//! The command line of `glassd-cloud`: what is wrong is said at once, and in one line.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn check(arguments: &[&str], expected: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_glassd-cloud")).args(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    assert!(error.contains(expected), "{arguments:?}: {error}");
    assert!(!error.contains("panicked"), "{arguments:?}: {error}");
}

#[test]
fn mistakes_are_named() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    let url = ["--base-url", "http://127.0.0.1:9", "--model", "m"];
    let with = |further: &[&'static str]| [&url[..], further].concat();
    check(&["--model", "m"], "--base-url");
    check(&["--base-url", "http://127.0.0.1:9"], "--model");
    check(&["--base-url", "127.0.0.1:9", "--model", "m"], "a base URL is http://");
    check(&["--base-url", "ftp://a", "--model", "m"], "a base URL is http://");
    check(&["--base-url", "http://", "--model", "m"], "a base URL is http://");
    check(&with(&["--broker", "mqtts://broker.lan", "--ca-file", "no/such/ca"]), "cannot read no/such/ca");
    check(
        &[&url[..], &["--broker", "wss://a", "--ca-file", empty]].concat(),
        "there is no certificate in it",
    );
    check(&with(&["--certificate-file", "a"]), "--client-key-file");
    check(&with(&["--mqtt", "4"]), "a version is auto, 5 or 3.1.1");
    check(&with(&["--broker", "broker.lan"]), "mqtt://host[:port]");
    check(&with(&["--key-file", "no/such/key"]), "cannot read no/such/key");
    check(&[&url[..], &["--key-file", empty]].concat(), "is empty");
    check(&with(&["--password-file", "no/such/password"]), "cannot read no/such/password");
    check(&with(&["--timeout", "0"]), "--timeout");
    check(&with(&["--concurrency", "0"]), "--concurrency");
}
