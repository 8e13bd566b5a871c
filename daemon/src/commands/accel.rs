//! `glassd accel list|bench`.
//!
//! Each accelerator is measured in a process of its own: its memory is told apart that way, and a vendor's library that
//! crashes ends nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use glassd_inference::{
    Accelerator, Capability, CompilationCache, Measurement, Power, Source, Survey, Tensor, choose,
    ignored_variables, survey,
};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, asked};
use crate::accelerators::measure;
use crate::cli::{AccelCommand, BenchArgs};
use crate::config::Config;

/// Lists the accelerators, or measures a model on each.
pub(super) fn run(config: &Config, path: Option<&Path>, command: &AccelCommand) -> anyhow::Result<ExitCode> {
    match command {
        AccelCommand::List { json } => list(*json),
        AccelCommand::Bench(args) => match args.only {
            Some(accelerator) => row(args, accelerator),
            None => bench(config, path, args),
        },
    }
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let Survey { present, absent } = survey();
    let ignored = ignored_variables();
    if !ignored.is_empty() {
        eprintln!("{}: set, but not read: this build is without what they are for", ignored.join(", "));
    }
    if json {
        let here = present.iter().map(|one| {
            serde_json::json!({
                "accelerator": one.accelerator.to_string(), "present": true, "device": one.device,
                "version": one.version,
                "precisions": one.precisions.iter().map(|one| one.name()).collect::<Vec<_>>(),
                "forms": one.forms.iter().map(|form| form.name()).collect::<Vec<_>>(),
                "power": power(one.power),
            })
        });
        let missing = absent.iter().map(|one| {
            serde_json::json!({ "accelerator": one.accelerator.to_string(), "present": false, "why": one.why })
        });
        println!("{}", serde_json::to_string_pretty(&here.chain(missing).collect::<Vec<_>>())?);
        return Ok(ExitCode::SUCCESS);
    }
    for one in &present {
        let precisions: Vec<_> = one.precisions.iter().map(|one| one.name()).collect();
        let forms: Vec<_> = one.forms.iter().map(|form| form.name()).collect();
        println!("{:22} {}, {}", one.accelerator.to_string(), one.device, one.version);
        println!("{:22} {}; {}; {} power", "", precisions.join(", "), forms.join(", "), power(one.power));
    }
    for one in &absent {
        println!("{:22} missing: {}", one.accelerator.to_string(), one.why);
    }
    Ok(ExitCode::SUCCESS)
}

const fn power(power: Power) -> &'static str {
    match power {
        Power::Shared => "the processor's",
        Power::Own => "its own",
    }
}

/// What one accelerator did, as its process tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    accelerator: String,
    serves: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

/// Times in milliseconds, memory in MB.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Figures {
    load_cold_ms: f64,
    load_cached_ms: f64,
    first_ms: f64,
    single_ms: f64,
    sustained_ms: f64,
    processor_ms: f64,
    memory_mb: f64,
    /// Greatest difference from the processor: levels of integer outputs, shares of float ones.
    levels_apart: u32,
    share_apart: f32,
}

