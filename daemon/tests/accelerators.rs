//! `glassd accel`, and what the daemon does about an accelerator that cannot serve.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use glassd::accelerators::{Wanted, cache, site};
use glassd::config::Config;
use glassd_inference::serving::ModelEvent;
use glassd_inference::{Accelerator, Delegate, Power, embedded_candidate, survey};
use serde_json::Value;

fn accel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glassd")).arg("accel").args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = accel(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_list_tells_what_is_there_and_why_the_rest_is_not() {
    let list = json(&["list", "--json"]);
    let list = list.as_array().unwrap();
    assert_eq!(list[0]["accelerator"], "cpu");
    for one in list {
        if one["present"] == true {
            assert!(!one["device"].as_str().unwrap().is_empty(), "{one}");
            assert!(!one["precisions"].as_array().unwrap().is_empty(), "{one}");
        } else {
            assert!(!one["why"].as_str().unwrap().is_empty(), "{one}");
        }
    }
    for name in ["vulkan", "onnxruntime", "litert"] {
        let is_it = |one: &Value| one["accelerator"].as_str().unwrap().starts_with(name);
        assert!(list.iter().any(is_it), "{name} is listed, present or not");
    }
}

#[test]
fn what_agrees_is_measured_and_one_of_it_chosen() {
    let report = json(&["bench", "--json", "--seconds", "0.05", "--preference", "sustained-speed"]);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows[0]["accelerator"], "cpu");
    let (serving, rest): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["serves"] == true);
    assert!(rest.iter().all(|row| !row["why"].as_str().unwrap().is_empty()), "{report}");
    for row in &serving {
        for figure in ["load_cold_ms", "load_cached_ms", "first_ms", "single_ms", "sustained_ms"] {
            assert!(row["figures"][figure].as_f64().unwrap() > 0.0, "{figure}: {row}");
        }
    }
    let quickest =
        serving.iter().map(|row| row["figures"]["sustained_ms"].as_f64().unwrap()).fold(f64::MAX, f64::min);
    let chosen = serving.iter().find(|row| row["accelerator"] == report["chosen"]).unwrap();
    assert!(chosen["figures"]["sustained_ms"].as_f64().unwrap() * 0.9 <= quickest, "{report}");
    assert_eq!(report["reasons"].as_array().unwrap().len(), serving.len());
}

#[test]
fn a_model_that_is_not_there_is_told_by_its_name() {
    let output = accel(&["bench", "nothing.onnx"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("nothing.onnx is no file"), "{told}");
}

#[test]
fn the_processor_serves_where_the_accelerator_asked_for_cannot() {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.gateway.state_dir = state.path().to_owned();
    let asked = Accelerator::LiteRt { delegate: Delegate::None };
    config.models.accelerator = Wanted::Named(asked);
    let (_, mut models) = glassd::models::perception(&config, Some(&cache(&config))).unwrap();
    assert_eq!(models.accelerator(), asked);
    glassd::models::admitted(&mut models, "embedded").unwrap();
    let events = models.take_events();
    let why = events.iter().find_map(|event| match event {
        ModelEvent::FellBack { name, why } => (name == "embedded").then_some(why),
        ModelEvent::Loaded { .. } | ModelEvent::Unloaded { .. } => None,
    });
    assert!(why.unwrap().contains(".tflite"), "{events:?}");
}

#[test]
fn a_choice_is_measured_once() {
    let hardware = survey()
        .present
        .into_iter()
        .filter(|one| !(matches!(one.accelerator, Accelerator::Vulkan { .. }) && one.power == Power::Shared));
    if hardware.count() < 2 {
        eprintln!("skipped: the processor is the only accelerator here");
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.gateway.state_dir = state.path().to_owned();
    let timed = || {
        let started = Instant::now();
        let site = site(&config, Some(&cache(&config)), || Ok(embedded_candidate()?)).unwrap();
        (site.accelerator, started.elapsed())
    };
    let (first, second) = (timed(), timed());
    assert_eq!(first.0, second.0);
    // Two accelerators at least, half a second in a row on each.
    assert!(first.1 > Duration::from_secs(1), "{:?}", first.1);
    assert!(second.1 < Duration::from_millis(500), "{:?}", second.1);
}

/// A model of one input whose second side is open.
fn open_model(folder: &std::path::Path) -> String {
    // As protocol buffers: graph { node { x → Relu → y }, input x: f32 [1, n], output y }, opset 13.
    let bytes: &[u8] = b"\x08\x08\x3a\x2a\x0a\x0c\x0a\x01x\x12\x01y\x22\x04Relu\
        \x5a\x15\x0a\x01x\x12\x10\x0a\x0e\x08\x01\x12\x0a\x0a\x02\x08\x01\x0a\x04\x12\x02no\
        \x62\x03\x0a\x01y\x42\x02\x10\x0d";
    let path = folder.join("open.onnx");
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[test]
fn a_model_with_open_sides_is_measured_and_explained_in_the_shape_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = open_model(folder.path());
    for command in [&["accel", "bench"][..], &["models", "explain"]] {
        let glassd = |more: &[&str]| {
            let mut process = Command::new(env!("CARGO_BIN_EXE_glassd"));
            process.args(command).args([&model, "--seconds", "0", "--json"]).args(more).output().unwrap()
        };
        let told = String::from_utf8(glassd(&[]).stderr).unwrap();
        let expected = format!(
            "glassd: {model}: its inputs leave sides open: \"x\" is 1,no; settle them, as with --shape x=1,16\n"
        );
        assert_eq!(told.lines().last(), expected.lines().last());
        for shape in ["x=1,5", "1,5"] {
            let output = glassd(&["--shape", shape]);
            let (told, why) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr));
            assert!(output.status.success(), "{command:?}: {why:?}");
            assert!(told.contains("1,5") || told.contains("\"chosen\""), "{told}");
        }
        let told = String::from_utf8(glassd(&["--shape", "x=1,0"]).stderr).unwrap();
        assert!(told.contains("is no shape: NAME=1,3,224,224"), "{told}");
    }
}

