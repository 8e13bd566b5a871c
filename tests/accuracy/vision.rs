//! Scores what sees, on a folder of pictures with labels: detectors, classifiers, person yes or no, reading, faces.
//!
//! ```sh
//! tests/accuracy/vision --data DIR [--json FILE] [--model FILE]… [--detections FOLDER] [--parts FOLDER [--quantise]]
//!     [--lines FILE]
//! ```
//!
//! Without `--model` it scores every model of a known shape in `DIR/detection/models`,
//! `DIR/classification/models` and `DIR/classification/vww`, and the models of `DIR/ocr` and `DIR/faces`; those in
//! `--parts` with the like names are compared with them, and with `--quantise` our own quantiser makes them.
//! It fails if one cannot be scored; a part of the data that is not there is skipped, and it says so.

mod average_precision;
mod candidate;
mod classification;
mod detection;
mod faces;
mod heads;
mod parts;
mod quantised;
mod reading;
mod report;

use std::process::ExitCode;

use glassd_inference::{Batch, Calibration, Check, InputContract, ModelEntry, Task, Thresholds};

use report::{Arguments, Report};

fn main() -> ExitCode {
    let arguments = Arguments::from_env();
    let Some(data) = arguments.path("--data") else {
        eprintln!(
            "vision --data DIR [--json FILE] [--model FILE]... [--detections FOLDER] [--parts FOLDER [--quantise]] [--lines FILE]"
        );
        return ExitCode::from(2);
    };
    let mut report = Report::default();
    detection::score(&arguments, &data, &mut report);
    classification::score(&arguments, &data, &mut report);
    reading::score(&arguments, &data, &mut report);
    faces::score(&arguments, &data, &mut report);
    report.require(&arguments.all("--model"));
    report.finish(arguments.path("--json").as_deref())
}

/// Returns a manifest entry for a file that nobody has described: nothing here checks its hash.
fn unnamed(task: Task, input: InputContract, thresholds: Thresholds) -> ModelEntry {
    ModelEntry {
        name: "unnamed".into(),
        file: String::new(),
        sha256: String::new(),
        licence: String::new(),
        source: String::new(),
        task,
        input: Some(input),
        thresholds,
        calibration: Calibration::default(),
        check: Check::default(),
        batch: Batch::default(),
        memory_mb: None,
    }
}
