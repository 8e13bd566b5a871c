//! `glassd history`: what was asked and answered, to read, search, take along and forget.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use glassd_core::Timestamp;

use crate::cli::HistoryArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::outbox::{Explanation, History};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lists, or does what the options say.
pub(super) fn run(config: &Config, args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let path = config.outbox_path();
    anyhow::ensure!(
        path.is_file(),
        "there is no history yet: {} is written when the gateway runs",
        path.display()
    );
    if let Some(days) = args.purge {
        let before = Clock::start().now() - DAY * days;
        let count = History::open_to_purge(&path)?.purge(before)?;
        println!("{count} forgotten");
        return Ok(ExitCode::SUCCESS);
    }
    let history = History::open(&path)?;
    if let Some(file) = &args.export {
        let rows = history.all()?;
        export(&rows, file).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{} exported to {}", rows.len(), file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let words = args.words.join(" ");
    let mut rows = if words.trim().is_empty() {
        history.last(args.count)?
    } else {
        history.search(&words, args.count)?
    };
    if rows.is_empty() {
        eprintln!("nothing found");
        return Ok(ExitCode::FAILURE);
    }
    // The newest is next to where one goes on typing.
    rows.reverse();
    for row in rows {
        if args.json {
            println!("{}", row.json);
        } else {
            println!(
                "{}  {}  {:5}  {}  → {}",
                when(row.asked_at),
                row.query,
                row.route,
                row.question,
                row.answer
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the whole explanations, one a line, into a new file that only its owner may read.
fn export(rows: &[Explanation], path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut file = std::io::BufWriter::new(file);
    for row in rows {
        writeln!(file, "{}", row.json)?;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

fn when(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or_default();
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "-".to_owned(), |at| at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string())
}
