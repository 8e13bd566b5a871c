//! Every accelerator of this build and machine, held against the processor on the same models.
//!
//! Those that are missing are named with their reason. On generated graphs and the embedded detector always, on
//! public models where the shared data is present.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use glassd_inference::{
    Accelerator, Candidate, CompilationCache, DatumType, InferenceError, LoadError, Power, Signature, Source,
    Tensor, survey,
};
use support::{data, store};

/// The accelerators beside the processor that take ONNX, with a line for each that is missing. Those that
/// `GLASSD_TEST_ACCELERATORS` names (`vulkan onnxruntime`) must be there.
fn others() -> Vec<Accelerator> {
    let survey = survey();
    for absent in &survey.absent {
        eprintln!("skipped: {}: {}", absent.accelerator, absent.why);
    }
    for name in std::env::var("GLASSD_TEST_ACCELERATORS").unwrap_or_default().split_whitespace() {
        let is_there = survey.present.iter().any(|one| one.accelerator.name() == name);
        assert!(is_there, "{name} must be there: {:?}", survey.absent);
    }
    let is_other = |one: &Accelerator| !matches!(one, Accelerator::Cpu | Accelerator::LiteRt { .. });
    survey.present.iter().map(|one| one.accelerator).filter(is_other).collect()
}

/// The embedded detector and generated graphs of each quantised form.
fn graphs() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("models/scene.onnx")];
    files.extend(
        std::fs::read_dir(root.join("../../tests/fuzz/corpus/onnx")).unwrap().map(|e| e.unwrap().path()),
    );
    files.sort();
    let read = |file: &std::path::PathBuf| {
        (file.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(file).unwrap())
    };
    files.iter().map(read).collect()
}

/// Values in a signature's type that differ from place to place and from seed to seed.
fn sample(signatures: &[Signature], seed: usize) -> Vec<Tensor> {
    let one = |signature: &Signature| {
        let level = |at: usize| (at * 7919 + at / 251 + seed * 104_729) % 251;
        let count = signature.shape.iter().product();
        let made = match signature.datum {
            DatumType::U8 => Tensor::from_shape(
                &signature.shape,
                &(0..count).map(|at| level(at) as u8).collect::<Vec<_>>(),
            ),
            DatumType::I8 => {
                let values: Vec<i8> = (0..count).map(|at| (level(at) as i16 - 125) as i8).collect();
                Tensor::from_shape(&signature.shape, &values)
            }
            DatumType::F32 => {
                let values: Vec<f32> = (0..count).map(|at| level(at) as f32 / 251.0).collect();
                Tensor::from_shape(&signature.shape, &values)
            }
            other => panic!("{other:?}"),
        };
        made.unwrap()
    };
    signatures.iter().map(one).collect()
}

fn samples(onnx: &[u8]) -> Vec<Vec<Tensor>> {
    let prepared = Accelerator::Cpu.prepare(onnx).unwrap();
    (0..3).map(|seed| sample(prepared.inputs(), seed)).collect()
}

/// What every accelerator runs.
fn detector() -> Vec<u8> {
    graphs().into_iter().find(|(name, _)| name == "scene.onnx").unwrap().1
}

fn source(onnx: &[u8]) -> Source<'_> {
    Source { onnx, tflite: None }
}

#[test]
fn the_processor_is_the_first_and_absences_tell_what_to_do() {
    let survey = survey();
    assert_eq!(survey.present[0].accelerator, Accelerator::Cpu);
    assert_eq!(survey.present[0].power, Power::Shared);
    for absent in survey.absent {
        assert!(!absent.why.is_empty(), "{}", absent.accelerator);
        let error = absent.accelerator.prepare(&graphs()[0].1).unwrap_err();
        let LoadError::Absent { accelerator, why } = &error else { panic!("{error}") };
        assert_eq!((*accelerator, why), (absent.accelerator, &absent.why));
    }
}

#[test]
fn what_serves_agrees_with_the_processor() {
    for accelerator in others() {
        let mut served = 0;
        for (name, onnx) in graphs() {
            let placed = accelerator.place(source(&onnx), &samples(&onnx), None).unwrap();
            let placement = placed.placement();
            println!("{name} on {accelerator}: {placement:?}");
            assert_eq!(placement.asked, accelerator);
            assert_eq!(placement.why.is_none(), placement.serves == accelerator, "{placement:?}");
            if placement.serves == accelerator {
                served += 1;
                assert_eq!(placement.agreement.unwrap().samples, 3);
            }
            if name == "scene.onnx" {
                assert_eq!(placement.why, None, "the embedded detector runs on {accelerator}");
            }
        }
        assert!(served > 0);
    }
}

