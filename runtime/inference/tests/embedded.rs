//! The embedded detector is whole, is the one its entry describes, and sees what is plainly there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use glassd_inference::{Manifest, ModelEntry, ModelStore, embedded, sha256};
use glassd_media::Image;

const ONNX: &[u8] = include_bytes!("../models/scene.onnx");
const ENTRY: &str = include_str!("../models/scene.toml");

#[test]
fn it_passes_the_checks_of_any_model() {
    let entry = ModelEntry::parse(ENTRY).unwrap();
    assert_eq!(sha256(ONNX), entry.sha256);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(&entry.file), ONNX).unwrap();
    let store =
        ModelStore::open(Manifest { models: vec![entry.clone()], ..Manifest::default() }, folder.path());
    store.verify(&entry).unwrap();
}

#[test]
fn it_is_small() {
    assert!(ONNX.len() < 1 << 20, "{} bytes", ONNX.len());
}

#[test]
fn it_has_words_for_what_it_sees() {
    let detector = embedded().unwrap();
    assert!(detector.labels().len() >= 2 && detector.colours().len() >= 2);
}

#[test]
fn it_gives_the_same_answer_every_time() {
    let picture = Image::from_fn(640, 480, |x, y| [(x / 4) as u8, (y / 2) as u8, 90]).unwrap();
    let mut detector = embedded().unwrap();
    let first = detector.detect(&picture).unwrap();
    assert_eq!(detector.detect(&picture).unwrap(), first);
    assert_eq!(embedded().unwrap().detect(&picture).unwrap(), first);
}
