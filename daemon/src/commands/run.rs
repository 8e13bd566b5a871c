//! `glassd run`: the service.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::daemon::{Daemon, Extras};

/// Runs until SIGTERM or SIGINT.
pub(super) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut daemon = Daemon::start(&config, Extras::default()).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        broker = %daemon.broker,
        http = daemon.http.map(|address| address.to_string()),
        glasses = config.glasses.len(),
        "glassd is up"
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = daemon.ended() => {
            ended?;
            anyhow::bail!("the event loop has ended by itself");
        }
    }
    tracing::info!("glassd is stopping");
    daemon.stop().await?;
    Ok(ExitCode::SUCCESS)
}
