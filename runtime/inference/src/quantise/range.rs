//! From the distribution of an activation to the steps that represent it: u8, asymmetric, one step a tensor.

use serde::{Deserialize, Serialize};

use super::histogram::{BINS, Histogram};
use super::response::Response;

/// How the range of an activation is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// From the least value to the greatest.
    MinMax,
    /// What holds all but one value in 10 000 on either side.
    Percentile,
    /// Least divergence between the distribution and its quantised form (Kullback-Leibler; Migacz 2017).
    Entropy,
    /// Least squared error.
    Mse,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 4] = [Self::MinMax, Self::Percentile, Self::Entropy, Self::Mse];

    /// Returns the name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "min-max",
            Self::Percentile => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
        }
    }
}

/// The u8 representation of an activation: value = `scale` × (level − `zero`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// The width of a step, above 0 and finite.
    pub scale: f32,
    /// The level that stands for 0.
    pub zero: u8,
}

/// Levels between the least and the greatest of a u8.
const STEPS: f32 = 255.0;

impl Affine {
    /// Returns the representation of a range, which is widened to hold 0.
    pub(super) fn of_range(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        // Halved, so that the widest range does not overflow.
        let scale = (high / STEPS) - (low / STEPS);
        if !scale.is_normal() {
            return Self { scale: 1.0, zero: 0 };
        }
        Self { scale, zero: (-low / scale).round_ties_even().clamp(0.0, STEPS) as u8 }
    }

    /// Returns the level nearest to `value`.
    fn level(self, value: f64) -> usize {
        let level = (value / f64::from(self.scale)).round_ties_even() + f64::from(self.zero);
        level.clamp(0.0, f64::from(STEPS)) as usize
    }

    /// Returns the mean squared error over a distribution, of what is made of the values.
    pub(super) fn squared_error(self, histogram: &Histogram, response: Response) -> f64 {
        let value = |level: u32| f64::from(self.scale) * (f64::from(level) - f64::from(self.zero));
        let table: Vec<f64> = (0..=STEPS as u32).map(|level| response.of(value(level))).collect();
        let (sum, count) = histogram.filled().fold((0.0, 0.0), |(sum, all), (middle, count)| {
            let error = response.of(middle) - table[self.level(middle)];
            (sum + count * error * error, all + count)
        });
        if count > 0.0 { sum / count } else { 0.0 }
    }
}

/// Chooses the range of a distribution by a method.
pub(super) fn by_method(histogram: &Histogram, response: Response, method: Method) -> Affine {
    let (low, high) = match method {
        Method::MinMax => (histogram.low, histogram.high),
        Method::Percentile => percentile(histogram, 0.9999),
        Method::Entropy => entropy(histogram),
        Method::Mse => least_squares(histogram, response),
    };
    Affine::of_range(low, high)
}

/// Chooses the range by the method that errs least on this distribution.
pub(super) fn best(histogram: &Histogram, response: Response) -> (Method, Affine) {
    let tried = Method::ALL.map(|method| (method, by_method(histogram, response, method)));
    let errors = tried.map(|(_, affine)| affine.squared_error(histogram, response));
    let least = (0..tried.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b]));
    tried[least.unwrap_or_default()]
}

/// Returns what holds `share` of the values on either side.
fn percentile(histogram: &Histogram, share: f64) -> (f32, f32) {
    let total: f64 = histogram.counts.iter().sum();
    let spare = total * (1.0 - share);
    let bins = histogram.counts.iter().copied().enumerate();
    let (Some(first), Some(last)) = (beyond(spare, bins.clone()), beyond(spare, bins.rev())) else {
        return (histogram.low, histogram.high);
    };
    let edge = |bin: usize| (f64::from(histogram.low) + bin as f64 * histogram.width()) as f32;
    (edge(first), edge(last + 1))
}

