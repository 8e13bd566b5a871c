//! From text to the numbers that a language model reads, as a `tokenizer.json` describes it (the format of Hugging
//! Face's tokenizers): WordPiece as BERT has it, byte pairs as CLIP has them.

mod byte_pairs;
#[cfg(test)]
mod tests;
mod wordpiece;

use std::collections::HashMap;

use serde::Deserialize;

use self::byte_pairs::BytePairs;
use self::wordpiece::WordPiece;
use crate::accelerators::LoadError;

/// Turns text into the numbers of tokens, with those that mark its beginning and end.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    vocabulary: HashMap<String, u32>,
    first: u32,
    last: u32,
    model: Model,
}

#[derive(Clone, Debug)]
enum Model {
    WordPiece(WordPiece),
    BytePairs(BytePairs),
}

/// The parts of a `tokenizer.json` that matter here.
#[derive(Debug, Deserialize)]
struct Described {
    model: DescribedModel,
    normalizer: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum DescribedModel {
    WordPiece {
        vocab: HashMap<String, u32>,
        unk_token: String,
        continuing_subword_prefix: String,
        max_input_chars_per_word: usize,
    },
    #[serde(rename = "BPE")]
    BytePairs { vocab: HashMap<String, u32>, merges: Vec<Merge>, end_of_word_suffix: Option<String> },
}

/// Two tokens that become one, in the older and the newer spelling of the format.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

impl Merge {
    fn pair(self) -> Option<(String, String)> {
        match self {
            Self::Text(text) => text.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
            Self::Pair(left, right) => Some((left, right)),
        }
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; what it asks for beyond BERT's and CLIP's ways is refused in one sentence.
    pub fn parse(json: &[u8]) -> Result<Self, LoadError> {
        Self::understood(json).map_err(LoadError::Tokenizer)
    }

    fn understood(json: &[u8]) -> Result<Self, String> {
        let described: Described = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let (vocabulary, marks, model) = match described.model {
            DescribedModel::WordPiece {
                vocab,
                unk_token,
                continuing_subword_prefix,
                max_input_chars_per_word,
            } => {
                let normalizer = described.normalizer.unwrap_or_default();
                let kind = normalizer["type"].as_str().unwrap_or("no");
                if kind != "BertNormalizer" {
                    return Err(format!("a WordPiece with {kind} normalizer, and only BERT's is known here"));
                }
                let unknown = *vocab
                    .get(&unk_token)
                    .ok_or_else(|| format!("its unknown token {unk_token:?} is not in its vocabulary"))?;
                let lowercase = normalizer["lowercase"].as_bool().unwrap_or(true);
                let pieces = WordPiece {
                    unknown,
                    prefix: continuing_subword_prefix,
                    longest_word: max_input_chars_per_word,
                    lowercase,
                    strip_accents: normalizer["strip_accents"].as_bool().unwrap_or(lowercase),
                };
                (vocab, ["[CLS]", "[SEP]"], Model::WordPiece(pieces))
            }
            DescribedModel::BytePairs { vocab, merges, end_of_word_suffix } => {
                let suffix =
                    end_of_word_suffix.ok_or("byte pairs without an end_of_word_suffix, which CLIP has")?;
                let pairs: Option<Vec<_>> = merges.into_iter().map(Merge::pair).collect();
                let pairs = pairs.ok_or("a merge that is not two tokens with a space between")?;
                let model = Model::BytePairs(BytePairs::new(pairs, suffix));
                (vocab, ["<|startoftext|>", "<|endoftext|>"], model)
            }
        };
        let number = |mark: &str| {
            vocabulary.get(mark).copied().ok_or_else(|| format!("{mark} is not in its vocabulary"))
        };
        let [first, last] = marks.map(number);
        Ok(Self { first: first?, last: last?, vocabulary, model })
    }

    /// Returns the tokens of a text, at most `most` and at least 2: the first marks the beginning, the last the
    /// end, and between them as many of the text's as fit.
    pub fn encode(&self, text: &str, most: usize) -> Vec<u32> {
        let tokens = match &self.model {
            Model::WordPiece(pieces) => pieces.encode(text, &self.vocabulary),
            Model::BytePairs(pairs) => pairs.encode(text, &self.vocabulary),
        };
        let inner = tokens.into_iter().take(most.saturating_sub(2));
        std::iter::once(self.first).chain(inner).chain([self.last]).collect()
    }
}
