//! The examination: scenes that were never seen, questions with known answers.

use std::collections::BTreeMap;

use anyhow::Context as _;
use glassd_core::scene::{BoundingBox, Object, Scene, Vocabulary};
use glassd_core::skills::{Context, answer, understand};
use glassd_core::time::Timestamp;
use glassd_inference::{Detection, Detector};
use glassd_media::decode;
use glassd_sim::questions::{Kind, Question};
use glassd_sim::world::{Camera, Room, TruthObject};

use crate::calibrate::matched;
use crate::scenes::{View, photo};

/// Probability from which an answer is given without the cloud; the gateway's default.
const BOUND: f32 = 0.8;

/// What a detector saw in one picture, and what is there.
pub(crate) struct Sight {
    pub(crate) seed: u64,
    pub(crate) detections: Vec<Detection>,
    pub(crate) objects: Vec<TruthObject>,
}

/// Answers to questions of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    asked: u32,
    right: u32,
    /// With a probability over the bound.
    sure: u32,
    sure_and_right: u32,
}

/// Looks at photos of rooms `first..first + count`, with the camera at rest.
pub(crate) fn look(detector: &mut Detector, first: u64, count: usize) -> anyhow::Result<Vec<Sight>> {
    let look = |seed| {
        let (jpeg, objects) = photo(seed, View::Rest);
        let picture = decode(&jpeg).context("a photo of the simulator")?;
        Ok(Sight { seed, detections: detector.detect(&picture)?, objects })
    };
    (first..first + count as u64).map(look).collect()
}

/// Prints how good the detector is.
pub(crate) fn report(detector: &Detector, sights: &[Sight]) {
    detections(detector.thresholds().decision, sights);
    calibration(sights);
    questions(detector, sights);
}

fn detections(decision: f32, sights: &[Sight]) {
    let (mut hits, mut false_alarms, mut objects, mut colours, mut exact) = (0, 0, 0, 0, 0);
    for sight in sights {
        let sure: Vec<Detection> =
            sight.detections.iter().filter(|detection| detection.score >= decision).copied().collect();
        let matches = matched(&sure, &sight.objects);
        let found: Vec<(&Detection, usize)> =
            sure.iter().zip(&matches.found).filter_map(|(d, (_, object))| Some((d, (*object)?))).collect();
        objects += sight.objects.len();
        hits += found.len();
        false_alarms += sure.len() - found.len();
        exact += u32::from(found.len() == sure.len() && sure.len() == sight.objects.len());
        let is_right = |(detection, object): &&(&Detection, usize)| {
            detection.colour.is_some_and(|(colour, _)| colour == sight.objects[*object].colour as usize)
        };
        colours += found.iter().filter(is_right).count();
    }
    let precision = share(hits, hits + false_alarms);
    let recall = share(hits, objects);
    println!("rooms {}, objects {objects}, decision at a score of {decision}", sights.len());
    println!("precision {precision:.4}  recall {recall:.4}  F1 {:.4}", f1(precision, recall));
    println!("colour right, of objects found: {:.4}", share(colours, hits));
    println!(
        "rooms with every object found and no false alarm: {:.4}",
        f64::from(exact) / sights.len() as f64
    );
}

/// Prints how far probabilities are from what came true, in ten bins.
fn calibration(sights: &[Sight]) {
    let mut bins = [(0u32, 0u32, 0.0f64); 10];
    for sight in sights {
        let matches = matched(&sight.detections, &sight.objects);
        for (detection, (_, object)) in sight.detections.iter().zip(&matches.found) {
            let bin = &mut bins[((detection.probability * 10.0) as usize).min(9)];
            bin.0 += 1;
            bin.1 += u32::from(object.is_some());
            bin.2 += f64::from(detection.probability);
        }
    }
    let all: u32 = bins.iter().map(|bin| bin.0).sum();
    let off: f64 = bins.iter().map(|bin| (f64::from(bin.1) - bin.2).abs()).sum();
    println!("calibration error (10 bins): {:.4}", off / f64::from(all.max(1)));
}

/// Asks every local question once a room, answers as the gateway does, and prints how that went.
fn questions(detector: &Detector, sights: &[Sight]) {
    let vocabulary = Vocabulary { labels: detector.labels().to_vec(), colours: detector.colours().to_vec() };
    let mut tallies: BTreeMap<Kind, Tally> = BTreeMap::new();
    for sight in sights {
        let room = Room::random(sight.seed);
        let scene = scene(&sight.detections, &vocabulary, detector.thresholds().decision);
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_hard()) {
            let Some(question) = Question::of(kind, &room, Camera::default(), sight.seed) else { continue };
            let context = Context {
                now: Timestamp::default(),
                utc_offset_minutes: 0,
                scene: Some(&scene),
                vocabulary: &vocabulary,
                glasses_battery: None,
                gateway_battery: None,
                last_answer: None,
            };
            let tally = tallies.entry(kind).or_default();
            tally.asked += 1;
            let Some(candidate) = answer(&understand(&question.text, &vocabulary), &context) else {
                continue;
            };
            let is_right = question.judge(&candidate.text);
            tally.right += u32::from(is_right);
            if candidate.score >= BOUND {
                tally.sure += 1;
                tally.sure_and_right += u32::from(is_right);
            }
        }
    }
    println!("question            asked  right   over {BOUND}  right of those");
    for (kind, Tally { asked, right, sure, sure_and_right }) in tallies {
        let [asked_, right, sure_, sure_and_right] = [asked, right, sure, sure_and_right].map(|n| n as usize);
        println!(
            "{:19} {asked:5}  {:.4}  {:.4}    {:.4}",
            kind.name(),
            share(right, asked_),
            share(sure_, asked_),
            share(sure_and_right, sure_),
        );
    }
}

fn scene(detections: &[Detection], vocabulary: &Vocabulary, decision: f32) -> Scene {
    let object = |detection: &Detection| {
        let [left, top, right, bottom] = detection.bounds;
        Object {
            label: vocabulary.labels[detection.label].clone(),
            colour: detection.colour.map(|(colour, _)| vocabulary.colours[colour].clone()),
            present: detection.score >= decision,
            probability: detection.probability,
            colour_probability: detection.colour.map_or(1.0, |(_, probability)| probability),
            bounds: BoundingBox { left, top, right, bottom },
        }
    };
    Scene { seen_at: Timestamp::default(), objects: detections.iter().map(object).collect(), how: Vec::new() }
}

/// Prints how often two detectors that looked at the same pictures see the same objects.
pub(crate) fn agreement(one: &[Sight], other: &[Sight], decision: f32) {
    let seen = |sight: &Sight| -> Vec<(usize, Option<usize>)> {
        let sure = sight.detections.iter().filter(|detection| detection.score >= decision);
        let mut seen: Vec<_> = sure.map(|d| (d.label, d.colour.map(|(colour, _)| colour))).collect();
        seen.sort_unstable();
        seen
    };
    let same = one.iter().zip(other).filter(|(a, b)| seen(a) == seen(b)).count();
    println!(
        "rooms in which FP32 and INT8 see the same things in the same colours: {:.4}",
        share(same, one.len())
    );
}

pub(crate) fn f1(precision: f64, recall: f64) -> f64 {
    2.0 * precision * recall / (precision + recall).max(1e-9)
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
