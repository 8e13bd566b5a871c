//! `glassd models list|verify|explain`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use glassd_inference::{InputShape, Isa, NodeReport};

use super::asked::{asked, models_behind};
use crate::cli::ModelsCommand;
use crate::config::Config;

/// Lists or verifies the embedded models and those of the manifest, or quantises one.
pub(super) fn run(config: &Config, command: &ModelsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelsCommand::List => list(config),
        ModelsCommand::Verify { name } => verify(config, name.as_deref()),
        ModelsCommand::Explain { model, shapes, json, seconds } => {
            explain(config, model, shapes, *json, *seconds)
        }
        ModelsCommand::Quantize(args) => super::quantize::run(config, args),
    }
}

fn list(config: &Config) -> anyhow::Result<ExitCode> {
    let embedded = glassd_inference::embedded().context("the embedded detector")?;
    print_entry("embedded", embedded.entry());
    if !config.models.manifest.as_os_str().is_empty() {
        let store = crate::models::store(config)?;
        let manifest = store.manifest();
        for entry in &manifest.models {
            print_entry(&entry.name, entry);
        }
        for entry in &manifest.ensembles {
            let members = entry.members.iter().map(|member| format!("{} × {}", member.model, member.weight));
            println!("{:28} all of   {}", entry.name, members.collect::<Vec<_>>().join(", "));
        }
        for entry in &manifest.variants {
            let all: f32 = entry.arms.iter().map(|arm| arm.weight).sum();
            let share = |weight: f32| 100.0 * weight / all;
            let arms = entry.arms.iter().map(|arm| format!("{} {:.0} %", arm.model, share(arm.weight)));
            println!("{:28} one of   {}", entry.name, arms.collect::<Vec<_>>().join(", "));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_entry(name: &str, entry: &glassd_inference::ModelEntry) {
    let input = entry.input.map_or_else(String::new, |input| format!("{}×{}", input.width, input.height));
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
        for name in models_behind(store.manifest(), only) {
            let entry = store.manifest().model(&name).expect("the manifest was checked when it was read");
            tell(&name, store.verify(entry).map_err(|error| error.to_string()));
        }
    }
    anyhow::ensure!(
        checked > 0,
        "no model is called {:?}; `glassd models list` lists them",
        only.unwrap_or_default()
    );
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn explain(
    config: &Config,
    name: &str,
    shapes: &[InputShape],
    json: bool,
    seconds: f64,
) -> anyhow::Result<ExitCode> {
    let duration = Duration::try_from_secs_f64(seconds).context("--seconds")?;
    let models = asked(config, name, shapes)?;
    for (at, model) in models.iter().enumerate() {
        let prepared = model.prepared()?;
        let nodes = match &model.sample {
            Some(sample) => prepared.explain_on(sample, duration),
            None => prepared.explain(duration),
        };
        let nodes = nodes.with_context(|| model.name.clone())?;
        if json {
            print_json(&model.name, &nodes);
            continue;
        }
        if models.len() > 1 {
            println!("{}{}", if at == 0 { "" } else { "\n" }, model.name);
        }
        print_table(&nodes);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(model: &str, nodes: &[NodeReport]) {
    for node in nodes {
        let line = serde_json::json!({
            "model": model, "name": node.name, "operation": node.operation, "output": node.output,
            "int8": node.is_int8, "macs": node.macs, "us": node.time.as_secs_f64() * 1e6,
        });
        println!("{line}");
    }
}

fn print_table(nodes: &[NodeReport]) {
    let total: Duration = nodes.iter().map(|node| node.time).sum();
    let macs: u64 = nodes.iter().map(|node| node.macs).sum();
    let share = |part: f64, whole: f64| 100.0 * part / whole.max(f64::MIN_POSITIVE);
    println!("{:>9} {:>6} {:>9}  {:22} {:28} node", "us", "time", "Mmac", "operation", "output");
    for node in nodes.iter().filter(|node| node.time > Duration::ZERO) {
        println!(
            "{:9.1} {:5.1}% {:9.3}  {:22} {:28} {}",
            node.time.as_secs_f64() * 1e6,
            share(node.time.as_secs_f64(), total.as_secs_f64()),
            node.macs as f64 / 1e6,
            node.operation,
            node.output,
            node.name
        );
    }
    let int8 = nodes.iter().filter(|node| node.is_int8);
    let (int8_macs, int8_time) =
        int8.fold((0, Duration::ZERO), |(macs, time), node| (macs + node.macs, time + node.time));
    println!(
        "\n{:.3} ms in {} nodes on {}; {:.1} Mmac, {:.1} % of them and {:.1} % of the time in INT8 layers",
        total.as_secs_f64() * 1e3,
        nodes.len(),
        Isa::best().name(),
        macs as f64 / 1e6,
        share(int8_macs as f64, macs as f64),
        share(int8_time.as_secs_f64(), total.as_secs_f64()),
    );
}
