//! Questions, the judge of their answers, and the cloud that knows them.

use std::collections::BTreeMap;

use glassd_media::{Turn, encode, shrink_jpeg};
use glassd_sim::cloud::Oracle;
use glassd_sim::questions::{Expected, Kind, Question};
use glassd_sim::world::{Camera, Colour, Room, RoomKind, Shape, TruthObject};

#[test]
fn answers_are_judged_by_their_facts() {
    let check = |expected: &Expected, right: &[&str], wrong: &[&str]| {
        for answer in right {
            assert!(expected.judge(answer), "{answer:?} is right for {expected:?}");
        }
        for answer in wrong {
            assert!(!expected.judge(answer), "{answer:?} is wrong for {expected:?}");
        }
    };
    check(
        &Expected::Count(2),
        &["2", "There are 2 balls.", "I count two.", "Two red balls", "Two: I see 2 balls."],
        &["There are 3 balls.", "There are 2 or 3.", "Some.", "", "There is a ball."],
    );
    check(&Expected::Count(0), &["There are no cubes.", "None.", "Zero"], &["There is 1 cube.", "Cubes!"]);
    check(&Expected::Count(1), &["There is 1 cube.", "There is a cube."], &["There are no cubes.", "2"]);
    check(&Expected::Yes(true), &["Yes, there is a red ball.", "yes"], &["No.", "Yes and no.", "Perhaps."]);
    check(&Expected::Yes(false), &["No, I see no red ball.", "There isn't."], &["Yes.", "A red ball."]);
    check(
        &Expected::Thing((Colour::Red, Shape::Cone)),
        &["The red cone is the largest.", "It's the red cone."],
        &["The cone.", "The red cone, then the blue ball.", "Nothing."],
    );
    check(
        &Expected::Room(RoomKind::Kitchen),
        &["It looks like a kitchen."],
        &["A bedroom or a kitchen.", "A room."],
    );
    let two_balls_and_a_star =
        BTreeMap::from([((Colour::Red, Shape::Ball), 2), ((Colour::Blue, Shape::Star), 1)]);
    check(
        &Expected::Things(two_balls_and_a_star),
        &[
            "I see 2 red balls and a blue star.",
            "A blue star, a red ball, and another red ball.",
            "Two balls and one star.",
        ],
        &[
            "I see a red ball and a blue star.",
            "I see 2 red balls, a blue star and a cube.",
            "I see 2 green balls and a blue star.",
            "I see 2 red balls.",
            "I see nothing that I know.",
        ],
    );
    check(&Expected::Things(BTreeMap::new()), &["I see nothing that I know."], &["I see a ball.", "Hm."]);
}

#[test]
fn every_kind_is_asked_and_both_answers_are_common() {
    let mut yes = BTreeMap::<Kind, [u32; 2]>::new();
    let mut asked = BTreeMap::<Kind, u32>::new();
    for seed in 0..200 {
        let room = Room::random(seed);
        for kind in Kind::ALL {
            let Some(question) = Question::of(kind, &room, Camera::default(), seed) else { continue };
            assert_eq!(Question::of(kind, &room, Camera::default(), seed), Some(question.clone()));
            *asked.entry(kind).or_default() += 1;
            if let Expected::Yes(right) = question.expected {
                yes.entry(kind).or_default()[usize::from(right)] += 1;
            }
        }
        assert!(!Question::local(&room, Camera::default(), seed).kind.is_hard());
        assert!(Question::hard(&room, Camera::default(), seed).kind.is_hard());
    }
    assert!(Kind::ALL.iter().all(|kind| asked[kind] >= 80), "{asked:?}");
    assert!(yes.values().flatten().all(|count| *count >= 30), "{yes:?}");
}

