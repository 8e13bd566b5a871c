//! The words that several models have together.

use std::sync::Arc;

use crate::manifest::Vocabulary;

/// All words, in the order in which they come first.
pub(super) fn union(words: &[Arc<Vocabulary>]) -> Vocabulary {
    let mut all = Vocabulary::default();
    for words in words {
        let add = |all: &mut Vec<String>, words: &[String]| {
            for word in words {
                if !all.contains(word) {
                    all.push(word.clone());
                }
            }
        };
        add(&mut all.labels, &words.labels);
        add(&mut all.colours, &words.colours);
    }
    all
}

/// The words that all have, in the order of the first.
pub(super) fn intersection(words: Vec<Vocabulary>) -> Vocabulary {
    let mut words = words.into_iter();
    let mut common = words.next().unwrap_or_default();
    for other in words {
        common.labels.retain(|word| other.labels.contains(word));
        common.colours.retain(|word| other.colours.contains(word));
    }
    common
}
