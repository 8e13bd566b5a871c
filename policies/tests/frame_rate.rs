//! What holds of every frame rate decision.

use glassd_policies::{BatteryBand, FrameRate, FrameRateFacts, FrameRatePolicy};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn limit() -> impl Strategy<Value = Option<f32>> {
    proptest::option::of(prop_oneof![
        0.0..60.0_f32,
        Just(f32::NAN),
        Just(-1.0),
        Just(f32::INFINITY),
        Just(f32::NEG_INFINITY)
    ])
}

fn score() -> impl Strategy<Value = f32> {
    prop_oneof![8 => 0.0..1.0_f32, 1 => any::<f32>(), 1 => Just(f32::NAN)]
}

prop_compose! {
    fn facts()(battery: u8, user_active: bool, motion in score(),
               thermal_fps_limit in limit(), device_fps_limit in limit(), link_fps_limit in limit())
        -> FrameRateFacts {
        FrameRateFacts { battery, user_active, motion, thermal_fps_limit, device_fps_limit, link_fps_limit }
    }
}

fn decide(facts: &FrameRateFacts, previous: Option<FrameRate>) -> FrameRate {
    let decision = FrameRatePolicy::default().decide(facts, previous);
    assert!(!decision.reasons.is_empty());
    decision.value
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rate_is_within_bounds(history in proptest::collection::vec(facts(), 1..8)) {
        let mut previous = None;
        for facts in &history {
            let rate = decide(facts, previous);
            prop_assert!((1.0 / 60.0..=15.0).contains(&rate.fps), "{rate:?}");
            for limit in [facts.thermal_fps_limit, facts.device_fps_limit, facts.link_fps_limit] {
                prop_assert!(limit.is_none_or(|limit| limit.is_nan() || rate.fps <= limit.max(1.0 / 60.0)));
            }
            previous = Some(rate);
        }
    }

    #[test]
    fn more_battery_or_activity_never_means_fewer_frames(facts in facts(), more in 0..=255_u8) {
        let richer = FrameRateFacts { battery: facts.battery.max(more), user_active: true, ..facts };
        prop_assert!(decide(&richer, None).fps >= decide(&facts, None).fps);
    }

    #[test]
    fn no_number_for_motion_means_none(facts in facts()) {
        let unknown = FrameRateFacts { motion: f32::NAN, ..facts };
        let still = FrameRateFacts { motion: 0.0, ..facts };
        prop_assert_eq!(decide(&unknown, None), decide(&still, None));
    }

    #[test]
    fn a_battery_that_hovers_changes_the_rate_at_most_once(
        facts in facts(), around in 1..100_u8, wobble in proptest::collection::vec(any::<bool>(), 2..40),
    ) {
        let mut rates = Vec::new();
        let mut previous = None;
        for up in wobble {
            let rate = decide(&FrameRateFacts { battery: around + u8::from(up), ..facts }, previous);
            rates.push(rate.fps);
            previous = Some(rate);
        }
        rates.dedup();
        prop_assert!(rates.len() <= 2, "{rates:?}");
    }

    #[test]
    fn motion_that_hovers_changes_the_rate_at_most_once(
        facts in facts(), scores in proptest::collection::vec(0.26..0.34_f32, 2..40),
    ) {
        let mut rates = Vec::new();
        let mut previous = None;
        for motion in scores {
            let rate = decide(&FrameRateFacts { motion, ..facts }, previous);
            rates.push(rate.fps);
            previous = Some(rate);
        }
        rates.dedup();
        prop_assert!(rates.len() <= 2, "{rates:?}");
    }
}

#[test]
fn a_wide_hysteresis_never_lowers_the_row() {
    let mut policy = FrameRatePolicy::default();
    policy.battery.hysteresis = 20;
    assert_eq!(policy.problems(), []);
    let facts = |battery| FrameRateFacts {
        battery,
        user_active: true,
        motion: 0.0,
        thermal_fps_limit: None,
        device_fps_limit: None,
        link_fps_limit: None,
    };
    let low = policy.decide(&facts(16), None).value;
    assert_eq!(policy.decide(&facts(31), Some(low)).value.band, BatteryBand::Low);
}
