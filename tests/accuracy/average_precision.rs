//! The mean average precision of COCO, as pycocotools computes it for boxes without crowds: ten thresholds of
//! overlap, precision read at 101 recalls, all areas, at most 100 detections of a class in a picture.
//!
//! `peer.py` holds it against pycocotools itself.

/// (label, bounds): left, top, right, bottom in any unit.
pub(crate) type Object = (usize, [f64; 4]);

/// (label, score, bounds).
pub(crate) type Found = (usize, f64, [f64; 4]);

/// What was to be found in a picture, and what was, the highest score first.
#[derive(Default)]
pub(crate) struct Picture {
    pub(crate) truth: Vec<Object>,
    pub(crate) found: Vec<Found>,
}

const MOST_A_CLASS: usize = 100;
const RECALLS: usize = 101;
/// Thresholds of overlap: 0.50, 0.55 … 0.95.
const OVERLAPS: usize = 10;

/// Returns mAP50-95 and mAP50 over the classes that are there in truth.
pub(crate) fn mean(pictures: &[Picture]) -> (f64, f64) {
    let classes = pictures.iter().flat_map(|picture| picture.truth.iter().map(|(label, _)| *label));
    let classes: std::collections::BTreeSet<usize> = classes.collect();
    let precisions: Vec<[f64; OVERLAPS]> = classes
        .iter()
        .map(|&label| std::array::from_fn(|at| precision(pictures, label, 0.5 + 0.05 * at as f64)))
        .collect();
    let count = precisions.len() as f64;
    let at_half = precisions.iter().map(|class| class[0]).sum::<f64>() / count;
    let all = precisions.iter().flatten().sum::<f64>() / (count * OVERLAPS as f64);
    (all, at_half)
}

/// Returns the average precision of one class at one threshold.
fn precision(pictures: &[Picture], label: usize, least: f64) -> f64 {
    let mut judged: Vec<(f64, bool)> =
        pictures.iter().flat_map(|picture| matched(picture, label, least)).collect();
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let labelled =
        pictures.iter().flat_map(|picture| &picture.truth).filter(|(one, _)| *one == label).count();

    let mut right = 0;
    let mut curve: Vec<(f64, f64)> = Vec::with_capacity(judged.len());
    for (index, (_, hit)) in judged.iter().enumerate() {
        right += usize::from(*hit);
        curve.push((right as f64 / labelled as f64, right as f64 / (index + 1) as f64));
    }
    // A precision counts for every lower recall.
    for index in (1..curve.len()).rev() {
        curve[index - 1].1 = curve[index - 1].1.max(curve[index].1);
    }
    let at = |recall: f64| {
        let first = curve.partition_point(|(reached, _)| *reached < recall);
        curve.get(first).map_or(0.0, |(_, precision)| *precision)
    };
    (0..RECALLS).map(|step| at(step as f64 * 0.01)).sum::<f64>() / RECALLS as f64
}

/// Judges the detections of one class in one picture: each takes the free object that it overlaps most.
fn matched(picture: &Picture, label: usize, least: f64) -> Vec<(f64, bool)> {
    let mut free: Vec<[f64; 4]> =
        picture.truth.iter().filter(|(one, _)| *one == label).map(|(_, bounds)| *bounds).collect();
    let found = picture.found.iter().filter(|(one, ..)| *one == label).take(MOST_A_CLASS);
    found
        .map(|(_, score, bounds)| {
            let overlaps = free.iter().map(|object| overlap(*bounds, *object));
            let partner = overlaps
                .enumerate()
                .filter(|(_, overlap)| *overlap >= least.min(1.0 - 1e-10))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((index, _)) = partner {
                free.remove(index);
            }
            (*score, partner.is_some())
        })
        .collect()
}

/// Intersection over union.
pub(crate) fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |[left, top, right, bottom]: [f64; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let joined = area(a) + area(b) - shared;
    if joined > 0.0 { shared / joined } else { 0.0 }
}
