//! Several models in one budget, ensembles of them, and what a manifest may say about it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use glassd_inference::serving::{ModelEvent, Models, PerceiveError};
use glassd_inference::{Manifest, ManifestError, ModelStore, embedded};
use glassd_media::Image;

const ONNX: &[u8] = include_bytes!("../models/scene.onnx");
const ENTRY: &str = include_str!("../models/scene.toml");

/// The embedded detector under two names, one of them with fewer words told, and what is built on them.
const SERVING: &str = r#"
[[ensemble]]
name = "both"
members = [{ model = "one" }, { model = "two", weight = 2.0 }]
thresholds = { floor = 0.05, decision = 0.45, overlap = 0.55 }

[[variant]]
name = "seeing"
arms = [{ model = "one", weight = 0.9 }, { model = "both", weight = 0.1 }]
"#;

fn model(name: &str) -> String {
    format!("[[model]]\n{}\n", ENTRY.replace("name = \"scene\"", &format!("name = {name:?}")))
}

fn manifest() -> String {
    format!("{}{}{SERVING}", model("one"), model("two"))
}

/// A folder with the files, and the models on it.
fn models(limit: u64) -> (tempfile::TempDir, Models) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scene.onnx"), ONNX).unwrap();
    let store = ModelStore::open(Manifest::parse(&manifest()).unwrap(), folder.path());
    (folder, Models::new(Some(store), limit))
}

/// A red ball on grey.
fn picture() -> Image {
    Image::from_fn(192, 144, |x, y| {
        let is_ball = (f64::from(x) - 90.0).hypot(f64::from(y) - 80.0) < 25.0;
        if is_ball { [200, 30, 30] } else { [120, 120, 120] }
    })
    .unwrap()
}

fn names(events: Vec<ModelEvent>) -> Vec<String> {
    let told = |event| match event {
        ModelEvent::Loaded { name, bytes } => {
            assert!(bytes > ONNX.len() as u64);
            format!("+{name}")
        }
        ModelEvent::FellBack { name, why } => format!("{name}: {why}"),
        ModelEvent::Unloaded { name } => format!("-{name}"),
    };
    events.into_iter().map(told).collect()
}

#[test]
fn a_budget_for_one_serves_two_and_an_ensemble() {
    let (_folder, mut all) = models(u64::MAX);
    let picture = picture();
    let seen = all.perceive("one", &[&picture]).unwrap();
    let one = all.held_bytes();
    let (_folder, mut models) = models(one + one / 2);
    assert_eq!(models.perceive("one", &[&picture]).unwrap(), seen);
    assert_eq!(models.perceive("one", &[&picture]).unwrap(), seen);
    assert_eq!(names(models.take_events()), ["+one"]);
    assert_eq!(models.perceive("two", &[&picture]).unwrap(), seen);
    assert_eq!(names(models.take_events()), ["-one", "+two"]);
    let both = models.perceive("both", &[&picture, &picture]).unwrap();
    // Each member is loaded once for both pictures.
    assert_eq!(names(models.take_events()), ["-two", "+one", "-one", "+two"]);
    assert_eq!(both[0], both[1]);
    assert!(models.held_bytes() <= one + one / 2);
    // Twins agree with each other: what they see is what one of them sees.
    assert!(!seen[0].is_empty());
    assert_eq!(both[0].len(), seen[0].len());
    for (fused, alone) in both[0].iter().zip(&seen[0]) {
        assert_eq!((&fused.label, fused.is_present), (&alone.label, alone.probability >= 0.45));
        assert!((fused.probability - alone.probability).abs() < 1e-5);
    }
    assert!(models.perceive("seeing", &[&picture]).is_err());
}

#[test]
fn who_was_looked_with_last_stays() {
    let (folder, mut all) = models(u64::MAX);
    let picture = picture();
    all.perceive("one", &[&picture]).unwrap();
    let one = all.held_bytes();
    let manifest = Manifest::parse(&(manifest() + &model("three"))).unwrap();
    let mut models = Models::new(Some(ModelStore::open(manifest, folder.path())), 2 * one);
    for name in ["one", "two", "one", "three", "one", "two"] {
        models.perceive(name, &[&picture]).unwrap();
    }
    assert_eq!(names(models.take_events()), ["+one", "+two", "-two", "+three", "-three", "+two"]);
}

#[test]
fn the_embedded_detector_serves_without_a_manifest() {
    let mut models = Models::new(None, u64::MAX);
    let vocabulary = models.admit("embedded").unwrap();
    assert_eq!(vocabulary.labels, embedded().unwrap().labels());
    assert_eq!(models.perceive("embedded", &[&picture()]).unwrap().len(), 1);
    let error = models.perceive("other", &[&picture()]).unwrap_err();
    assert_eq!(error.to_string(), "\"other\" is no detector of the manifest");
}

