//! `glassd`: parses the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser as _;
use glassd::cli::Cli;

fn main() -> ExitCode {
    quiet_when_nobody_reads();
    match glassd::commands::dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("glassd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends at once, with a line instead of a panic, when standard output is closed (`glassd status | head`) or full.
fn quiet_when_nobody_reads() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        match message.strip_prefix("failed printing to stdout: ") {
            Some(why) if why.contains("Broken pipe") => std::process::exit(0),
            Some(why) => {
                eprintln!("glassd: cannot print: {why}");
                std::process::exit(1);
            }
            None => default(panic),
        }
    }));
}
