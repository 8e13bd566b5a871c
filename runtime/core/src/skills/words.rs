//! English words: plurals, synonyms, lists.

use crate::scene::Vocabulary;

/// Words that people use for a label of a public vocabulary (COCO's names).
const SYNONYMS: &[(&str, &str)] = &[
    ("bike", "bicycle"),
    ("motorbike", "motorcycle"),
    ("plane", "airplane"),
    ("phone", "cell phone"),
    ("mobile phone", "cell phone"),
    ("sofa", "couch"),
    ("television", "tv"),
    ("table", "dining table"),
    ("plant", "potted plant"),
    ("human", "person"),
    ("sphere", "ball"),
    ("box", "cube"),
];

const IRREGULAR: &[(&str, &str)] = &[
    ("person", "people"),
    ("mouse", "mice"),
    ("knife", "knives"),
    ("sheep", "sheep"),
    ("scissors", "scissors"),
    ("skis", "skis"),
    ("broccoli", "broccoli"),
];

/// Returns the plural of a label; of several words the last one changes.
pub(super) fn plural(label: &str) -> String {
    if let Some((_, many)) = IRREGULAR.iter().find(|(one, _)| *one == label) {
        return (*many).to_owned();
    }
    let ends = |tail: &str| label.ends_with(tail);
    if ends("s") || ends("x") || ends("ch") || ends("sh") {
        return format!("{label}es");
    }
    match label.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{label}s"),
    }
}

/// Reads a number in digits or in English words, up to twelve; `no` and `none` are 0.
pub(super) fn number(word: &str) -> Option<usize> {
    const WORDS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    match word {
        "no" | "none" | "nothing" => Some(0),
        word => word.parse().ok().or_else(|| WORDS.iter().position(|name| *name == word)),
    }
}

/// Returns `2 red balls`, `1 red ball`, `no red balls`.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {}", plural(what)),
        1 => format!("1 {what}"),
        n => format!("{n} {}", plural(what)),
    }
}

/// Returns the noun with its indefinite article.
pub(super) fn with_article(what: &str) -> String {
    let vowel = what.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {what}", if vowel { "an" } else { "a" })
}

/// Joins with commas and a last "and".
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Finds the label that a noun means, in singular or plural, directly or as a synonym.
pub(super) fn label_of(noun: &str, vocabulary: &Vocabulary) -> Option<String> {
    let known = |label: &str| vocabulary.labels.iter().any(|known| known == label);
    let direct = vocabulary.labels.iter().find(|label| *label == noun || plural(label) == noun);
    direct.cloned().or_else(|| {
        let synonym = SYNONYMS.iter().find(|(word, _)| *word == noun || plural(word) == noun);
        synonym.map(|(_, label)| (*label).to_owned()).filter(|label| known(label))
    })
}
