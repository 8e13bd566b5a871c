//! What a sentence means.

use tract_onnx::prelude::Tensor;

use crate::accelerators::{InferenceError, LoadError};
use crate::int8::Threads;
use crate::manifest::{ModelEntry, Task};
use crate::store::{Flaw, judged};
use crate::tasks::embedding::Embedding;
use crate::tasks::text_model::TextModel;
use crate::tasks::tokenizer::Tokenizer;

/// Turns sentences into directions that are near each other where the sentences mean the same
/// (Sentence-BERT: Reimers and Gurevych 2019; pooling is the model's own).
#[derive(Debug)]
pub struct TextEncoder {
    entry: ModelEntry,
    tokenizer: Tokenizer,
    model: TextModel,
    /// The lengths in tokens that texts are padded to.
    lengths: Vec<usize>,
}

/// Most questions are this short, in tokens; longer texts take the model's full length. More lengths would each
/// hold the weights once more.
const SHORT: usize = 32;
/// What an encoder is checked on: two that mean the same, and a third.
const SENTENCES: [&str; 3] =
    ["A man is riding a horse.", "Someone rides on a horse.", "The bank opens at nine."];

impl TextEncoder {
    /// Prepares an encoder from the bytes of its ONNX file and of its `tokenizer.json`.
    pub fn from_bytes(entry: &ModelEntry, onnx: &[u8], tokenizer: &[u8]) -> Result<Self, LoadError> {
        let Task::Embed { tokens, .. } = entry.task else {
            return Err(LoadError::Task("text encoder"));
        };
        let tokenizer = Tokenizer::parse(tokenizer)?;
        let most = tokens as usize;
        let lengths = if most > SHORT { vec![SHORT, most] } else { vec![most] };
        let model = TextModel::new(onnx, lengths[0], lengths.len())?;
        // Not only when the first long text comes.
        let token = tokenizer.encode(SENTENCES[0], most).pop().unwrap_or(0);
        if !model.takes(most, token) {
            return Err(LoadError::Tokens(most));
        }
        Ok(Self { entry: entry.clone(), tokenizer, model, lengths })
    }

    /// Returns what a text means; what lies beyond the model's length is not read.
    pub fn embed(&mut self, text: &str) -> Result<Embedding, InferenceError> {
        let (tokens, length) = self.tokens(text);
        self.model.run(&tokens, length)
    }

    /// Returns the tokens of a text, and how many it is padded to.
    fn tokens(&self, text: &str) -> (Vec<u32>, usize) {
        let longest = self.lengths[self.lengths.len() - 1];
        let tokens = self.tokenizer.encode(text, longest);
        let length = self.lengths.iter().copied().find(|length| *length >= tokens.len()).unwrap_or(longest);
        (tokens, length)
    }

    /// Returns the inputs that the first of the check sentences becomes.
    pub(crate) fn sample(&self) -> Vec<Tensor> {
        let (tokens, length) = self.tokens(SENTENCES[0]);
        self.model.inputs_of(&tokens, length)
    }

    /// Divides large layers between threads from now on.
    pub fn divide_between(&mut self, threads: &Threads) {
        self.model.divide_between(threads);
    }

    /// Returns the numbers of an embedding.
    pub fn size(&self) -> usize {
        self.model.size
    }

    /// Returns the manifest entry.
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    /// Judges three sentences: the two that mean the same must be nearer to each other than to the third.
    pub(crate) fn check(&mut self) -> Result<(), Flaw> {
        let embedded: Result<Vec<Embedding>, InferenceError> =
            SENTENCES.iter().map(|sentence| self.embed(sentence)).collect();
        let embedded = embedded?;
        for embedding in &embedded {
            judged(embedding.values(), embedding.values())?;
        }
        let near = embedded[0].cosine(&embedded[1]);
        let far = embedded[0].cosine(&embedded[2]);
        if near > far { Ok(()) } else { Err(Flaw::Meaningless) }
    }
}
