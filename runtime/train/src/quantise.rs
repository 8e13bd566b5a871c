//! Static quantisation: steps of the activations from calibration pictures, weights to s8 a channel.

use burn::tensor::{Device, Tensor, TensorData};

use crate::net::{INPUT, LAYERS, Net, Weights};
use crate::scenes::{Scene, append};

/// One layer in integers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantised {
    /// Weights [out, in, kernel, kernel] in units of their channel's step.
    pub(crate) kernel: Vec<i8>,
    /// One step an output channel.
    pub(crate) steps: Vec<f32>,
    /// Biases in units of the input's step times the channel's step.
    pub(crate) bias: Vec<i32>,
}

/// Levels that stand for something: u8 from a zero point of 0.
const LEVELS: f32 = 255.0;
/// Buckets of an activation histogram.
const BUCKETS: usize = 2048;

/// Returns the step of each layer's input: the picture's, then those of the activations on calibration scenes.
pub(crate) fn input_steps(weights: &[Weights], scenes: &[Scene]) -> Vec<f32> {
    let device = Device::flex();
    let net = Net::with(weights, &device);
    let outputs = |scene: &Scene| -> Vec<Vec<f32>> {
        let mut picture = Vec::new();
        append(&mut picture, scene, false);
        let picture = Tensor::from_data(TensorData::new(picture, [1, 3, INPUT[0], INPUT[1]]), &device);
        let plain = |tensor: Tensor<4>| tensor.into_data().try_into_vec::<f32>().expect("f32 activations");
        net.activations(&picture).into_iter().take(LAYERS.len() - 1).map(plain).collect()
    };
    let mut highest = vec![0.0f32; LAYERS.len() - 1];
    for scene in scenes {
        for (highest, values) in highest.iter_mut().zip(outputs(scene)) {
            *highest = values.into_iter().fold(*highest, f32::max);
        }
    }
    let mut histograms = vec![vec![0u64; BUCKETS]; LAYERS.len() - 1];
    for scene in scenes {
        for ((histogram, highest), values) in histograms.iter_mut().zip(&highest).zip(outputs(scene)) {
            for value in values.into_iter().filter(|value| *value > 0.0) {
                let bucket = (value / highest * BUCKETS as f32) as usize;
                histogram[bucket.min(BUCKETS - 1)] += 1;
            }
        }
    }
    let ranges = histograms.iter().zip(&highest).map(|(histogram, highest)| best_range(histogram, *highest));
    std::iter::once(1.0 / LEVELS).chain(ranges.map(|range| range / LEVELS)).collect()
}

/// Returns the end of the range that makes the squared error of rounding and clipping smallest.
fn best_range(histogram: &[u64], highest: f32) -> f32 {
    let width = highest / histogram.len() as f32;
    let error = |range: f32| -> f64 {
        let step = range / LEVELS;
        let error = |(bucket, &count): (usize, &u64)| {
            let value = (bucket as f32 + 0.5) * width;
            let clipped = f64::from((value - range).max(0.0));
            // Rounding is off by step²/12 in the mean.
            count as f64 * (clipped * clipped + f64::from(step * step) / 12.0)
        };
        histogram.iter().enumerate().map(error).sum()
    };
    let candidates = (1..=100).map(|percent| highest * percent as f32 / 100.0);
    candidates.min_by(|a, b| error(*a).total_cmp(&error(*b))).expect("a hundred candidates").max(1e-6)
}

/// Rounds weights to s8, and biases to units of what the integer sums come in.
pub(crate) fn quantise(weights: &[Weights], input_steps: &[f32]) -> Vec<Quantised> {
    let layer = |(weights, input_step): (&Weights, &f32)| {
        let per_channel = weights.kernel.len() / weights.bias.len();
        let channels = weights.kernel.chunks_exact(per_channel);
        let steps: Vec<f32> = channels
            .clone()
            .map(|channel| channel.iter().fold(1e-8f32, |top, value| top.max(value.abs())) / 127.0)
            .collect();
        let kernel = channels.zip(&steps).flat_map(|(channel, step)| {
            // Within −127 to 127 by the choice of the step; a cast saturates.
            channel.iter().map(move |value| (value / step).round_ties_even() as i8)
        });
        let bias = weights.bias.iter().zip(&steps);
        Quantised {
            kernel: kernel.collect(),
            bias: bias.map(|(value, step)| (value / (step * input_step)).round_ties_even() as i32).collect(),
            steps,
        }
    };
    weights.iter().zip(input_steps).map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_within_half_a_step() {
        let kernel: Vec<f32> =
            (0..40).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013 * (1 + i / 10) as f32).collect();
        let bias = vec![0.3, -2.0, 0.0, 11.0];
        let weights = Weights { kernel: kernel.clone(), bias: bias.clone() };
        let quantised = &quantise(&[weights], &[0.02])[0];
        assert_eq!(quantised.steps.len(), 4);
        for (i, value) in kernel.iter().enumerate() {
            let step = quantised.steps[i / 10];
            let back = f32::from(quantised.kernel[i]) * step;
            assert!((back - value).abs() <= step * 0.5001, "weight {i}: {value} came back as {back}");
        }
        for (i, value) in bias.iter().enumerate() {
            let step = quantised.steps[i] * 0.02;
            assert!((quantised.bias[i] as f32 * step - value).abs() <= step * 0.5001, "bias {i}");
        }
        for channel in quantised.kernel.chunks_exact(10) {
            assert_eq!(
                channel.iter().map(|value| value.unsigned_abs()).max(),
                Some(127),
                "no level is wasted"
            );
        }
    }

    #[test]
    fn a_lone_outlier_is_clipped_and_a_broad_range_is_kept() {
        let mut histogram = vec![0; BUCKETS];
        histogram[..BUCKETS / 10].fill(10_000);
        histogram[BUCKETS - 1] = 1;
        let range = best_range(&histogram, 10.0);
        assert!((0.9..4.0).contains(&range), "range {range} for values to 1 and one of 10");
        assert!(best_range(&vec![1000; BUCKETS], 10.0) > 9.5);
    }
}
