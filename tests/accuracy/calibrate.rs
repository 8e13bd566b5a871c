//! Fits a detector's calibration on labelled pictures, and tells how far its counts can be believed.
//!
//! ```sh
//! cargo run --release -p glassd-inference --example calibrate -- \
//!     --manifest config/models/example.toml --models FOLDER --images FOLDER --labels FOLDER yolox-nano
//! ```
//!
//! Labels are one text file a picture, with lines of `class x y width height` in shares of the picture
//! (the format of YOLO data sets). A detection is right if it has a partner of its class that no better
//! one has taken and that it overlaps by [`SAME_OBJECT`]: the question is whether the thing is there, not
//! where its edges are.
#![allow(clippy::unwrap_used, reason = "a tool for developers ends by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glassd_inference::{Calibration, Detection, Detector, Manifest, ModelStore};
use glassd_media::decode;

/// Intersection over union from which on a box and a label are the same object.
const SAME_OBJECT: f32 = 0.3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        PathBuf::from(at.map_or_else(|| panic!("{name} is missing"), |at| &arguments[at + 1]))
    };
    let manifest = Manifest::parse(&std::fs::read_to_string(option("--manifest")).unwrap()).unwrap();
    let store = ModelStore::open(manifest, option("--models"));
    let mut detector = store.detector(arguments.last().unwrap()).unwrap();

    let pictures = judged_pictures(&mut detector, &option("--images"), &option("--labels"));
    let hits: Vec<(f32, bool)> = pictures.iter().flat_map(|picture| &picture.hits).copied().collect();
    let calibration = fitted(&hits);
    println!("{} detections on {} pictures", hits.len(), pictures.len());
    println!(
        "calibration = {{ slope = {:.3}, intercept = {:.3} }}",
        calibration.slope, calibration.intercept
    );
    let even = 1.0 / (1.0 + (calibration.intercept / calibration.slope).exp());
    println!("probability 0.5 at score {even:.3}");
    let labelled: usize = pictures.iter().map(|picture| picture.labelled).sum();
    let mut scores: Vec<f32> = hits.iter().map(|(score, _)| *score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    match scores.get(labelled.saturating_sub(1)) {
        Some(score) => println!(
            "as many detections as the {labelled} labels from score {score:.3} on: counts without bias"
        ),
        None => println!("fewer detections than the {labelled} labels at any score"),
    }
    println!("\nscore      detections  right  predicted");
    for bounds in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01].windows(2) {
        let bin = hits.iter().filter(|(score, _)| (bounds[0]..bounds[1]).contains(score));
        let bin: Vec<(f32, bool)> = bin.map(|&(score, hit)| (calibration.probability(score), hit)).collect();
        row(bounds, &bin);
    }
    println!("\nconfidence     counts  right  predicted");
    let counts: Vec<(f32, bool)> = pictures.iter().flat_map(|picture| picture.counts(calibration)).collect();
    for bounds in [0.0, 0.2, 0.4, 0.6, 0.8, 1.01].windows(2) {
        let bin: Vec<(f32, bool)> = counts
            .iter()
            .filter(|(confidence, _)| (bounds[0]..bounds[1]).contains(confidence))
            .copied()
            .collect();
        row(bounds, &bin);
    }
}

/// Prints how many predictions lie in a bin, which share of them came true, and what was predicted.
fn row(bounds: &[f32], bin: &[(f32, bool)]) {
    let all = bin.len() as f32;
    let right = bin.iter().filter(|(_, hit)| *hit).count() as f32;
    let predicted: f32 = bin.iter().map(|(probability, _)| probability).sum();
    println!(
        "{:.1} to {:.1} {:>11} {:>6.2} {:>10.2}",
        bounds[0],
        bounds[1],
        bin.len(),
        right / all,
        predicted / all
    );
}

