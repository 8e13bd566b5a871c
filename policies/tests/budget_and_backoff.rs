//! The token bucket holds its budget in every minute, and backoff its bounds.

use std::time::Duration;

use glassd_policies::{Backoff, TokenBucket, Wait};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Returns the most bytes that went within any one minute.
fn busiest_minute(taken: &[(u64, u64)]) -> u64 {
    let within = |end: u64| {
        let in_window = |at: u64| at <= end && end - at < MINUTE;
        taken.iter().filter(|(at, _)| in_window(*at)).map(|(_, bytes)| bytes).sum()
    };
    taken.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
}

#[test]
fn a_full_bucket_lets_a_quarter_go_at_once() {
    let mut bucket = TokenBucket::per_minute(600_000, 0);
    assert_eq!(bucket.take(150_001, 0), Err(Wait::Never));
    assert_eq!(bucket.take(150_000, 0), Ok(()));
    // Three quarters flow back in a minute: 7,500 bytes a second.
    assert_eq!(bucket.take(7_500, 0), Err(Wait::Until(SECOND)));
    assert_eq!(bucket.take(7_500, SECOND - 1), Err(Wait::Until(SECOND)));
    assert_eq!(bucket.take(7_500, SECOND), Ok(()));
    assert_eq!(bucket.available(SECOND), 0);
}

#[test]
fn time_that_goes_back_fills_nothing() {
    let mut bucket = TokenBucket::per_minute(600, MINUTE);
    assert_eq!(bucket.take(150, MINUTE), Ok(()));
    assert_eq!(bucket.available(0), 0);
    assert_eq!(bucket.take(1, 0), Err(Wait::Until(MINUTE + 133_334)));
    assert_eq!(bucket.take(0, 0), Ok(()));
    assert_eq!(bucket.available(MINUTE), 0);
}

#[test]
fn a_bucket_of_nothing_lets_nothing_go() {
    let mut bucket = TokenBucket::per_minute(0, 0);
    assert_eq!(bucket.take(0, 0), Ok(()));
    assert_eq!(bucket.take(1, u64::MAX), Err(Wait::Never));
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_minute_sees_more_than_the_budget(
        budget in 0..2_000_000_u64,
        wishes in proptest::collection::vec((0..30 * SECOND, 0..400_000_u64), 1..200),
    ) {
        let mut bucket = TokenBucket::per_minute(budget, 0);
        let mut now = 0;
        let mut taken = Vec::new();
        for (pause, bytes) in wishes {
            now += pause;
            if bucket.take(bytes, now).is_ok() {
                taken.push((now, bytes));
            }
        }
        prop_assert!(busiest_minute(&taken) <= budget);
    }

    #[test]
    fn no_minute_sees_more_than_the_budget_with_a_greedy_sender(
        budget in 4..2_000_000_u64, sizes in proptest::collection::vec(1..100_000_u64, 1..200),
    ) {
        let mut bucket = TokenBucket::per_minute(budget, 0);
        let mut now = 0;
        let mut taken = Vec::new();
        for size in sizes {
            let bytes = size.min(bucket.capacity());
            if let Err(wait) = bucket.take(bytes, now) {
                let Wait::Until(at) = wait else { panic!("{bytes} of {budget} would never go") };
                prop_assert!(at > now);
                now = at;
                prop_assert_eq!(bucket.take(bytes, now), Ok(()), "{} was promised", now);
            }
            taken.push((now, bytes));
        }
        prop_assert!(busiest_minute(&taken) <= budget);
    }

    #[test]
    fn delays_are_within_their_ceiling(
        base_ms in 0..10_000_u64, max_ms in 0..600_000_u64, attempt: u32, random: f64,
    ) {
        let backoff = Backoff { base: Duration::from_millis(base_ms), max: Duration::from_millis(max_ms) };
        let delay = backoff.delay(attempt, random);
        prop_assert!(delay <= backoff.ceiling(attempt) && backoff.ceiling(attempt) <= backoff.max);
        prop_assert!(attempt == u32::MAX || backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1));
    }
}

#[test]
fn ceilings_double_up_to_the_highest() {
    let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
    let ceilings: Vec<_> = (0..8).map(|attempt| backoff.ceiling(attempt).as_secs()).collect();
    assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(backoff.ceiling(u32::MAX).as_secs(), 60);
}

#[test]
fn jitter_is_full() {
    let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
    let delays: Vec<_> =
        [0.0, 0.25, 1.0, 7.0, f64::NAN].map(|random| backoff.delay(2, random).as_secs()).into();
    assert_eq!(delays, [0, 1, 4, 4, 4]);
}
