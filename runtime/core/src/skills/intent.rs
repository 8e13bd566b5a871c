//! From the words of a question to what is asked.

use super::words;
use crate::scene::Vocabulary;

/// What a question asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// What do you see?
    See,
    /// Is there a …?
    IsThere(Subject),
    /// How many … are there?
    HowMany(Subject),
    /// What time is it?
    Time,
    /// What day is it?
    Date,
    /// How much battery is left?
    Battery,
    /// Say that again.
    Repeat,
    /// Anything else: hard.
    Other,
}

/// What a question is about: "red balls", "cubes", "blue things", "things".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// A label of the vocabulary; `None` for anything.
    pub label: Option<String>,
    /// A colour of the vocabulary; `None` for any.
    pub colour: Option<String>,
}

impl Intent {
    /// Tells whether answering needs a look at the scene.
    pub const fn needs_scene(&self) -> bool {
        match self {
            Self::See | Self::IsThere(_) | Self::HowMany(_) => true,
            Self::Time | Self::Date | Self::Battery | Self::Repeat | Self::Other => false,
        }
    }

    /// Returns the intent's name, as it stands in explanations.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::See => "see",
            Self::IsThere(_) => "is-there",
            Self::HowMany(_) => "how-many",
            Self::Time => "time",
            Self::Date => "date",
            Self::Battery => "battery",
            Self::Repeat => "repeat",
            Self::Other => "other",
        }
    }
}

impl Subject {
    /// Returns the subject in words, singular.
    pub fn describe(&self) -> String {
        let noun = self.label.as_deref().unwrap_or("thing");
        match &self.colour {
            Some(colour) => format!("{colour} {noun}"),
            None => noun.to_owned(),
        }
    }
}

const SEE: &[&str] = &[
    "what do you see",
    "what can you see",
    "what do i see",
    "what is in front of me",
    "what is here",
    "what is there",
    "what are you seeing",
    "tell me what you see",
];
const TIME: &[&str] = &["what time is it", "what is the time", "tell me the time", "time"];
const DATE: &[&str] = &["what day is it", "what day is today", "what is the date", "what date is it", "date"];
const BATTERY: &[&str] = &[
    "battery",
    "battery level",
    "what is the battery",
    "what is the battery level",
    "how much battery is left",
    "how much battery do i have",
    "how much battery do i have left",
    "how is the battery",
];
const REPEAT: &[&str] = &[
    "repeat",
    "repeat that",
    "say that again",
    "say it again",
    "what did you say",
    "again",
    "come again",
    "what was that",
];
const IS_THERE: &[&str] = &["is there", "are there", "do you see", "can you see", "do i see", "is here"];
const HOW_MANY: &[&str] = &["how many", "count the", "count all", "count"];
/// Tails that do not change what is asked.
const TAILS: &[&str] = &[
    "are there",
    "do you see",
    "can you see",
    "can i see",
    "do i see",
    "are in front of me",
    "in front of me",
    "are visible",
    "are here",
    "here",
    "there",
    "now",
];
const COURTESIES: &[&str] = &["please", "hey", "ok", "okay", "so", "and", "tell me", "can you tell me"];
const ARTICLES: &[&str] = &["a", "an", "any", "some", "the"];
const ANYTHING: &[&str] = &["thing", "things", "object", "objects"];

/// Finds out what a question asks; [`Intent::Other`] unless every word is accounted for.
pub fn understand(text: &str, vocabulary: &Vocabulary) -> Intent {
    let sentence = normalised(text);
    let sentence = without_courtesies(&sentence);
    let fixed: [(&[&str], Intent); 5] = [
        (SEE, Intent::See),
        (TIME, Intent::Time),
        (DATE, Intent::Date),
        (BATTERY, Intent::Battery),
        (REPEAT, Intent::Repeat),
    ];
    for (sentences, intent) in fixed {
        if sentences.contains(&sentence) {
            return intent;
        }
    }
    if let Some(subject) = after(HOW_MANY, sentence).and_then(|rest| subject(rest, vocabulary)) {
        return Intent::HowMany(subject);
    }
    if let Some(subject) = after(IS_THERE, sentence).and_then(|rest| subject(rest, vocabulary)) {
        return Intent::IsThere(subject);
    }
    Intent::Other
}

/// Lower case, letters and digits only, one space between words, contractions opened.
fn normalised(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for raw in text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’')) {
        let word = raw.to_lowercase().replace('’', "'");
        let word = word.trim_matches('\'');
        if word.is_empty() {
            continue;
        }
        if !words.is_empty() {
            words.push(' ');
        }
        match word.strip_suffix("'s") {
            Some(stem @ ("what" | "there" | "how" | "it")) => {
                words.push_str(stem);
                words.push_str(" is");
            }
            _ => words.push_str(word),
        }
    }
    words
}

fn without_courtesies(mut sentence: &str) -> &str {
    loop {
        let before = sentence;
        for courtesy in COURTESIES {
            sentence = strip_word_prefix(sentence, courtesy).unwrap_or(sentence);
            sentence = strip_word_suffix(sentence, courtesy).unwrap_or(sentence);
        }
        if sentence == before {
            return sentence;
        }
    }
}

fn strip_word_prefix<'a>(sentence: &'a str, words: &str) -> Option<&'a str> {
    sentence.strip_prefix(words)?.strip_prefix(' ')
}

fn strip_word_suffix<'a>(sentence: &'a str, words: &str) -> Option<&'a str> {
    sentence.strip_suffix(words)?.strip_suffix(' ')
}

fn after<'a>(openings: &[&str], sentence: &'a str) -> Option<&'a str> {
    openings.iter().find_map(|opening| strip_word_prefix(sentence, opening))
}

fn subject(mut rest: &str, vocabulary: &Vocabulary) -> Option<Subject> {
    while let Some(shorter) = TAILS.iter().find_map(|tail| strip_word_suffix(rest, tail)) {
        rest = shorter;
    }
    rest = after(ARTICLES, rest).unwrap_or(rest);
    let (first, others) = rest.split_once(' ').unwrap_or((rest, ""));
    let colour = vocabulary.colours.iter().find(|colour| *colour == first).cloned();
    let noun = if colour.is_some() { others } else { rest };
    if ANYTHING.contains(&noun) {
        return Some(Subject { label: None, colour });
    }
    Some(Subject { label: Some(words::label_of(noun, vocabulary)?), colour })
}
