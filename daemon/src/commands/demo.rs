//! `glassd demo`.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::DemoArgs;
use crate::demo;

/// Runs the demo, prints the summary, and succeeds only if all of it worked.
pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.json {
        // Found now, not after a minute of work.
        std::fs::write(path, b"").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let summary = demo::run(&args).await?;
    println!("\n{summary}");
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&summary).context("the summary cannot be written as JSON")?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for failure in &summary.failures {
        println!("FAILED: {failure}");
    }
    if summary.failures.is_empty() {
        println!("All of it worked.");
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}
