//! What a manifest may say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use glassd_inference::{Calibration, Check, DetectHead, Labels, Manifest, ManifestError, ModelEntry, Task};

const ENTRY: &str = r#"
name = "finder"
file = "finder.onnx"
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
licence = "MIT"
source = "a test"
task = { kind = "detect", head = "centre", labels = ["ball", "cube"], colours = ["red"] }
input = { width = 64, height = 48, layout = "nchw", type = "f32", order = "rgb", fit = "stretch" }
thresholds = { floor = 0.1, decision = 0.5 }
"#;

#[test]
fn an_entry_reads_with_its_defaults() {
    let entry = ModelEntry::parse(ENTRY).unwrap();
    let input = entry.input.unwrap();
    assert_eq!((input.scale, input.offset, input.pad, input.keep), (1.0, 0.0, 0, 1.0));
    assert_eq!(entry.thresholds.overlap, 0.5);
    assert_eq!((entry.calibration, entry.check), (Calibration::default(), Check { image: None }));
    let Task::Detect { head, labels, colours, .. } = entry.task else { panic!("not a detector") };
    assert_eq!(head, DetectHead::Centre);
    assert_eq!(labels, Labels::Listed(vec!["ball".into(), "cube".into()]));
    assert_eq!(colours, ["red"]);
}

#[test]
fn an_entry_survives_being_written() {
    let entry = ModelEntry::parse(ENTRY).unwrap();
    assert_eq!(ModelEntry::parse(&toml::to_string(&entry).unwrap()).unwrap(), entry);
}

#[test]
fn the_example_manifest_is_sound() {
    let manifest = Manifest::parse(include_str!("../../../config/models/example.toml")).unwrap();
    assert!(manifest.models.len() >= 6);
    let finder = manifest.model("yolox-nano").unwrap();
    assert!(matches!(finder.task, Task::Detect { head: DetectHead::Yolox, .. }));
    assert!(manifest.model("another").is_none());
}

