//! What holds of every compression and escalation decision, and of what is kept of a frame.

use glassd_policies::{
    Bounds, Budget, CompressionFacts, CompressionPolicy, EscalationFacts, EscalationPolicy, FrameKeepFacts,
    FrameKeepPolicy, Privacy, Route, Uplink,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

prop_compose! {
    fn compression_facts()(battery: u8, emergency: bool,
                           uplink_bytes_per_second in proptest::option::of(0..200_000_u64),
                           budget_left_bytes in proptest::option::of(any::<u32>()))
        -> CompressionFacts {
        let budget_left_bytes = budget_left_bytes.map(u64::from);
        CompressionFacts { battery, emergency, uplink_bytes_per_second, budget_left_bytes }
    }
}

fn probability() -> impl Strategy<Value = Option<f32>> {
    proptest::option::of(prop_oneof![9 => 0.0..=1.0_f32, 1 => Just(f32::NAN)])
}

prop_compose! {
    fn bounds()(ordinary in proptest::option::of(0.0..=1.0_f32), more in 0.0..=1.0_f32, both: bool) -> Bounds {
        Bounds { ordinary, costly: ordinary.filter(|_| both).map(|bound| bound * more) }
    }
}

prop_compose! {
    fn escalation_facts()(candidate_probability in probability(), understood: bool, needs_image: bool,
                          up: bool, local_only: bool, metered: bool,
                          budget in prop_oneof![Just(Budget::Enough), Just(Budget::Scarce), Just(Budget::Spent)],
                          battery in proptest::option::of(0..=100_u8),
                          cloud_ms in proptest::option::of(0..20_000_u32),
                          bounds in bounds(),
                          raise in prop_oneof![4 => 0.0..=1.0_f32, 1 => Just(f32::NAN)]) -> EscalationFacts {
        EscalationFacts {
            candidate_probability,
            understood,
            needs_image,
            uplink: if up { Uplink::Up } else { Uplink::Down },
            privacy: if local_only { Privacy::LocalOnly } else { Privacy::Open },
            metered,
            budget,
            battery,
            cloud_ms,
            bounds,
            raise,
        }
    }
}

fn route(facts: &EscalationFacts) -> Route {
    let decision = EscalationPolicy::default().decide(facts);
    assert!(!decision.reasons.is_empty());
    decision.value
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn images_are_within_bounds(facts in compression_facts()) {
        let value = CompressionPolicy::default().decide(&facts).value;
        prop_assert!([85, 75, 60, 40].contains(&value.quality));
        prop_assert!((192..=512).contains(&value.longest_side));
    }

    #[test]
    fn a_faster_uplink_never_makes_an_image_worse(facts in compression_facts(), faster in 0..400_000_u64) {
        let policy = CompressionPolicy::default();
        let slow = policy.decide(&facts).value;
        let uplink_bytes_per_second = facts.uplink_bytes_per_second.map(|rate| rate.max(faster));
        let fast = policy.decide(&CompressionFacts { uplink_bytes_per_second, ..facts }).value;
        prop_assert!(fast.quality >= slow.quality && fast.longest_side >= slow.longest_side);
    }

    #[test]
    fn local_only_asks_no_cloud(facts in escalation_facts()) {
        let facts = EscalationFacts { privacy: Privacy::LocalOnly, ..facts };
        prop_assert!([Route::Local, Route::Refuse].contains(&route(&facts)));
    }

    #[test]
    fn the_cloud_is_asked_only_where_it_can_be(facts in escalation_facts()) {
        if route(&facts) == Route::Cloud {
            prop_assert_eq!(facts.uplink, Uplink::Up);
            prop_assert_ne!(facts.budget, Budget::Spent);
            prop_assert_eq!(facts.privacy, Privacy::Open);
        }
    }

    #[test]
    fn only_a_candidate_that_is_likely_enough_is_the_answer(facts in escalation_facts()) {
        let plain = EscalationFacts { bounds: Bounds::default(), raise: 0.0, ..facts };
        let bound = match plain.privacy {
            Privacy::Open => 0.8,
            Privacy::LocalOnly => 0.1,
        };
        let likely = plain.candidate_probability.is_some_and(|probability| probability >= bound);
        prop_assert_eq!(route(&plain) == Route::Local, likely && plain.understood);
    }

    #[test]
    fn a_candidate_that_is_more_likely_is_never_asked_about_more(facts in escalation_facts(), more in 0.0..=1.0_f32) {
        let better = facts.candidate_probability.map(|probability| probability.max(more));
        if route(&facts) == Route::Local {
            prop_assert_eq!(route(&EscalationFacts { candidate_probability: better, ..facts }), Route::Local);
        }
    }

    #[test]
    fn what_went_wrong_lately_never_makes_it_bolder(facts in escalation_facts(), raise in 0.0..=1.0_f32) {
        let before = EscalationFacts { raise: 0.0, ..facts };
        if route(&EscalationFacts { raise, ..facts }) == Route::Local && facts.privacy == Privacy::Open {
            prop_assert_eq!(route(&before), Route::Local);
        }
    }

    #[test]
    fn a_check_never_leaves_where_nothing_may_or_where_it_costs(facts in escalation_facts()) {
        let share = EscalationPolicy::default().audits(&facts, Route::Local);
        if facts.privacy == Privacy::LocalOnly || facts.metered && facts.needs_image || facts.budget != Budget::Enough {
            prop_assert_eq!(share, 0.0);
        }
        prop_assert_eq!(EscalationPolicy::default().audits(&facts, Route::Refuse), 0.0);
    }

    #[test]
    fn a_frame_that_a_query_waits_for_is_kept(
        motion: f32, sharpness: f32, light: f32, since_last_ms: Option<u64>,
    ) {
        let facts = FrameKeepFacts { motion, sharpness, light, since_last_ms, awaited: true };
        prop_assert!(FrameKeepPolicy::default().decide(&facts).value);
    }

    #[test]
    fn a_frame_that_nobody_measured_is_left_out(motion: f32, since_last_ms: Option<u64>) {
        let facts =
            FrameKeepFacts { motion, sharpness: f32::NAN, light: f32::NAN, since_last_ms, awaited: false };
        prop_assert!(!FrameKeepPolicy::default().decide(&facts).value);
    }
}
