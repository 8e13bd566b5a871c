//! Finding objects in an image.

mod heads;
mod overlap;

use glassd_media::Image;
use tract_onnx::prelude::{DatumType, Tensor};

use self::heads::Head;
pub(crate) use self::overlap::intersection_over_union;
use crate::accelerators::{
    Accelerator, InferenceError, LoadError, Placement, PreparedModel, Session, Signature, values,
};
use crate::int8::Threads;
use crate::manifest::{InputContract, Labels, ModelEntry, Task, Thresholds, Vocabulary};
use crate::serving::Sighting;
use crate::store::{Flaw, judged};

/// An object that a detector believes to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Index into [`Detector::labels`].
    pub label: usize,
    /// The model's own score, 0 to 1.
    pub score: f32,
    /// Calibrated probability that the object is there and is what the label says, 0 to 1.
    pub probability: f32,
    /// Index into [`Detector::colours`] and the probability that this is the colour, given the object.
    pub colour: Option<(usize, f32)>,
    /// Left, top, right and bottom as shares of the image's width and height, 0 to 1.
    pub bounds: [f32; 4],
}

/// A detector ready to look at images, one after another.
#[derive(Debug)]
pub struct Detector {
    entry: ModelEntry,
    input: InputContract,
    vocabulary: Vocabulary,
    head: Head,
    /// Where each of the head's outputs stands among the model's.
    order: Vec<usize>,
    session: Session,
}

/// What a head reads from an output: a box in input pixels (left, top, right, bottom).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    label: usize,
    score: f32,
    colour: Option<(usize, f32)>,
    bounds: [f32; 4],
}

/// No more boxes than this are compared with each other, and so no model makes the wait unbounded.
const MOST_CANDIDATES: usize = 1000;

/// Classes that a model may turn out to have in place of those that are given; Open Images has 601.
const MOST_CLASSES: usize = 2000;

impl Detector {
    /// Prepares a detector from the bytes of its ONNX file; labels in a file need [`crate::ModelStore`].
    pub fn from_bytes(entry: &ModelEntry, onnx: &[u8]) -> Result<Self, LoadError> {
        Self::new(entry, &Accelerator::Cpu.prepare(onnx)?, Labels::listed(&entry.task)?)
    }

    pub(crate) fn new(
        entry: &ModelEntry,
        model: &PreparedModel,
        labels: Vec<String>,
    ) -> Result<Self, LoadError> {
        let (Task::Detect { head, colours, classes, .. }, Some(input)) = (&entry.task, entry.input) else {
            return Err(LoadError::Task("detector"));
        };
        let head = Head::new(*head, *classes, &input, labels.len(), colours.len());
        input.expect(model.inputs())?;
        let order = order(&head, model.outputs()).map_err(|error| {
            let classes =
                (1..=MOST_CLASSES).find(|classes| order(&head.of(*classes), model.outputs()).is_ok());
            classes.map_or(error, |classes| LoadError::Classes { classes, labels: labels.len() })
        })?;
        let session = model.open().map_err(|error| LoadError::Unusable(error.to_string()))?;
        let vocabulary = Vocabulary { labels, colours: colours.clone() };
        Ok(Self { entry: entry.clone(), input, vocabulary, head, order, session })
    }

    /// Returns what the detector sees, the highest score first: everything from the floor upwards, the
    /// doubtful too, with one box an object.
    pub fn detect(&mut self, image: &Image) -> Result<Vec<Detection>, InferenceError> {
        let (input, placement) = self.input.tensor(image);
        let outputs = self.session.run([input])?;
        let Thresholds { floor, overlap, .. } = self.entry.thresholds;
        let mut candidates = self.head.candidates(&self.ordered(&outputs)?, floor);
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        candidates.truncate(MOST_CANDIDATES);
        let detection = |candidate: &Candidate| Detection {
            label: candidate.label,
            score: candidate.score,
            probability: self.entry.calibration.probability(candidate.score),
            colour: candidate.colour,
            bounds: placement.shares(candidate.bounds),
        };
        let is_visible = |detection: &Detection| {
            let [left, top, right, bottom] = detection.bounds;
            left < right && top < bottom
        };
        Ok(overlap::suppressed(&candidates, overlap).iter().map(detection).filter(is_visible).collect())
    }