#[test]
fn public_models_agree_with_the_processor() {
    let Some(data) = data() else { return };
    let store = store(&data, "accelerators");
    let with_pictures = ["yolox-nano", "yolov8n-int8-640", "mobilenet-v2-int8"].map(|name| {
        let Candidate { onnx, sample } = store.candidate(name).unwrap();
        (name, onnx, sample)
    });
    let in_floats = [
        "detection/models/yolov8n_fp32_from_int8_640.onnx",
        "classification/models/mobilenet_v2_1.0_224_fp32.onnx",
    ]
    .map(|file| {
        let onnx = std::fs::read(data.join(file)).unwrap();
        let sample = samples(&onnx).remove(0);
        (file, onnx, sample)
    });
    for accelerator in others() {
        for (model, onnx, sample) in with_pictures.iter().chain(&in_floats) {
            let placed = accelerator.place(source(onnx), std::slice::from_ref(sample), None).unwrap();
            println!("{model} on {accelerator}: {:?}", placed.placement());
            assert_eq!(placed.placement().why, None, "{model} on {accelerator}");
        }
    }
}

#[test]
fn without_a_sample_only_the_processor_serves() {
    let onnx = detector();
    for accelerator in others() {
        let placed = accelerator.place(source(&onnx), &[], None).unwrap();
        assert_eq!(placed.accelerator(), Accelerator::Cpu);
        assert_eq!(placed.placement().why.as_deref(), Some("there is no sample to check it on"));
    }
}

#[test]
fn wrong_inputs_are_told_apart_from_a_failing_accelerator() {
    let onnx = detector();
    let everywhere = std::iter::once(Accelerator::Cpu).chain(others());
    for accelerator in everywhere {
        let placed = accelerator.place(source(&onnx), &samples(&onnx), None).unwrap();
        let mut session = placed.open().unwrap();
        let serves = session.placement().serves;
        for wrong in [vec![], vec![Tensor::from_shape(&[1, 2], &[0.0_f32, 1.0]).unwrap()]] {
            let error = session.run(wrong).unwrap_err();
            assert!(matches!(error, InferenceError::Input(_)), "{accelerator}: {error}");
        }
        assert_eq!(session.placement().serves, serves, "wrong inputs are no reason to fall back");
        session.run(samples(&onnx).remove(0)).unwrap();
    }
}

#[test]
fn a_second_start_takes_what_the_first_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let cache = CompilationCache::open(folder.path(), 1 << 30);
    let onnx = detector();
    let input = samples(&onnx).remove(0);
    for accelerator in others() {
        let mut ran = Vec::new();
        for start in ["cold", "cached"] {
            let before = cache.counts();
            let started = Instant::now();
            let prepared = accelerator.prepare_cached(&onnx, Some(&cache)).unwrap();
            let took = started.elapsed();
            println!("{accelerator}, {start}: {took:?}, {:?}", cache.counts());
            ran.push(prepared.open().unwrap().run(input.iter().cloned()).unwrap());
            if start == "cached" {
                assert_eq!(cache.counts().hits, before.hits + 1, "{accelerator}");
                // The promise is 50 ms on an idle machine; this one may be busy.
                assert!(took < Duration::from_millis(1000), "{accelerator}: {took:?}");
            }
        }
        assert_eq!(ran[0], ran[1], "{accelerator} computes the same from its cache");
    }
}

#[test]
fn a_damaged_cache_costs_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let cache = CompilationCache::open(folder.path(), 1 << 30);
    let onnx = detector();
    let input = samples(&onnx).remove(0);
    for accelerator in others() {
        accelerator.prepare_cached(&onnx, Some(&cache)).unwrap();
    }
    let damaged = |bytes: &mut Vec<u8>| bytes.iter_mut().skip(70).step_by(97).for_each(|byte| *byte ^= 0x55);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        damaged(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }
    for accelerator in others() {
        let before = cache.counts().damaged;
        let prepared = accelerator.prepare_cached(&onnx, Some(&cache)).unwrap();
        prepared.open().unwrap().run(input.iter().cloned()).unwrap();
        assert_eq!(cache.counts().damaged, before + 1, "{accelerator}");
    }
}
