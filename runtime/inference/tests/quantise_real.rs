//! Public models brought to INT8 by our own quantiser, calibrated on other pictures than they are judged on.
//! Skipped where the shared data is missing, and without optimisation, where it takes an hour.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};

use glassd_inference::quantise::{Method, Report, Settings, quantise};
use glassd_inference::{Accelerator, Detection, Detector, InputContract, Level, ModelEntry, Session, Tensor};
use glassd_media::Image;
use support::{data, example};

/// Returns the shared data if this build is quick enough for it.
fn data_in_release() -> Option<PathBuf> {
    if cfg!(debug_assertions) {
        eprintln!("skipped: without --release this takes an hour");
        return None;
    }
    data()
}

/// Decodes every `step`th picture of a folder, in the order of their names.
fn pictures(folder: &Path, step: usize) -> Vec<Image> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let decoded = |file: &PathBuf| glassd_media::decode(&std::fs::read(file).unwrap()).unwrap();
    files.iter().step_by(step).map(decoded).collect()
}

/// Quantises a model on the pictures of a folder, in a minute: one method, few layers tried in floats.
fn quantised(onnx: &[u8], folder: &Path, input: &InputContract) -> (Vec<u8>, Report) {
    let samples: Vec<Vec<Tensor>> =
        pictures(folder, 2).iter().map(|picture| vec![input.sample(picture)]).collect();
    let settings = Settings { method: Some(Method::Mse), probes: 1, most_left: 4, ..Settings::default() };
    let (file, report) = quantise(onnx, &samples, &settings, &mut |_| {}).unwrap();
    println!("{report}");
    (file, report)
}

/// Returns how many of the certain detections of `expected` have a partner of their label in `found`.
fn matched(expected: &[Detection], found: &[Detection]) -> (usize, usize) {
    let certain: Vec<&Detection> = expected.iter().filter(|detection| detection.score > 0.3).collect();
    let near = |a: &Detection, b: &Detection| {
        a.label == b.label && a.bounds.iter().zip(b.bounds).all(|(a, b)| (a - b).abs() < 0.1)
    };
    let has_partner = |a: &&&Detection| found.iter().any(|b| b.score > 0.15 && near(a, b));
    (certain.iter().filter(has_partner).count(), certain.len())
}

#[test]
fn yolox_nano_in_int8_sees_what_fp32_sees() {
    let Some(data) = data_in_release() else { return };
    let entry: ModelEntry = example().model("yolox-nano").unwrap().clone();
    let onnx = std::fs::read(data.join("detection/models").join(&entry.file)).unwrap();
    let (file, report) =
        quantised(&onnx, &data.join("detection/coco_train_calib/images"), &entry.input.unwrap());
    assert!(report.int8_share > 0.95);
    let mut fp32 = Detector::from_bytes(&entry, &onnx).unwrap();
    let mut int8 = Detector::from_bytes(&entry, &file).unwrap();
    let (mut kept, mut all) = (0, 0);
    for picture in pictures(&data.join("detection/coco_val/images"), 4) {
        let (some, of) = matched(&fp32.detect(&picture).unwrap(), &int8.detect(&picture).unwrap());
        (kept, all) = (kept + some, all + of);
    }
    println!("yolox-nano: {kept} of {all} certain detections of FP32 are INT8's too");
    assert!(all > 50 && kept * 100 >= all * 90, "{kept} of {all}");
}

fn top1(session: &mut Session, sample: Tensor) -> usize {
    let outputs = session.run([sample]).unwrap();
    let plain = outputs[0].try_as_plain_ram().unwrap();
    let scores: &[f32] = plain.as_slice().unwrap();
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
}

#[test]
fn mobilenet_in_int8_names_what_fp32_names() {
    let Some(data) = data_in_release() else { return };
    let quantised_by_others = example().model("mobilenet-v2-int8").unwrap().input.unwrap();
    let input = InputContract { level: Level::F32, scale: 1.0 / 128.0, offset: -1.0, ..quantised_by_others };
    let onnx = std::fs::read(data.join("classification/models/mobilenet_v2_1.0_224_fp32.onnx")).unwrap();
    let (file, report) = quantised(&onnx, &data.join("classification/imagenet_calib/images"), &input);
    assert!(report.int8_share > 0.95);
    let mut fp32 = Accelerator::Cpu.prepare(&onnx).unwrap().open().unwrap();
    let mut int8 = Accelerator::Cpu.prepare(&file).unwrap().open().unwrap();
    let samples = pictures(&data.join("classification/imagenet/images"), 2);
    let samples: Vec<Tensor> = samples.iter().map(|picture| input.sample(picture)).collect();
    let is_same = |sample: &Tensor| top1(&mut fp32, sample.clone()) == top1(&mut int8, sample.clone());
    let same = samples.iter().map(is_same).filter(|same| *same).count();
    println!("mobilenet: the same top-1 on {same} of {}", samples.len());
    assert!(same * 100 >= samples.len() * 96, "{same} of {}", samples.len());
}
