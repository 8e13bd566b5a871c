//! `glassd`: parses the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser as _;
use glassd::cli::Cli;

fn main() -> ExitCode {
    match glassd::commands::dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("glassd: {error:#}");
            ExitCode::FAILURE
        }
    }
}
