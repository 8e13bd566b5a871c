//! `glassd models quantize`.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use glassd_inference::quantise::{Choice, Composite, Method, Progress, Report, Settings, Stage, quantise};
use glassd_inference::{Accelerator, InputContract, Tensor, sha256};
use glassd_media::Image;
use serde::Serialize;

use crate::cli::{QuantizeArgs, QuantizedFormat, RangeMethod, SiluForm, Switch};
use crate::config::Config;

/// Runs for a latency; the quickest counts, which other programs disturb least.
const TIMED_RUNS: usize = 5;

/// What `--report` writes.
#[derive(Debug, Serialize)]
struct Written<'a> {
    model: &'a Path,
    output: &'a Path,
    #[serde(flatten)]
    report: &'a Report,
    /// One run on one thread here, as the model's session runs it.
    fp32_ms: f64,
    int8_ms: f64,
}

/// Quantises a model, writes it, and tells what that cost.
pub(super) fn run(config: &Config, args: &QuantizeArgs) -> anyhow::Result<ExitCode> {
    let QuantizedFormat::Qdq = args.format;
    let model = &args.model;
    let onnx = std::fs::read(model).with_context(|| format!("cannot read the model {}", model.display()))?;
    let samples = samples(config, args, &onnx)?;
    let output = args.output.clone().unwrap_or_else(|| beside(model));
    ensure!(output != *model, "{} would be overwritten by its INT8 form", model.display());

    let mut shown = Shown::default();
    let quantised = quantise(&onnx, &samples, &settings(args), &mut |progress| shown.show(progress));
    shown.end();
    let (file, report) = quantised.with_context(|| format!("cannot quantise {}", model.display()))?;
    std::fs::write(&output, &file).with_context(|| format!("cannot write {}", output.display()))?;

    let fp32_ms = milliseconds(&onnx, &samples[0]).context("timing the FP32 model")?;
    let int8_ms = milliseconds(&file, &samples[0]).context("timing the INT8 model")?;
    print!("{report}");
    println!("\nlatency     {fp32_ms:.2} ms to {int8_ms:.2} ms here, on one thread");
    println!("written     {} (SHA-256 {})", output.display(), sha256(&file));
    if let Some(path) = &args.report {
        let written = Written { model, output: &output, report: &report, fp32_ms, int8_ms };
        let text = serde_json::to_string_pretty(&written).context("writing the report")?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !report.is_within_budget() {
        eprintln!(
            "the model misses its budget: allow more layers in floats (--leave), or look at its pictures"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns what the model gets where it is used: by the arguments, or by the manifest's entry for this file.
fn samples(config: &Config, args: &QuantizeArgs, onnx: &[u8]) -> anyhow::Result<Vec<Vec<Tensor>>> {
    let pictures = pictures(&args.calibrate, args.images as usize)?;
    if let Some(keys) = &args.input {
        let input = InputContract::parse(keys).with_context(|| format!("in --input {keys:?}"))?;
        return Ok(pictures.iter().map(|picture| vec![input.sample(picture)]).collect());
    }
    let digest = sha256(onnx);
    if !config.models.manifest.as_os_str().is_empty() {
        let store = crate::models::store(config)?;
        if let Some(samples) = store.samples(&digest, &pictures)? {
            ensure!(
                !samples.is_empty(),
                "the pictures of {} show nothing that this model looks at",
                args.calibrate.display()
            );
            return Ok(samples);
        }
    }
    bail!(
        "no entry of the manifest has the SHA-256 {digest} of {}; say with --input how pictures become its input",
        args.model.display()
    )
}

/// Reads at most `most` pictures of a folder, evenly spread over their names.
fn pictures(folder: &Path, most: usize) -> anyhow::Result<Vec<Image>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg")) {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "no JPEGs to calibrate on in {}", folder.display());
    files.sort();
    let count = files.len().min(most);
    let picture = |at: usize| {
        let file = &files[at * files.len() / count];
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        glassd_media::decode(&bytes).with_context(|| format!("in the picture {}", file.display()))
    };
    (0..count).map(picture).collect()
}

fn beside(model: &Path) -> PathBuf {
    let stem = model.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    model.with_file_name(format!("{stem}_int8.onnx"))
}

fn settings(args: &QuantizeArgs) -> Settings {
    let choice = |switch: Switch| match switch {
        Switch::Auto => Choice::Auto,
        Switch::On => Choice::On,
        Switch::Off => Choice::Off,
    };
    Settings {
        method: match args.method {
            RangeMethod::Auto => None,
            RangeMethod::MinMax => Some(Method::MinMax),
            RangeMethod::Percentile => Some(Method::Percentile),
            RangeMethod::Entropy => Some(Method::Entropy),
            RangeMethod::Mse => Some(Method::Mse),
        },
        clip_weights: choice(args.clip_weights),
        composite: match args.silu {
            SiluForm::Whole => Composite::Whole,
            SiluForm::Split => Composite::Split,
        },
        equalise: choice(args.equalise),
        correct_bias: choice(args.correct_bias),
        budget_db: args.budget,
        most_left: args.leave,
        most_work: args.leave_work,
        probes: args.probes,
    }
}

fn milliseconds(onnx: &[u8], sample: &[Tensor]) -> anyhow::Result<f64> {
    let shapes: Vec<Vec<usize>> = sample.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let mut session = Accelerator::Cpu.prepare_for(onnx, &shapes)?.open()?;
    session.run(sample.iter().cloned())?;
    let mut quickest = Duration::MAX;
    for _ in 0..TIMED_RUNS {
        let start = Instant::now();
        session.run(sample.iter().cloned())?;
        quickest = quickest.min(start.elapsed());
    }
    Ok(1e3 * quickest.as_secs_f64())
}

/// Progress on standard error: one line that changes on a terminal, a line a stage elsewhere.
#[derive(Default)]
struct Shown {
    stage: Option<Stage>,
}

impl Shown {
    fn show(&mut self, Progress { stage, done, of }: Progress) {
        let what = match stage {
            Stage::Calibrating => "running the FP32 model on the pictures",
            Stage::Ranges => "trying methods for the ranges",
            Stage::Biases => "measuring each layer's own error",
            Stage::Layers => "quantising one layer alone after the other",
            Stage::Leaving => "leaving harmful layers in floats",
        };
        let mut stderr = std::io::stderr();
        // Progress that cannot be shown stops nothing.
        if stderr.is_terminal() {
            let _ = write!(stderr, "\r\x1b[K{what}: {done} of {of}");
            let _ = stderr.flush();
        } else if self.stage != Some(stage) {
            let _ = writeln!(stderr, "{what}");
        }
        self.stage = Some(stage);
    }

    fn end(&mut self) {
        if self.stage.is_some() && std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
