//! `glassd calibrate`: from outcomes to probabilities, and to the bound that keeps the promised risk.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use glassd_policies::calibration::{Calibration, Outcome, Risk, RiskBound};

use crate::calibration::{self, Calibrated};
use crate::config::Config;
use crate::outbox::History;

/// Fits, tells what came out, and writes it for the next start.
pub(super) fn run(config: &Config, outcomes: Option<&Path>, dry_run: bool) -> anyhow::Result<ExitCode> {
    let (outcomes, newest_outcome) = match outcomes {
        Some(path) => (read(path)?, 0),
        None => History::open(&config.outbox_path())?.outcomes()?,
    };
    let policy = crate::daemon::load_policies(config)?.escalation;
    let [ordinary, costly] = policy.risks();
    let calibration = Calibration::fit(&outcomes, ordinary, costly);
    let right = outcomes.iter().filter(|outcome| outcome.right).count();
    println!("{} outcomes, {right} of them right", outcomes.len());
    let kinds: Vec<&str> = calibration.kinds().collect();
    println!("curves: {}", if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") });
    tell("ordinary", ordinary, calibration.ordinary.as_ref(), policy.local_probability);
    tell("costly", costly, calibration.costly.as_ref(), policy.costly_probability);
    if outcomes.is_empty() {
        eprintln!(
            "nothing is known yet: outcomes come from questions that the cloud answers too (policy escalation, `audit_share` \
             and `cloud_audit_share`)"
        );
        return Ok(ExitCode::FAILURE);
    }
    if dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let path = calibration::write(&config.gateway.state_dir, &Calibrated { newest_outcome, calibration })?;
    println!("written to {}; the gateway reads it at its next start", path.display());
    Ok(ExitCode::SUCCESS)
}

fn tell(name: &str, risk: Risk, bound: Option<&RiskBound>, without: f32) {
    let (share, confidence) = (risk.share * 100.0, risk.confidence * 100.0);
    match bound {
        Some(RiskBound { probability, outcomes, wrong, .. }) => println!(
            "{name}: local from a probability of {probability:.3} on: at most {share:.1} % wrong, {confidence:.0} % sure \
             ({wrong} of {outcomes} held out were wrong)"
        ),
        None => println!(
            "{name}: no bound is proven to leave at most {share:.1} % wrong, {confidence:.0} % sure; the policy's \
             {without:.3} stays"
        ),
    }
}

/// Reads outcomes from a file: a JSON object a line.
fn read(path: &Path) -> anyhow::Result<Vec<Outcome>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), number + 1))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
}
