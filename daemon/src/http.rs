//! `/metrics`, `/healthz`, `/readyz`, on loopback unless the configuration says otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::event_loop::Event;
use crate::telemetry::{Metrics, Snapshot};

/// The event loop is taken for hung when it does not answer within this time.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Shared {
    events: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
}

/// Serves in a task of its own; returns the address that it got.
pub async fn spawn(
    listen: &str,
    events: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot serve metrics on http.listen = {listen:?}; is another glassd running?")
    })?;
    let address = listener.local_addr().context("the metrics listener has no address")?;
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Shared { events, metrics });
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    Ok((address, server))
}

/// Asks the event loop for its state; `None` when it does not answer in time.
async fn snapshot(events: &mpsc::Sender<Event>) -> Option<Snapshot> {
    let (reply, answer) = oneshot::channel();
    let ask = async {
        events.send(Event::Snapshot(reply)).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(PATIENCE, ask).await.ok().flatten()
}

async fn metrics_page(State(shared): State<Shared>) -> Response {
    let Some(snapshot) = snapshot(&shared.events).await else { return hung() };
    match shared.metrics.render(snapshot) {
        Ok(page) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], page).into_response()
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n").into_response(),
    }
}

async fn healthz(State(shared): State<Shared>) -> Response {
    match snapshot(&shared.events).await {
        Some(_) => "ok\n".into_response(),
        None => hung(),
    }
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match snapshot(&shared.events).await {
        Some(snapshot) if snapshot.uplink => "ready\n".into_response(),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "the broker is not connected\n").into_response(),
        None => hung(),
    }
}

fn hung() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the event loop does not answer\n").into_response()
}