/// Returns the first bin with which more than `spare` values have passed.
fn beyond(mut spare: f64, mut bins: impl Iterator<Item = (usize, f64)>) -> Option<usize> {
    let passed = bins.find(|(_, count)| {
        spare -= count;
        spare < 0.0
    });
    passed.map(|(bin, _)| bin)
}

/// Narrows either end in turn to where the squared error is least.
fn least_squares(histogram: &Histogram, response: Response) -> (f32, f32) {
    let error = |low: f32, high: f32| Affine::of_range(low, high).squared_error(histogram, response);
    // Down to a fiftieth: of what a sigmoid makes nothing, little is to be told apart.
    let shares = || (0..97).map(|step| 0.96_f32.powi(step));
    let least = |errors: &mut dyn Iterator<Item = (f32, f64)>| {
        let first = (1.0, f64::INFINITY);
        errors.fold(first, |best, next| if next.1 < best.1 { next } else { best }).0
    };
    let (mut low, mut high) = (histogram.low, histogram.high);
    for _ in 0..2 {
        let tried = |share: f32| (share, error(low, histogram.high * share));
        high = histogram.high * least(&mut shares().map(tried));
        let tried = |share: f32| (share, error(histogram.low * share, high));
        low = histogram.low * least(&mut shares().map(tried));
    }
    (low, high)
}

/// Levels of the quantised distribution that is compared with the true one.
const LEVELS: usize = 256;

/// The share that the quantised distribution is taken to give to what it cannot tell (Migacz 2017 smooths by it).
const SMOOTHING: f64 = 1e-4;

/// Narrows the upper end, then the lower, to where the divergence is least.
fn entropy(histogram: &Histogram) -> (f32, f32) {
    let Histogram { low, high, counts } = histogram;
    let zero = f64::from(-*low) / histogram.width();
    if !zero.is_finite() {
        return (*low, *high);
    }
    let zero = (zero as usize).min(BINS);
    let least = |windows: &mut dyn Iterator<Item = (usize, usize)>| {
        let widest = (f64::INFINITY, 0, BINS);
        let tried = windows.map(|(start, end)| (divergence(counts, start, end - start), start, end));
        let (_, start, end) = tried.fold(widest, |best, next| if next.0 < best.0 { next } else { best });
        (start, end)
    };
    let (_, end) = least(&mut (zero.max(LEVELS)..=BINS).rev().step_by(8).map(|end| (0, end)));
    let last = zero.min(end.saturating_sub(LEVELS));
    let (start, _) = least(&mut (0..=last).step_by(8).map(|start| (start, end)));
    let edge = |bin: usize| (f64::from(*low) + bin as f64 * histogram.width()) as f32;
    (edge(start), edge(end))
}

/// Returns how far the distribution, its outliers moved to the edges of the window, diverges from what the
/// window's levels can tell of it.
fn divergence(counts: &[f64], start: usize, kept: usize) -> f64 {
    let window = &counts[start..start + kept];
    let mut truth = window.to_vec();
    truth[0] += counts[..start].iter().sum::<f64>();
    truth[kept - 1] += counts[start + kept..].iter().sum::<f64>();
    let total: f64 = truth.iter().sum();
    let told: f64 = window.iter().sum();
    if total == 0.0 || told == 0.0 {
        return f64::INFINITY;
    }
    let mut divergence = 0.0;
    for level in 0..LEVELS {
        let bins = level * kept / LEVELS..(level + 1) * kept / LEVELS;
        let filled = window[bins.clone()].iter().filter(|count| **count > 0.0).count();
        if filled == 0 {
            // An outlier moved to an empty edge cannot be told at all.
            let lost: f64 = truth[bins].iter().sum::<f64>() / total;
            divergence += lost * (lost / SMOOTHING).ln().max(0.0);
            continue;
        }
        let even = window[bins.clone()].iter().sum::<f64>() / filled as f64 / told;
        let parts = truth[bins].iter().filter(|count| **count > 0.0);
        divergence += parts.map(|count| count / total * (count / total / even).ln()).sum::<f64>();
    }
    divergence
}
