//! Reads the facts out of an answer in plain English.

use std::collections::BTreeMap;

use crate::questions::{Expected, Thing};
use crate::world::{Colour, RoomKind, Shape};

/// What was said of one group of objects: how many, in which colour, of which shape.
type Mention = (usize, Option<Colour>, Shape);

pub(crate) fn judge(expected: &Expected, answer: &str) -> bool {
    let words = words(answer);
    match expected {
        Expected::Count(count) => counted(&words) == Some(*count),
        Expected::Yes(yes) => affirmed(&words) == Some(*yes),
        Expected::Things(things) => listed(&words, things),
        Expected::Thing((colour, shape)) => {
            let shapes: Vec<Shape> = words.iter().filter_map(|word| self::shape(word)).collect();
            let colours: Vec<Colour> = words.iter().filter_map(|word| self::colour(word)).collect();
            only(&shapes, shape) && only(&colours, colour)
        }
        Expected::Room(kind) => {
            let text = words.join(" ");
            let named: Vec<RoomKind> =
                RoomKind::ALL.into_iter().filter(|kind| text.contains(kind.name())).collect();
            only(&named, kind)
        }
    }
}

fn only<T: PartialEq>(said: &[T], right: &T) -> bool {
    !said.is_empty() && said.iter().all(|one| one == right)
}

/// Splits a text into words: lower case, letters and digits only.
pub(crate) fn words(text: &str) -> Vec<String> {
    let split = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    split.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Returns the shape that a word names, singular or plural.
pub(crate) fn shape(word: &str) -> Option<Shape> {
    let singular = word.strip_suffix("es").filter(|_| word == "boxes").or(word.strip_suffix('s'));
    let named = |word: &str| match word {
        "sphere" => Some(Shape::Ball),
        "box" => Some(Shape::Cube),
        "torus" => Some(Shape::Ring),
        word => Shape::ALL.into_iter().find(|shape| shape.label() == word),
    };
    named(word).or_else(|| named(singular?))
}

/// Returns the colour that a word names.
pub(crate) fn colour(word: &str) -> Option<Colour> {
    Colour::ALL.into_iter().find(|colour| colour.name() == word)
}

fn number(word: &str) -> Option<usize> {
    const WORDS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    match word {
        "no" | "none" | "nothing" => Some(0),
        word => word.parse().ok().or_else(|| WORDS.iter().position(|name| *name == word)),
    }
}

/// The one number in an answer; `None` if there is none, or more than one.
fn counted(words: &[String]) -> Option<usize> {
    let mut numbers: Vec<usize> = words.iter().filter_map(|word| number(word)).collect();
    if numbers.is_empty() {
        // "There is a red ball."
        numbers.extend(words.iter().filter(|word| matches!(word.as_str(), "a" | "an")).map(|_| 1));
    }
    numbers.dedup();
    if let [number] = numbers[..] { Some(number) } else { None }
}

/// Yes or no; `None` if neither or both are said.
fn affirmed(words: &[String]) -> Option<bool> {
    let any = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let (yes, no) = (any(&["yes"]), any(&["no", "not", "isn't", "aren't", "don't", "none", "nothing"]));
    match (yes, no) {
        (true, true) | (false, false) => None,
        (yes, _) => Some(yes),
    }
}

/// Every thing must be said, in its number, and no other; a colour may be left out, but not be wrong.
fn listed(words: &[String], things: &BTreeMap<Thing, usize>) -> bool {
    let mentions = mentions(words);
    let shapes_agree = Shape::ALL.into_iter().all(|shape| {
        let said: usize = mentions.iter().filter(|mention| mention.2 == shape).map(|mention| mention.0).sum();
        let there: usize = things.iter().filter(|(thing, _)| thing.1 == shape).map(|(_, count)| count).sum();
        said == there
    });
    let mut said: BTreeMap<Thing, usize> = BTreeMap::new();
    for (count, colour, shape) in &mentions {
        if let Some(colour) = colour {
            *said.entry((*colour, *shape)).or_default() += count;
        }
    }
    let colours_agree = said.iter().all(|(thing, count)| *count <= things.get(thing).copied().unwrap_or(0));
    // An empty room must be called that: silence is no answer.
    let denied = words.iter().any(|word| number(word) == Some(0) || word == "empty");
    shapes_agree && colours_agree && (!things.is_empty() || denied)
}

fn mentions(words: &[String]) -> Vec<Mention> {
    let mut found = Vec::new();
    let (mut count, mut seen_in) = (1, None);
    for word in words {
        if let Some(number) = number(word) {
            count = number;
        } else if let Some(colour) = colour(word) {
            seen_in = Some(colour);
        } else if let Some(shape) = shape(word) {
            found.push((count, seen_in, shape));
            (count, seen_in) = (1, None);
        } else if matches!(word.as_str(), "a" | "an") {
            count = 1;
        }
    }
    found
}
