//! Weights in s8, symmetric, with a step for every output channel.

/// How far the weights of a channel reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Clipping {
    /// To the greatest.
    #[default]
    None,
    /// To where the squared error of the channel is least.
    Mse,
}

/// The greatest level; −128 is left out, so that weights are symmetric.
const MOST: f32 = 127.0;

/// Quantised weights: value = `steps[channel]` × level.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels {
    /// One level a weight, in the order of the weights.
    pub(super) levels: Vec<i8>,
    /// One step a channel, above 0 and finite.
    pub(super) steps: Vec<f32>,
    /// Weights that follow each other in the same channel.
    inner: usize,
}

impl Levels {
    /// Quantises weights of this shape, whose channels are the sides of `axis`. No step is smaller than
    /// `floor` says for its channel.
    pub(super) fn new(
        values: &[f32],
        shape: &[usize],
        axis: usize,
        clipping: Clipping,
        floor: &[f32],
    ) -> Self {
        let inner = shape[axis + 1..].iter().product::<usize>().max(1);
        let channels = shape[axis];
        let mut by_channel = vec![Vec::new(); channels];
        for (at, &value) in values.iter().enumerate() {
            by_channel[at / inner % channels].push(value);
        }
        let step = |(channel, values): (usize, &Vec<f32>)| {
            let least = floor.get(channel).copied().unwrap_or(0.0);
            let step = step(values, clipping).max(least);
            if step.is_normal() { step } else { 1.0 }
        };
        let steps: Vec<f32> = by_channel.iter().enumerate().map(step).collect();
        let level = |(at, value): (usize, &f32)| level(*value, steps[at / inner % channels]);
        let levels = values.iter().enumerate().map(level).collect();
        Self { levels, steps, inner }
    }

    /// Returns what the levels stand for.
    pub(super) fn values(&self) -> Vec<f32> {
        let value =
            |(at, &level): (usize, &i8)| f32::from(level) * self.steps[at / self.inner % self.steps.len()];
        self.levels.iter().enumerate().map(value).collect()
    }
}

fn level(value: f32, step: f32) -> i8 {
    (value / step).round_ties_even().clamp(-MOST, MOST) as i8
}

fn step(values: &[f32], clipping: Clipping) -> f32 {
    let reach = values.iter().fold(0.0_f32, |reach, value| reach.max(value.abs()));
    let full = reach / MOST;
    match clipping {
        Clipping::None => full,
        Clipping::Mse if !full.is_normal() => full,
        Clipping::Mse => {
            let error = |step: f32| -> f64 {
                let square = |&value: &f32| f64::from(value - step * f32::from(level(value, step))).powi(2);
                values.iter().map(square).sum()
            };
            let shares = (50..100).map(|percent| full * percent as f32 / 100.0);
            let first = (full, error(full));
            let least = shares.map(|step| (step, error(step)));
            least.fold(first, |best, next| if next.1 < best.1 { next } else { best }).0
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Nothing but rounding is lost: every weight returns within half a step.
        #[test]
        fn weights_return_within_half_a_step(
            values in prop::collection::vec(-1e3_f32..1e3, 24),
            axis in 0_usize..3,
        ) {
            let shape = [2, 3, 4];
            let levels = Levels::new(&values, &shape, axis, Clipping::None, &[]);
            prop_assert_eq!(levels.steps.len(), shape[axis]);
            let inner: usize = shape[axis + 1..].iter().product();
            for (at, (value, back)) in values.iter().zip(levels.values()).enumerate() {
                let step = levels.steps[at / inner % shape[axis]];
                prop_assert!((value - back).abs() <= 0.5001 * step, "{value} became {back} by steps of {step}");
            }
        }

        /// Clipping by squared error never errs more than none.
        #[test]
        fn clipping_errs_no_more(values in prop::collection::vec(-1.0_f32..1.0, 32)) {
            let error = |clipping| -> f64 {
                let levels = Levels::new(&values, &[1, 32], 0, clipping, &[]);
                values.iter().zip(levels.values()).map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            prop_assert!(error(Clipping::Mse) <= error(Clipping::None));
        }
    }

    #[test]
    fn a_dead_channel_and_a_floor_are_kept() {
        let levels = Levels::new(&[0.0, 0.0, 1.27, -1.27], &[2, 2], 0, Clipping::None, &[0.0, 0.1]);
        assert_eq!(levels.levels, [0, 0, 13, -13]);
        assert_eq!(levels.steps, [1.0, 0.1]);
    }
}
