//! Questions with known answers through the escalation policy: see README.md beside this.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a tool beside the pure crate"
)]

#[path = "strategy.rs"]
mod strategy;
#[path = "world.rs"]
mod world;

use std::process::ExitCode;

use glassd_policies::EscalationPolicy;
use glassd_policies::calibration::{Calibration, Outcome};
use strategy::{Strategy, Tally};
use world::{Asked, Light};

/// First seeds of the rooms: none that the detector was trained, calibrated or examined on.
const CALIBRATION: u64 = 50_000_000;
const EVALUATION: u64 = 60_000_000;
const DARK: u64 = 70_000_000;

struct Arguments {
    queries: usize,
    seed: u64,
    cloud_error: f64,
    json: Option<String>,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!(
                "{problem}\nusage: simulate --queries N [--seed S] [--cloud-error SHARE] [--json FILE]"
            );
            return ExitCode::from(2);
        }
    };
    let Arguments { queries, seed, cloud_error, .. } = arguments;
    let ask = |what: &str, first: u64, count: usize, light: Light| {
        eprintln!("{what}: {count} questions");
        world::ask(first + seed * 1_000_000, count, light, cloud_error)
    };
    let known = ask("calibration", CALIBRATION, queries, Light::AsItIs);
    let asked = ask("evaluation", EVALUATION, queries, Light::AsItIs);
    let dark = ask("in the dark", DARK, queries, Light::Gone);

    let policy = EscalationPolicy::default();
    let [ordinary, costly] = policy.risks();
    let calibration = Calibration::fit(&outcomes(&known), ordinary, costly);
    match &calibration.ordinary {
        Some(bound) => println!(
            "calibrated on {} candidates: local from {:.3} on ({} of {} held out were wrong)\n",
            outcomes(&known).len(),
            bound.probability,
            bound.wrong,
            bound.outcomes
        ),
        None => println!("no bound is proven: more questions are needed (--queries)\n"),
    }
    let tally = |asked: &[Asked], strategy| strategy::tally(asked, &policy, &calibration, strategy, seed);
    let light: Vec<Tally> = Strategy::IN_THE_LIGHT.iter().map(|&one| tally(&asked, one)).collect();
    println!("{}", strategy::table("as it is", &light));
    let after: Vec<Tally> = Strategy::IN_THE_DARK.iter().map(|&one| tally(&dark, one)).collect();
    println!("{}", strategy::table("in the dark", &after));
    if let Some(path) = &arguments.json {
        let rows = |world: &str, tallies: &[Tally]| -> Vec<serde_json::Value> {
            tallies.iter().map(|tally| tally.row(world)).collect()
        };
        let rows = [rows("as it is", &light), rows("in the dark", &after)].concat();
        if let Err(error) = std::fs::write(path, serde_json::to_string_pretty(&rows).unwrap()) {
            eprintln!("cannot write {path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    let ours = light.iter().find(|tally| tally.strategy == Strategy::Calibrated).unwrap();
    let (wrong, risk) = (ours.wrong_of_local(), f64::from(policy.risk));
    let holds = wrong <= risk;
    println!(
        "of the local answers {:.2} % were wrong, at most {:.1} % were promised: {}",
        wrong * 100.0,
        risk * 100.0,
        if holds { "kept" } else { "BROKEN" }
    );
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the gateway would know: whether the cloud agreed, where that can be told.
fn outcomes(asked: &[Asked]) -> Vec<Outcome> {
    let outcome = |one: &Asked| {
        let candidate = one.candidate.as_ref()?;
        Some(Outcome { kind: one.kind.clone(), score: candidate.score, right: candidate.agreed?, share: 1.0 })
    };
    asked.iter().filter_map(outcome).collect()
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments { queries: 10_000, seed: 0, cloud_error: 0.03, json: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let bad = |_| format!("{word} {value} is no number");
        match word.as_str() {
            "--queries" => arguments.queries = value.parse().map_err(bad)?,
            "--seed" => arguments.seed = value.parse().map_err(bad)?,
            "--cloud-error" => {
                arguments.cloud_error = value.parse().map_err(|_| format!("{word} {value} is no share"))?;
            }
            "--json" => arguments.json = Some(value),
            _ => return Err(format!("{word} is not known")),
        }
    }
    if arguments.queries < 100 || !(0.0..=1.0).contains(&arguments.cloud_error) || arguments.seed > 9 {
        return Err("--queries is at least 100, --cloud-error from 0 to 1, --seed from 0 to 9".to_owned());
    }
    Ok(arguments)
}
