//! `glassd accel list|bench`.
//!
//! Each accelerator is measured in a process of its own: its memory is told apart that way, and a vendor's library that
//! crashes ends nothing else.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use glassd_inference::{
    Accelerator, Candidate, Capability, CompilationCache, EMBEDDED, Measurement, Power, Source, Survey,
    Tensor, choose, survey,
};
use serde::{Deserialize, Serialize};

use crate::accelerators::measure;
use crate::cli::{AccelCommand, BenchArgs};
use crate::config::Config;

/// Lists the accelerators, or measures a model on each.
pub(super) fn run(config: &Config, path: Option<&Path>, command: &AccelCommand) -> anyhow::Result<ExitCode> {
    match command {
        AccelCommand::List { json } => list(*json),
        AccelCommand::Bench(args) => match args.only {
            Some(accelerator) => row(config, args, accelerator),
            None => bench(config, path, args),
        },
    }
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let Survey { present, absent } = survey();
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
    let Asked { onnx, .. } = asked(config, &args.model)?;
    Accelerator::Cpu.prepare(&onnx).with_context(|| args.model.clone())?;
    let row = |one: &Capability| {
        eprintln!("measuring {} ({})", one.accelerator, one.device);
        alone(path, args, one.accelerator)
    };
    let rows: Vec<Row> = survey().present.iter().map(row).collect::<Result<_, _>>()?;
    let preference = args.preference.unwrap_or(config.models.preference);
    let measured = |row: &Row| {
        let Figures { single_ms, sustained_ms, processor_ms, .. } = row.figures?;
        let [single, sustained, processor] =
            [single_ms, sustained_ms, processor_ms].map(|ms| Duration::from_secs_f64(ms / 1e3));
        Some(Measurement { accelerator: row.accelerator.parse().ok()?, single, sustained, processor })
    };
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

/// Measures one accelerator in a process of its own.
fn alone(config: Option<&Path>, args: &BenchArgs, accelerator: Accelerator) -> anyhow::Result<Row> {
    let program = std::env::current_exe().context("this program's own file")?;
    let mut command = Command::new(program);
    if let Some(file) = config {
        command.arg("--config").arg(file);
    }
    command.args(["accel", "bench", &args.model, "--seconds", &args.seconds.to_string()]);
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
fn row(config: &Config, args: &BenchArgs, accelerator: Accelerator) -> anyhow::Result<ExitCode> {
    let Asked { onnx, sample, tflite } = asked(config, &args.model)?;
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
        let sample = sample.map_or_else(|| model.made_up_inputs(), Ok)?;
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

/// What is measured.
struct Asked {
    onnx: Vec<u8>,
    /// The inputs of its check sample; where it has none, inputs are made up.
    sample: Option<Vec<Tensor>>,
    tflite: Option<Vec<u8>>,
}

impl From<Candidate> for Asked {
    fn from(Candidate { onnx, sample }: Candidate) -> Self {
        Self { onnx, sample: Some(sample), tflite: None }
    }
}

/// Finds a model: `embedded`, a name of the manifest, or an ONNX file, with a `.tflite` file of the same name beside
/// it where there is one.
fn asked(config: &Config, name: &str) -> anyhow::Result<Asked> {
    let path = Path::new(name);
    if name == EMBEDDED {
        return Ok(glassd_inference::embedded_candidate()?.into());
    }
    if !path.is_file() {
        anyhow::ensure!(
            !config.models.manifest.as_os_str().is_empty(),
            "{name} is no file, and no models.manifest is configured that could name it"
        );
        return Ok(crate::models::store(config)?.candidate(name)?.into());
    }
    let onnx = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    Ok(Asked { onnx, sample: None, tflite: std::fs::read(path.with_extension("tflite")).ok() })
}

/// Reads a line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
