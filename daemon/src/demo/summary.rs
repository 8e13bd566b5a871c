//! What the demo measured, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

/// Share of wrong answers that the demo tolerates: the escalation policy's own risk (answers given
/// with a probability of 0.8 are wrong now and then), and twice that of the published 5 %.
const MOST_WRONG: f64 = 0.10;
/// The uplink budget that the demo runs under.
pub(super) const BUDGET_KB_PER_MIN: u64 = 600;

/// The summary.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Questions asked.
    pub queries: usize,
    /// Answers that agree with the ground truth.
    pub right: usize,
    /// Answers that do not, refusals among them.
    pub wrong: usize,
    /// Answered here.
    pub local: usize,
    /// Answered by the cloud.
    pub cloud: usize,
    /// Questions without an answer at the glasses.
    pub lost: usize,
    /// Answers that reached the glasses more than once.
    pub duplicated: usize,
    /// Kilobytes of queries sent to the cloud, a minute.
    pub kb_per_min: f64,
    /// Resident memory of the whole demo (gateway, glasses, broker, worker, model) at its end.
    pub rss_mb: f64,
    /// Durations of the stages.
    pub stages: Vec<Stage>,
    /// Why the demo failed; empty when all worked.
    pub failures: Vec<String>,
}

/// How long a stage took.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// Which.
    pub name: String,
    /// How often.
    pub count: usize,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
}

/// Gathers durations by stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(BTreeMap<&'static str, Vec<f64>>);

impl Samples {
    /// Adds one.
    pub(super) fn add(&mut self, stage: &'static str, duration: Duration) {
        self.0.entry(stage).or_default().push(duration.as_secs_f64() * 1e3);
    }

    /// Returns the percentiles (nearest rank) of every stage.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let stage = |(name, samples): (&&'static str, &Vec<f64>)| {
            let mut sorted = samples.clone();
            sorted.sort_by(f64::total_cmp);
            let rank =
                |p: f64| sorted[((sorted.len() as f64 * p).ceil() as usize).clamp(1, sorted.len()) - 1];
            Stage { name: (*name).to_owned(), count: sorted.len(), p50_ms: rank(0.50), p95_ms: rank(0.95) }
        };
        self.0.iter().map(stage).collect()
    }
}

impl Summary {
    /// Finds everything that did not work; the demo's exit code follows from it.
    pub fn judge(&mut self) {
        let mut failures = Vec::new();
        let mut check = |ok: bool, what: String| {
            if !ok {
                failures.push(what);
            }
        };
        check(self.lost == 0, format!("{} questions got no answer", self.lost));
        check(self.duplicated == 0, format!("{} answers came more than once", self.duplicated));
        check(self.local > 0, "nothing was answered locally".to_owned());
        check(self.cloud > 0, "nothing was answered by the cloud".to_owned());
        let most = (self.queries as f64 * MOST_WRONG).floor() as usize;
        check(self.wrong <= most, format!("{} answers are wrong, more than {most}", self.wrong));
        check(
            self.kb_per_min <= BUDGET_KB_PER_MIN as f64,
            format!("{:.0} KB/min are over the budget of {BUDGET_KB_PER_MIN}", self.kb_per_min),
        );
        self.failures = failures;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = (self.local + self.cloud).max(1) as f64;
        let mut text = String::new();
        let mut row = |name: &str, value: String| writeln!(text, "  {name:<22}{value}");
        row("questions", self.queries.to_string())?;
        row("right / wrong", format!("{} / {}", self.right, self.wrong))?;
        let share = self.local as f64 / answered * 100.0;
        row("local / cloud", format!("{} / {}  ({share:.0} % answered locally)", self.local, self.cloud))?;
        row("lost / duplicated", format!("{} / {}", self.lost, self.duplicated))?;
        row("to the cloud", format!("{:.0} KB/min", self.kb_per_min))?;
        row(
            "memory",
            format!("{:.0} MB (gateway, glasses, broker, worker and model together)", self.rss_mb),
        )?;
        writeln!(text, "\n  {:<22}{:>8}{:>12}{:>12}", "stage", "count", "p50 ms", "p95 ms")?;
        for stage in &self.stages {
            let Stage { name, count, p50_ms, p95_ms } = stage;
            writeln!(text, "  {name:<22}{count:>8}{p50_ms:>12.1}{p95_ms:>12.1}")?;
        }
        f.write_str(&text)
    }
}