/// Answers from the truth by the question's words, apart from the code that made both.
#[test]
fn the_expected_answers_are_true() {
    for seed in 0..150 {
        let room = Room::random(seed);
        let truth = room.truth(Camera::default());
        let called = |object: &TruthObject, colour: &str, label: &str| {
            object.colour.name() == colour && object.label() == label
        };
        for kind in Kind::ALL {
            let Some(question) = Question::of(kind, &room, Camera::default(), seed) else { continue };
            let words: Vec<&str> = question.text.trim_end_matches('?').split(' ').collect();
            let singular = |word: &str| word.trim_end_matches('s').to_owned();
            let of_shape =
                |word: &str| truth.iter().filter(|object| object.label() == singular(word)).count();
            let right = match (kind, words.as_slice()) {
                (Kind::See, _) => truth.is_empty() || !question.judge("I see nothing."),
                (Kind::IsThere, [.., colour, label]) => {
                    question.expected
                        == Expected::Yes(truth.iter().any(|object| called(object, colour, label)))
                }
                (Kind::HowManyOfShape, [_, _, shapes, ..]) => {
                    question.expected == Expected::Count(of_shape(shapes))
                }
                (Kind::HowManyOfColour, [_, _, colour, ..]) => {
                    let count = truth.iter().filter(|object| object.colour.name() == *colour).count();
                    question.expected == Expected::Count(count)
                }
                (Kind::Largest, _) => {
                    let largest = truth.iter().max_by(|a, b| a.bounds.area().total_cmp(&b.bounds.area()));
                    largest.is_some_and(|it| question.expected == Expected::Thing((it.colour, it.shape)))
                }
                (Kind::LeftOf, [_, _, colour, label, .., other_colour, other_label]) => {
                    let left = |colour: &str, label: &str| {
                        let object = truth.iter().find(|object| called(object, colour, label));
                        object.map(|object| object.bounds.left + object.bounds.right)
                    };
                    question.expected == Expected::Yes(left(colour, label) < left(other_colour, other_label))
                }
                (Kind::More, [_, _, _, many, _, few]) => {
                    question.expected == Expected::Yes(of_shape(many) > of_shape(few))
                }
                (Kind::Room, _) => question.expected == Expected::Room(room.kind()),
                (kind, words) => panic!("{kind:?} asks {words:?}"),
            };
            assert!(right, "room {seed}: {:?} expects {:?} of {truth:?}", question.text, question.expected);
        }
    }
}

#[test]
fn the_oracle_answers_what_it_knows_and_refuses_the_rest() {
    let rooms: Vec<Room> = (0..100).map(Room::random).collect();
    let oracle = Oracle::new(rooms.iter().map(|room| (room, Camera::default())));
    let photo = |room: &Room| {
        let swayed = Camera { pan: [0.004, -0.004], zoom: 1.0, shake: [1.0, 0.0] };
        let jpeg = encode(&room.render(320, 240, swayed), 60);
        shrink_jpeg(&jpeg, Turn::None, 256, 40).unwrap()
    };
    for room in &rooms {
        let jpeg = photo(room);
        for kind in Kind::ALL {
            let Some(question) = Question::of(kind, room, Camera::default(), 1) else { continue };
            let answer = oracle.answer(Some(&jpeg), &question.text);
            let answer = answer.unwrap_or_else(|| panic!("room {}: {:?}", room.seed(), question.text));
            assert!(question.judge(&answer), "room {}: {:?}: {answer:?}", room.seed(), question.text);
        }
    }
    let known = photo(&rooms[0]);
    assert_eq!(oracle.answer(None, "What do you see?"), None, "without a photo");
    assert_eq!(oracle.answer(Some(&known[..100]), "What do you see?"), None, "with half a photo");
    assert_eq!(oracle.answer(Some(&known), "What is the meaning of life?"), None, "a foreign question");
    for seed in 1000..1100 {
        let answer = oracle.answer(Some(&photo(&Room::random(seed))), "What do you see?");
        assert_eq!(answer, None, "the photo of room {seed}, which it does not know");
    }
}
