//! From what is asked and what is known to a candidate answer with its probability.

use std::collections::BTreeMap;

use super::intent::{Intent, Subject};
use super::words;
use crate::scene::{Object, Scene, Vocabulary};
use crate::time::Timestamp;

/// An answer that the gateway could give by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The answer.
    pub text: String,
    /// Probability that it is right, 0 to 1, as far as the skill can tell; calibration knows better.
    pub score: f32,
    /// What it rests on, for the explanation.
    pub evidence: Vec<String>,
}

/// What is known when a question is answered.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Now.
    pub now: Timestamp,
    /// Minutes that local time is ahead of UTC.
    pub utc_offset_minutes: i32,
    /// What the glasses look at, if that is known and fresh.
    pub scene: Option<&'a Scene>,
    /// The words perception can use.
    pub vocabulary: &'a Vocabulary,
    /// Battery of the glasses in percent.
    pub glasses_battery: Option<u8>,
    /// Battery of the gateway in percent; `None` on mains.
    pub gateway_battery: Option<u8>,
    /// The last answer that the wearer got.
    pub last_answer: Option<&'a str>,
}

/// Answers, or returns `None` where the gateway has nothing to answer from.
pub fn answer(intent: &Intent, context: &Context<'_>) -> Option<Candidate> {
    match intent {
        Intent::See => context.scene.map(see),
        Intent::IsThere(subject) => context.scene.map(|scene| is_there(subject, scene, context.vocabulary)),
        Intent::HowMany(subject) => context.scene.map(|scene| how_many(subject, scene, context.vocabulary)),
        Intent::Time => Some(certain(clock(context))),
        Intent::Date => Some(certain(date(context))),
        Intent::Battery => battery(context),
        Intent::Repeat => {
            Some(certain(context.last_answer.unwrap_or("I have not said anything yet.").to_owned()))
        }
        Intent::Other => None,
    }
}

const fn certain(text: String) -> Candidate {
    Candidate { text, score: 1.0, evidence: Vec::new() }
}

/// Probability that an object is what the subject names.
fn matches(object: &Object, subject: &Subject, vocabulary: &Vocabulary) -> f32 {
    if subject.label.as_ref().is_some_and(|label| *label != object.label) {
        return 0.0;
    }
    let colour = match &subject.colour {
        None => 1.0,
        Some(wanted) if object.colour.as_ref() == Some(wanted) => object.colour_probability,
        // What the best colour leaves is spread evenly over the others.
        Some(_) => {
            (1.0 - object.colour_probability) / vocabulary.colours.len().saturating_sub(1).max(1) as f32
        }
    };
    object.probability * colour
}

fn evidence(objects: &[(&Object, f32)]) -> Vec<String> {
    objects
        .iter()
        .filter(|(_, probability)| *probability >= 0.01)
        .map(|(object, probability)| {
            let b = &object.bounds;
            let colour = object.colour.as_deref().unwrap_or_default();
            format!(
                "{colour}{}{} {probability:.2} at {:.2},{:.2}–{:.2},{:.2}",
                if colour.is_empty() { "" } else { " " },
                object.label,
                b.left,
                b.top,
                b.right,
                b.bottom
            )
        })
        .collect()
}

fn matching<'a>(subject: &Subject, scene: &'a Scene, vocabulary: &Vocabulary) -> Vec<(&'a Object, f32)> {
    let scored = scene.objects.iter().map(|object| (object, matches(object, subject, vocabulary)));
    scored.filter(|(_, probability)| *probability > 0.0).collect()
}

fn is_there(subject: &Subject, scene: &Scene, vocabulary: &Vocabulary) -> Candidate {
    let found = matching(subject, scene, vocabulary);
    let none: f32 = found.iter().map(|(_, probability)| 1.0 - probability).product();
    let (text, probability) = if none < 0.5 {
        (format!("Yes, there is {}.", words::with_article(&subject.describe())), 1.0 - none)
    } else {
        (format!("No, I see no {}.", subject.describe()), none)
    };
    Candidate { text, score: probability, evidence: evidence(&found) }
}

fn how_many(subject: &Subject, scene: &Scene, vocabulary: &Vocabulary) -> Candidate {
    let found = matching(subject, scene, vocabulary);
    // Which of them to count is the model's decision, but for the colour.
    let counts =
        |(object, probability): &(&Object, f32)| object.present && 2.0 * probability >= object.probability;
    let count = found.iter().filter(|found| counts(found)).count();
    let verb = if count == 1 { "is" } else { "are" };
    Candidate {
        text: format!("There {verb} {}.", words::counted(count, &subject.describe())),
        score: all_right(found.iter().map(|found| (counts(found), found.1))),
        evidence: evidence(&found),
    }
}

fn see(scene: &Scene) -> Candidate {
    let mut groups: BTreeMap<(Option<&str>, &str), usize> = BTreeMap::new();
    let (seen, _): (Vec<&Object>, Vec<&Object>) = scene.objects.iter().partition(|o| o.present);
    for object in &seen {
        *groups.entry((object.colour.as_deref(), object.label.as_str())).or_default() += 1;
    }
    let parts: Vec<String> = groups
        .iter()
        .map(|((colour, label), count)| {
            let what = colour.map_or_else(|| (*label).to_owned(), |colour| format!("{colour} {label}"));
            if *count == 1 { words::with_article(&what) } else { words::counted(*count, &what) }
        })
        .collect();
    let text = match parts.as_slice() {
        [] => "I see nothing that I know.".to_owned(),
        parts => format!("I see {}.", words::listed(parts)),
    };
    let colours: f32 = seen.iter().map(|object| object.colour_probability).product();
    let with_probability: Vec<(&Object, f32)> = scene.objects.iter().map(|o| (o, o.probability)).collect();
    Candidate {
        text,
        score: all_right(scene.objects.iter().map(|o| (o.present, o.probability))) * colours,
        evidence: evidence(&with_probability),
    }
}

/// Probability that each object was judged right (there, with this probability), taking them as independent.
fn all_right(judged: impl Iterator<Item = (bool, f32)>) -> f32 {
    judged.map(|(there, probability)| if there { probability } else { 1.0 - probability }).product()
}

fn battery(context: &Context<'_>) -> Option<Candidate> {
    let parts: Vec<String> = [("glasses", context.glasses_battery), ("gateway", context.gateway_battery)]
        .into_iter()
        .filter_map(|(what, level)| level.map(|level| format!("the {what} at {level} percent")))
        .collect();
    (!parts.is_empty()).then(|| certain(format!("Battery: {}.", words::listed(&parts))))
}

fn local_seconds(context: &Context<'_>) -> u64 {
    context.now.as_secs().saturating_add_signed(i64::from(context.utc_offset_minutes) * 60)
}

fn clock(context: &Context<'_>) -> String {
    let minutes = local_seconds(context) / 60 % (24 * 60);
    format!("It is {:02}:{:02}.", minutes / 60, minutes % 60)
}

fn date(context: &Context<'_>) -> String {
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let days = local_seconds(context) / 86_400;
    let (year, month, day) = civil(days);
    format!("It is {}, {year:04}-{month:02}-{day:02}.", DAYS[(days % 7) as usize])
}

/// Gregorian date of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`, for days after the epoch).
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}