#[test]
fn each_bad_value_is_told_with_its_key() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(ENTRY.contains(from), "{from} is not in the entry");
        let problem = ModelEntry::parse(&ENTRY.replace(from, to)).unwrap_err().to_string();
        assert!(problem.contains(expected), "{to}: {problem}");
    };
    check(r#""finder""#, r#""Finder 1""#, "name: lower-case");
    check("finder.onnx", "../finder.onnx", "file: a file name");
    check("finder.onnx", "/etc/passwd", "file: a file name");
    check("0123", "xyz", "sha256: 64 hex");
    check("width = 64", "width = 0", "input.width");
    check("height = 48", "height = 5000", "input.height");
    check(r#""f32""#, r#""u8", scale = 2.0"#, "not with type u8 or i8");
    check(r#""stretch""#, r#""crop", keep = 0.0"#, "input.keep");
    check(r#""stretch""#, r#""stretch", scale = nan"#, "input.scale");
    check("floor = 0.1", "floor = -0.1", "thresholds.floor");
    check("decision = 0.5", "decision = 0.05", "thresholds.decision");
    check("decision = 0.5", "decision = 0.5, overlap = 2.0", "thresholds.overlap");
    check(r#"["ball", "cube"]"#, "[]", "task.labels");
    check(r#"["ball", "cube"]"#, r#"{ file = "a/b.txt" }"#, "task.labels.file");
    check(r#"["ball", "cube"]"#, r#"{ file = "b.txt", sha256 = "12" }"#, "task.labels.sha256");
    check(r#""centre""#, r#""yolox""#, "task.colours");
    check("floor = 0.1", "floor = 0.1, ceiling = 0.9", "unknown field `ceiling`");
    check("licence", "license", "unknown field `license`");
    check(r#"kind = "detect""#, r#"kind = "detect", hed = 1"#, "unknown field `hed`");
    check(r#""centre""#, r#""detr""#, "unknown variant `detr`");
    check(r#"licence = "MIT""#, "", "missing field `licence`");
}

#[test]
fn all_problems_come_at_once() {
    let bad = ENTRY.replace("finder.onnx", "a/b").replace("width = 64", "width = 0");
    let twice = format!("[[model]]{bad}\n[[model]]{bad}");
    let Err(ManifestError::Invalid(problems)) = Manifest::parse(&twice) else { panic!("accepted") };
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(problems[4].contains("the name is taken"));
}

#[test]
fn calibration_keeps_order_and_range() {
    let check = |slope, intercept, score, expected: f32| {
        let probability = Calibration { slope, intercept }.probability(score);
        assert!((probability - expected).abs() < 1e-3, "{slope}, {intercept}, {score}: {probability}");
    };
    check(1.0, 0.0, 0.3, 0.3);
    check(1.0, 1.0, 0.5, 0.731);
    check(2.0, 0.0, 0.75, 0.9);
    check(1.0, 0.0, 0.0, 0.0);
    check(1.0, 0.0, 1.0, 1.0);
    check(1.3, 0.6, 1e-30, 0.0);
}

/// An entry with another task; the input stays.
fn with_task(task: &str) -> Result<ModelEntry, ManifestError> {
    let line = ENTRY.lines().find(|line| line.starts_with("task")).unwrap();
    ModelEntry::parse(&ENTRY.replace(line, &format!("task = {task}")))
}

#[test]
fn each_task_names_its_further_files_and_keys() {
    let part = |key: &str| format!(r#"{key} = {{ file = "{key}.onnx", sha256 = "{}" }}"#, "0".repeat(64));
    let [recognition, refine, output, text, tokenizer] =
        ["recognition", "refine", "output", "text", "tokenizer"].map(part);
    let sound = [
        format!(r#"{{ kind = "read", {recognition} }}"#),
        format!(r#"{{ kind = "faces", {refine}, {output} }}"#),
        format!(r#"{{ kind = "embed", {tokenizer}, tokens = 128 }}"#),
        format!(r#"{{ kind = "zero-shot", {text}, {tokenizer} }}"#),
        r#"{ kind = "presence", of = "person" }"#.to_owned(),
        r#"{ kind = "detect", head = "ssd", labels = ["ball"], classes = "all" }"#.to_owned(),
    ];
    for task in &sound {
        let entry = with_task(task).unwrap_or_else(|error| panic!("{task}: {error}"));
        assert_eq!(ModelEntry::parse(&toml::to_string(&entry).unwrap()).unwrap(), entry);
    }
    let check = |task: &str, expected: &str| {
        let problem = with_task(task).unwrap_err().to_string();
        assert!(problem.contains(expected), "{task}: {problem}");
    };
    check(&sound[0].replace("recognition.onnx", "../r.onnx"), "task.recognition.file: a file name");
    check(&sound[0].replace("00", "0x"), "task.recognition.sha256: 64 hex");
    check(&sound[0].replace("recognition =", "recogniser ="), "unknown field `recogniser`");
    check(&format!(r#"{{ kind = "faces", {refine}, {output}, smallest = 5 }}"#), "task.smallest: 12");
    check(&sound[2].replace("128", "2"), "task.tokens: 3 to 8192");
    check(&format!(r#"{{ kind = "zero-shot", {text}, {tokenizer}, scale = 0.0 }}"#), "task.scale");
    check(&format!(r#"{{ kind = "zero-shot", {text}, {tokenizer}, prompts = ["a"] }}"#), "task.prompts");
    check(&sound[5].replace("ssd", "centre"), "task.classes");
}

#[test]
fn what_looks_at_images_needs_an_input() {
    let line = ENTRY.lines().find(|line| line.starts_with("input")).unwrap();
    let problem = ModelEntry::parse(&ENTRY.replace(line, "")).unwrap_err().to_string();
    assert!(problem.contains("input: how an image"), "{problem}");
}
