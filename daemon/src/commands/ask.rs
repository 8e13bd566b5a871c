//! `glassd ask` and `glassd status`: clients of the control socket.

use std::process::ExitCode;

use glassd_core::GlassesId;
use glassd_core::query::Ending;

use crate::config::Config;
use crate::control::{Ask, Reply, Request, request};

/// Asks, prints notices on standard error and the answer on standard output.
pub(super) async fn ask(
    config: &Config,
    text: String,
    glasses: Option<GlassesId>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut code = None;
    let ask = Request::Ask(Ask { text, glasses, query: None });
    request(&config.gateway.control_socket, &ask, |reply| match reply {
        Reply::Accepted(query) => eprintln!("query {query}"),
        Reply::Deferred(_) => eprintln!("the cloud cannot be reached: the answer will come when it can"),
        Reply::Ended(answered) => {
            if json {
                println!("{}", serde_json::to_string_pretty(&answered).expect("an explanation is JSON"));
            } else {
                println!("{}", answered.answer);
            }
            code =
                Some(if answered.ending == Ending::Answered { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Reply::Error(error) => {
            eprintln!("glassd: {error}");
            code = Some(ExitCode::FAILURE);
        }
        Reply::Status(_) | Reply::Done {} | Reply::Captured(_) => {}
    })
    .await?;
    code.ok_or_else(|| {
        anyhow::anyhow!("the daemon closed the connection without an answer; `glassd why last` may tell more")
    })
}

/// Prints the state.
pub(super) async fn status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    request(&config.gateway.control_socket, &Request::Status {}, |reply| {
        let Reply::Status(state) = reply else { return };
        if json {
            println!("{}", serde_json::to_string_pretty(&state).expect("state is JSON"));
        } else {
            print_state(&state);
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn print_state(state: &serde_json::Value) {
    for (name, value) in state.as_object().into_iter().flatten().filter(|(name, _)| *name != "glasses") {
        println!("{:14} {}", name.replace('_', " "), plain(value));
    }
    for (name, glasses) in state["glasses"].as_object().into_iter().flatten() {
        let battery =
            glasses["battery"].as_u64().map_or("unknown".to_owned(), |percent| format!("{percent} %"));
        let link = if glasses["connected"] == true { "connected" } else { "away" };
        println!("{name:14} {link}, battery {battery}, {} fps", plain(&glasses["fps"]));
        print_link(&glasses["link"]);
        for reason in glasses["why"].as_array().into_iter().flatten() {
            println!("{:14}   {}", "", plain(reason));
        }
    }
}

/// How the link stands, and how well it carries.
fn print_link(link: &serde_json::Value) {
    if link.is_null() {
        return;
    }
    let mut told = vec![format!("link {}", plain(&link["stage"]))];
    let facts = [
        ("address", "", ""),
        ("mtu", "MTU ", ""),
        ("rssi_dbm", "", " dBm"),
        ("goodput_bytes_per_s", "", " bytes a second"),
        ("first_frame_ms", "first frame after ", " ms"),
        ("connections", "", " times connected"),
    ];
    for (key, before, after) in facts {
        if !link[key].is_null() {
            told.push(format!("{before}{}{after}", plain(&link[key])));
        }
    }
    println!("{:14}   {}", "", told.join(", "));
    if let (false, Some(reason)) = (link["stage"] == "up", link["last_loss"].as_str()) {
        println!("{:14}   {reason}", "");
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