fn bench(config: &Config, path: Option<&Path>, args: &BenchArgs) -> anyhow::Result<ExitCode> {
    // A model that is not there is told once, not by every process.
    let (model, others) = one(config, args)?;
    model.prepared()?;
    if !others.is_empty() {
        eprintln!("its own file is measured; its others go by {}", others.join(", "));
    }
    let subject = Subject::write(&model)?;
    drop(model);
    let row = |one: &Capability| {
        eprintln!("measuring {} ({})", one.accelerator, one.device);
        alone(path, args, &subject, one.accelerator)
    };
    let rows: Vec<Row> = survey().present.iter().map(row).collect::<Result<_, _>>()?;
    let preference = args.preference.unwrap_or(config.models.preference);
    let measured = |row: &Row| {
        let Figures { single_ms, sustained_ms, processor_ms, .. } = row.figures?;
        let [single, sustained, processor] =
            [single_ms, sustained_ms, processor_ms].map(|ms| Duration::from_secs_f64(ms / 1e3));
        Some(Measurement { accelerator: row.accelerator.parse().ok()?, single, sustained, processor })
    };
    if rows.iter().all(|row| row.figures.is_none()) {
        let why = rows.iter().filter_map(|row| Some(format!("{}: {}", row.accelerator, row.why.as_ref()?)));
        anyhow::bail!("nothing runs {}: {}", args.model, why.collect::<Vec<_>>().join("; "));
    }
    let choice = choose(&rows.iter().filter_map(measured).collect::<Vec<_>>(), preference);
    if args.json {
        let report = serde_json::json!({
            "model": args.model, "rows": rows, "preference": preference,
            "chosen": choice.accelerator.to_string(), "reasons": choice.reasons,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{:18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}  apart from the processor",
        "ms", "load", "cached", "first", "alone", "in a row", "processor", "MB"
    );
    for row in &rows {
        match (&row.figures, &row.why) {
            (Some(f), _) => println!(
                "{:18} {:9.1} {:9.1} {:9.2} {:9.2} {:9.2} {:9.2} {:8.1}  {} levels, {:.4} %",
                row.accelerator,
                f.load_cold_ms,
                f.load_cached_ms,
                f.first_ms,
                f.single_ms,
                f.sustained_ms,
                f.processor_ms,
                f.memory_mb,
                f.levels_apart,
                f.share_apart * 100.0
            ),
            (None, why) => {
                println!("{:18} does not serve: {}", row.accelerator, why.as_deref().unwrap_or(""));
            }
        }
    }
    println!("\n{} for {}:", choice.accelerator, preference.name());
    choice.reasons.iter().for_each(|reason| println!("  {reason}"));
    Ok(ExitCode::SUCCESS)
}

/// The files of a model in a folder, for the processes that measure it: finding its sample may take other models, which
/// are no memory of its own.
struct Subject(tempfile::TempDir);

impl Subject {
    fn write(model: &Asked) -> anyhow::Result<Self> {
        let subject = Self(tempfile::tempdir().context("a folder for the model")?);
        std::fs::write(subject.onnx(), &model.onnx)?;
        if let Some(tflite) = &model.tflite {
            std::fs::write(subject.onnx().with_extension("tflite"), tflite)?;
        }
        if let Some(sample) = &model.sample {
            std::fs::write(
                subject.sample(),
                sample.iter().map(Tensor::as_bytes).collect::<Vec<_>>().concat(),
            )?;
        }
        Ok(subject)
    }

    fn onnx(&self) -> PathBuf {
        self.0.path().join("model.onnx")
    }

    /// The bytes of the inputs of its check sample, if it has one.
    fn sample(&self) -> PathBuf {
        self.0.path().join("sample")
    }
}

/// Measures one accelerator in a process of its own.
fn alone(
    config: Option<&Path>,
    args: &BenchArgs,
    subject: &Subject,
    accelerator: Accelerator,
) -> anyhow::Result<Row> {
    let program = std::env::current_exe().context("this program's own file")?;
    let mut command = Command::new(program);
    if let Some(file) = config {
        command.arg("--config").arg(file);
    }
    command.args(["accel", "bench"]).arg(subject.onnx()).args(["--seconds", &args.seconds.to_string()]);
    if subject.sample().is_file() {
        command.arg("--sample").arg(subject.sample());
    }
    command.args(["--only", &accelerator.to_string()]);
    let output = command.output().context("a process to measure in")?;
    let row = output.stdout.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{"));
    let row = row.filter(|_| output.status.success()).and_then(|line| serde_json::from_slice(line).ok());
    Ok(row.unwrap_or_else(|| {
        let told = String::from_utf8_lossy(&output.stderr);
        let last = told.lines().last().unwrap_or("it said nothing").to_owned();
        let why = format!("its process ended with {}: {last}", output.status);
        Row { accelerator: accelerator.to_string(), serves: false, why: Some(why), figures: None }
    }))
}

/// Measures one accelerator in this process and prints its row.
fn row(args: &BenchArgs, accelerator: Accelerator) -> anyhow::Result<ExitCode> {
    let path = Path::new(&args.model);
    let onnx = std::fs::read(path).with_context(|| format!("cannot read {}", args.model))?;
    let tflite = std::fs::read(path.with_extension("tflite")).ok();
    let sample = args.sample.as_ref().map(std::fs::read).transpose().context("the check sample")?;
    let folder = tempfile::tempdir().context("a folder for a cache")?;
    let cache = CompilationCache::open(folder.path(), u64::MAX);
    let source = Source { onnx: &onnx, tflite: tflite.as_deref() };
    let file = match (accelerator, source.tflite) {
        (Accelerator::LiteRt { .. }, Some(tflite)) => tflite,
        _ => source.onnx,
    };
    let loaded = || -> anyhow::Result<_> {
        let started = Instant::now();
        let model = accelerator.prepare_cached(file, Some(&cache))?;
        Ok((model, started.elapsed()))
    };
    let base = memory("VmRSS:");
    let measured = || -> anyhow::Result<_> {
        let (model, cold) = loaded()?;
        let sample = match &sample {
            Some(bytes) => model.inputs_of(bytes),
            None => model.made_up_inputs(),
        }?;
        let trial = measure(&model, &sample, Duration::from_secs_f64(args.seconds))?;
        let grown = memory("VmHWM:").zip(base).map_or(0, |(most, base)| most.saturating_sub(base));
        Ok((sample, loaded()?.1, cold, trial, grown))
    };
    // The gate comes last: the processor's own compilation would count as this accelerator's memory.
    let measured = measured();
    let samples: Vec<_> = measured.iter().map(|(sample, ..)| sample.clone()).collect();
    let placed = accelerator.place(source, &samples, Some(&cache))?;
    let placement = placed.placement();
    let failure = measured.as_ref().err().map(|error| format!("{error:#}"));
    let why = failure.or_else(|| placement.why.clone());
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let agreement = placement.agreement.unwrap_or_default();
    let figures = measured.ok().filter(|_| why.is_none()).map(|(_, cached, cold, trial, grown)| Figures {
        load_cold_ms: milliseconds(cold),
        load_cached_ms: milliseconds(cached),
        first_ms: milliseconds(trial.first),
        single_ms: milliseconds(trial.measurement.single),
        sustained_ms: milliseconds(trial.measurement.sustained),
        processor_ms: milliseconds(trial.measurement.processor),
        memory_mb: grown as f64 * 1024.0 / 1e6,
        levels_apart: agreement.levels,
        share_apart: agreement.greatest,
    });
    let row = Row { accelerator: accelerator.to_string(), serves: figures.is_some(), why, figures };
    println!("{}", serde_json::to_string(&row)?);
    Ok(ExitCode::SUCCESS)
}

/// Returns the model that is measured: of several files the model's own. The names behind an ensemble or a variant are
/// told instead, and so are those of the model's other files.
fn one(config: &Config, args: &BenchArgs) -> anyhow::Result<(Asked, Vec<String>)> {
    let mut models = asked(config, &args.model, &args.shape)?;
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    let is_several = names.len() > 1 && !names.contains(&args.model);
    anyhow::ensure!(!is_several, "{} stands for {}: measure one of them", args.model, names.join(", "));
    let others = names.into_iter().filter(|name| *name != args.model).collect();
    Ok((models.swap_remove(0), others))
}

/// Reads a line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
