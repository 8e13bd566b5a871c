//! The one event loop: one closed enum of all that can wake it; handle one input, drain all outputs,
//! repeat. It never waits on a full channel.

use glassd_core::gateway::{Gateway, Input};
use glassd_core::{GlassesId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::control::{Reply, Request};
use crate::io::Io;
use crate::links::Stage;
use crate::mqtt::UplinkEvent;
use crate::outbox::OutboxEvent;
use crate::systemd::ServiceManager;
use crate::telemetry::Snapshot;
use crate::vision::Done;

/// Events that wait for the loop. Full-queue rule: senders wait; nothing that the loop itself does
/// sends here, so they never wait for each other.
pub const MAX_EVENTS: usize = 256;

/// All that can wake the loop.
#[derive(Debug)]
pub enum Event {
    /// Something for the core, from a link.
    Input(Input),
    /// What a link does.
    Link {
        /// To whom.
        glasses: GlassesId,
        /// What.
        stage: Stage,
    },
    /// A vision or accelerator thread did a job.
    Vision(Done),
    /// The outbox did, or could not do, what it was asked.
    Outbox(OutboxEvent),
    /// The uplink changed, or brought something.
    Uplink(UplinkEvent),
    /// Somebody on the control socket, in process, or over MQTT.
    Control {
        /// What they want.
        request: Request,
        /// Where replies go; a full one loses the client.
        replies: mpsc::Sender<Reply>,
    },
    /// Somebody wants to know how things stand.
    Snapshot(oneshot::Sender<Snapshot>),
    /// The end.
    Shutdown,
}

/// Where events come from. Every channel is bounded; who sends waits while it is full.
pub struct Sources {
    /// Links, the vision thread, the control socket, HTTP.
    pub events: mpsc::Receiver<Event>,
    /// The outbox thread.
    pub outbox: mpsc::Receiver<OutboxEvent>,
    /// The MQTT task.
    pub uplink: mpsc::Receiver<UplinkEvent>,
}

/// Runs until [`Event::Shutdown`], or until every sender is gone.
pub async fn run(
    mut gateway: Gateway,
    mut io: Io,
    mut sources: Sources,
    clock: Clock,
    mut manager: ServiceManager,
) {
    loop {
        let due = gateway.poll_timeout().map(|(at, _)| clock.instant(at));
        let beat = manager.interval().map(|interval| tokio::time::Instant::now() + interval / 2);
        let wake = due.into_iter().chain(beat).min();
        let event = tokio::select! {
            event = sources.events.recv() => match event {
                Some(event) => Some(event),
                None => break,
            },
            Some(event) = sources.outbox.recv() => Some(Event::Outbox(event)),
            Some(event) = sources.uplink.recv() => Some(Event::Uplink(event)),
            () = sleep_until(wake) => None,
        };
        let now = clock.now();
        io.now = now;
        match event {
            Some(Event::Shutdown) => break,
            Some(Event::Snapshot(reply)) => {
                // The asker may have given up.
                let _ = reply.send(io.snapshot(&gateway));
            }
            Some(event) => {
                for input in io.handle_event(event, &gateway) {
                    step(&mut gateway, &mut io, input, now);
                }
            }
            None => step(&mut gateway, &mut io, Input::Timeout, now),
        }
        io.publish_state(&gateway);
        manager.status(io.status_line(&gateway));
        if !io.is_hung() {
            manager.turned();
        }
    }
    manager.stopping();
    // Who still sends must not wait for a loop that is gone.
    drop(sources);
    io.shutdown().await;
}

/// Handles one input and all that comes of it at once.
fn step(gateway: &mut Gateway, io: &mut Io, input: Input, now: Timestamp) {
    gateway.handle(input, now);
    io.privacy = gateway.privacy();
    while let Some(output) = gateway.poll_output() {
        if let Some(input) = io.perform(output) {
            gateway.handle(input, now);
        }
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
