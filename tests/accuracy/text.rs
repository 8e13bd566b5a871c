//! Scores what understands sentences: how well cosines of embeddings follow people's judgement (STS benchmark).
//!
//! ```sh
//! tests/accuracy/text --data DIR [--json FILE] [--model FILE]…
//! ```
//!
//! Scores every model of `DIR/text` that reads tokens, with `DIR/text/minilm_tokenizer.json`, on the pairs of
//! `DIR/text/stsb-en-dev.csv`.

mod report;
#[path = "spearman.rs"]
mod spearman;

use std::path::Path;
use std::process::ExitCode;

use glassd_inference::{
    Batch, Calibration, Check, Embedding, ModelEntry, Part, Task, TextEncoder, Thresholds,
};

use report::{Arguments, Report};

fn main() -> ExitCode {
    let arguments = Arguments::from_env();
    let Some(data) = arguments.path("--data") else {
        eprintln!("text --data DIR [--json FILE] [--model FILE]...");
        return ExitCode::from(2);
    };
    let mut report = Report::default();
    let folder = data.join("text");
    let read = |folder: &Path| {
        let table = std::fs::read_to_string(folder.join("stsb-en-dev.csv"));
        let pairs = table.map_err(|error| error.to_string()).and_then(|table| spearman::pairs(&table))?;
        let tokenizer = std::fs::read(folder.join("minilm_tokenizer.json"));
        Ok((pairs, tokenizer.map_err(|error| error.to_string())?))
    };
    if let Some((pairs, tokenizer)) = report.read("sentences", &folder, read) {
        for path in report.models("sentences", &arguments.all("--model"), &folder) {
            let onnx = std::fs::read(&path).map_err(|error| error.to_string());
            let encoder = onnx.and_then(|onnx| {
                TextEncoder::from_bytes(&entry(), &onnx, &tokenizer).map_err(|error| error.to_string())
            });
            match encoder {
                // The folder holds models that write text, too.
                Err(_) if arguments.all("--model").is_empty() => continue,
                encoder => {
                    let scores = encoder.and_then(|encoder| correlation(encoder, &pairs));
                    report.add("sentences", &path, scores.map(|value| vec![("Spearman", value)]));
                }
            }
        }
    }
    report.require(&arguments.all("--model"));
    report.finish(arguments.path("--json").as_deref())
}

fn correlation(mut encoder: TextEncoder, pairs: &[spearman::Judged]) -> Result<f64, String> {
    let mut embed =
        |text: &str| -> Result<Embedding, String> { encoder.embed(text).map_err(|error| error.to_string()) };
    let (mut ours, mut people) = (Vec::new(), Vec::new());
    for (a, b, score) in pairs {
        ours.push(f64::from(embed(a)?.cosine(&embed(b)?)));
        people.push(*score);
    }
    Ok(spearman::spearman(&ours, &people))
}

/// Nobody has described the file: nothing here checks its hash.
fn entry() -> ModelEntry {
    let tokenizer = Part { file: String::new(), sha256: String::new() };
    ModelEntry {
        name: "unnamed".into(),
        file: String::new(),
        sha256: String::new(),
        licence: String::new(),
        source: String::new(),
        task: Task::Embed { tokenizer, tokens: 128 },
        input: None,
        thresholds: Thresholds::default(),
        calibration: Calibration::default(),
        check: Check::default(),
        batch: Batch::default(),
        memory_mb: None,
    }
}
