//! Naming an image with words that are chosen when it is looked at (CLIP: Radford et al. 2021).

use std::collections::VecDeque;

use glassd_media::Image;
use tract_onnx::prelude::Tensor;

use crate::accelerators::{Accelerator, InferenceError, LoadError, Session, floats};
use crate::int8::Threads;
use crate::manifest::{InputContract, ModelEntry, Task};
use crate::store::{Flaw, judged};
use crate::tasks::embedding::Embedding;
use crate::tasks::text_model::TextModel;
use crate::tasks::tokenizer::Tokenizer;

/// The models of a [`ZeroShot`], as bytes of their files.
#[derive(Clone, Copy, Debug)]
pub struct ZeroShotModels<'a> {
    /// The image tower, ONNX.
    pub image: &'a [u8],
    /// The text tower, ONNX.
    pub text: &'a [u8],
    /// The text tower's `tokenizer.json`.
    pub tokenizer: &'a [u8],
}

/// Tells which of some words fits an image best, one image after another.
#[derive(Debug)]
pub struct ZeroShot {
    entry: ModelEntry,
    input: InputContract,
    image: Session,
    text: TextModel,
    tokenizer: Tokenizer,
    tokens: usize,
    prompts: Vec<String>,
    scale: f32,
    /// What labels mean, the least recently used first.
    meanings: VecDeque<(String, Embedding)>,
}

/// Labels whose meaning is kept: each costs some kilobytes, and the text tower some ten milliseconds a prompt.
const MOST_MEANINGS: usize = 512;
/// Where a prompt names the label.
const PLACE: &str = "{}";
/// A label that the towers are checked on.
const NEAR: &str = "person";

impl ZeroShot {
    /// Prepares the two towers, which must answer with vectors of the same size.
    pub fn from_bytes(entry: &ModelEntry, models: ZeroShotModels<'_>) -> Result<Self, LoadError> {
        let (Task::ZeroShot { tokens, prompts, scale, .. }, Some(input)) = (&entry.task, entry.input) else {
            return Err(LoadError::Task("zero-shot classifier"));
        };
        let tokens = *tokens as usize;
        let image = Accelerator::Cpu.prepare(models.image)?;
        input.expect(image.inputs())?;
        let text = TextModel::new(models.text, tokens, 1)?;
        let outputs: Vec<&[usize]> = image.outputs().iter().map(|output| output.shape.as_slice()).collect();
        if outputs != [[1, text.size]] {
            return Err(LoadError::Mismatch {
                what: "output",
                expected: format!("1x{}, as the text tower's", text.size),
                actual: format!("{outputs:?}"),
            });
        }
        Ok(Self {
            entry: entry.clone(),
            input,
            image: image.open().map_err(|error| LoadError::Unusable(error.to_string()))?,
            text,
            tokenizer: Tokenizer::parse(models.tokenizer)?,
            tokens,
            prompts: prompts.clone(),
            scale: *scale,
            meanings: VecDeque::new(),
        })
    }

    /// Returns for each label, in the given order, the calibrated probability that it is the one of them which
    /// fits the image.
    pub fn classify(&mut self, image: &Image, labels: &[&str]) -> Result<Vec<f32>, InferenceError> {
        let seen = self.embed_image(image)?;
        let mut logits = Vec::with_capacity(labels.len());
        for label in labels {
            logits.push(self.scale * self.embed_label(label)?.cosine(&seen));
        }
        let highest = logits.iter().copied().fold(f32::MIN, f32::max);
        let total: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
        let share = |logit: &f32| (logit - highest).exp() / total;
        Ok(logits.iter().map(|logit| self.entry.calibration.probability(share(logit))).collect())
    }

    /// Returns what an image shows, to be compared with labels and other images.
    pub fn embed_image(&mut self, image: &Image) -> Result<Embedding, InferenceError> {
        let outputs = self.image.run([self.input.tensor(image).0])?;
        Ok(Embedding::new(floats(&outputs)?))
    }

    /// Returns what a label means: the mean over the prompts (Radford et al. 2021, §3.1.4).
    pub fn embed_label(&mut self, label: &str) -> Result<Embedding, InferenceError> {
        if let Some(at) = self.meanings.iter().position(|(known, _)| known == label) {
            let known = self.meanings.remove(at).expect("it was found there");
            let meaning = known.1.clone();
            self.meanings.push_back(known);
            return Ok(meaning);
        }
        let mut each = Vec::with_capacity(self.prompts.len());
        for prompt in &self.prompts {
            let tokens = self.tokenizer.encode(&prompt.replace(PLACE, label), self.tokens);
            each.push(self.text.run(&tokens, self.tokens)?);
        }
        let meaning = Embedding::mean(&each);
        if self.meanings.len() >= MOST_MEANINGS {
            self.meanings.pop_front();
        }
        self.meanings.push_back((label.to_owned(), meaning.clone()));
        Ok(meaning)
    }

    /// Returns the inputs of both towers for a picture and a label of its own.
    pub(crate) fn sample(&self, image: &Image) -> [Vec<Tensor>; 2] {
        let prompt = self.prompts.first().map_or(PLACE, String::as_str);
        let tokens = self.tokenizer.encode(&prompt.replace(PLACE, NEAR), self.tokens);
        [vec![self.input.tensor(image).0], self.text.inputs_of(&tokens, self.tokens)]
    }

    /// Divides large layers between threads from now on.
    pub fn divide_between(&mut self, threads: &Threads) {
        self.image.divide_between(threads);
        self.text.divide_between(threads);
    }

    /// Returns the manifest entry.
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    /// Runs both towers and judges what comes out.
    pub(crate) fn check(&mut self, sample: &Image) -> Result<(), Flaw> {
        let seen = self.embed_image(sample)?;
        judged(seen.values(), seen.values())?;
        let (near, far) = (self.embed_label(NEAR)?, self.embed_label("bridge")?);
        judged(near.values(), near.values())?;
        if near == far { Err(Flaw::Meaningless) } else { Ok(()) }
    }
}