/// One picture's detections, judged.
struct Picture {
    /// Score of each detection, and whether it is right.
    hits: Vec<(f32, bool)>,
    /// For each class that was detected: the scores, and how many there are in truth.
    classes: BTreeMap<usize, (Vec<f32>, usize)>,
    /// How many objects there are in truth.
    labelled: usize,
}

impl Picture {
    /// Returns, for each class that was detected, the confidence in its count and whether the count is
    /// right. The count is of what is more probable than not; it is right if each was judged right.
    fn counts(&self, calibration: Calibration) -> impl Iterator<Item = (f32, bool)> {
        self.classes.values().map(move |(scores, truth)| {
            let probabilities = scores.iter().map(|&score| calibration.probability(score));
            let confidence =
                probabilities.clone().map(|probability| probability.max(1.0 - probability)).product();
            (confidence, probabilities.filter(|probability| *probability >= 0.5).count() == *truth)
        })
    }
}

fn judged_pictures(detector: &mut Detector, images: &Path, labels: &Path) -> Vec<Picture> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(labels).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let judge = |file: &PathBuf| {
        let image = images.join(file.file_stem().unwrap()).with_extension("jpg");
        let found = detector.detect(&decode(&std::fs::read(image).unwrap()).unwrap()).unwrap();
        judged(&found, &truth(&std::fs::read_to_string(file).unwrap()))
    };
    files.iter().map(judge).collect()
}

/// Reads (class, bounds) of every labelled object.
fn truth(labels: &str) -> Vec<(usize, [f32; 4])> {
    let object = |line: &str| {
        let (class, place) = line.split_once(' ').unwrap();
        let place: Vec<f32> = place.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [x, y, width, height] = place[..] else { panic!("{line}: not a box") };
        (class.parse().unwrap(), [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0])
    };
    labels.lines().map(object).collect()
}

fn judged(found: &[Detection], truth: &[(usize, [f32; 4])]) -> Picture {
    let mut picture = Picture { hits: Vec::new(), classes: BTreeMap::new(), labelled: truth.len() };
    let mut free = truth.to_vec();
    for detection in found {
        let partner = free
            .iter()
            .enumerate()
            .filter(|(_, (class, _))| *class == detection.label)
            .map(|(index, (_, bounds))| (index, overlap(detection.bounds, *bounds)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|(_, overlap)| *overlap >= SAME_OBJECT);
        picture.hits.push((detection.score, partner.is_some()));
        if let Some((index, _)) = partner {
            free.swap_remove(index);
        }
        let count = truth.iter().filter(|(class, _)| *class == detection.label).count();
        picture.classes.entry(detection.label).or_insert((Vec::new(), count)).0.push(detection.score);
    }
    picture
}

fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    shared / (area(a) + area(b) - shared)
}

/// Fits the logistic by Newton's method: maximum likelihood in two unknowns.
fn fitted(hits: &[(f32, bool)]) -> Calibration {
    let (mut slope, mut intercept) = (1.0_f64, 0.0_f64);
    for _ in 0..50 {
        // Gradient and Hessian of the likelihood, with a trace of damping so that it can be inverted.
        let (mut g, mut h) = ([0.0; 2], [1e-6, 0.0, 1e-6]);
        for &(score, hit) in hits {
            let score = f64::from(score).clamp(1e-6, 1.0 - 1e-6);
            let x = (score / (1.0 - score)).ln();
            let probability = 1.0 / (1.0 + (-(slope * x + intercept)).exp());
            let (error, weight) = (f64::from(u8::from(hit)) - probability, probability * (1.0 - probability));
            g = [g[0] + error * x, g[1] + error];
            h = [h[0] + weight * x * x, h[1] + weight * x, h[2] + weight];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        slope += (h[2] * g[0] - h[1] * g[1]) / determinant;
        intercept += (h[0] * g[1] - h[1] * g[0]) / determinant;
    }
    Calibration { slope: slope as f32, intercept: intercept as f32 }
}
