//! The daemon's clock: wall time at start, monotonic from there.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use glassd_core::Timestamp;

/// Gives the core its time. Within a process it never goes back, whatever the wall clock does.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    /// Reads the wall clock once.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
        Self { started: Instant::now(), started_at: Timestamp::from_micros(micros) }
    }

    /// Returns now.
    pub fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }

    /// Returns the moment as the runtime's timers want it.
    pub fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.started + at.since(self.started_at))
    }
}
