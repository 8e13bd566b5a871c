//! Configuration: sources, ranges, unknown keys, and the generated reference.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../tests/cloud/authority.rs"]
mod authority;
mod support;

use std::path::Path;
use std::process::{Command, Output};

use authority::Authority;
use glassd::config::{self, Config, KEYS};

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// Runs `glassd check` in a clean environment plus `environment`.
fn check(config: &Path, environment: &[(&str, &str)]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_glassd"))
        .arg("--config")
        .arg(config)
        .arg("check")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = support::root().join("config/reference.toml");
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(committed, config::reference(), "run: cargo run -- config reference > config/reference.toml");
    let parsed: Config = toml::from_str(&committed).unwrap();
    assert_eq!(parsed, Config::default(), "the reference names every default");
}

#[test]
fn every_key_has_its_line() {
    let defaults = toml::Value::try_from(Config::default()).unwrap();
    let mut paths = Vec::new();
    for (section, table) in defaults.as_table().unwrap() {
        paths.extend(table.as_table().into_iter().flatten().map(|(key, _)| format!("{section}.{key}")));
    }
    let mut documented: Vec<_> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    paths.sort();
    documented.sort();
    assert_eq!(paths, documented);
}

#[test]
fn the_default_is_valid() {
    assert_eq!(config::validate(&Config::default()), []);
}

#[test]
fn all_problems_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[mqtt]\nbroker = \"http://x\"\nbrocker = 1\n[uplink]\nin_flight = 0\nkilobytes_per_minute = 0\n\
                [http]\nlisten = \"nowhere\"\n[colours]\nred = 1\n";
    write(folder.path(), "glassd.toml", text);
    let (output, text) = check(&folder.path().join("glassd.toml"), &[]);
    assert!(!output.status.success());
    for key in [
        "mqtt.broker:",
        "mqtt.brocker:",
        "uplink.in_flight:",
        "uplink.kilobytes_per_minute:",
        "http.listen:",
        "colours:",
    ] {
        assert!(text.contains(key), "{key} is missing in\n{text}");
    }
    assert_eq!(text.matches("FAIL  configuration").count(), 6, "{text}");
    // The rest is checked all the same.
    assert!(text.contains("  policies: ") && text.contains("  detector: "), "{text}");
}

#[test]
fn a_wrong_value_is_told_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let told = |text: &str, expected: &str| {
        write(folder.path(), "glassd.toml", text);
        let (output, told) = check(&folder.path().join("glassd.toml"), &[]);
        assert!(!output.status.success() && told.contains(expected), "{expected} is missing in {told}");
    };
    let words =
        "models.preference: \"fast\" is not \"low-power\", \"fast-single-answer\" or \"sustained-speed\"";
    told("[models]\npreference = \"fast\"\n", words);
    told("[gateway]\nprivacy = \"shut\"\n", "gateway.privacy: \"shut\" is not \"open\" or \"local-only\"");
    told("[models]\nmemory_mb = 1.5\n", "models.memory_mb: 1.5 is no whole number; it is 1 to 1000000");
    told("[models]\nmemory_mb = \"much\"\n", "expected an integer for key `models.memory_mb`");
    told("[models]\nmemory_mb = \"much\"\n", "; it is 1 to 1000000");
    let environment = [("GLASSD__UPLINK__IN_FLIGHT", "2.5")];
    write(folder.path(), "glassd.toml", "");
    let near = check(&folder.path().join("glassd.toml"), &environment).1;
    assert!(near.contains("uplink.in_flight: 2.5 is no whole number; it is 1 to 64"), "{near}");
}

#[test]
fn what_is_wrong_with_certificates_is_told() {
    let Some(authority) = Authority::new() else { return };
    let (certificate, key) = authority.sign("gateway", "DNS:home");
    let (_, other) = authority.sign("other", "DNS:other");
    let nonsense = authority.write("nonsense", "-----BEGIN NONSENSE-----\n");
    let ca = authority.certificate();
    let told = |keys: &[(&str, &Path)], expected: &str| {
        // Nobody listens there.
        let mut text = "[mqtt]\nbroker = \"mqtts://127.0.0.1:1\"\n".to_owned();
        for (key, path) in keys {
            text += &format!("{key} = {path:?}\n");
        }
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "glassd.toml", &text);
        let told = check(&folder.path().join("glassd.toml"), &[]).1;
        assert!(told.contains(expected), "{expected} is missing in {told}");
    };
    told(&[("ca_file", Path::new("/no/such/ca"))], "FAIL  certificates: cannot read /no/such/ca");
    told(&[("ca_file", &nonsense)], "is no PEM file of certificates");
    told(&[("ca_file", &ca), ("certificate_file", &certificate)], "a client certificate needs mqtt.key_file");
    let pair = |key| [("ca_file", &*ca), ("certificate_file", &*certificate), ("key_file", key)];
    told(&pair(&other), "it is not the key of");
    told(&pair(&nonsense), "is no PEM file of a usable key");
    told(
        &pair(&key),
        "ok    certificates: the broker must be vouched for by mqtt.ca_file; a certificate is shown",
    );
    told(&pair(&key), "mqtts://127.0.0.1:1 cannot be reached now");
    told(
        &[("password_file", Path::new("/no/such/password"))],
        "FAIL  password: cannot read /no/such/password",
    );
}

