//! WordPiece with BERT's normalisation (Devlin et al. 2018).

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// How words become pieces.
#[derive(Clone, Debug)]
pub(super) struct WordPiece {
    /// What a word becomes that the vocabulary cannot spell.
    pub(super) unknown: u32,
    /// What a piece begins with that does not begin its word.
    pub(super) prefix: String,
    /// Longer words, in characters, are unknown.
    pub(super) longest_word: usize,
    pub(super) lowercase: bool,
    pub(super) strip_accents: bool,
}

impl WordPiece {
    pub(super) fn encode(&self, text: &str, vocabulary: &HashMap<String, u32>) -> Vec<u32> {
        let text = self.normalised(text);
        let mut tokens = Vec::new();
        for part in text.split_whitespace() {
            // Punctuation is a word of its own.
            for word in part.split_inclusive(is_punctuation) {
                let mark = word.char_indices().next_back().filter(|(_, c)| is_punctuation(*c));
                let (word, mark) = mark.map_or((word, ""), |(at, _)| word.split_at(at));
                for word in [word, mark].into_iter().filter(|word| !word.is_empty()) {
                    self.spell(word, vocabulary, &mut tokens);
                }
            }
        }
        tokens
    }

    /// Appends the pieces of a word: each the longest that the vocabulary has.
    fn spell(&self, word: &str, vocabulary: &HashMap<String, u32>, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let mut rest = if word.chars().count() > self.longest_word { None } else { Some(word) };
        while let Some(text) = rest.filter(|text| !text.is_empty()) {
            let prefix = if text.len() == word.len() { "" } else { &self.prefix };
            let ends = text.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            let mut pieces = ends.filter_map(|end| {
                let token = vocabulary.get(&format!("{prefix}{}", &text[..end]))?;
                Some((end, *token))
            });
            rest = pieces.next().map(|(end, token)| {
                tokens.push(token);
                &text[end..]
            });
        }
        if rest.is_none() {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }

    fn normalised(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\t' | '\n' | '\r' => clean.push(' '),
                '\u{FFFD}' => {}
                // Control, format, unassigned and private characters.
                c if c.general_category_group() == GeneralCategoryGroup::Other => {}
                c if c.is_whitespace() => clean.push(' '),
                c if is_chinese(c) => clean.extend([' ', c, ' ']),
                c => clean.push(c),
            }
        }
        let is_accent = |c: &char| c.general_category() == GeneralCategory::NonspacingMark;
        if self.strip_accents {
            clean = clean.nfd().filter(|c| !is_accent(c)).collect();
        }
        if self.lowercase { clean.chars().flat_map(char::to_lowercase).collect() } else { clean }
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The blocks of Chinese characters that BERT sets apart, each of which is a word.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_their_longest_pieces() {
        let words = ["[UNK]", "un", "##aff", "##able", "a", "##ff", "!", "cafe", "中"];
        let vocabulary: HashMap<String, u32> = words.into_iter().map(str::to_owned).zip(0..).collect();
        let pieces = WordPiece {
            unknown: 0,
            prefix: "##".into(),
            longest_word: 10,
            lowercase: true,
            strip_accents: true,
        };
        let check = |text: &str, expected: &[u32]| {
            assert_eq!(pieces.encode(text, &vocabulary), expected, "{text:?}");
        };
        check("Unaffable!", &[1, 2, 3, 6]);
        check("unaff !able", &[1, 2, 6, 0]);
        check("  CAF\u{C9}\u{200B} cafe\u{301}\t", &[7, 7]);
        check("a中a", &[4, 8, 4]);
        check("unaffunaffun", &[0]);
        check("!!", &[6, 6]);
        check("", &[]);
    }
}
