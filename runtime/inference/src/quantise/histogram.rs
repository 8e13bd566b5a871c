//! How the values of a tensor are distributed.

/// Bins of a histogram: eight a quantisation step, as the entropy method wants them (Migacz 2017 has 2048).
pub(super) const BINS: usize = 2048;

/// Counts of the values of one tensor between its extremes, which include 0. Zeros are not counted: every
/// quantisation represents them exactly, and after a ReLU they would hide the rest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) counts: Vec<f64>,
}

impl Histogram {
    /// Returns an empty histogram from `low` to `high`, widened to hold 0.
    pub(super) fn new(low: f32, high: f32) -> Self {
        Self { low: low.min(0.0), high: high.max(0.0), counts: vec![0.0; BINS] }
    }

    /// Returns the width of a bin; 0 where all values are 0.
    pub(super) fn width(&self) -> f64 {
        (f64::from(self.high) - f64::from(self.low)) / BINS as f64
    }

    /// Returns the middle of a bin.
    pub(super) fn middle(&self, bin: usize) -> f64 {
        f64::from(self.low) + (bin as f64 + 0.5) * self.width()
    }

    /// Counts values, each as `weight`.
    pub(super) fn add(&mut self, values: &[f32], weight: f64) {
        let (low, per_bin) = (f64::from(self.low), 1.0 / self.width());
        if !per_bin.is_finite() {
            return;
        }
        for &value in values.iter().filter(|value| **value != 0.0) {
            let bin = ((f64::from(value) - low) * per_bin) as usize;
            self.counts[bin.min(BINS - 1)] += weight;
        }
    }

    /// Returns the counts of several tensors together.
    pub(super) fn merged<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let low = parts.clone().fold(0.0, |low, part| part.low.min(low));
        let high = parts.clone().fold(0.0, |high, part| part.high.max(high));
        let mut all = Self::new(low, high);
        let per_bin = 1.0 / all.width();
        if per_bin.is_finite() {
            for part in parts {
                for (bin, count) in part.counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
                    let place = ((part.middle(bin) - f64::from(low)) * per_bin) as usize;
                    all.counts[place.min(BINS - 1)] += count;
                }
            }
        }
        all
    }

    /// Returns the bins that hold anything, as (middle, count).
    pub(super) fn filled(&self) -> impl Iterator<Item = (f64, f64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0.0);
        filled.map(|(bin, &count)| (self.middle(bin), count))
    }
}
