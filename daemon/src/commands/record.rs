//! `glassd record`: what comes over the air, into a file.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;

use anyhow::Context as _;
use glassd_core::capture;

use crate::cli::RecordArgs;
use crate::config::Config;
use crate::control::{Reply, Request, request};

/// Records until the time is over, Ctrl-C, or the daemon ends it.
pub(super) async fn run(config: &Config, args: RecordArgs) -> anyhow::Result<ExitCode> {
    let path = args.output.display().to_string();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.output)
        .with_context(|| format!("cannot create {path}; a recording never replaces a file"))?;
    let mut file = std::io::BufWriter::new(file);
    writeln!(file, "{}", capture::header()).with_context(|| format!("cannot write {path}"))?;
    let (mut lines, mut bytes, mut problem) = (0_u64, 0_u64, None);
    let asked = Request::Record { glasses: args.glasses };
    let socket = &config.gateway.control_socket;
    let recording = request(socket, &asked, |reply| match reply {
        Reply::Captured(captured) => {
            let line = serde_json::to_string(&captured).expect("a line is JSON");
            if let Err(error) = writeln!(file, "{line}") {
                problem.get_or_insert(anyhow::Error::new(error).context(format!("cannot write {path}")));
            }
            (lines, bytes) = (lines + 1, bytes + line.len() as u64 + 1);
        }
        Reply::Error(error) => problem = Some(anyhow::anyhow!(error)),
        _ => {}
    });
    let time = async {
        match args.seconds {
            Some(seconds) => tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await,
            None => std::future::pending().await,
        }
    };
    eprintln!("recording to {path}; Ctrl-C ends it");
    let is_whole = tokio::select! {
        ended = recording => { ended?; false }
        () = time => true,
        stopped = tokio::signal::ctrl_c() => { stopped.context("cannot wait for Ctrl-C")?; true }
    };
    if let Some(problem) = problem {
        // What is left of it is a header.
        if lines == 0 {
            let _ = std::fs::remove_file(&args.output);
        }
        return Err(problem);
    }
    file.flush().with_context(|| format!("cannot write {path}"))?;
    println!("{lines} lines, {bytes} bytes in {path}");
    anyhow::ensure!(is_whole, "the daemon ended the recording: it stopped, or this disk was too slow for it");
    Ok(ExitCode::SUCCESS)
}
