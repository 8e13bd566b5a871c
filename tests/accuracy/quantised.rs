//! Bringing a task's models to INT8 with our own quantiser, on pictures that they are not judged on.

use std::path::{Path, PathBuf};

use glassd_inference::Tensor;
use glassd_inference::quantise::{Method, Settings, quantise};

/// One method, and few layers tried in floats: minutes in place of an hour.
const SETTINGS: Settings = Settings {
    method: Some(Method::Mse),
    clip_weights: glassd_inference::quantise::Choice::Auto,
    composite: glassd_inference::quantise::Composite::Whole,
    equalise: glassd_inference::quantise::Choice::Auto,
    correct_bias: glassd_inference::quantise::Choice::Auto,
    budget_db: 25.0,
    most_left: 4,
    most_work: 0.04,
    probes: 1,
};
/// Inputs of one network at most: those for windows and lines get hundreds from the pictures.
const MOST: usize = 128;

/// Where pictures to calibrate on lie, of which every `STEP`th is taken.
pub(crate) const PICTURES: &str = "detection/coco_train_calib/images";
pub(crate) const STEP: usize = 2;

/// Quantises a model on inputs of one tensor, writes it into `folder`, and tells what became of it; a file that is
/// there already is taken as it is.
pub(crate) fn written(
    model: &Path,
    onnx: &[u8],
    inputs: &[Tensor],
    folder: &Path,
) -> Result<PathBuf, String> {
    let name = model.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let path = folder.join(format!("{name}_int8.onnx"));
    if path.is_file() {
        return Ok(path);
    }
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let step = inputs.len().div_ceil(MOST).max(1);
    let samples: Vec<Vec<Tensor>> = inputs.iter().step_by(step).map(|input| vec![input.clone()]).collect();
    let complain = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let (file, report) =
        quantise(onnx, &samples, &SETTINGS, &mut |_| {}).map_err(|error| complain(&error))?;
    println!(
        "{name:<36} {} inputs, {:.1} % of the multiply-adds in INT8, {:.1} dB, {} to {} kB",
        samples.len(),
        100.0 * report.int8_share,
        report.agreement.heads_db,
        report.bytes_before / 1000,
        report.bytes_after / 1000
    );
    std::fs::write(&path, file).map_err(|error| complain(&error))?;
    Ok(path)
}
