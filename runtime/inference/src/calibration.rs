//! From a model's score to the probability that it is right.

use serde::{Deserialize, Serialize};

/// A logistic function on a score's log-odds (Platt scaling): probability = σ(slope · logit(score) + intercept).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Factor on the log-odds, above 0; 1 leaves the score as it is.
    pub slope: f32,
    /// Added to the log-odds; 0 leaves the score as it is.
    pub intercept: f32,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { slope: 1.0, intercept: 0.0 }
    }
}

/// Scores are held this far from 0 and 1, where log-odds are infinite.
const MARGIN: f32 = 1e-6;

impl Calibration {
    /// Returns the probability, 0 to 1, for a score of 0 to 1.
    pub fn probability(&self, score: f32) -> f32 {
        let score = score.clamp(MARGIN, 1.0 - MARGIN);
        sigmoid(self.slope * (score / (1.0 - score)).ln() + self.intercept)
    }
}

/// The logistic function.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Returns the index and the share of the largest of some logits after a softmax, or nothing of no logits.
pub(crate) fn softmax_peak(logits: impl Iterator<Item = f32> + Clone) -> Option<(usize, f32)> {
    let (peak, highest) = logits.clone().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let total: f32 = logits.map(|logit| (logit - highest).exp()).sum();
    Some((peak, 1.0 / total))
}
