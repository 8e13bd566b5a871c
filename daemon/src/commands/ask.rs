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
        if let Some(words) = camera_words(glasses) {
            println!("{:14} camera: {words}", "");
        }
        for reason in glasses["camera"]["why"].as_array().into_iter().flatten() {
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

/// Says what the camera of a pair of glasses does, and what it cannot be told; nothing of glasses that are away.
fn camera_words(glasses: &serde_json::Value) -> Option<String> {
    if glasses["connected"] != true {
        return None;
    }
    let camera = &glasses["camera"];
    if camera.is_null() {
        return Some("none".to_owned());
    }
    let mut words = Vec::new();
    if let Some(seconds) = camera["own_interval_s"].as_f64() {
        words.push(format!("every {seconds} s by itself"));
    }
    words.push(match (camera["longest_side"].as_u64(), camera["quality"].as_u64()) {
        (Some(side), Some(quality)) => format!("{side} px at quality {quality}"),
        _ if camera["adjustable"] == true => "size and quality can be set".to_owned(),
        _ => "size and quality fixed".to_owned(),
    });
    let shortest = camera["shortest_interval_s"].as_f64().filter(|seconds| *seconds > 0.0);
    let limit = shortest.map(|seconds| format!(", one in {seconds} s at most")).unwrap_or_default();
    Some(format!("{}; single photos asked for{limit}", words.join(", ")))
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::camera_words;

    #[test]
    fn a_camera_in_words() {
        let check = |camera: serde_json::Value, expected: &str| {
            let glasses = json!({"connected": true, "camera": camera});
            assert_eq!(camera_words(&glasses).as_deref(), Some(expected));
        };
        check(json!(null), "none");
        check(
            json!({"adjustable": false, "own_interval_s": 30.0, "shortest_interval_s": 0.0}),
            "every 30 s by itself, size and quality fixed; single photos asked for",
        );
        check(
            json!({"adjustable": true, "own_interval_s": null, "shortest_interval_s": 1.5, "longest_side": 320, "quality": 75}),
            "320 px at quality 75; single photos asked for, one in 1.5 s at most",
        );
        assert_eq!(camera_words(&json!({"connected": false})), None);
    }
}
