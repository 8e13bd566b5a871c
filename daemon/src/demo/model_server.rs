//! The demo's cloud model: an OpenAI-compatible endpoint on loopback.
//!
//! It gets what a real one would get (a question and a JPEG) and answers from the ground truth of the
//! room that it recognises in the picture: a picture that did not arrive, or of another room, gets
//! no right answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use glassd_sim::cloud::Oracle;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long the model thinks: a vision model behind a good line (time to a short answer).
const THINKING: Duration = Duration::from_millis(350);
/// Name under which it answers.
pub(super) const MODEL: &str = "simulated-vision";

/// What kind of model to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Answers from the truth.
    Honest,
    /// Answers nonsense, fluently.
    Nonsense,
}

struct Model {
    oracle: Oracle,
    temper: Temper,
}

/// Serves the model; returns its base URL.
pub(super) async fn spawn(oracle: Oracle, temper: Temper) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let listener =
        TcpListener::bind("127.0.0.1:0").await.context("cannot serve the simulated cloud model")?;
    let address = listener.local_addr().context("the simulated cloud model has no address")?;
    let router = Router::new()
        .route("/v1/chat/completions", post(complete))
        .layer(DefaultBodyLimit::max(4 << 20))
        .with_state(Arc::new(Model { oracle, temper }));
    let task = tokio::spawn(async move {
        // The demo notices a model that is gone by its missing answers.
        let _ = axum::serve(listener, router).await;
    });
    Ok((address, task))
}

async fn complete(State(model): State<Arc<Model>>, Json(request): Json<Value>) -> Response {
    tokio::time::sleep(THINKING).await;
    let Some((question, image)) = read(&request) else {
        return (StatusCode::BAD_REQUEST, "no question in the request").into_response();
    };
    let answer = match model.temper {
        Temper::Nonsense => "Seven purple elephants.".to_owned(),
        Temper::Honest => {
            let model = Arc::clone(&model);
            let answer =
                tokio::task::spawn_blocking(move || model.oracle.answer(image.as_deref(), &question)).await;
            match answer {
                Ok(Some(answer)) => answer,
                Ok(None) => "I cannot tell from this picture.".to_owned(),
                Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    };
    let choice =
        json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}});
    Json(json!({"id": "demo", "object": "chat.completion", "model": MODEL, "choices": [choice]}))
        .into_response()
}

/// Finds the wearer's question (its first paragraph; a hint may follow) and picture in a chat request.
fn read(request: &Value) -> Option<(String, Option<Vec<u8>>)> {
    let message = request["messages"].as_array()?.iter().rev().find(|message| message["role"] == "user")?;
    if let Some(text) = message["content"].as_str() {
        return Some((first_paragraph(text), None));
    }
    let parts = message["content"].as_array()?;
    let text = parts.iter().find_map(|part| part["text"].as_str()).map(first_paragraph)?;
    let image = parts
        .iter()
        .find_map(|part| part["image_url"]["url"].as_str())
        .and_then(|url| STANDARD.decode(url.split_once(";base64,")?.1).ok());
    Some((text, image))
}

fn first_paragraph(text: &str) -> String {
    text.split("\n\n").next().unwrap_or_default().to_owned()
}
