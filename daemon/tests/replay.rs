//! Replay on real pictures, where they are.

mod support;

use std::path::PathBuf;
use std::process::Command;

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
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
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
