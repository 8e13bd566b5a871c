//! Replay on real pictures, where they are.

mod support;

use std::path::PathBuf;
use std::process::Command;

use glassd_core::capture::{Bytes, What};
use glassd_core::link::Characteristic;
use glassd_inference::sha256;
use serde_json::Value;
use support::Gateway;

const GLASSES: &str = "[[glasses]]\nname = \"amber\"\nkind = \"simulated\"\nseed = 3\n";

/// The folder of real models and photos, or `None`, with a word about it.
fn data() -> Option<PathBuf> {
    let folder =
        std::env::var_os("GLASSD_DATA").map_or_else(|| support::root().join("../shared/data"), PathBuf::from);
    if folder.join("detection/images/bus.jpg").is_file() {
        Some(folder)
    } else {
        println!("skipped: no models and photos in {}", folder.display());
        None
    }
}

#[test]
fn counts_the_people_at_the_bus_here() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("glassd.toml");
    let manifest = support::root().join("config/models/example.toml").canonicalize().unwrap();
    let text = format!(
        "[models]\ndetector = \"yolox-nano\"\nmanifest = {manifest:?}\ndirectory = {:?}\n",
        data.join("detection/models").canonicalize().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    let json = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_glassd"))
        .arg("--config")
        .arg(&config)
        .args(["replay", "--ask", "how many people are there?", "--frames"])
        .arg(data.join("detection/images/bus.jpg"))
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let answer = &report["answers"][0];
    // The fourth is cut by the picture's edge, and the model doubts it: the answer says so.
    assert_eq!(answer["answer"], "I am not sure: There are 4 people.", "{said}");
    assert_eq!(answer["route"], "local", "{said}");
}

#[test]
fn frames_that_are_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_glassd"))
            .args(["replay", "--fps", "60", "--ask", "what time is it", "--frames"])
            .arg(folder.path())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ok, error) = run();
    assert!(!ok && error.contains("no .jpg"), "{error}");
    std::fs::write(folder.path().join("a.jpg"), b"no picture").unwrap();
    let (ok, error) = run();
    assert!(!ok && error.contains("no frame could be seen"), "{error}");
    // Without a question it ends all the same.
    let output =
        Command::new(env!("CARGO_BIN_EXE_glassd")).args(["replay", "--frames"]).arg(folder.path()).output();
    assert!(!output.unwrap().status.success());
    let output =
        Command::new(env!("CARGO_BIN_EXE_glassd")).args(["replay", "--fps", "nan", "--frames", "x"]).output();
    assert!(String::from_utf8_lossy(&output.unwrap().stderr).contains("0.1 to 60"));
}

/// Photos of OmiGlass in a capture, put together here: chunks with a number each, the end is chunk 65535.
fn photos(capture: &str) -> Vec<Vec<u8>> {
    let (mut photos, mut photo) = (Vec::new(), None::<(u16, Vec<u8>)>);
    for line in glassd_core::capture::read(capture.as_bytes()).expect("a capture") {
        let What::Notified(Characteristic::PhotoData, Bytes(value)) = line.expect("a line").what else {
            continue;
        };
        match u16::from_le_bytes([value[0], value[1]]) {
            // The first has the orientation after its number.
            0 => photo = Some((0, value[3..].to_vec())),
            0xFFFF => photos.extend(photo.take().map(|(_, bytes)| bytes)),
            number => match &mut photo {
                Some((last, bytes)) if number == *last + 1 => {
                    *last = number;
                    bytes.extend(&value[2..]);
                }
                _ => photo = None,
            },
        }
    }
    photos
}

#[test]
fn what_was_recorded_is_played_bit_for_bit() {
    let mut gateway = Gateway::configure("", "open", GLASSES);
    gateway.start();
    let file = gateway.folder.path().join("air.jsonl");
    let path = file.to_str().unwrap();
    let recorded = gateway.glassd(&["record", "--seconds", "4", "--output", path]);
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let again = gateway.glassd(&["record", "--seconds", "1", "--output", path]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("never replaces"), "a recording was replaced");
    let capture = std::fs::read_to_string(&file).unwrap();
    let wanted: Vec<String> = photos(&capture).iter().map(|photo| sha256(photo)).collect();
    assert!(!wanted.is_empty(), "no whole photo within four seconds");

    let json = gateway.folder.path().join("report.json");
    let replay = |path: &str| {
        gateway.glassd(&["replay", "--fast", "--capture", path, "--json", json.to_str().unwrap()])
    };
    let replayed = replay(path);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let air = &report["air"];
    let played: Vec<&str> =
        air["photos"].as_array().unwrap().iter().map(|photo| photo["sha256"].as_str().unwrap()).collect();
    assert_eq!(played, wanted);
    assert_eq!(air["notifications"], capture.matches("\"notified\"").count(), "{air}");
    // A byte that was lost is told by its line.
    let broken = capture.replacen("\"notified\"", "\"notifie\"", 1);
    std::fs::write(&file, broken).unwrap();
    let refused = replay(path);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("line "), "{said}");
}
