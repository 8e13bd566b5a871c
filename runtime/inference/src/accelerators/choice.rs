//! Which accelerator a model runs on: a function of what was measured and of what is wanted.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Accelerator;

/// What an execution is for: the three of Android's Neural Networks API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preference {
    /// The least battery.
    LowPower,
    /// The quickest answer to a question that comes alone.
    #[default]
    FastSingleAnswer,
    /// The most frames in a row.
    SustainedSpeed,
}

impl Preference {
    /// Returns the name that configuration and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LowPower => "low-power",
            Self::FastSingleAnswer => "fast-single-answer",
            Self::SustainedSpeed => "sustained-speed",
        }
    }
}

/// Why a text names no preference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no preference: low-power, fast-single-answer or sustained-speed")]
pub struct InvalidPreference(String);

impl std::str::FromStr for Preference {
    type Err = InvalidPreference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = [Self::LowPower, Self::FastSingleAnswer, Self::SustainedSpeed].into_iter();
        all.find(|one| one.name() == text).ok_or_else(|| InvalidPreference(text.to_owned()))
    }
}

/// What was measured of one model on one accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Where.
    pub accelerator: Accelerator,
    /// Median of runs that come alone, each after a pause.
    pub single: Duration,
    /// Median of runs that follow each other.
    pub sustained: Duration,
    /// Processor time of one run, of all threads: what stands for power where none is measured.
    pub processor: Duration,
}

/// What was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// One sentence for each that was considered.
    pub reasons: Vec<String>,
}

/// What is saved must be worth a library or a driver in memory: the processor keeps a model that another
/// accelerator would run in over nine tenths of its time.
const WORTH: f64 = 0.9;

/// For low power an answer may take this many times the quickest one's time, and not more.
const PATIENCE: u32 = 4;

/// Chooses among accelerators that passed the gate; the processor is what remains where none was measured.
pub fn choose(measurements: &[Measurement], preference: Preference) -> Choice {
    let figure = |one: &Measurement| match preference {
        Preference::LowPower => one.processor,
        Preference::FastSingleAnswer => one.single,
        Preference::SustainedSpeed => one.sustained,
    };
    let quickest = measurements.iter().map(|one| one.single).min().unwrap_or_default();
    let is_slow = |one: &Measurement| preference == Preference::LowPower && one.single > quickest * PATIENCE;
    let fit = measurements.iter().filter(|one| !is_slow(one));
    let best = fit.min_by_key(|one| (figure(one), one.accelerator));
    let cpu = measurements.iter().find(|one| one.accelerator == Accelerator::Cpu && !is_slow(one));
    let Some(best) = best else {
        let reasons = vec!["nothing was measured: the processor runs every model".to_owned()];
        return Choice { accelerator: Accelerator::Cpu, reasons };
    };
    let is_worth = |cpu: &&Measurement| figure(best).as_secs_f64() > WORTH * figure(cpu).as_secs_f64();
    let chosen = cpu.filter(is_worth).unwrap_or(best);
    let reason = |one: &Measurement| {
        let name = one.accelerator;
        let time = Milliseconds(figure(one));
        let unit = match preference {
            Preference::LowPower => "of processor time a run",
            Preference::FastSingleAnswer => "for an answer alone",
            Preference::SustainedSpeed => "a run in a row",
        };
        if one.accelerator == chosen.accelerator {
            let not_worth = if chosen == best { "" } else { ", and nothing else saves a tenth of that" };
            format!("{name}: chosen with {time} {unit}{not_worth}")
        } else if is_slow(one) {
            let (single, quickest) = (Milliseconds(one.single), Milliseconds(quickest));
            format!("{name}: {time} {unit}, but {single} for an answer, over {PATIENCE} times {quickest}")
        } else {
            format!("{name}: {time} {unit}")
        }
    };
    Choice { accelerator: chosen.accelerator, reasons: measurements.iter().map(reason).collect() }
}

struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms", self.0.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::Preference::{FastSingleAnswer, LowPower, SustainedSpeed};
    use super::*;
    use crate::accelerators::Provider;

    const GPU: Accelerator = Accelerator::Vulkan { adapter: 0 };
    const ORT: Accelerator = Accelerator::OnnxRuntime { provider: Provider::Cpu };

    fn measured(accelerator: Accelerator, [single, sustained, processor]: [u64; 3]) -> Measurement {
        let [single, sustained, processor] = [single, sustained, processor].map(Duration::from_micros);
        Measurement { accelerator, single, sustained, processor }
    }

    fn check(figures: &[(Accelerator, [u64; 3])], preference: Preference, expected: Accelerator) -> Choice {
        let measurements: Vec<_> = figures.iter().map(|&(one, figures)| measured(one, figures)).collect();
        let choice = choose(&measurements, preference);
        assert_eq!(choice.accelerator, expected, "{preference:?}: {:?}", choice.reasons);
        assert_eq!(choice.reasons.len(), measurements.len().max(1));
        choice
    }

    #[test]
    fn each_preference_has_a_figure_of_its_own() {
        let figures = [
            (Accelerator::Cpu, [10_000, 9000, 10_000]),
            (GPU, [12_000, 4000, 6000]),
            (ORT, [7000, 7000, 14_000]),
        ];
        check(&figures, LowPower, GPU);
        check(&figures, FastSingleAnswer, ORT);
        check(&figures, SustainedSpeed, GPU);
    }

    #[test]
    fn the_processor_stays_where_little_is_saved() {
        let choice = check(
            &[(ORT, [9100, 9100, 9100]), (Accelerator::Cpu, [10_000, 10_000, 10_000])],
            FastSingleAnswer,
            Accelerator::Cpu,
        );
        assert_eq!(
            choice.reasons,
            [
                "onnxruntime:cpu: 9.10 ms for an answer alone",
                "cpu: chosen with 10.00 ms for an answer alone, and nothing else saves a tenth of that",
            ]
        );
        check(&[(ORT, [8900, 1, 1]), (Accelerator::Cpu, [10_000, 1, 1])], FastSingleAnswer, ORT);
    }

    #[test]
    fn low_power_is_not_worth_any_wait() {
        let figures = [(Accelerator::Cpu, [10_000, 1, 10_000]), (GPU, [41_000, 1, 100])];
        let choice = check(&figures, LowPower, Accelerator::Cpu);
        let reason =
            "vulkan:0: 0.10 ms of processor time a run, but 41.00 ms for an answer, over 4 times 10.00 ms";
        assert_eq!(choice.reasons[1], reason);
        check(&[(Accelerator::Cpu, [10_000, 1, 10_000]), (GPU, [40_000, 1, 100])], LowPower, GPU);
    }

    #[test]
    fn the_processor_runs_what_was_not_measured() {
        check(&[], SustainedSpeed, Accelerator::Cpu);
    }
}