    /// Returns what the detector sees, in words.
    pub fn sightings(&mut self, image: &Image) -> Result<Vec<Sighting>, InferenceError> {
        let detections = self.detect(image)?;
        let Vocabulary { labels, colours } = &self.vocabulary;
        let sighting = |detection: Detection| Sighting {
            label: labels[detection.label].clone(),
            colour: detection.colour.map(|(colour, probability)| (colours[colour].clone(), probability)),
            is_present: detection.score >= self.entry.thresholds.decision,
            probability: detection.probability,
            bounds: detection.bounds,
        };
        Ok(detections.into_iter().map(sighting).collect())
    }

    /// Divides large layers between threads from now on.
    pub fn divide_between(&mut self, threads: &Threads) {
        self.session.divide_between(threads);
    }

    /// Returns where the model runs, and why there.
    pub fn placement(&self) -> &Placement {
        self.session.placement()
    }

    /// Runs on the check sample and judges what comes out.
    pub(crate) fn check(&mut self, sample: &Image) -> Result<(), Flaw> {
        let outputs = self.session.run([self.input.tensor(sample).0])?;
        let outputs = self.ordered(&outputs)?;
        judged(&outputs.concat(), &self.head.scores(&outputs))
    }

    fn ordered<'a>(&self, outputs: &'a [Tensor]) -> Result<Vec<&'a [f32]>, InferenceError> {
        self.order.iter().map(|&at| values(&outputs[at])).collect()
    }

    /// Returns the words it can use.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Returns the words for the label indices.
    pub fn labels(&self) -> &[String] {
        &self.vocabulary.labels
    }

    /// Returns the words for the colour indices; empty for a model that tells none.
    pub fn colours(&self) -> &[String] {
        &self.vocabulary.colours
    }

    /// Returns the floor and the decision threshold on scores.
    pub fn thresholds(&self) -> Thresholds {
        self.entry.thresholds
    }

    /// Returns the manifest entry.
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }
}

/// Returns where each of a head's outputs stands among the model's; refuses a model that has others.
fn order(head: &Head, outputs: &[Signature]) -> Result<Vec<usize>, LoadError> {
    let is_box = |output: &&Signature| matches!(output.shape[..], [1, _, 4]);
    let boxes = outputs.iter().find(is_box).map_or(0, |output| output.shape[1]);
    let expected = head.shapes(boxes).into_iter().map(|shape| Signature { datum: DatumType::F32, shape });
    let expected: Vec<Signature> = expected.collect();
    let mut order: Vec<usize> = Vec::new();
    for signature in &expected {
        let is_it = |at: &usize| outputs[*at] == *signature && !order.contains(at);
        order.extend((0..outputs.len()).find(is_it));
    }
    if order.len() == expected.len() && outputs.len() == expected.len() {
        return Ok(order);
    }
    let told = |all: &[Signature]| all.iter().map(Signature::to_string).collect::<Vec<_>>().join(" and ");
    Err(LoadError::Mismatch { what: "output", expected: told(&expected), actual: told(outputs) })
}

impl Labels {
    /// Returns the words of a task, unless they lie in a file or it has none.
    pub(crate) fn listed(task: &Task) -> Result<Vec<String>, LoadError> {
        match task.labels() {
            Some(Self::Builtin(set)) => Ok(set.words()),
            Some(Self::Listed(words)) => Ok(words.clone()),
            Some(Self::File { file, .. }) => Err(LoadError::Labels(format!("{file} needs a model folder"))),
            None => Ok(Vec::new()),
        }
    }
}
