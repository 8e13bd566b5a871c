//! What systemd is told: READY, STATUS, WATCHDOG.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The service manager's end. Outside systemd every call does nothing.
#[derive(Debug)]
pub struct ServiceManager {
    /// How often to feed the watchdog: half of what it allows.
    interval: Option<Duration>,
    fed_at: Instant,
    status: String,
}

impl ServiceManager {
    /// Looks whether a watchdog is asked for.
    pub fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|allowed| allowed / 2);
        Self { interval, fed_at: Instant::now(), status: String::new() }
    }

    /// Returns how often the event loop must turn to keep the watchdog fed.
    pub const fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Says that the service is up.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// Says that the service is going down.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Says in a line how the service is doing; a line that stays the same is said once.
    pub fn status(&mut self, status: String) {
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// Feeds the watchdog after a completed turn of the loop.
    pub fn turned(&mut self) {
        if self.interval.is_some_and(|interval| self.fed_at.elapsed() >= interval) {
            notify(&[NotifyState::Watchdog]);
            self.fed_at = Instant::now();
        }
    }
}

impl Default for ServiceManager {
    fn default() -> Self {
        Self::new()
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
