//! From scores to probabilities, and from probabilities to a bound that keeps a promise.
//!
//! An [`Outcome`] is one candidate whose rightness became known. [`Calibration::fit`] makes of many of them a monotone
//! [`Curve`] for each kind of question, and the lowest bound on the probability at which the share of wrong answers
//! among those at or above it is at most the risk, with the confidence that was asked for ([`bound`]). [`Drift`] raises
//! that bound where later outcomes are worse than promised.
//!
//! The promise holds for candidates like those of the outcomes: those are a random sample of all candidates, or say
//! with which probability they were taken.

mod bound;
mod curve;
mod drift;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::bound::{RiskBound, upper_risk};
pub use self::curve::Curve;
pub use self::drift::Drift;

/// Kinds with fewer outcomes share one curve.
const OWN_CURVE: usize = 100;
/// Name of the curve that they share.
const OTHERS: &str = "*";

/// A candidate whose rightness became known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// What was asked for: the intent's name.
    pub kind: String,
    /// What the skill gave it, 0 to 1.
    pub score: f32,
    /// Whether it was right, or the cloud said the same.
    pub right: bool,
    /// Probability with which it was taken, 0 to 1: the better candidates are looked at more rarely.
    pub share: f32,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// Share of wrong answers among those that are given without asking, 0 to 1.
    pub share: f32,
    /// Probability that the promise holds, 0 to 1.
    pub confidence: f32,
}

/// Scores made into probabilities, and bounds that keep promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// A curve for each kind of question; `*` for those with few outcomes.
    curves: BTreeMap<String, Curve>,
    /// Bound where asking costs little; `None` where no bound keeps the promise.
    pub ordinary: Option<RiskBound>,
    /// Bound where asking is costly.
    pub costly: Option<RiskBound>,
}

impl Calibration {
    /// Fits curves on one half of the outcomes and bounds on the other: a bound from outcomes that the curves know
    /// would promise too much. Outcomes with a score that is no number or a share outside 0 to 1 are left out.
    pub fn fit(outcomes: &[Outcome], ordinary: Risk, costly: Risk) -> Self {
        let sound =
            |outcome: &&Outcome| outcome.score.is_finite() && outcome.share > 0.0 && outcome.share <= 1.0;
        let (mut fitted, mut held) = (Vec::new(), Vec::new());
        for (index, outcome) in outcomes.iter().filter(sound).enumerate() {
            let half = if index % 2 == 0 { &mut fitted } else { &mut held };
            half.push(outcome);
        }
        let mut calibration = Self { curves: curves(&fitted), ordinary: None, costly: None };
        let judge =
            |outcome: &Outcome| (calibration.probability(&outcome.kind, outcome.score), outcome.right);
        let known: Vec<(f32, bool)> = thinned(&fitted).map(judge).collect();
        let held: Vec<(f32, bool)> = thinned(&held).map(judge).collect();
        calibration.ordinary = bound::lowest(&known, &held, ordinary);
        calibration.costly = bound::lowest(&known, &held, costly);
        calibration
    }

    /// Returns the probability that a candidate with this score is right; the score itself without any outcome.
    pub fn probability(&self, kind: &str, score: f32) -> f32 {
        let curve = self.curves.get(kind).or_else(|| self.curves.get(OTHERS));
        curve.map_or(score, |curve| curve.probability(score))
    }

    /// Returns what stands in a file and must not: bounds and curves that are out of range.
    pub fn problems(&self) -> Vec<String> {
        let curves = self.curves.iter().filter(|(_, curve)| !curve.is_sound());
        let mut problems: Vec<String> =
            curves.map(|(kind, _)| format!("the curve of {kind:?} does not rise from 0 to 1")).collect();
        for (name, bound) in [("ordinary", &self.ordinary), ("costly", &self.costly)] {
            if bound.as_ref().is_some_and(|bound| !(0.0..=1.0).contains(&bound.probability)) {
                problems.push(format!("the {name} bound is no probability"));
            }
        }
        problems
    }

    /// Returns the kinds with a curve of their own.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.curves.keys().map(String::as_str)
    }
}

fn curves(outcomes: &[&Outcome]) -> BTreeMap<String, Curve> {
    let mut kinds: BTreeMap<&str, Vec<(f32, bool)>> = BTreeMap::new();
    for outcome in outcomes {
        kinds.entry(&outcome.kind).or_default().push((outcome.score, outcome.right));
    }
    let mut others = Vec::new();
    let mut curves = BTreeMap::new();
    for (kind, scored) in kinds {
        if scored.len() < OWN_CURVE {
            others.extend(scored);
        } else {
            curves.insert(kind.to_owned(), Curve::fit(&scored));
        }
    }
    if !others.is_empty() {
        curves.insert(OTHERS.to_owned(), Curve::fit(&others));
    }
    curves
}

/// Takes of each outcome no more than of the rarest, so that what is left is a sample of all candidates alike.
fn thinned<'a>(outcomes: &'a [&Outcome]) -> impl Iterator<Item = &'a Outcome> {
    let least = outcomes.iter().map(|outcome| outcome.share).fold(1.0, f32::min);
    // The same choice each time: steps of the golden ratio, which fall evenly into 0 to 1.
    let evenly = |index: usize| (index as f64 * 0.618_033_988_749_895).fract() as f32;
    let kept =
        outcomes.iter().enumerate().filter(move |(index, outcome)| evenly(*index) < least / outcome.share);
    kept.map(|(_, outcome)| *outcome)
}
