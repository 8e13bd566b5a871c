//! Whether something is in an image at all.

use glassd_media::Image;
use tract_onnx::prelude::DatumType;

use crate::accelerators::{
    Accelerator, InferenceError, LoadError, PreparedModel, Session, Signature, failed,
};
use crate::int8::Threads;
use crate::manifest::{InputContract, ModelEntry, Task};
use crate::store::{Flaw, judged};
use crate::tasks::classify::scores;

/// Tells of images, one after another, whether something is in them (Visual Wake Words: Chowdhery et al. 2019).
#[derive(Debug)]
pub struct PresenceDetector {
    entry: ModelEntry,
    input: InputContract,
    session: Session,
}

/// Whether something is in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presence {
    /// The model's own score that it is there, 0 to 1.
    pub score: f32,
    /// Calibrated probability that it is there, 0 to 1.
    pub probability: f32,
}

impl PresenceDetector {
    /// Prepares a detector from the bytes of its ONNX file.
    pub fn from_bytes(entry: &ModelEntry, onnx: &[u8]) -> Result<Self, LoadError> {
        Self::new(entry, &Accelerator::Cpu.prepare(onnx)?)
    }

    pub(crate) fn new(entry: &ModelEntry, model: &PreparedModel) -> Result<Self, LoadError> {
        let (Task::Presence { .. }, Some(input)) = (&entry.task, entry.input) else {
            return Err(LoadError::Task("presence detector"));
        };
        input.expect(model.inputs())?;
        let given = model.outputs().first().map_or(DatumType::F32, |output| output.datum);
        let datum = if [DatumType::U8, DatumType::I8].contains(&given) { given } else { DatumType::F32 };
        Signature { datum, shape: vec![1, 2] }.expect_only(model.outputs(), "output")?;
        let session = model.open().map_err(|error| LoadError::Unusable(error.to_string()))?;
        Ok(Self { entry: entry.clone(), input, session })
    }

    /// Looks at an image.
    pub fn look(&mut self, image: &Image) -> Result<Presence, InferenceError> {
        let [_, score] = self.scores(image)?;
        Ok(Presence { score, probability: self.entry.calibration.probability(score) })
    }

    /// Divides large layers between threads from now on.
    pub fn divide_between(&mut self, threads: &Threads) {
        self.session.divide_between(threads);
    }

    /// Returns the manifest entry; its decision threshold tells from which score on something is there.
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    /// Runs on the check sample and judges what comes out.
    pub(crate) fn check(&mut self, sample: &Image) -> Result<(), Flaw> {
        let scores = self.scores(sample)?;
        judged(&scores, &scores)
    }

    /// Returns the scores of "it is not there" and of "it is there".
    fn scores(&mut self, image: &Image) -> Result<[f32; 2], InferenceError> {
        let outputs = self.session.run([self.input.tensor(image).0])?;
        scores(&outputs)?.try_into().map_err(|_| failed("two scores are needed"))
    }
}
