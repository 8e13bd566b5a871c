//! The training run.

use std::time::Instant;

use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use glassd_sim::world::TruthObject;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::net::{INPUT, Net, Weights, loss};
use crate::scenes::{Scene, append, mirrored};
use crate::target::Targets;

/// How to train.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) epochs: usize,
    pub(crate) batch: usize,
    /// The highest step size of Adam: reached after [`WARM_UP`] of the run, then falling as a cosine to 0.
    pub(crate) rate: f64,
    pub(crate) seed: u64,
}

/// Share of the steps in which the step size grows.
const WARM_UP: f64 = 0.04;

/// Trains on scenes and returns the weights and the mean loss of every epoch. `saved` gets the weights
/// after each epoch.
pub(crate) fn train(
    plan: Plan,
    scenes: &[Scene],
    mut saved: impl FnMut(&[Weights]),
) -> (Vec<Weights>, Vec<f32>) {
    let device = Device::flex().autodiff();
    device.seed(plan.seed);
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut net = Net::new(&device);
    let mut adam = AdamConfig::new().init();
    let steps_an_epoch = scenes.len() / plan.batch;
    let steps = steps_an_epoch * plan.epochs;
    let mut order: Vec<usize> = (0..scenes.len()).collect();
    let mut losses = Vec::new();
    let start = Instant::now();
    for epoch in 0..plan.epochs {
        order.shuffle(&mut rng);
        let mut sum = 0.0;
        for (i, chosen) in order.chunks_exact(plan.batch).enumerate() {
            let step = epoch * steps_an_epoch + i;
            // Every other picture is mirrored, the others in the next epoch.
            let (pictures, targets) =
                batch(chosen.iter().map(|&at| (&scenes[at], (at + epoch) % 2 == 1)), &device);
            let loss = loss(net.forward(&pictures), &targets, &device);
            sum += loss.clone().into_scalar::<f32>();
            let gradients = GradientsParams::from_grads(loss.backward(), &net);
            net = adam.step(rate(plan.rate, step, steps), net, gradients);
            if step % 50 == 49 {
                let left = start.elapsed().as_secs_f64() * (steps - step - 1) as f64 / (step + 1) as f64;
                println!("step {} of {steps}: loss {:.4}, {left:.0} s left", step + 1, sum / (i + 1) as f32);
            }
        }
        losses.push(sum / steps_an_epoch as f32);
        saved(&net.weights());
    }
    (net.weights(), losses)
}

fn rate(highest: f64, step: usize, steps: usize) -> f64 {
    let done = step as f64 / steps as f64;
    let warm = ((step + 1) as f64 / (WARM_UP * steps as f64)).min(1.0);
    highest * warm * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// Makes the input and the targets of some scenes, mirrored or not.
fn batch<'a>(
    chosen: impl ExactSizeIterator<Item = (&'a Scene, bool)>,
    device: &Device,
) -> (Tensor<4>, Targets) {
    let mut pixels = Vec::new();
    let mut objects: Vec<Vec<TruthObject>> = Vec::new();
    for (scene, mirror) in chosen {
        append(&mut pixels, scene, mirror);
        objects.push(if mirror { mirrored(&scene.objects) } else { scene.objects.clone() });
    }
    let shape = [objects.len(), 3, INPUT[0], INPUT[1]];
    let pictures = Tensor::from_data(TensorData::new(pixels, shape), device);
    (pictures, Targets::new(objects.iter().map(Vec::as_slice)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::{TRAINING, View, render};

    #[test]
    fn a_few_steps_make_the_loss_smaller_and_the_same_seed_makes_the_same_steps() {
        let scenes = render(TRAINING, 8, View::Wandering);
        let plan = Plan { epochs: 3, batch: 4, rate: 2e-3, seed: 5 };
        let mut saves = 0;
        let (weights, losses) = train(plan, &scenes, |_| saves += 1);
        assert_eq!((losses.len(), saves), (3, 3));
        assert!(losses[2] < 0.9 * losses[0], "{losses:?}");
        let (again, _) = train(Plan { epochs: 1, ..plan }, &scenes[..4], |_| {});
        let (same, _) = train(Plan { epochs: 1, ..plan }, &scenes[..4], |_| {});
        assert_eq!(again, same);
        assert_ne!(again, weights);
    }
}
