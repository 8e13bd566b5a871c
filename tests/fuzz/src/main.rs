//! `cargo run --release -p glassd-fuzz -- TARGET --minutes N`: mutates until the time is up or something
//! fails; a failing input is written to a file.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use glassd_fuzz::{Campaign, Failure, TARGETS, corpus, target};

/// Throws mutated bytes at a parser.
#[derive(Parser)]
struct Arguments {
    /// Which parser; `list` names them.
    target: String,
    /// For how long.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Where the mutations begin.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Runs this file alone, as often as it takes to see why it fails: once.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where a failing input is written.
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.target == "list" {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return Ok(());
    }
    let target = target(&arguments.target)
        .with_context(|| format!("no target {:?}; `list` names them", arguments.target))?;
    if let Some(path) = &arguments.input {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        println!("outcome {:016x}", (target.run)(&bytes));
        return Ok(());
    }
    let inputs = corpus(target)?.into_iter().map(|(_, bytes)| bytes).collect();
    let limit = Duration::try_from_secs_f64(arguments.minutes * 60.0).context("reading --minutes")?;
    let started = Instant::now();
    let mut runs = 0_u64;
    let result = Campaign::new(target, inputs, arguments.seed).and_then(|mut campaign| {
        while started.elapsed() < limit {
            campaign.step()?;
            runs += 1;
        }
        Ok(campaign)
    });
    match result {
        Ok(campaign) => {
            println!(
                "{}: {runs} inputs in {:.0?} from seed {}, {} outcomes, slowest {:.1?}",
                target.name,
                started.elapsed(),
                arguments.seed,
                campaign.outcomes(),
                campaign.slowest(),
            );
            Ok(())
        }
        Err(Failure { input, what }) => {
            let path = arguments.out.join(format!("failure-{}-{}-{runs}", target.name, arguments.seed));
            std::fs::write(&path, input).with_context(|| format!("writing {}", path.display()))?;
            bail!("{}: {what}: input {runs} of seed {}, in {}", target.name, arguments.seed, path.display());
        }
    }
}
