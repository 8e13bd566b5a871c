//! Public models brought to INT8 by our own quantiser, calibrated on pictures that are not those they are
//! scored on. Skipped where the shared data is missing, and without optimisation, where it takes an hour.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};

use glassd_inference::quantise::{Progress, Report, Settings, quantise};
use glassd_inference::{InputContract, ModelEntry, Tensor};
use support::{data, example};

/// Returns the pictures of a folder as samples, in the order of their names.
fn samples(folder: &Path, input: &InputContract) -> Vec<Vec<Tensor>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let decoded = |file: &PathBuf| glassd_media::decode(&std::fs::read(file).unwrap()).unwrap();
    files.iter().map(|file| vec![input.sample(&decoded(file))]).collect()
}

fn quantised(model: &Path, samples: &[Vec<Tensor>], name: &str) -> (Vec<u8>, Report) {
    let mut last = None;
    let mut tell = |progress: Progress| {
        if last != Some(progress.stage) {
            last = Some(progress.stage);
            eprintln!(
                "{:?} {:?}",
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
                progress
            );
        }
    };
    let (onnx, report) =
        quantise(&std::fs::read(model).unwrap(), samples, &Settings::default(), &mut tell).unwrap();
    println!("{report}");
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), &onnx).unwrap();
    (onnx, report)
}

#[test]
fn yolox_nano_stays_near_fp32() {
    let Some(data) = data() else { return };
    let entry: ModelEntry = example().model("yolox-nano").unwrap().clone();
    let samples = samples(&data.join("detection/coco_train_calib/images"), &entry.input);
    let model = data.join("detection/models/yolox_nano_fp32.onnx");
    let (_, report) = quantised(&model, &samples, "yolox_nano_int8.onnx");
    assert!(report.int8_share > 0.95);
}

#[test]
fn mobilenet_stays_near_fp32() {
    let Some(data) = data() else { return };
    let entry: ModelEntry = example().model("mobilenet-v2-int8").unwrap().clone();
    let mut input = entry.input;
    input.level = glassd_inference::Level::F32;
    input.scale = 1.0 / 128.0;
    input.offset = -1.0;
    let samples = samples(&data.join("classification/imagenet_calib/images"), &input);
    let model = data.join("classification/models/mobilenet_v2_1.0_224_fp32.onnx");
    let (_, report) = quantised(&model, &samples, "mobilenet_int8.onnx");
    assert!(report.int8_share > 0.95);
}
