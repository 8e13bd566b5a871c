//! `glassd-cloud`: answers the hard queries of gateways with an OpenAI-compatible model server.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use glassd_cloud::{
    AccessFiles, Backend, BrokerAddress, Counts, DEFAULT_PROMPT, OpenAi, OpenAiSettings, Version, Worker,
    WorkerConfig,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Answers the hard queries of glassd gateways with an OpenAI-compatible model server.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The broker: mqtt://, mqtts://, ws:// or wss://.
    #[arg(long, env = "GLASSD_CLOUD_BROKER", default_value = "mqtt://127.0.0.1:1883")]
    broker: BrokerAddress,
    /// User name at the broker.
    #[arg(long, default_value = "", hide_default_value = true)]
    username: String,
    /// File with the password, or with a token, at the broker.
    #[arg(long, env = "GLASSD_CLOUD_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
    /// PEM file of those who sign the broker's certificate; without it those of the system.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// PEM file of the certificate that is shown to the broker.
    #[arg(long, requires = "client_key_file")]
    certificate_file: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, requires = "certificate_file")]
    client_key_file: Option<PathBuf>,
    /// MQTT version: auto, 5 or 3.1.1; auto is 5, or 3.1.1 with a broker that refuses it.
    #[arg(long, default_value_t = Version::Auto)]
    mqtt: Version,
    /// First part of the gateways' topics.
    #[arg(long, default_value = "glassd")]
    topic_prefix: String,
    /// The model server, as http://host:port; a final /v1 may be left out.
    #[arg(long, env = "GLASSD_CLOUD_BASE_URL")]
    base_url: String,
    /// Name of the model there.
    #[arg(long, env = "GLASSD_CLOUD_MODEL")]
    model: String,
    /// File with the model server's API key.
    #[arg(long, env = "GLASSD_CLOUD_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Longest wait for one attempt, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Further attempts when the model server is overloaded, failing or out of reach.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=20))]
    retries: u32,
    /// Queries at the model server at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// What the model is told about its role.
    #[arg(long, default_value = DEFAULT_PROMPT, hide_default_value = true)]
    prompt: String,
}

fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,glassd_cloud=info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("glassd-cloud: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = config(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let stopped = runtime.block_on(work(config));
    // A request that outlasted the worker's patience would hold up the end of the process for its time-out.
    runtime.shutdown_background();
    tracing::info!("stopped: {}", stopped?);
    Ok(())
}

async fn work(config: WorkerConfig) -> anyhow::Result<Counts> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(Worker::run(config, shutdown).await)
}

fn config(arguments: Arguments) -> anyhow::Result<WorkerConfig> {
    let key = arguments.key_file.as_deref().map(secret).transpose()?;
    let access = AccessFiles {
        username: arguments.username,
        password: arguments.password_file,
        authorities: arguments.ca_file,
        identity: arguments.certificate_file.zip(arguments.client_key_file),
    };
    // What is wrong with the files is said now rather than at every connection.
    access.read(&arguments.broker).context("cannot use the secrets and certificates for the broker")?;
    let backend = OpenAi::new(OpenAiSettings {
        base_url: arguments.base_url,
        model: arguments.model,
        key,
        prompt: arguments.prompt,
    })?;
    Ok(WorkerConfig {
        access,
        version: arguments.mqtt,
        topic_prefix: arguments.topic_prefix,
        timeout: Duration::from_secs(arguments.timeout),
        retries: arguments.retries,
        concurrency: usize::from(arguments.concurrency),
        ..WorkerConfig::new(arguments.broker, Backend::OpenAi(backend))
    })
}

fn secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let secret = text.trim();
    anyhow::ensure!(!secret.is_empty(), "{} is empty", path.display());
    Ok(secret.to_owned())
}
