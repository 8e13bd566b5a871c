//! What calibration promises, on outcomes whose truth is known.

use glassd_policies::calibration::{Calibration, Curve, Drift, Outcome, Risk, upper_risk};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const FIVE_PERCENT: Risk = Risk { share: 0.05, confidence: 0.9 };
const TEN_PERCENT: Risk = Risk { share: 0.1, confidence: 0.9 };

/// Numbers from 0 to 1 that look random (Marsaglia 2003, xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

/// How likely a candidate of the world below is right: its scores promise too much.
fn truth(score: f32) -> f32 {
    0.3 + 0.69 * (1.0 - (1.0 - score).powi(2))
}

fn outcomes(numbers: &mut Numbers, count: usize) -> Vec<Outcome> {
    let mut one = || {
        let score = numbers.next();
        Outcome { kind: "is-there".to_owned(), score, right: numbers.next() < truth(score), share: 1.0 }
    };
    (0..count).map(|_| one()).collect()
}

/// Share of wrong ones among all candidates of the world that a bound lets through, and the share that it lets through.
fn let_through(calibration: &Calibration, bound: f32) -> (f64, f64) {
    let scores: Vec<f32> = (0..10_000).map(|n| n as f32 / 10_000.0).collect();
    let through = scores.iter().filter(|score| calibration.probability("is-there", **score) >= bound);
    let (count, wrong) = through
        .fold((0.0, 0.0), |(count, wrong), score| (count + 1.0, wrong + f64::from(1.0 - truth(*score))));
    (wrong / f64::max(count, 1.0), count / scores.len() as f64)
}

#[test]
fn the_promise_is_kept_as_often_as_promised() {
    let mut numbers = Numbers(42);
    let (mut found, mut broken, mut through) = (0, 0, 0.0);
    for _ in 0..200 {
        let outcomes = outcomes(&mut numbers, 3000);
        let calibration = Calibration::fit(&outcomes, FIVE_PERCENT, TEN_PERCENT);
        let Some(bound) = calibration.ordinary else { continue };
        found += 1;
        let (wrong, local) = let_through(&calibration, bound.probability);
        broken += u32::from(wrong > 0.05);
        through += local;
    }
    // At most one in ten, by the confidence; three standard deviations more would be 33.
    assert!(broken <= 33, "{broken} of {found} promises were broken");
    // Who knew the truth would let 42 % through; of 1,500 outcomes one half proves 33 %, nine times in ten.
    assert!(found > 160 && through / f64::from(found) > 0.28, "{found} bounds, {through}");
}

#[test]
fn more_risk_forwards_less() {
    let calibration = Calibration::fit(&outcomes(&mut Numbers(7), 8000), FIVE_PERCENT, TEN_PERCENT);
    let (ordinary, costly) = (calibration.ordinary.unwrap(), calibration.costly.unwrap());
    assert!(costly.probability < ordinary.probability, "{costly:?} {ordinary:?}");
    let (wrong, local) = let_through(&calibration, costly.probability);
    assert!(wrong < 0.1 && local > 0.05, "{wrong} wrong of {local}");
    assert!(upper_risk(costly.wrong, costly.outcomes, 0.9) <= 0.1);
}

#[test]
fn too_few_outcomes_promise_nothing() {
    let right = |n: usize| vec![Outcome { kind: "see".to_owned(), score: 0.99, right: true, share: 1.0 }; n];
    let none = Calibration::fit(&right(80), FIVE_PERCENT, TEN_PERCENT);
    assert_eq!(none.ordinary, None, "40 held out without one wrong prove no 5 %");
    assert!(none.costly.is_some(), "but 10 %");
    assert_eq!(Calibration::fit(&[], FIVE_PERCENT, TEN_PERCENT).probability("see", 0.4), 0.4);
    let worthless = [f32::NAN, f32::INFINITY].map(|score| Outcome { score, ..right(1)[0].clone() });
    assert_eq!(Calibration::fit(&worthless, FIVE_PERCENT, TEN_PERCENT).probability("see", 0.4), 0.4);
}

#[test]
fn answers_that_are_looked_at_rarely_count_as_many() {
    // Nine in ten are sure and right, and one in fifty of them is looked at; of the doubtful half are wrong.
    let mut numbers = Numbers(3);
    let mut known = Vec::new();
    for _ in 0..100_000 {
        let sure = numbers.next() < 0.9;
        let (score, share) = if sure { (0.9, 0.02) } else { (0.5, 0.2) };
        let right = numbers.next() < if sure { 0.99 } else { 0.5 };
        if numbers.next() < share {
            known.push(Outcome { kind: "is-there".to_owned(), score, right, share });
        }
    }
    let doubtful = known.iter().filter(|outcome| outcome.score < 0.9).count();
    assert!(doubtful * 2 > known.len(), "taken as they come the doubtful are most");
    // All together: 1 % of nine tenths and half of one tenth are wrong, 5.9 %.
    let calibration = Calibration::fit(&known, Risk { share: 0.09, ..FIVE_PERCENT }, TEN_PERCENT);
    let bound = calibration.ordinary.unwrap();
    assert!(
        calibration.probability("is-there", 0.5) >= bound.probability,
        "{bound:?} lets the doubtful through"
    );
    let strict = Calibration::fit(&known, FIVE_PERCENT, TEN_PERCENT).ordinary.unwrap();
    assert!(calibration.probability("is-there", 0.5) < strict.probability, "{strict:?}");
}

#[test]
fn a_world_that_changes_is_asked_about_more_and_then_less() {
    let mut drift = Drift::default();
    for _ in 0..500 {
        drift.handle_outcome(true, 0.05);
    }
    assert_eq!(drift.raise(), 0.0);
    for n in 0..40 {
        drift.handle_outcome(n % 2 == 0, 0.05);
    }
    assert!(drift.raise() > 0.5, "{}", drift.raise());
    for _ in 0..300 {
        drift.handle_outcome(true, 0.05);
    }
    assert_eq!(drift.raise(), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_curve_never_falls_and_stays_a_probability(
        seen in proptest::collection::vec((0.0..=1.0_f32, any::<bool>()), 1..80),
        low in -0.5..1.5_f32, further in 0.0..1.0_f32,
    ) {
        let curve = Curve::fit(&seen);
        let (a, b) = (curve.probability(low), curve.probability(low + further));
        prop_assert!(a <= b && (0.0..=1.0).contains(&a) && (0.0..=1.0).contains(&b), "{a} {b}");
    }

    #[test]
    fn whatever_the_outcomes_a_bound_rests_on_few_enough_wrong_ones(
        seen in proptest::collection::vec((0.0..=1.0_f32, prop_oneof![9 => Just(true), 1 => Just(false)]), 0..600),
    ) {
        let outcomes: Vec<Outcome> = seen.into_iter()
            .map(|(score, right)| Outcome { kind: "see".to_owned(), score, right, share: 1.0 })
            .collect();
        let calibration = Calibration::fit(&outcomes, FIVE_PERCENT, TEN_PERCENT);
        for bound in [calibration.ordinary, calibration.costly].into_iter().flatten() {
            prop_assert!(upper_risk(bound.wrong, bound.outcomes, bound.risk.confidence) <= bound.risk.share);
        }
        prop_assert!(calibration.problems().is_empty());
    }
}
