//! Questions about a room whose answers are known, and a judge of answers.

use std::collections::BTreeMap;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::judge;
use crate::world::{Camera, Colour, Room, RoomKind, Shape, TruthObject};

/// What kind of question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What do you see?
    See,
    /// Is there a red ball?
    IsThere,
    /// How many cubes are there?
    HowManyOfShape,
    /// How many blue things are there?
    HowManyOfColour,
    /// Which object is the largest?
    Largest,
    /// Is the red ball to the left of the blue cube?
    LeftOf,
    /// Are there more balls than cubes?
    More,
    /// What kind of room is this?
    Room,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::See,
        Self::IsThere,
        Self::HowManyOfShape,
        Self::HowManyOfColour,
        Self::Largest,
        Self::LeftOf,
        Self::More,
        Self::Room,
    ];

    /// Returns the kind in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::IsThere => "is-there",
            Self::HowManyOfShape => "how-many-of-shape",
            Self::HowManyOfColour => "how-many-of-colour",
            Self::Largest => "largest",
            Self::LeftOf => "left-of",
            Self::More => "more",
            Self::Room => "room",
        }
    }

    /// Says whether it is beyond the gateway's own skills.
    pub const fn is_hard(self) -> bool {
        match self {
            Self::See | Self::IsThere | Self::HowManyOfShape | Self::HowManyOfColour => false,
            Self::Largest | Self::LeftOf | Self::More | Self::Room => true,
        }
    }
}

/// A shape in a colour.
pub type Thing = (Colour, Shape);

/// What is asked, in a form that can be answered from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    See,
    IsThere(Thing),
    HowManyOfShape(Shape),
    HowManyOfColour(Colour),
    Largest,
    LeftOf(Thing, Thing),
    More(Shape, Shape),
    Room,
}

/// The right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// So many.
    Count(usize),
    /// Yes or no.
    Yes(bool),
    /// These things, so many of each, and no others.
    Things(BTreeMap<Thing, usize>),
    /// This thing and no other.
    Thing(Thing),
    /// This kind of room and no other.
    Room(RoomKind),
}

impl Expected {
    /// Judges an answer: any phrasing, but the facts must be right and complete, with none wrong beside them.
    pub fn judge(&self, answer: &str) -> bool {
        judge::judge(self, answer)
    }
}

/// A question about a picture, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// As a wearer would say it.
    pub text: String,
    /// What kind it is.
    pub kind: Kind,
    /// The right answer.
    pub expected: Expected,
}

impl Question {
    /// Makes a question of this kind about what the camera sees, if the picture gives rise to one with a clear
    /// answer.
    pub fn of(kind: Kind, room: &Room, camera: Camera, seed: u64) -> Option<Self> {
        let truth = room.truth(camera);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ room.seed().rotate_left(32));
        let asked = choose(kind, &truth, &mut rng)?;
        let expected = asked.expected(&truth, room.kind())?;
        Some(Self { text: asked.text(), kind, expected })
    }

    /// Makes a question that the gateway should be able to answer by itself.
    pub fn local(room: &Room, camera: Camera, seed: u64) -> Self {
        Self::any_of(&Kind::ALL.map(|kind| (kind, !kind.is_hard())), room, camera, seed)
    }

    /// Makes a question for the cloud.
    pub fn hard(room: &Room, camera: Camera, seed: u64) -> Self {
        Self::any_of(&Kind::ALL.map(|kind| (kind, kind.is_hard())), room, camera, seed)
    }

    fn any_of(kinds: &[(Kind, bool)], room: &Room, camera: Camera, seed: u64) -> Self {
        let mut kinds: Vec<Kind> =
            kinds.iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| *kind).collect();
        kinds.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let question = kinds.into_iter().find_map(|kind| Self::of(kind, room, camera, seed));
        question.expect("what is seen and what room it is can always be asked")
    }

    /// Judges an answer; see [`Expected::judge`].
    pub fn judge(&self, answer: &str) -> bool {
        self.expected.judge(answer)
    }
}

fn choose(kind: Kind, truth: &[TruthObject], rng: &mut ChaCha8Rng) -> Option<Asked> {
    let colour = |rng: &mut ChaCha8Rng| *Colour::ALL.choose(rng).expect("six colours");
    let shape = |rng: &mut ChaCha8Rng| *Shape::ALL.choose(rng).expect("five shapes");
    // Every second time something that is there, so that yes is as common as no.
    let seen = if rng.random_bool(0.5) { truth.choose(rng) } else { None };
    Some(match kind {
        Kind::See => Asked::See,
        Kind::IsThere => Asked::IsThere(seen.map_or_else(|| (colour(rng), shape(rng)), thing)),
        Kind::HowManyOfShape => Asked::HowManyOfShape(seen.map_or_else(|| shape(rng), |o| o.shape)),
        Kind::HowManyOfColour => Asked::HowManyOfColour(seen.map_or_else(|| colour(rng), |o| o.colour)),
        Kind::Largest => Asked::Largest,
        Kind::Room => Asked::Room,
        Kind::LeftOf => {
            let mut things: Vec<Thing> = truth.iter().map(thing).collect();
            things.shuffle(rng);
            let [first, second, ..] = things[..] else { return None };
            Asked::LeftOf(first, second)
        }
        Kind::More => {
            let mut shapes = Shape::ALL;
            shapes.shuffle(rng);
            Asked::More(seen.map_or(shapes[0], |o| o.shape), shapes[1])
        }
    })
}

