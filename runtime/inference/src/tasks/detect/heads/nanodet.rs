//! Distances to the four edges as distributions (Generalized Focal Loss: Li et al. 2020), as NanoDet-Plus has them.

/// Input pixels a cell, level by level.
pub(super) const STRIDES: [usize; 4] = [8, 16, 32, 64];
/// Steps of a distance: 0 to 7 cells (`reg_max: 7`).
pub(super) const STEPS: usize = 8;

/// Returns the mean of a distribution over the steps, given as logits.
pub(super) fn distance(logits: &[f32; STEPS]) -> f32 {
    let highest = logits.iter().copied().fold(f32::MIN, f32::max);
    let shares = logits.map(|logit| (logit - highest).exp());
    let total: f32 = shares.iter().sum();
    shares.iter().enumerate().map(|(step, share)| step as f32 * share).sum::<f32>() / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_the_mean_step() {
        let check = |logits: [f32; STEPS], expected: f32| {
            assert!((distance(&logits) - expected).abs() < 1e-5, "{logits:?}: {}", distance(&logits));
        };
        check([0.0; STEPS], 3.5);
        check([-50.0, -50.0, 50.0, -50.0, -50.0, -50.0, -50.0, -50.0], 2.0);
        let (three, five) = (3_f32.ln(), 1_f32.ln());
        check([-50.0, -50.0, -50.0, three, -50.0, five, -50.0, -50.0], 3.5);
        check([200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 200.0], 3.5);
    }
}
