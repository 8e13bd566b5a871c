//! Finding objects in an image.

mod heads;
mod overlap;

use glassd_media::Image;
use tract_onnx::prelude::DatumType;

use self::heads::Head;
use crate::accelerators::{
    Accelerator, InferenceError, LoadError, Placement, PreparedModel, Session, Signature, floats,
};
use crate::int8::Threads;
use crate::manifest::{Labels, ModelEntry, Task, Thresholds, Vocabulary};
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
    vocabulary: Vocabulary,
    head: Head,
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

impl Detector {
    /// Prepares a detector from the bytes of its ONNX file; labels in a file need [`crate::ModelStore`].
    pub fn from_bytes(entry: &ModelEntry, onnx: &[u8]) -> Result<Self, LoadError> {
        Self::new(entry, &Accelerator::Cpu.prepare(onnx)?, entry.task.labels().words()?)
    }

    pub(crate) fn new(
        entry: &ModelEntry,
        model: &PreparedModel,
        labels: Vec<String>,
    ) -> Result<Self, LoadError> {
        let Task::Detect { head, colours, .. } = &entry.task else {
            return Err(LoadError::Task("detector"));
        };
        let head = Head::new(*head, &entry.input, labels.len(), colours.len());
        entry.input.expect(model.inputs())?;
        Signature { datum: DatumType::F32, shape: head.shape() }.expect_only(model.outputs(), "output")?;
        let session = model.open().map_err(|error| LoadError::Unusable(error.to_string()))?;
        let vocabulary = Vocabulary { labels, colours: colours.clone() };
        Ok(Self { entry: entry.clone(), vocabulary, head, session })
    }

    /// Returns what the detector sees, the highest score first: everything from the floor upwards, the
    /// doubtful too, with one box an object.
    pub fn detect(&mut self, image: &Image) -> Result<Vec<Detection>, InferenceError> {
        let (input, placement) = self.entry.input.tensor(image);
        let outputs = self.session.run([input])?;
        let Thresholds { floor, overlap, .. } = self.entry.thresholds;
        let mut candidates = self.head.candidates(floats(&outputs)?, floor);
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
        let outputs = self.session.run([self.entry.input.tensor(sample).0])?;
        let values = floats(&outputs)?;
        judged(values, &self.head.scores(values))
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

impl Labels {
    /// Returns the words, unless they lie in a file.
    pub(crate) fn words(&self) -> Result<Vec<String>, LoadError> {
        match self {
            Self::Builtin(set) => Ok(set.words()),
            Self::Listed(words) => Ok(words.clone()),
            Self::File { file } => Err(LoadError::Labels(format!("{file} needs a model folder"))),
        }
    }
}
