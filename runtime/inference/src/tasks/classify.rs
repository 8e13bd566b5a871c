//! Naming an image as a whole.

use glassd_media::Image;
use tract_onnx::prelude::{DatumType, Tensor};

use crate::accelerators::{
    Accelerator, InferenceError, LoadError, Placement, PreparedModel, Session, Signature, floats,
};
use crate::manifest::{ClassifyHead, InputContract, Labels, ModelEntry, Task};
use crate::store::{Flaw, judged};

/// A classifier ready to look at images, one after another.
#[derive(Debug)]
pub struct Classifier {
    entry: ModelEntry,
    input: InputContract,
    labels: Vec<String>,
    session: Session,
}

impl Classifier {
    /// Prepares a classifier from the bytes of its ONNX file; labels in a file need [`crate::ModelStore`].
    pub fn from_bytes(entry: &ModelEntry, onnx: &[u8]) -> Result<Self, LoadError> {
        Self::new(entry, &Accelerator::Cpu.prepare(onnx)?, Labels::listed(&entry.task)?)
    }

    pub(crate) fn new(
        entry: &ModelEntry,
        model: &PreparedModel,
        labels: Vec<String>,
    ) -> Result<Self, LoadError> {
        let (Task::Classify { head: ClassifyHead::Mobilenet, .. }, Some(input)) = (&entry.task, entry.input)
        else {
            return Err(LoadError::Task("classifier"));
        };
        input.expect(model.inputs())?;
        if let [Signature { shape, .. }] = model.outputs()
            && let [1, classes] = shape[..]
            && classes != labels.len()
        {
            return Err(LoadError::Classes { classes, labels: labels.len() });
        }
        let quantised = Signature { datum: DatumType::U8, shape: vec![1, labels.len()] };
        if model.outputs() != std::slice::from_ref(&quantised) {
            Signature { datum: DatumType::F32, ..quantised }.expect_only(model.outputs(), "output")?;
        }
        let session = model.open().map_err(|error| LoadError::Unusable(error.to_string()))?;
        Ok(Self { entry: entry.clone(), input, labels, session })
    }

    /// Returns where the model runs, and why there.
    pub fn placement(&self) -> &Placement {
        self.session.placement()
    }

    /// Returns (index into [`Classifier::labels`], calibrated probability) from the floor upwards, the most
    /// probable first.
    pub fn classify(&mut self, image: &Image) -> Result<Vec<(usize, f32)>, InferenceError> {
        let (input, _) = self.input.tensor(image);
        let outputs = self.session.run([input])?;
        let scores = scores(&outputs)?.into_iter().enumerate();
        let mut named: Vec<(usize, f32)> =
            scores.filter(|(_, score)| *score >= self.entry.thresholds.floor).collect();
        named.sort_by(|a, b| b.1.total_cmp(&a.1));
        let calibrated = |(label, score)| (label, self.entry.calibration.probability(score));
        Ok(named.into_iter().map(calibrated).collect())
    }

    /// Runs on the check sample and judges what comes out.
    pub(crate) fn check(&mut self, sample: &Image) -> Result<(), Flaw> {
        let outputs = self.session.run([self.input.tensor(sample).0])?;
        let scores = scores(&outputs)?;
        judged(&scores, &scores)
    }

    /// Returns the words for the indices.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Returns the manifest entry.
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }
}

/// Returns probabilities, whatever type they have. TensorFlow Lite's quantised softmax has the fixed scale 1/256, and
/// the zero point 0 as u8 and -128 as i8 (its INT8 quantisation specification, "SOFTMAX").
pub(crate) fn scores(outputs: &[Tensor]) -> Result<Vec<f32>, InferenceError> {
    let shares = |levels: &[u8], zero: u8| {
        levels.iter().map(|level| f32::from(level.wrapping_sub(zero)) / 256.0).collect()
    };
    match outputs {
        [output] if output.datum_type() == DatumType::U8 => Ok(shares(output.as_bytes(), 0)),
        [output] if output.datum_type() == DatumType::I8 => Ok(shares(output.as_bytes(), 128)),
        outputs => Ok(floats(outputs)?.to_vec()),
    }
}
