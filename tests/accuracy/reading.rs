//! Reading: PP-OCR's three models on signs and on COCO's pictures.

use std::path::{Path, PathBuf};

use glassd_inference::{Line, Order, ReadModels, Reader, Task, Tensor};
use glassd_media::Image;
use serde_json::json;

use crate::parts::{Parts, entry, nearest, pictures, unnamed_part};
use crate::quantised;
use crate::report::{Arguments, Report};

/// What the names of the three models hold.
const NAMES: &[&str] = &["_det_", "_cls_", "_rec_"];

/// The lines of each picture.
type Lines = Vec<(String, Vec<Line>)>;

/// Reads the pictures of `ocr` and of `detection/coco_val/images` with the models of `ocr`, and with those of the
/// folder `--parts`, which are compared with the first; `--quantise` writes them there if they are missing. With
/// `--lines FILE` what the last ones read is left there for `reading_peer.py`.
pub(crate) fn score(arguments: &Arguments, data: &Path, report: &mut Report) {
    let folders = [data.join("ocr"), data.join("detection/coco_val/images")];
    let Some(pictures) = report.read("reading", &folders[0], |_| pictures(&folders)) else { return };
    let mut expected: Option<Lines> = None;
    if let (Some(folder), true) = (arguments.path("--parts"), arguments.has("--quantise"))
        && let Err(reason) = quantise(&folders[0], data, &folder)
    {
        report.add("reading", &folder, Err(reason));
    }
    for folder in [Some(folders[0].clone()), arguments.path("--parts")].into_iter().flatten() {
        let Some(parts) = Parts::read(&folder, NAMES) else { continue };
        let path = parts.as_ref().map_or_else(|_| folder.clone(), |parts| parts.paths[2].clone());
        let scores = parts.and_then(|parts| lines(&parts, &pictures)).and_then(|lines| {
            let mut scores =
                vec![("lines", lines.iter().map(|(_, lines)| lines.len()).sum::<usize>() as f64)];
            scores.extend(expected.iter().flat_map(|expected| compared(expected, &lines)));
            if let Some(file) = arguments.path("--lines") {
                written(&lines, &file)?;
            }
            expected = Some(lines);
            Ok(scores)
        });
        report.add("reading", &path, scores);
    }
}

fn quantise(models: &Path, data: &Path, folder: &Path) -> Result<(), String> {
    let Some(parts) = Parts::read(models, NAMES) else { return Ok(()) };
    let parts = parts?;
    let mut reader = reader(&parts)?;
    let mut inputs: [Vec<Tensor>; 3] = Default::default();
    let pictures = pictures(&[data.join(quantised::PICTURES)])?;
    for (name, image) in pictures.iter().step_by(quantised::STEP) {
        let samples = reader.samples(image).map_err(|error| format!("{name}: {error}"))?;
        inputs.iter_mut().zip(samples).for_each(|(inputs, mut samples)| inputs.append(&mut samples));
    }
    for ((path, onnx), inputs) in parts.paths.iter().zip(&parts.bytes).zip(&inputs) {
        quantised::written(path, onnx, inputs, folder)?;
    }
    Ok(())
}

fn lines(parts: &Parts, pictures: &[(String, Image)]) -> Result<Lines, String> {
    let mut reader = reader(parts)?;
    let read = |(name, image): &(String, Image)| {
        Ok((name.clone(), reader.read(image).map_err(|error| format!("{name}: {error}"))?))
    };
    pictures.iter().map(read).collect()
}

fn reader(parts: &Parts) -> Result<Reader, String> {
    let [detection, direction, recognition] = &parts.bytes[..] else { return Err("three models".into()) };
    let task = Task::Read { direction: Some(unnamed_part()), recognition: unnamed_part() };
    let entry = entry(task, (1312, 736), Order::Bgr, (1.0 / 127.5, -1.0), 0.5);
    let models = ReadModels { detection, direction: Some(direction), recognition };
    Reader::from_bytes(&entry, models).map_err(|error| error.to_string())
}

/// Tells how many of the expected lines are read, and read the same.
fn compared(expected: &Lines, lines: &Lines) -> Vec<(&'static str, f64)> {
    let (mut found, mut same, mut overlap, mut all) = (0.0, 0.0, 0.0, 0.0_f64);
    for ((_, expected), (_, lines)) in expected.iter().zip(lines) {
        let places: Vec<[f32; 4]> = lines.iter().map(bounds).collect();
        for line in expected {
            all += 1.0;
            if let Some((at, share)) = nearest(bounds(line), &places).filter(|(_, share)| *share >= 0.5) {
                found += 1.0;
                overlap += share;
                same += f64::from(u8::from(lines[at].text == line.text));
            }
        }
    }
    let all = all.max(1.0);
    vec![
        ("found of FP32's", found / all),
        ("same text as FP32", same / all),
        ("overlap with FP32's", overlap / found.max(1.0)),
    ]
}

/// Returns the upright box around a line, in shares of the picture.
fn bounds(line: &Line) -> [f32; 4] {
    let reach = |axis: usize| {
        let places = line.corners.map(|corner| corner[axis]);
        places.iter().fold((1.0_f32, 0.0_f32), |(least, most), &at| (least.min(at), most.max(at)))
    };
    let ((left, right), (top, bottom)) = (reach(0), reach(1));
    [left, top, right, bottom]
}

fn written(lines: &Lines, file: &PathBuf) -> Result<(), String> {
    let line = |line: &Line| json!({"text": line.text, "score": line.score, "corners": line.corners});
    let pictures = lines.iter().map(|(name, lines)| {
        let lines: Vec<serde_json::Value> = lines.iter().map(line).collect();
        (name.clone(), serde_json::Value::from(lines))
    });
    let object: serde_json::Map<String, serde_json::Value> = pictures.collect();
    std::fs::write(file, serde_json::Value::from(object).to_string()).map_err(|error| error.to_string())
}
