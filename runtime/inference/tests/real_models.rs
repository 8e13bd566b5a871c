//! Public models on real pictures. Skipped where the shared data is missing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use glassd_inference::{Detection, Flaw, ModelEntry, ModelStore, Problem};
use support::{data, example, picture, store};

#[test]
fn every_model_of_the_example_manifest_is_verified() {
    let Some(data) = data() else { return };
    let store = store(&data, "verified");
    for entry in &store.manifest().models {
        store.verify(entry).unwrap();
    }
}

#[test]
fn a_model_that_scores_everything_zero_is_refused() {
    let Some(data) = data() else { return };
    let broken = ModelEntry {
        file: "yolov8n_int8_BROKEN_640.onnx".into(),
        sha256: "cbaaf6b5d6e6d9e96e44d4a370ff5624edc75dc97b6d3f01914bd18c6df170b0".into(),
        ..example().model("yolov8n-int8-640").unwrap().clone()
    };
    let error = store(&data, "broken").verify(&broken).unwrap_err();
    assert!(matches!(error.problem, Problem::Check(Flaw::AllZero)), "{error}");
    assert_eq!(
        error.to_string(),
        "model yolov8n-int8-640 (yolov8n_int8_BROKEN_640.onnx): on its check sample all its scores are zero"
    );
}

/// Returns the detections of bus.jpg from the model's decision threshold upwards, as (label, bounds).
fn bus(store: &ModelStore, data: &std::path::Path, model: &str) -> Vec<(String, Detection)> {
    let mut detector = store.detector(model).unwrap();
    let found = detector.detect(&picture(data, "detection/images/bus.jpg")).unwrap();
    for detection in &found {
        let Detection { label, score, probability, bounds, .. } = detection;
        println!("{model}: {} {score:.3} {probability:.3} at {bounds:.3?}", detector.labels()[*label]);
    }
    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
    let decision = detector.thresholds().decision;
    let taken = found.into_iter().filter(|detection| detection.score >= decision);
    taken.map(|detection| (detector.labels()[detection.label].clone(), detection)).collect()
}

#[test]
fn the_bus_and_the_persons_before_it_are_found() {
    let Some(data) = data() else { return };
    let store = store(&data, "bus");
    // Left, top, right, bottom of the three persons in full view and of the bus, in shares.
    let expected = [
        ("person", [0.06, 0.37, 0.30, 0.84]),
        ("person", [0.27, 0.38, 0.43, 0.80]),
        ("person", [0.83, 0.36, 1.00, 0.81]),
        ("bus", [0.02, 0.21, 1.00, 0.69]),
    ];
    for model in ["yolox-nano", "yolov8n-int8-640", "yolov8n-int8-320"] {
        let found = bus(&store, &data, model);
        for (label, bounds) in expected {
            let is_it = |(name, detection): &&(String, Detection)| {
                name == label && detection.bounds.iter().zip(bounds).all(|(a, b)| (a - b).abs() < 0.06)
            };
            assert_eq!(found.iter().filter(is_it).count(), 1, "{model}: {label} at {bounds:?} in {found:?}");
        }
    }
}

#[test]
fn mobilenet_names_pictures() {
    let Some(data) = data() else { return };
    let mut classifier = store(&data, "names").classifier("mobilenet-v2-int8").unwrap();
    let folder = data.join("classification/imagenet");
    let table = std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
    // All 220 take a minute where the runtime's INT8 is not optimised.
    let step = if cfg!(debug_assertions) { 8 } else { 1 };
    let (mut right, mut all) = (0, 0);
    for (file, class) in table.lines().filter_map(|line| line.split_once('\t')).step_by(step) {
        if !folder.join("images").join(file).is_file() {
            continue;
        }
        let named = classifier.classify(&picture(&folder, &format!("images/{file}"))).unwrap();
        // The model's class 0 is "background".
        right += usize::from(named[0].0 == class.parse::<usize>().unwrap() + 1);
        all += 1;
    }
    let share = right as f32 / all as f32;
    println!("top-1 {right} of {all}: {share:.3}");
    // 0.836 by onnxruntime on all 220.
    assert!((0.75..0.92).contains(&share), "top-1 {right} of {all}");
}
