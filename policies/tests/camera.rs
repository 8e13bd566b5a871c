//! What holds of every decision on the camera's settings.

use glassd_policies::{CameraFacts, CameraPolicy};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

prop_compose! {
    fn facts()(battery in 0..=100_u8, user_active: bool,
               link_bytes_per_second in proptest::option::of(0..400_000_u64)) -> CameraFacts {
        CameraFacts { battery, user_active, link_bytes_per_second }
    }
}

/// Some share more or less.
fn jittered(rate: u64, share: f64) -> u64 {
    (rate as f64 * share) as u64
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn settings_are_within_bounds_and_explained(facts in facts(), before in proptest::option::of(facts())) {
        let policy = CameraPolicy::default();
        let decision = policy.decide(&facts, before.map(|before| policy.decide(&before, None).value));
        prop_assert!([85, 75, 60].contains(&decision.value.quality));
        prop_assert!((192..=512).contains(&decision.value.longest_side));
        prop_assert!(!decision.reasons.is_empty());
    }

    #[test]
    fn a_slower_link_never_makes_a_photo_larger(facts in facts(), slower in 0..400_000_u64) {
        let policy = CameraPolicy::default();
        let Some(rate) = facts.link_bytes_per_second else { return Ok(()) };
        let now = policy.decide(&facts, None).value;
        let link_bytes_per_second = Some(rate.min(slower));
        let slow = policy.decide(&CameraFacts { link_bytes_per_second, ..facts }, Some(now)).value;
        prop_assert!((slow.longest_side, slow.quality) <= (now.longest_side, now.quality));
    }

    /// Within the room that growing needs, a link that wanders makes a photo smaller once and then leaves it alone.
    #[test]
    fn a_link_that_wanders_by_a_tenth_does_not_flap(
        battery in 0..=100_u8, user_active: bool, rate in 1_000..400_000_u64,
        shares in prop::collection::vec(0.9..1.1_f64, 100),
    ) {
        let policy = CameraPolicy::default();
        let mut settings = None;
        let mut changes = 0;
        for share in shares {
            let link_bytes_per_second = Some(jittered(rate, share));
            let next = policy.decide(&CameraFacts { battery, user_active, link_bytes_per_second }, settings).value;
            changes += u32::from(settings.is_some_and(|last| last != next));
            settings = Some(next);
        }
        // A tenth is two or three steps of 16 pixels down, each taken once, and never one up again.
        prop_assert!(changes <= 4, "{changes} changes");
    }
}
