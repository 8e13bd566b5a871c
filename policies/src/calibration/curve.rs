//! Isotonic regression: the monotone curve nearest to what was seen.

use serde::{Deserialize, Serialize};

/// A curve from score to probability that never falls: points, straight lines between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Curve {
    /// Score and probability, both rising.
    points: Vec<(f32, f32)>,
}

/// Outcomes of neighbouring scores that are taken together.
#[derive(Clone, Copy)]
struct Block {
    scores: f64,
    right: f64,
    count: f64,
}

impl Block {
    /// Half an outcome of each sort stands for what was not seen: of ten right ones the next may still be wrong.
    fn probability(self) -> f64 {
        (self.right + 0.5) / (self.count + 1.0)
    }
}

impl Curve {
    /// Fits by pooling neighbours that fall (Ayer et al. 1955, "An empirical distribution function for sampling with
    /// incomplete information"). Takes scores that are numbers.
    pub fn fit(outcomes: &[(f32, bool)]) -> Self {
        let mut sorted = outcomes.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut blocks: Vec<Block> = Vec::new();
        for (score, right) in sorted {
            let mut block = Block { scores: f64::from(score), right: f64::from(u8::from(right)), count: 1.0 };
            while let Some(last) = blocks.last()
                && last.right / last.count >= block.right / block.count
            {
                block = Block {
                    scores: last.scores + block.scores,
                    right: last.right + block.right,
                    count: last.count + block.count,
                };
                blocks.pop();
            }
            blocks.push(block);
        }
        let mut points: Vec<(f32, f32)> = Vec::new();
        for block in blocks {
            let probability = block.probability() as f32;
            let floor = points.last().map_or(0.0, |last| last.1);
            points.push(((block.scores / block.count) as f32, probability.max(floor)));
        }
        Self { points }
    }

    /// Returns the probability for a score; beyond the first and the last point that of the point.
    pub fn probability(&self, score: f32) -> f32 {
        let after = self.points.partition_point(|(at, _)| *at < score);
        match (after.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(after)) {
            (Some(&(left, low)), Some(&(right, high))) if right > left => {
                low + (high - low) * (score - left) / (right - left)
            }
            (_, Some((_, probability))) | (Some((_, probability)), None) => *probability,
            (None, None) => score,
        }
    }

    /// Tells whether the points are probabilities that rise.
    pub(super) fn is_sound(&self) -> bool {
        let in_range = self
            .points
            .iter()
            .all(|(score, probability)| score.is_finite() && (0.0..=1.0).contains(probability));
        in_range && self.points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1)
    }
}