fn thing(object: &TruthObject) -> Thing {
    (object.colour, object.shape)
}

impl Asked {
    fn text(self) -> String {
        let name = |(colour, shape): Thing| format!("{} {}", colour.name(), shape.label());
        match self {
            Self::See => "What do you see?".to_owned(),
            Self::IsThere(it) => format!("Is there {}?", with_article(&name(it))),
            Self::HowManyOfShape(shape) => format!("How many {}s are there?", shape.label()),
            Self::HowManyOfColour(colour) => format!("How many {} things are there?", colour.name()),
            Self::Largest => "Which object is the largest?".to_owned(),
            Self::LeftOf(a, b) => format!("Is the {} to the left of the {}?", name(a), name(b)),
            Self::More(a, b) => format!("Are there more {}s than {}s?", a.label(), b.label()),
            Self::Room => "What kind of room is this?".to_owned(),
        }
    }

    /// Understands a text that [`Self::text`] made, with some freedom.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words = judge::words(text);
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        let shapes: Vec<Shape> = words.iter().filter_map(|word| judge::shape(word)).collect();
        let colours: Vec<Colour> = words.iter().filter_map(|word| judge::colour(word)).collect();
        match (shapes.as_slice(), colours.as_slice()) {
            ([a, b], []) if has("more") => Some(Self::More(*a, *b)),
            ([a, b], [c, d]) if has("left") => Some(Self::LeftOf((*c, *a), (*d, *b))),
            ([shape], []) if has("many") => Some(Self::HowManyOfShape(*shape)),
            ([], [colour]) if has("many") => Some(Self::HowManyOfColour(*colour)),
            ([shape], [colour]) if has("is") => Some(Self::IsThere((*colour, *shape))),
            ([], []) if has("largest") || has("biggest") => Some(Self::Largest),
            ([], []) if has("room") => Some(Self::Room),
            ([], []) if has("see") => Some(Self::See),
            _ => None,
        }
    }

    /// Answers from the truth; `None` where it is too close to call or means no single thing.
    pub(crate) fn expected(self, truth: &[TruthObject], room: RoomKind) -> Option<Expected> {
        let count = |matches: &dyn Fn(&TruthObject) -> bool| truth.iter().filter(|o| matches(o)).count();
        let the = |it: Thing| {
            let mut found = truth.iter().filter(|object| thing(object) == it);
            found.next().filter(|_| found.next().is_none())
        };
        let middle = |object: &TruthObject| (object.bounds.left + object.bounds.right) / 2.0;
        Some(match self {
            Self::See => {
                let mut things = BTreeMap::new();
                truth.iter().for_each(|object| *things.entry(thing(object)).or_default() += 1);
                Expected::Things(things)
            }
            Self::IsThere(it) => Expected::Yes(count(&|object| thing(object) == it) > 0),
            Self::HowManyOfShape(shape) => Expected::Count(count(&|object| object.shape == shape)),
            Self::HowManyOfColour(colour) => Expected::Count(count(&|object| object.colour == colour)),
            Self::Largest => {
                let mut sorted: Vec<&TruthObject> = truth.iter().collect();
                sorted.sort_by(|a, b| b.bounds.area().total_cmp(&a.bounds.area()));
                match sorted[..] {
                    [first, second, ..] if first.bounds.area() < 1.3 * second.bounds.area() => return None,
                    [first, ..] => Expected::Thing(thing(first)),
                    [] => return None,
                }
            }
            Self::LeftOf(a, b) => {
                let apart = middle(the(b)?) - middle(the(a)?);
                (apart.abs() > 0.06).then_some(Expected::Yes(apart > 0.0))?
            }
            Self::More(a, b) if a == b => return None,
            Self::More(a, b) => Expected::Yes(count(&|o| o.shape == a) > count(&|o| o.shape == b)),
            Self::Room => Expected::Room(room),
        })
    }
}

impl Expected {
    /// Says the answer in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let name = |(colour, shape): &Thing| format!("{} {}", colour.name(), shape.label());
        match self {
            Self::Count(0) => "There are none.".to_owned(),
            Self::Count(1) => "There is one.".to_owned(),
            Self::Count(count) => format!("There are {count}."),
            Self::Yes(true) => "Yes.".to_owned(),
            Self::Yes(false) => "No.".to_owned(),
            Self::Thing(it) => format!("The {} is the largest.", name(it)),
            Self::Room(kind) => format!("This looks like {}.", with_article(kind.name())),
            Self::Things(things) if things.is_empty() => "I see none of the things I know.".to_owned(),
            Self::Things(things) => {
                let part = |(it, count): (&Thing, &usize)| match count {
                    1 => with_article(&name(it)),
                    count => format!("{count} {}s", name(it)),
                };
                format!("I see {}.", things.iter().map(part).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn with_article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}
