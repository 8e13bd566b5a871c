//! The task: one connection after the other, with waits between them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use glassd_mqtt::Negotiation;
use glassd_policies::Backoff;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::Instant;

use super::connection::{self, Ended};
use super::{Publication, Shared, UplinkEvent, UplinkSettings};

/// Waits between connections.
const RECONNECT: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(30) };

/// A connection that stood for so long starts the waits anew.
const STABLE: Duration = Duration::from_secs(10);

pub(super) async fn run(
    settings: UplinkSettings,
    shared: Arc<Shared>,
    mut queue: Receiver<Publication>,
    events: Sender<UplinkEvent>,
) {
    let mut attempt = 0;
    let mut told = String::new();
    let mut negotiation = Negotiation::new(settings.version);
    loop {
        let started = Instant::now();
        let protocol = negotiation.protocol();
        let ended = Box::pin(connection::run(&settings, &shared, protocol, &mut queue, &events)).await;
        let stood = shared.connected.swap(false, Ordering::AcqRel);
        let failure = match ended {
            Ended::Closed => return,
            Ended::Lost(failure) => failure,
        };
        if stood {
            negotiation.handle_accepted(protocol);
        } else if negotiation.handle_failed(protocol, failure.kind) {
            if shared.version.load(Ordering::Relaxed) != 3 {
                tracing::warn!(broker = %settings.broker, reason = %failure, "MQTT 3.1.1 is tried");
            }
            continue;
        }
        let reason = failure.reason;
        tracing::debug!(broker = %settings.broker, %reason, attempt, "the connection to the broker ended");
        if stood || reason != told {
            told.clone_from(&reason);
            if events.send(UplinkEvent::Disconnected { reason }).await.is_err() {
                return;
            }
        }
        if stood && started.elapsed() >= STABLE {
            attempt = 0;
        }
        let wait = RECONNECT.delay(attempt, random_share());
        attempt = attempt.saturating_add(1);
        if drain(&mut queue, wait).await == Queue::Closed {
            return;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Queue {
    Open,
    Closed,
}

/// Waits, and drops what was meant for the connection that is gone.
async fn drain(queue: &mut Receiver<Publication>, wait: Duration) -> Queue {
    let until = Instant::now() + wait;
    loop {
        match tokio::time::timeout_at(until, queue.recv()).await {
            Ok(Some(_)) => {}
            Ok(None) => return Queue::Closed,
            Err(_) => return Queue::Open,
        }
    }
}

/// Draws from 0 to 1, to keep a fleet from reconnecting in step.
fn random_share() -> f64 {
    f64::from((crate::random_seed() >> 32) as u32) / f64::from(u32::MAX)
}
