//! Byte pairs (Sennrich et al. 2016) over the bytes of words, as CLIP has them (Radford et al. 2021).

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// How words become tokens.
#[derive(Clone, Debug)]
pub(super) struct BytePairs {
    /// Which two tokens become one, and how early.
    ranks: HashMap<(String, String), usize>,
    /// What a word's last token ends with.
    suffix: String,
}

/// What follows an apostrophe in words that are parted there.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

impl BytePairs {
    pub(super) fn new(merges: Vec<(String, String)>, suffix: String) -> Self {
        Self { ranks: merges.into_iter().zip(0..).collect(), suffix }
    }

    pub(super) fn encode(&self, text: &str, vocabulary: &HashMap<String, u32>) -> Vec<u32> {
        let text: String = text.nfc().flat_map(char::to_lowercase).collect();
        let spelled = words(&text).into_iter().flat_map(|word| self.merged(word));
        // A vocabulary has all bytes; what a broken one lacks is left out.
        spelled.filter_map(|token| vocabulary.get(&token).copied()).collect()
    }

    /// Merges the letters of a word, the earliest pair first, until none is left that can be.
    fn merged(&self, word: &str) -> Vec<String> {
        let mut tokens: Vec<String> = word.bytes().map(|byte| letter(byte).to_string()).collect();
        if let Some(last) = tokens.last_mut() {
            last.push_str(&self.suffix);
        }
        loop {
            let pairs = tokens.windows(2).enumerate();
            let ranked = pairs.filter_map(|(at, pair)| {
                // Looking a pair of borrowed texts up needs owned ones here; words are short.
                let rank = self.ranks.get(&(pair[0].clone(), pair[1].clone()))?;
                Some((*rank, at))
            });
            let Some((_, at)) = ranked.min() else { return tokens };
            let right = tokens.remove(at + 1);
            tokens[at].push_str(&right);
        }
    }
}

/// Parts a text into words: contractions, runs of letters, single digits, runs of anything else.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let contraction = CONTRACTIONS.iter().find(|contraction| rest.starts_with(**contraction));
        let run = |kind: Kind| rest.find(|c| Kind::of(c) != kind).unwrap_or(rest.len());
        let length = match (contraction, Kind::of(first)) {
            (Some(contraction), _) => contraction.len(),
            (None, Kind::Digit) => first.len_utf8(),
            (None, kind) => run(kind),
        };
        let (word, after) = rest.split_at(length);
        if Kind::of(first) != Kind::Space {
            words.push(word);
        }
        rest = after;
    }
    words
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Space,
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        match c.general_category_group() {
            _ if c.is_whitespace() => Self::Space,
            GeneralCategoryGroup::Letter => Self::Letter,
            GeneralCategoryGroup::Number => Self::Digit,
            _ => Self::Other,
        }
    }
}

/// Returns the letter that stands for a byte: itself where it is a visible one of Latin-1, else one from 256 on
/// (GPT-2's `bytes_to_unicode`).
fn letter(byte: u8) -> char {
    let is_visible = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if is_visible(byte) {
        return char::from(byte);
    }
    let hidden_before = (0..byte).filter(|other| !is_visible(*other)).count() as u32;
    char::from_u32(256 + hidden_before).expect("below the surrogates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_clip_parts_them() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text:?}");
        check("it's  a dog's 42.5!?", &["it", "'s", "a", "dog", "'s", "4", "2", ".", "5", "!?"]);
        check("don't", &["don", "'t"]);
        check("''s", &["''", "s"]);
        check(" \t\n", &[]);
    }

    #[test]
    fn the_earliest_pair_is_merged_first() {
        let merge = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        let pairs = BytePairs::new(
            vec![merge("l", "o"), merge("lo", "w</w>"), merge("o", "w</w>")],
            "</w>".to_owned(),
        );
        assert_eq!(pairs.merged("low"), ["low</w>"]);
        assert_eq!(pairs.merged("ow"), ["ow</w>"]);
        assert_eq!(pairs.merged("wlo"), ["w", "l", "o</w>"]);
    }

    #[test]
    fn bytes_have_letters_of_their_own() {
        let letters: std::collections::BTreeSet<char> = (0..=255).map(letter).collect();
        assert_eq!(letters.len(), 256);
        // From GPT-2's table.
        assert_eq!([b' ', 0, 127, 0xAD, b'a'].map(letter), ['Ġ', 'Ā', 'ġ', 'Ń', 'a']);
    }
}
