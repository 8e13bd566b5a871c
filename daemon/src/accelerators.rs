//! Which accelerator runs the models: named by the configuration, or measured here.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use glassd_inference::{
    Accelerator, CacheKey, Candidate, Capability, Choice, CompilationCache, InvalidAccelerator, Measurement,
    Power, PreparedModel, Site, Source, Tensor, choose, sha256, survey,
};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// What compiled models may take on disk. Of the models known, the largest is 85 MB.
const CACHE_BYTES: u64 = 512 << 20;

/// How long runs in a row are measured where a choice is made.
const TRIAL: Duration = Duration::from_millis(500);

/// `models.accelerator`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Wanted {
    /// Whatever measuring finds best.
    #[default]
    Auto,
    /// This one.
    Named(Accelerator),
}

impl FromStr for Wanted {
    type Err = InvalidAccelerator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Named) }
    }
}

impl TryFrom<String> for Wanted {
    type Error = InvalidAccelerator;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Wanted> for String {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Auto => "auto".to_owned(),
            Wanted::Named(accelerator) => accelerator.to_string(),
        }
    }
}

/// Opens the cache of compiled models, in the state folder.
pub fn cache(config: &Config) -> CompilationCache {
    CompilationCache::open(config.gateway.state_dir.join("compiled"), CACHE_BYTES)
}

/// Returns where a model runs by the configuration. Where that leaves it open, it is measured: with a cache once
/// for each model, set of accelerators and preference.
pub fn site(
    config: &Config,
    cache: Option<&CompilationCache>,
    candidate: impl FnOnce() -> anyhow::Result<Candidate>,
) -> anyhow::Result<Site> {
    let on = |accelerator| Site { accelerator, cache: cache.cloned() };
    if let Wanted::Named(accelerator) = config.models.accelerator {
        return Ok(on(accelerator));
    }
    let mut present = survey().present;
    // A GPU in software computes on the processor, which does it better itself.
    let is_software = |one: &Capability| {
        matches!(one.accelerator, Accelerator::Vulkan { .. }) && one.power == Power::Shared
    };
    present.retain(|one| !is_software(one));
    if present.len() == 1 {
        return Ok(on(Accelerator::Cpu));
    }
    let candidate = candidate()?;
    let versions = present.iter().fold(String::new(), |mut all, one| {
        let _ = write!(all, "{} {} {};", one.accelerator, one.device, one.version);
        all
    });
    let model = sha256(&candidate.onnx);
    let device = format!("choice for {}", config.models.preference.name());
    let key = CacheKey { model: &model, device: &device, version: &versions };
    let known = cache.and_then(|cache| String::from_utf8(cache.get(&key)?).ok()?.parse().ok());
    if let Some(accelerator) = known {
        return Ok(on(accelerator));
    }
    let choice = measured(&candidate, present.iter().map(|one| one.accelerator), cache, config)?;
    tracing::info!(accelerator = %choice.accelerator, reasons = ?choice.reasons, "accelerator chosen");
    if let Some(cache) = cache {
        cache.put(&key, choice.accelerator.to_string().as_bytes());
    }
    Ok(on(choice.accelerator))
}

fn measured(
    candidate: &Candidate,
    accelerators: impl Iterator<Item = Accelerator>,
    cache: Option<&CompilationCache>,
    config: &Config,
) -> anyhow::Result<Choice> {
    let (mut measurements, mut reasons) = (Vec::new(), Vec::new());
    for accelerator in accelerators {
        let source = Source { onnx: &candidate.onnx, tflite: None };
        let placed = accelerator.place(source, std::slice::from_ref(&candidate.sample), cache)?;
        if let Some(why) = &placed.placement().why {
            reasons.push(format!("{accelerator}: {why}"));
            continue;
        }
        match measure(&placed, &candidate.sample, TRIAL) {
            Ok(trial) => measurements.push(trial.measurement),
            Err(error) => reasons.push(format!("{accelerator}: {error:#}")),
        }
    }
    let mut choice = choose(&measurements, config.models.preference);
    choice.reasons.extend(reasons);
    Ok(choice)
}

/// What was measured of one model on one accelerator.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The very first run.
    pub first: Duration,
    /// What a choice is made from.
    pub measurement: Measurement,
}

/// Runs a model alone, after pauses, and in a row for at least `least`; the first run stands apart.
pub fn measure(model: &PreparedModel, sample: &[Tensor], least: Duration) -> anyhow::Result<Trial> {
    let mut session = model.open().context("no session opens")?;
    let mut run = || -> anyhow::Result<Duration> {
        let inputs = sample.to_vec();
        let started = Instant::now();
        session.run(inputs)?;
        Ok(started.elapsed())
    };
    let first = run()?;
    let mut alone = Vec::new();
    for _ in 0..7 {
        // Long enough for a processor or a GPU to clock down, as between two questions.
        std::thread::sleep(Duration::from_millis(30));
        alone.push(run()?);
    }
    let (before, started) = (processor_time(), Instant::now());
    let mut in_a_row = Vec::new();
    while in_a_row.len() < 3 || started.elapsed() < least {
        in_a_row.push(run()?);
    }
    let (took, runs) = (started.elapsed(), in_a_row.len() as u32);
    // Without the kernel's figures, one thread at work all the time.
    let spent = processor_time().zip(before).map_or(took, |(after, before)| after.saturating_sub(before));
    if let Some(why) = &session.placement().why {
        anyhow::bail!("it failed while it was measured: {why}");
    }
    let measurement = Measurement {
        accelerator: model.accelerator(),
        single: median(alone),
        sustained: median(in_a_row),
        processor: spent / runs,
    };
    Ok(Trial { first, measurement })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Processor time of all threads that are alive, to the nanosecond (`/proc/self/task/*/schedstat`, first number).
fn processor_time() -> Option<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        // A thread may end while it is asked.
        let Ok(text) = std::fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        total += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(total))
}
