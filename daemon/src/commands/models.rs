//! `glassd models list|verify`; `quantize` has a module of its own.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::ModelsCommand;
use crate::config::Config;

/// Lists or verifies the embedded models and those of the manifest, or quantises one.
pub(super) fn run(config: &Config, command: &ModelsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelsCommand::List => list(config),
        ModelsCommand::Verify { name } => verify(config, name.as_deref()),
        ModelsCommand::Quantize(args) => super::quantize::run(config, args),
    }
}

fn list(config: &Config) -> anyhow::Result<ExitCode> {
    let embedded = glassd_inference::embedded().context("the embedded detector")?;
    print_entry("embedded", embedded.entry());
    if !config.models.manifest.as_os_str().is_empty() {
        let store = crate::models::store(config)?;
        for entry in &store.manifest().models {
            print_entry(&entry.name, entry);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_entry(name: &str, entry: &glassd_inference::ModelEntry) {
    let input = format!("{}×{}", entry.input.width, entry.input.height);
    println!("{name:28} {:26} {input:10} {}", entry.file, entry.licence);
}

fn verify(config: &Config, only: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut refused = 0;
    let mut checked = 0;
    let mut tell = |name: &str, result: Result<(), String>| {
        checked += 1;
        match result {
            Ok(()) => println!("ok    {name}"),
            Err(why) => {
                refused += 1;
                println!("FAIL  {why}");
            }
        }
    };
    if only.is_none_or(|name| name == "embedded") {
        tell("embedded", glassd_inference::embedded().map(drop).map_err(|error| error.to_string()));
    }
    if !config.models.manifest.as_os_str().is_empty() {
        let store = crate::models::store(config)?;
        for entry in store.manifest().models.iter().filter(|entry| only.is_none_or(|name| name == entry.name))
        {
            tell(&entry.name, store.verify(entry).map_err(|error| error.to_string()));
        }
    }
    anyhow::ensure!(
        checked > 0,
        "no model is called {:?}; `glassd models list` lists them",
        only.unwrap_or_default()
    );
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
