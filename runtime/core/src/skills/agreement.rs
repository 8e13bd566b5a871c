//! Whether two answers to the same question say the same.

use super::intent::Intent;
use super::words;
use crate::scene::Vocabulary;

/// Compares our answer with somebody else's, who may say it in other words; `None` where that cannot be told.
pub fn agree(intent: &Intent, ours: &str, theirs: &str, vocabulary: &Vocabulary) -> Option<bool> {
    match intent {
        Intent::IsThere(_) => Some(affirmed(ours)? == affirmed(theirs)?),
        Intent::HowMany(_) => Some(counted(ours)? == counted(theirs)?),
        Intent::See => {
            let (ours, theirs) = (mentioned(ours, vocabulary), mentioned(theirs, vocabulary));
            // Who names nothing that we know may have said anything.
            (!ours.is_empty() || !theirs.is_empty()).then(|| ours == theirs)
        }
        // Nobody asks the cloud for these.
        Intent::Time | Intent::Date | Intent::Battery | Intent::Repeat | Intent::Other => None,
    }
}

fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’')
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().replace('’', "'"))
}

/// Yes or no: what is said first counts, for explanations follow.
fn affirmed(text: &str) -> Option<bool> {
    split(text).find_map(|word| match word.as_str() {
        "yes" | "yeah" | "correct" => Some(true),
        "no" | "not" | "none" | "nothing" | "isn't" | "aren't" | "don't" => Some(false),
        _ => None,
    })
}

/// The one number in an answer; `None` if there is none, or more than one.
fn counted(text: &str) -> Option<usize> {
    let mut numbers: Vec<usize> = split(text).filter_map(|word| words::number(&word)).collect();
    if numbers.is_empty() {
        // "There is a red ball."
        numbers.extend(split(text).filter(|word| matches!(word.as_str(), "a" | "an")).map(|_| 1));
    }
    numbers.dedup();
    if let [number] = numbers[..] { Some(number) } else { None }
}

/// What an answer names: labels of the vocabulary with how many of each, in the vocabulary's order.
fn mentioned(text: &str, vocabulary: &Vocabulary) -> Vec<(String, usize)> {
    let words: Vec<String> = split(text).collect();
    let mut mentioned: Vec<(String, usize)> = Vec::new();
    let mut count = 1;
    for (at, word) in words.iter().enumerate() {
        let pair = words.get(at + 1).map(|next| format!("{word} {next}"));
        let label = pair.and_then(|pair| words::label_of(&pair, vocabulary));
        if let Some(label) = label.or_else(|| words::label_of(word, vocabulary)) {
            match mentioned.iter_mut().find(|(known, _)| *known == label) {
                Some((_, number)) => *number += count,
                None => mentioned.push((label, count)),
            }
            count = 1;
        } else if let Some(number) = words::number(word) {
            count = number;
        } else if matches!(word.as_str(), "a" | "an" | "and") {
            count = 1;
        }
    }
    mentioned.sort();
    mentioned
}
