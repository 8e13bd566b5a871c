//! Faces: MTCNN's three models on COCO's pictures and two with known faces.

use std::path::Path;

use glassd_inference::{Face, FaceFinder, FaceModels, Order, Task, Tensor};
use glassd_media::Image;

use crate::parts::{Parts, entry, nearest, pictures, unnamed_part};
use crate::quantised;
use crate::report::{Arguments, Report};

/// From this score of FP32 on a face is certain, and must be found in other precisions too.
const CERTAIN: f32 = 0.95;

/// What the names of the three models hold.
const NAMES: &[&str] = &["pnet", "rnet", "onet"];

/// Looks for faces with the models of `faces`, and with those of the folder `--parts`, which are compared with the
/// first; `--quantise` writes them there if they are missing.
pub(crate) fn score(arguments: &Arguments, data: &Path, report: &mut Report) {
    let folders = [data.join("detection/images"), data.join("detection/coco_val/images")];
    let models = data.join("faces");
    let Some(pictures) = report.read("faces", &models, |_| pictures(&folders)) else { return };
    let mut expected: Option<Vec<Vec<Face>>> = None;
    if let (Some(folder), true) = (arguments.path("--parts"), arguments.has("--quantise"))
        && let Err(reason) = quantise(&models, data, &folder)
    {
        report.add("faces", &folder, Err(reason));
    }
    for folder in [Some(models), arguments.path("--parts")].into_iter().flatten() {
        let Some(parts) = Parts::read(&folder, NAMES) else { continue };
        let path = parts.as_ref().map_or_else(|_| folder.clone(), |parts| parts.paths[2].clone());
        let scores = parts.and_then(|parts| found(&parts, &pictures)).map(|found| {
            let certain = found.iter().flatten().filter(|face| face.score >= CERTAIN).count();
            let mut scores = vec![("certain faces", certain as f64)];
            scores.extend(expected.iter().flat_map(|expected| compared(expected, &found)));
            expected = Some(found);
            scores
        });
        report.add("faces", &path, scores);
    }
}

fn quantise(models: &Path, data: &Path, folder: &Path) -> Result<(), String> {
    let Some(parts) = Parts::read(models, NAMES) else { return Ok(()) };
    let parts = parts?;
    let mut finder = finder(&parts)?;
    let mut inputs: [Vec<Tensor>; 3] = Default::default();
    let pictures = pictures(&[data.join(quantised::PICTURES)])?;
    for (name, image) in pictures.iter().step_by(quantised::STEP) {
        let samples = finder.samples(image).map_err(|error| format!("{name}: {error}"))?;
        inputs.iter_mut().zip(samples).for_each(|(inputs, mut samples)| inputs.append(&mut samples));
    }
    for ((path, onnx), inputs) in parts.paths.iter().zip(&parts.bytes).zip(&inputs) {
        quantised::written(path, onnx, inputs, folder)?;
    }
    Ok(())
}

fn found(parts: &Parts, pictures: &[(String, Image)]) -> Result<Vec<Vec<Face>>, String> {
    let mut finder = finder(parts)?;
    let look =
        |(name, image): &(String, Image)| finder.find(image).map_err(|error| format!("{name}: {error}"));
    pictures.iter().map(look).collect()
}

fn finder(parts: &Parts) -> Result<FaceFinder, String> {
    let [propose, refine, output] = &parts.bytes[..] else { return Err("three models".into()) };
    let task = Task::Faces { refine: unnamed_part(), output: unnamed_part(), smallest: 20 };
    let entry = entry(task, (48, 48), Order::Rgb, (1.0 / 128.0, -127.5 / 128.0), 0.7);
    let models = FaceModels { propose, refine, output };
    FaceFinder::from_bytes(&entry, models).map_err(|error| error.to_string())
}

fn compared(expected: &[Vec<Face>], found: &[Vec<Face>]) -> Vec<(&'static str, f64)> {
    let (mut matched, mut overlap, mut all) = (0.0, 0.0, 0.0_f64);
    for (expected, found) in expected.iter().zip(found) {
        let places: Vec<[f32; 4]> = found.iter().map(|face| face.bounds).collect();
        for face in expected.iter().filter(|face| face.score >= CERTAIN) {
            all += 1.0;
            if let Some((_, share)) = nearest(face.bounds, &places).filter(|(_, share)| *share >= 0.5) {
                matched += 1.0;
                overlap += share;
            }
        }
    }
    vec![
        ("found of FP32's certain", matched / all.max(1.0)),
        ("overlap with FP32's", overlap / f64::max(matched, 1.0)),
    ]
}
