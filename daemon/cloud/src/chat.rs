//! The chat endpoint of OpenAI-compatible servers: `POST {base}/v1/chat/completions`.
//!
//! Only the fields that every such server has; see "Create chat completion" in the OpenAI API
//! reference, and the servers' own documents (vLLM, Ollama, llama.cpp, LiteLLM).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use glassd_core::wire::MAX_TEXT;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::backend::{BackendError, Question, Reply};

/// Writes a request.
pub(crate) fn request(model: &str, prompt: &str, question: &Question) -> Vec<u8> {
    let mut text = question.text.clone();
    if let Some(hint) = &question.hint {
        text.push_str("\n\nA small model on the glasses believes: ");
        text.push_str(hint);
    }
    let content = match &question.image {
        // A plain string is understood by servers without vision, too.
        None => json!(text),
        Some(jpeg) => json!([
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg))}},
        ]),
    };
    let system = format!("{prompt} Answer in the language with the BCP 47 tag {}.", question.language);
    let body = json!({
        "model": model,
        "stream": false,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": content}],
    });
    body.to_string().into_bytes()
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    model: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    refusal: Option<String>,
}

/// Reads a reply from foreign bytes.
pub(crate) fn reply(body: &[u8], model: &str) -> Result<Reply, BackendError> {
    let malformed = |what: String| Err(BackendError::Malformed(what));
    if body.iter().all(u8::is_ascii_whitespace) {
        return malformed("it is empty".to_owned());
    }
    let completion: Completion = match serde_json::from_slice(body) {
        Ok(completion) => completion,
        Err(error) => return malformed(format!("it is no chat completion ({})", class(body, &error))),
    };
    let Some(choice) = completion.choices.into_iter().next() else {
        return malformed("it has no choices".to_owned());
    };
    let text = text_of(&choice.message.content).or(choice.message.refusal).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return malformed("its message is empty".to_owned());
    }
    let model = completion.model.filter(|name| !name.is_empty()).unwrap_or_else(|| model.to_owned());
    Ok(Reply { text: cut(text, MAX_TEXT).to_owned(), model: cut(&model, 200).to_owned() })
}

/// A message is a text, or a list of parts of which some are texts.
fn text_of(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            (!texts.is_empty()).then(|| texts.join(" "))
        }
        _ => None,
    }
}

/// Says what a body is without repeating it: an error page may hold anything.
fn class(body: &[u8], error: &serde_json::Error) -> String {
    if body.trim_ascii_start().starts_with(b"<") {
        return "it looks like HTML".to_owned();
    }
    match error.classify() {
        serde_json::error::Category::Data => "JSON of another shape".to_owned(),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "no JSON".to_owned(),
        serde_json::error::Category::Eof => "JSON cut short".to_owned(),
    }
}

/// Cuts a text to at most `bytes`, at a character's boundary.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
