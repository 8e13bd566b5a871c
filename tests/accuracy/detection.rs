//! Finding objects: COCO's mean average precision.

use std::path::Path;

use glassd_media::decode;
use serde_json::json;

use crate::average_precision::{Found, Object, Picture, mean};
use crate::candidate::{Candidate, values};
use crate::heads::Head;
use crate::report::{Arguments, Report, entries};

/// Scores the detectors on `detection/coco_val`: pictures, and labels as lines of `class x y width height` in
/// shares of the picture. With `--detections FOLDER` what they found is left there for `peer.py`.
pub(crate) fn score(arguments: &Arguments, data: &Path, report: &mut Report) {
    let (images, labels) = (data.join("detection/coco_val/images"), data.join("detection/coco_val/labels"));
    let are_there = |labels: &Path| {
        let count = entries(labels).len();
        if count > 0 && images.is_dir() { Ok(()) } else { Err("pictures or labels are missing".into()) }
    };
    if report.read("detection", &labels, are_there).is_none() {
        return;
    }
    for path in report.models("detection", &arguments.all("--model"), &data.join("detection/models")) {
        let scores = Candidate::load(&path).and_then(|candidate| {
            let head = candidate.shapes().and_then(|(input, output)| Head::new(input, output));
            let Some(head) = head else { return Ok(None) };
            let pictures = looked(&head, &candidate, &images, &labels)?;
            if let Some(folder) = arguments.path("--detections") {
                write_detections(&pictures, &path, &folder)?;
            }
            let pictures: Vec<Picture> = pictures.into_iter().map(|(_, picture)| picture).collect();
            let (all, at_half) = mean(&pictures);
            Ok(Some(vec![("mAP50-95", all), ("mAP50", at_half)]))
        });
        if let Some(scores) = scores.transpose() {
            report.add("detection", &path, scores);
        }
    }
}

/// Returns each picture's number with what is in it and what was found.
fn looked(
    head: &Head,
    candidate: &Candidate,
    images: &Path,
    labels: &Path,
) -> Result<Vec<(u64, Picture)>, String> {
    let mut session = candidate.prepared.open().map_err(|error| error.to_string())?;
    let mut pictures = Vec::new();
    for file in entries(labels) {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let complain = |error: &dyn std::fmt::Display| format!("{stem}: {error}");
        let jpeg =
            std::fs::read(images.join(stem).with_extension("jpg")).map_err(|error| complain(&error))?;
        let (input, placement) = head.input(&decode(&jpeg).map_err(|error| complain(&error))?);
        let output = values(&session.run([input]).map_err(|error| complain(&error))?)?;
        if output.iter().any(|value| !value.is_finite()) {
            return Err(complain(&"it answers with what is no number"));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| complain(&error))?;
        let truth: Option<Vec<Object>> = text.lines().map(object).collect();
        let truth = truth.ok_or_else(|| complain(&"not lines of class x y width height"))?;
        let number = stem.parse().map_err(|error| complain(&error))?;
        pictures.push((number, Picture { truth, found: head.found(&output, placement) }));
    }
    Ok(pictures)
}

fn object(line: &str) -> Option<Object> {
    let (label, place) = line.split_once(' ')?;
    let place: Vec<f64> = place.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [x, y, width, height] = place[..] else { return None };
    let bounds = [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0];
    Some((label.parse().ok()?, bounds))
}

/// Writes COCO's format of results, with boxes in shares of the picture.
fn write_detections(pictures: &[(u64, Picture)], model: &Path, folder: &Path) -> Result<(), String> {
    let result = |number: u64, (label, score, [left, top, right, bottom]): &Found| {
        let bounds = [*left, *top, right - left, bottom - top];
        json!({"image_id": number, "category_id": label, "bbox": bounds, "score": score})
    };
    let results: Vec<serde_json::Value> = pictures
        .iter()
        .flat_map(|(number, picture)| picture.found.iter().map(move |found| result(*number, found)))
        .collect();
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let path = folder.join(model.file_stem().unwrap_or_default()).with_extension("json");
    std::fs::write(path, serde_json::Value::from(results).to_string()).map_err(|error| error.to_string())
}
