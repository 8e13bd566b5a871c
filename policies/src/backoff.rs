//! Backoff: how long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture
/// Blog 2015): a delay is drawn evenly between zero and a ceiling that doubles with each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the first delay.
    pub base: Duration,
    /// Ceiling of every delay.
    pub max: Duration,
}

impl Backoff {
    /// Returns the highest delay after so many failed attempts, counted from 0.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.checked_pow(attempt).and_then(|factor| self.base.checked_mul(factor));
        doubled.map_or(self.max, |ceiling| ceiling.min(self.max))
    }

    /// Returns the delay after so many failed attempts, counted from 0; `random` is drawn evenly from
    /// 0 to 1 by the caller (clamped; NaN counts as 1).
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let share = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
        let ceiling = self.ceiling(attempt);
        Duration::try_from_secs_f64(ceiling.as_secs_f64() * share).unwrap_or(ceiling).min(ceiling)
    }
}
