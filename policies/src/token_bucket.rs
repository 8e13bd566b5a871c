//! Token bucket: a budget of bytes a minute that holds in every minute.

/// One minute in microseconds; also how finely a byte is counted.
const MINUTE: u64 = 60_000_000;
/// A minute's budget is split into what may go at once, one part, and what flows back in a minute, the
/// other three. So no window of a minute, wherever it begins, sees more than the budget.
const PARTS: u64 = 4;

/// A budget of bytes a minute.
///
/// It holds at most a quarter of the budget and gains three quarters in a minute: whatever is taken
/// within any 60 seconds is at most the budget. Time is an argument, in microseconds since any epoch;
/// time that goes back counts as standing still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    bytes_per_minute: u64,
    /// What may be taken, in sixty-millionths of a byte.
    tokens: u128,
    updated_at_us: u64,
}

/// Why bytes may not go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// From this time on, in microseconds, if nobody takes any before.
    Until(u64),
    /// More bytes than the bucket ever holds.
    Never,
}

impl TokenBucket {
    /// Makes a full bucket.
    pub fn per_minute(bytes: u64, now_us: u64) -> Self {
        let mut bucket = Self { bytes_per_minute: bytes, tokens: 0, updated_at_us: now_us };
        bucket.tokens = bucket.full();
        bucket
    }

    /// Returns the most bytes that can go at once.
    pub const fn capacity(&self) -> u64 {
        self.bytes_per_minute / PARTS
    }

    /// Returns how many bytes may go now.
    pub fn available(&self, now_us: u64) -> u64 {
        let bytes = self.refilled(now_us) / u128::from(MINUTE);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Takes bytes, or says when they may go; takes none then.
    pub fn take(&mut self, bytes: u64, now_us: u64) -> Result<(), Wait> {
        if bytes > self.capacity() {
            return Err(Wait::Never);
        }
        let tokens = self.refilled(now_us);
        let wanted = u128::from(bytes) * u128::from(MINUTE);
        if let Some(missing) = wanted.checked_sub(tokens).filter(|missing| *missing > 0) {
            let wait_us = missing.div_ceil(u128::from(self.gain_per_us()));
            let from = now_us.max(self.updated_at_us);
            return Err(Wait::Until(from.saturating_add(u64::try_from(wait_us).unwrap_or(u64::MAX))));
        }
        self.tokens = tokens - wanted;
        self.updated_at_us = self.updated_at_us.max(now_us);
        Ok(())
    }

    fn full(&self) -> u128 {
        u128::from(self.capacity()) * u128::from(MINUTE)
    }

    /// A byte a minute is one token a microsecond.
    const fn gain_per_us(&self) -> u64 {
        self.bytes_per_minute - self.capacity()
    }

    fn refilled(&self, now_us: u64) -> u128 {
        let elapsed_us = now_us.saturating_sub(self.updated_at_us);
        let gained = u128::from(self.gain_per_us()) * u128::from(elapsed_us);
        self.tokens.saturating_add(gained).min(self.full())
    }
}