#[test]
fn what_is_admitted_is_verified_and_fits() {
    let (folder, mut fits) = models(u64::MAX);
    assert_eq!(fits.admit("seeing").unwrap().labels, embedded().unwrap().labels());
    assert_eq!(names(fits.take_events()), ["+one", "+two"]);
    let (_folder, mut small) = models(ONNX.len() as u64 / 2);
    let error = small.admit("both").unwrap_err();
    assert!(matches!(error, PerceiveError::Memory { .. }), "{error}");
    assert!(error.to_string().starts_with("model one: it needs "), "{error}");
    // It has room for the file, and not for the activations.
    let (_folder, mut small) = models(ONNX.len() as u64 + 1);
    assert!(matches!(small.admit("one").unwrap_err(), PerceiveError::Memory { .. }));
    assert_eq!((small.held_bytes(), names(small.take_events()).len()), (0, 0));
    // A file that changed since is refused when it is loaded again.
    fits.unload("two");
    std::fs::write(folder.path().join("scene.onnx"), b"another").unwrap();
    assert!(fits.perceive("one", &[&picture()]).is_ok());
    assert!(matches!(fits.perceive("two", &[&picture()]).unwrap_err(), PerceiveError::Verify(_)));
}

#[test]
fn classifiers_vote() {
    let Some(data) = support::data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = ["models/mobilenet_v2_1.0_224_int8_qdq.onnx", "imagenet_labels_1001.txt"];
    for file in files {
        let from = data.join("classification").join(file);
        std::os::unix::fs::symlink(&from, folder.path().join(from.file_name().unwrap())).unwrap();
    }
    let mut manifest = support::example();
    let one = manifest.model("mobilenet-v2-int8").unwrap().clone();
    let two = glassd_inference::ModelEntry { name: "two".into(), ..one.clone() };
    manifest.models = vec![one, two];
    manifest.ensembles =
        toml::from_str::<Manifest>(&SERVING.replace("\"one\"", "\"mobilenet-v2-int8\"")).unwrap().ensembles;
    let mut models = Models::new(Some(ModelStore::open(manifest, folder.path())), u64::MAX);
    let bus = support::picture(&data, "detection/images/bus.jpg");
    let alone = models.classify("mobilenet-v2-int8", &[&bus]).unwrap();
    let both = models.classify("both", &[&bus]).unwrap();
    assert_eq!(both[0][0].0, alone[0][0].0);
    assert!((both[0][0].1 - alone[0][0].1).abs() < 1e-5);
    assert!(models.perceive("both", &[&bus]).is_err());
}

#[test]
fn each_bad_ensemble_or_variant_is_told_with_its_key() {
    let check = |from: &str, to: &str, expected: &str| {
        let text = manifest();
        assert!(text.contains(from), "{from} is not in the manifest");
        let problem = Manifest::parse(&text.replace(from, to)).unwrap_err().to_string();
        assert!(problem.contains(expected), "{to}: {problem}");
    };
    check(
        "{ model = \"two\", weight = 2.0 }",
        "{ model = \"three\" }",
        "\"three\" is no model of this manifest",
    );
    check("{ model = \"two\", weight = 2.0 }", "{ model = \"seeing\" }", "\"seeing\" is no model");
    check(
        "{ model = \"two\", weight = 2.0 }",
        "{ model = \"one\" }",
        "ensemble \"both\": members: each model once",
    );
    check(", { model = \"two\", weight = 2.0 }", "", "ensemble \"both\": members: two at least");
    check("weight = 2.0", "weight = 0.0", "ensemble \"both\": members.weight: above 0");
    check("weight = 2.0", "wait = 2.0", "unknown field `wait`");
    check("overlap = 0.55", "overlap = 1.5", "ensemble \"both\": thresholds.overlap");
    check("name = \"both\"", "name = \"one\"", "ensemble \"one\": the name is taken");
    check("name = \"seeing\"", "name = \"both\"", "variant \"both\": the name is taken");
    check("name = \"seeing\"", "name = \"embedded\"", "variant \"embedded\": the name is taken");
    check("name = \"seeing\"", "name = \"See!\"", "name: lower-case");
    check("{ model = \"both\", weight = 0.1 }", "{ model = \"none\" }", "\"none\" is no model or ensemble");
    check(
        "{ model = \"both\", weight = 0.1 }",
        "{ model = \"seeing\" }",
        "\"seeing\" is no model or ensemble",
    );
    check("weight = 0.9", "weight = -1.0", "variant \"seeing\": arms.weight: 0 to 1000000");
    check(
        "weight = 0.9 }, { model = \"both\", weight = 0.1",
        "weight = 0 }, { model = \"both\", weight = 0",
        "one above 0",
    );
    check(
        "fit = \"stretch\" }",
        "fit = \"stretch\" }\nbatch = { largest = 0, wait_ms = 0 }",
        "batch.largest",
    );
}

#[test]
fn models_of_different_tasks_are_not_weighed() {
    let text = include_str!("../../../config/models/example.toml");
    let mixed = "[[ensemble]]\nname = \"mixed\"\nmembers = [{ model = \"yolox-nano\" }, { model = \"mobilenet-v2-int8\" }]\n\
                 thresholds = { floor = 0.1, decision = 0.5 }\n\
                 [[variant]]\nname = \"other\"\narms = [{ model = \"yolox-nano\" }, { model = \"mobilenet-v2-int8\" }]\n";
    let Err(ManifestError::Invalid(problems)) = Manifest::parse(&format!("{text}\n{mixed}")) else {
        panic!("accepted")
    };
    assert_eq!(
        problems,
        [
            "ensemble \"mixed\": members: all detectors, or all classifiers",
            "variant \"other\": arms: all detectors, or all classifiers"
        ]
    );
}
