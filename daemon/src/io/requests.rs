//! What people ask of a running daemon: over the control socket, over MQTT.

use std::time::Duration;

use glassd_core::GlassesId;
use glassd_core::gateway::{Gateway, Input};
use glassd_core::query::Source;
use glassd_policies::Privacy;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Io, reply};
use crate::control::{Ask, Reply, Request};
use crate::telemetry::resident_bytes;

/// Longest time that a link is paused: a person types six digits within it.
const MAX_PAUSE_S: u16 = 600;

impl Io {
    /// A command over MQTT: `ask` with `{"text": …}` or plain text, `privacy` with a mode.
    pub(super) fn handle_command(&mut self, name: &str, payload: &[u8]) -> Vec<Input> {
        match read_command(name, payload) {
            Ok(Request::Ask(ask)) => self.ask(ask, Source::Mqtt, None),
            Ok(Request::Privacy(mode)) => vec![self.set_privacy(mode)],
            // The control socket's own.
            Ok(Request::Status {} | Request::Record { .. } | Request::Pause { .. }) => Vec::new(),
            Err(reason) => {
                tracing::warn!(command = name, bytes = payload.len(), %reason, "a command was not understood");
                Vec::new()
            }
        }
    }

    pub(super) fn handle_request(
        &mut self,
        request: Request,
        source: Source,
        replies: Option<mpsc::Sender<Reply>>,
        gateway: &Gateway,
    ) -> Vec<Input> {
        match request {
            Request::Ask(Ask { glasses: Some(glasses), .. })
            | Request::Record { glasses: Some(glasses) }
            | Request::Pause { glasses, .. }
                if !self.knows(&glasses, gateway) =>
            {
                let known: Vec<&str> = self.links.keys().map(GlassesId::as_str).collect();
                let error = format!("there are no glasses called {glasses}; there are: {}", known.join(", "));
                reply(replies.as_ref(), Reply::Error(error));
                Vec::new()
            }
            Request::Ask(Ask { glasses: None, .. }) if self.links.len() > 1 => {
                let known: Vec<&str> = self.links.keys().map(GlassesId::as_str).collect();
                let error = format!("whose question is it? There are: {}", known.join(", "));
                reply(replies.as_ref(), Reply::Error(error));
                Vec::new()
            }
            Request::Ask(ask) => self.ask(ask, source, replies),
            Request::Status {} => {
                let mut state = self.describe_with_links(gateway);
                state["memory_mb"] = json!(resident_bytes().map(|bytes| bytes / 1_000_000));
                reply(replies.as_ref(), Reply::Status(state));
                Vec::new()
            }
            Request::Record { glasses } => {
                if let Some(replies) = replies {
                    self.record(glasses, replies);
                }
                Vec::new()
            }
            Request::Pause { glasses, seconds } => {
                let duration = Duration::from_secs(seconds.min(MAX_PAUSE_S).into());
                let Some(begins) = self.pause(&glasses, duration, "another program wants them") else {
                    let error = format!("{glasses} have no link that could be paused now");
                    reply(replies.as_ref(), Reply::Error(error));
                    return Vec::new();
                };
                tokio::spawn(async move {
                    // A link that has ended leaves its glasses alone too.
                    let _ = begins.await;
                    reply(replies.as_ref(), Reply::Done {});
                });
                Vec::new()
            }
            Request::Privacy(mode) => {
                reply(replies.as_ref(), Reply::Done {});
                vec![self.set_privacy(mode)]
            }
        }
    }

    /// Sets the mode for now and for the next start: a wearer who chose local-only keeps it.
    fn set_privacy(&mut self, mode: Privacy) -> Input {
        self.state.state_changed = true;
        if let Err(error) = crate::privacy::remember(&self.state_dir, mode) {
            tracing::error!(%error, "the privacy mode is set, and will be forgotten at the next start");
        }
        Input::SetPrivacy(mode)
    }

    /// Glasses are known when they are configured, or when frames came from them.
    fn knows(&self, glasses: &GlassesId, gateway: &Gateway) -> bool {
        self.links.contains_key(glasses) || gateway.glasses().any(|known| known.id == glasses)
    }

    fn ask(&mut self, ask: Ask, source: Source, replies: Option<mpsc::Sender<Reply>>) -> Vec<Input> {
        let query = ask.query.unwrap_or_else(crate::random_query_id);
        if let Some(replies) = replies {
            self.state.waiting.insert(query, replies);
        }
        vec![Input::Ask { query, glasses: ask.glasses, text: ask.text, source }]
    }
}

/// Reads an MQTT command; the error says what would be right.
fn read_command(name: &str, payload: &[u8]) -> Result<Request, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "it is not UTF-8".to_owned())?.trim();
    match name {
        "ask" if text.starts_with('{') => {
            serde_json::from_str(text).map(Request::Ask).map_err(|error| error.to_string())
        }
        "ask" => Ok(Request::Ask(Ask { text: text.to_owned(), glasses: None, query: None })),
        "privacy" => serde_json::from_value(json!(text.trim_matches('"')))
            .map(Request::Privacy)
            .map_err(|error| error.to_string()),
        _ => Err("commands are: ask, privacy".to_owned()),
    }
}