#[test]
fn the_embedded_model_is_explained() {
    let output = Command::new(env!("CARGO_BIN_EXE_glassd"))
        .args(["models", "explain", "embedded", "--seconds", "0"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().contains("of the time in INT8 layers"));
}

#[test]
fn what_stands_behind_a_name_of_the_manifest_is_explained_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let entry = include_str!("../../runtime/inference/models/scene.toml");
    let of = |name: &str| {
        let entry = entry.replacen("name = \"scene\"", &format!("name = {name:?}"), 1);
        format!("[[model]]\n{entry}\n")
    };
    let arms = "arms = [{ model = \"one\", weight = 1.0 }, { model = \"two\", weight = 1.0 }]";
    let manifest = format!("{}{}[[variant]]\nname = \"either\"\n{arms}\n", of("one"), of("two"));
    std::fs::write(folder.path().join("models.toml"), manifest).unwrap();
    std::fs::write(
        folder.path().join("scene.onnx"),
        include_bytes!("../../runtime/inference/models/scene.onnx"),
    )
    .unwrap();
    let glassd = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_glassd"))
            .args(arguments)
            .env("GLASSD__MODELS__MANIFEST", folder.path().join("models.toml"))
            .output()
            .unwrap();
        [output.stdout, output.stderr].map(|told| String::from_utf8(told).unwrap())
    };
    let [told, why] = glassd(&["models", "explain", "either", "--seconds", "0"]);
    assert!(told.starts_with("one\n") && told.contains("\n\ntwo\n"), "{told} {why}");
    let [_, why] = glassd(&["models", "explain", "either", "--shape", "1,3,8,8"]);
    assert_eq!(why, "glassd: --shape is for one model, and either stands for one, two\n");
    let [_, why] = glassd(&["accel", "bench", "either"]);
    assert_eq!(why, "glassd: either stands for one, two: measure one of them\n");
    let [_, why] = glassd(&["models", "explain", "one:text"]);
    assert_eq!(why, "glassd: model one (scene.onnx): there is no one:text: it has one\n");
}

#[test]
fn a_variable_for_what_is_not_built_in_is_told() {
    let list = |variable: &str| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_glassd"));
        let output = process.args(["accel", "list"]).env(variable, "/nowhere.so").output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let line = |names: &str| format!("{names}: set, but not read: this build is without what they are for\n");
    for (is_built, variable) in [
        (cfg!(feature = "onnxruntime"), "GLASSD_ONNXRUNTIME_LIBRARY"),
        (cfg!(feature = "litert"), "GLASSD_LITERT_DELEGATE"),
    ] {
        let told = list(variable);
        assert_eq!(told.contains(variable) && told.contains("set, but not read"), !is_built, "{told}");
        assert!(
            is_built || told.contains(variable) && told.ends_with(&line(variable)[variable.len()..]),
            "{told}"
        );
    }
}
