//! The model files: the ONNX and its manifest entry.

use std::path::Path;

use anyhow::Context;
use glassd_inference::{Calibration, Detector, ModelEntry, sha256};
use glassd_sim::world::{Colour, Shape};

use crate::calibrate::{fit, matched};
use crate::exam::look;
use crate::net::INPUT;
use crate::scenes::CALIBRATION;

/// Name of the model file.
pub(crate) const ONNX: &str = "scene.onnx";
/// Name of its manifest entry.
pub(crate) const ENTRY: &str = "scene.toml";
/// Scores under this are noise: fewer than one in a hundred of them is an object.
const FLOOR: f32 = 0.05;

/// Writes the entry for a model file.
pub(crate) fn entry(onnx: &[u8], decision: f32, calibration: Calibration) -> String {
    let quoted = |words: &[&str]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let labels = quoted(&Shape::ALL.map(Shape::label));
    let colours = quoted(&Colour::ALL.map(Colour::name));
    format!(
        r#"# Written by glassd-train.
name = "scene"
file = "{ONNX}"
sha256 = "{}"
licence = "MIT OR Apache-2.0"
source = "glassd-train, from scenes of glassd-sim"
task = {{ kind = "detect", head = "centre", labels = [{labels}], colours = [{colours}] }}
input = {{ width = {}, height = {}, layout = "nchw", type = "f32", order = "rgb", scale = 0.00392156862745098, fit = "stretch" }}
thresholds = {{ floor = {FLOOR}, decision = {decision:.2} }}
calibration = {{ slope = {:.4}, intercept = {:.4} }}
"#,
        sha256(onnx),
        INPUT[1],
        INPUT[0],
        calibration.slope,
        calibration.intercept,
    )
}

/// Returns a detector that runs a model file, its scores taken as they are.
pub(crate) fn uncalibrated(onnx: &[u8]) -> anyhow::Result<Detector> {
    let entry = ModelEntry::parse(&entry(onnx, 0.5, Calibration::default())).context("its own entry")?;
    Detector::from_bytes(&entry, onnx).context("the model does not run")
}

/// Returns the entry with calibration and decision threshold from `rooms` scenes of the calibration set.
pub(crate) fn calibrated(onnx: &[u8], rooms: usize) -> anyhow::Result<String> {
    let mut detector = uncalibrated(onnx)?;
    let sights = look(&mut detector, CALIBRATION, rooms)?;
    let scores: Vec<(f32, bool)> = sights
        .iter()
        .flat_map(|sight| matched(&sight.detections, &sight.objects).found)
        .map(|(score, object)| (score, object.is_some()))
        .collect();
    let calibration = fit(&scores);
    // The decision is where right becomes more probable than wrong.
    let percents = (5..=95).map(|percent| percent as f32 / 100.0);
    let decision = percents.into_iter().find(|score| calibration.probability(*score) >= 0.5).unwrap_or(0.95);
    println!(
        "calibrated on {} detections in {rooms} rooms: {calibration:?}, decision {decision}",
        scores.len()
    );
    Ok(entry(onnx, decision, calibration))
}

/// Reads the model files of a folder.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Detector> {
    let path = folder.join(ENTRY);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let entry = ModelEntry::parse(&text).with_context(|| format!("in {}", path.display()))?;
    let path = folder.join(&entry.file);
    let onnx = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(sha256(&onnx) == entry.sha256, "{} is not the file that {ENTRY} names", path.display());
    Ok(Detector::from_bytes(&entry, &onnx)?)
}