#[test]
fn later_sources_win() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("glassd.d")).unwrap();
    write(
        folder.path(),
        "glassd.toml",
        "[gateway]\nname = \"file\"\nlanguage = \"de\"\nbutton_question = \"a\"\n",
    );
    write(folder.path(), "glassd.d/20.toml", "[gateway]\nname = \"second\"\n");
    write(folder.path(), "glassd.d/10.toml", "[gateway]\nname = \"first\"\nlanguage = \"sw\"\n");
    write(folder.path(), "glassd.d/ignored.txt", "nonsense");
    let config = config::load(Some(&folder.path().join("glassd.toml"))).unwrap();
    assert_eq!(config.gateway.name, "second");
    assert_eq!(config.gateway.language, "sw");
    assert_eq!(config.gateway.button_question, "a");
    // A near miss is told, not ignored.
    let near = check(&folder.path().join("glassd.toml"), &[("GLASSD_MQTT__LOCAL_PORT", "1884")]).1;
    assert!(near.contains("it is spelt GLASSD__MQTT__LOCAL_PORT"), "{near}");
    // The environment wins over all of them; a bad value there is found like any other.
    let (output, text) = check(&folder.path().join("glassd.toml"), &[("GLASSD__GATEWAY__NAME", "Bad Name")]);
    assert!(!output.status.success() && text.contains("gateway.name"), "{text}");
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = check(&folder.path().join("missing.toml"), &[]).1;
    assert!(missing.contains("missing.toml"), "{missing}");
    write(folder.path(), "glassd.toml", "[gateway\n");
    let malformed = check(&folder.path().join("glassd.toml"), &[]).1;
    assert!(malformed.contains("glassd.toml"), "{malformed}");
    write(folder.path(), "glassd.toml", "[http]\nlisten = 5\n[gateway]\nprivacy = \"loud\"\n");
    let mistyped = check(&folder.path().join("glassd.toml"), &[]).1;
    assert!(mistyped.contains("privacy"), "{mistyped}");
}

#[test]
fn check_leaves_nothing_behind_and_sees_what_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let text = |socket: &Path| {
        format!(
            "[gateway]\nstate_dir = {state:?}\ncontrol_socket = {socket:?}\n[http]\nlisten = \"\"\n\
             [mqtt]\nbroker = \"mqtt://127.0.0.1:1\"\n"
        )
    };
    let path = folder.path().join("glassd.toml");
    write(folder.path(), "glassd.toml", &text(&folder.path().join("run/control.sock")));
    let (output, told) = check(&path, &[]);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("state: ") && told.contains("will be made at the start"), "{told}");
    assert!(told.contains("mqtt://127.0.0.1:1 cannot be reached now"), "{told}");
    assert!(!state.exists() && !folder.path().join("run").exists(), "{told}");

    // Another daemon holds the outbox.
    std::fs::create_dir(&state).unwrap();
    let lock = std::fs::File::create(state.join("outbox.sqlite.lock")).unwrap();
    lock.lock().unwrap();
    let told = check(&path, &[]).1;
    assert!(told.contains("a glassd uses it now"), "{told}");

    write(folder.path(), "file", "");
    write(folder.path(), "glassd.toml", &text(&folder.path().join("file")));
    let (output, told) = check(&path, &[]);
    assert!(!output.status.success() && told.contains("is no socket"), "{told}");
    write(folder.path(), "glassd.toml", &text(&folder.path().join("x".repeat(107))));
    let (output, told) = check(&path, &[]);
    assert!(!output.status.success() && told.contains("at most 107"), "{told}");
}

#[test]
fn recordings_are_of_one_pair_of_glasses() {
    let problems = |rest: &str| {
        let text = format!("[[glasses]]\nname = \"amber\"\nkind = \"omi\"\n{rest}");
        let config: Config = toml::from_str(&text).unwrap();
        config::validate(&config).iter().map(|problem| problem.key.clone()).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(problems(""), none);
    assert_eq!(problems("offline_audio = true"), ["glasses.offline_audio"]);
    assert_eq!(problems("offline_audio = true\naddress = \"C0:11:22:33:44:55\""), none);
    assert_eq!(problems("offline_audio_mb = 0"), ["glasses.offline_audio_mb"]);
}
