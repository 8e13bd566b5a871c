//! Which detections are right, and from scores to the probability of being right.

use glassd_inference::{Calibration, Detection};
use glassd_sim::world::TruthObject;

/// Boxes that overlap by so much (intersection over union) mean the same object, as in PASCAL VOC.
const SAME: f32 = 0.5;

/// What became of one picture's detections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matches {
    /// For each detection, highest score first: its score, and the object it found, if any.
    pub(crate) found: Vec<(f32, Option<usize>)>,
}

/// Pairs detections with objects of the same label, the surest first, each object once.
pub(crate) fn matched(detections: &[Detection], objects: &[TruthObject]) -> Matches {
    let mut taken = vec![false; objects.len()];
    let find = |detection: &Detection| {
        let candidates = objects.iter().enumerate().filter(|(i, object)| {
            !taken[*i] && object.shape as usize == detection.label && overlap(detection, object) >= SAME
        });
        let best = candidates.max_by(|a, b| overlap(detection, a.1).total_cmp(&overlap(detection, b.1)));
        let best = best.map(|(i, _)| i);
        if let Some(i) = best {
            taken[i] = true;
        }
        (detection.score, best)
    };
    Matches { found: detections.iter().map(find).collect() }
}

/// Intersection over union.
fn overlap(detection: &Detection, object: &TruthObject) -> f32 {
    let [left, top, right, bottom] = detection.bounds;
    let b = object.bounds;
    let width = (right.min(b.right) - left.max(b.left)).max(0.0);
    let height = (bottom.min(b.bottom) - top.max(b.top)).max(0.0);
    let both = width * height;
    both / ((right - left) * (bottom - top) + b.area() - both).max(1e-9)
}

/// Fits Platt scaling to scores and whether they were right: logistic regression on the log-odds of the score, by
/// Newton's method.
pub(crate) fn fit(scores: &[(f32, bool)]) -> Calibration {
    let (mut slope, mut intercept) = (1.0f64, 0.0f64);
    for _ in 0..50 {
        // A small weight decay keeps scores that part perfectly from an infinite slope.
        let (mut gradient, mut curvature) = ([1e-3 * (slope - 1.0), 0.0], [1e-3, 0.0, 1e-9]);
        for (score, is_right) in scores {
            let score = f64::from(score.clamp(1e-6, 1.0 - 1e-6));
            let x = (score / (1.0 - score)).ln();
            let p = 1.0 / (1.0 + (-(slope * x + intercept)).exp());
            let (off, weight) = (p - f64::from(u8::from(*is_right)), p * (1.0 - p));
            gradient = [gradient[0] + off * x, gradient[1] + off];
            curvature = [curvature[0] + weight * x * x, curvature[1] + weight * x, curvature[2] + weight];
        }
        let determinant = curvature[0] * curvature[2] - curvature[1] * curvature[1];
        slope -= (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / determinant;
        intercept -= (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / determinant;
    }
    Calibration { slope: slope as f32, intercept: intercept as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_finds_the_law_that_made_the_data() {
        let law = Calibration { slope: 0.7, intercept: -0.8 };
        let mut data = Vec::new();
        for i in 1..200 {
            let score = i as f32 / 200.0;
            let right = (law.probability(score) * 1000.0).round() as usize;
            data.extend((0..1000).map(|n| (score, n < right)));
        }
        let found = fit(&data);
        assert!((found.slope - law.slope).abs() < 0.01, "{found:?}");
        assert!((found.intercept - law.intercept).abs() < 0.01, "{found:?}");
    }
}
