//! `glassd`: parses the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser as _;
use glassd::cli::Cli;

fn main() -> ExitCode {
    set_panic_hook();
    match glassd::commands::dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("glassd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends at once, with a line instead of a panic, when standard output is closed (`glassd status | head`) or full; says
/// nothing of what a model file made panic and an error will tell.
fn set_panic_hook() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        match message.strip_prefix("failed printing to stdout: ") {
            Some(why) if why.contains("Broken pipe") => std::process::exit(0),
            Some(why) => {
                eprintln!("glassd: cannot print: {why}");
                std::process::exit(1);
            }
            None if glassd_inference::is_panic_expected() => {}
            None => default(panic),
        }
    }));
}
