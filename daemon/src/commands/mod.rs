//! One module for each subcommand.

mod accel;
mod ask;
mod asked;
mod calibrate;
mod check;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "bluetooth")]
mod devices;
mod history;
mod models;
mod quantize;
mod record;
mod replay;
mod run;
mod why;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Cli, Command, ConfigCommand, PolicyCommand};
use crate::config::{self, Config};

/// Does what the command line says.
pub fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let path = cli.config.as_deref();
    match cli.command {
        Command::Run => {
            crate::telemetry::init(crate::telemetry::Quiet::No);
            runtime()?.block_on(run::run(load(path)?))
        }
        #[cfg(feature = "demo")]
        Command::Demo(args) => {
            crate::telemetry::init(crate::telemetry::Quiet::Yes);
            runtime()?.block_on(demo::run(args))
        }
        Command::Replay(args) => {
            crate::telemetry::init(crate::telemetry::Quiet::Yes);
            let config = load(path)?;
            runtime()?.block_on(replay::run(config, args))
        }
        Command::Check => Ok(check::run(path)),
        Command::Ask { text, glasses, json } => {
            runtime()?.block_on(ask::ask(&load(path)?, text, glasses, json))
        }
        Command::Status { json } => runtime()?.block_on(ask::status(&load(path)?, json)),
        Command::Record(args) => runtime()?.block_on(record::run(&load(path)?, args)),
        #[cfg(feature = "bluetooth")]
        Command::Devices { command } => runtime()?.block_on(devices::run(&load(path)?, command)),
        #[cfg(feature = "bluetooth")]
        Command::Pair(args) => runtime()?.block_on(devices::pair(&load(path)?, &args)),
        Command::Why { query, json } => why::run(&load(path)?, query, json),
        Command::Calibrate { outcomes, dry_run } => {
            calibrate::run(&load(path)?, outcomes.as_deref(), dry_run)
        }
        Command::History(args) => history::run(&load(path)?, &args),
        Command::Accel { command } => accel::run(&load(path)?, path, &command),
        Command::Models { command } => models::run(&load(path)?, &command),
        Command::Policy { command: PolicyCommand::Test { file } } => test_policy(&file),
        Command::Config { command: ConfigCommand::Reference } => {
            print!("{}", config::reference());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn load(path: Option<&Path>) -> anyhow::Result<Config> {
    Ok(config::load(path)?)
}

/// Two worker threads are plenty: everything heavy has a thread of its own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}

fn test_policy(file: &Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report = glassd_policies::test_file(&text).with_context(|| format!("in {}", file.display()))?;
    println!("{report}");
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
