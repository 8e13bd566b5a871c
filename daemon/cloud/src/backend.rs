//! Who answers: a model server.

use std::fmt;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;

use crate::chat;

/// Longest reply read from a model server, in bytes: an answer has at most 16 KiB, the rest is slack
/// for what servers add to it.
const MAX_REPLY: u64 = 512 * 1024;
/// Longest wait that a server may ask for with `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What the model is told about its role, unless configured otherwise.
pub const DEFAULT_PROMPT: &str = "You answer questions of a person who wears smart glasses; the picture, if there is one, is what \
     they see. Answer in one or two short sentences of plain text, without markup. If the picture does not \
     show the answer, say so.";

/// A question for a model.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// The question.
    pub text: String,
    /// Language of the answer, BCP 47.
    pub language: String,
    /// What the glasses see, a JPEG.
    pub image: Option<Vec<u8>>,
    /// What the gateway itself believes to see.
    pub hint: Option<String>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A person's words and view stay out of logs.
        f.debug_struct("Question")
            .field("image_bytes", &self.image.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

/// A model's answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer, at most [`glassd_core::wire::MAX_TEXT`] bytes.
    pub text: String,
    /// Which model answered, at most 200 bytes.
    pub model: String,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("model", &self.model).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Overloaded, failing or out of reach: asking again may help.
    #[error("the model server is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It will not answer this, however often it is asked.
    #[error("the model server refused: {0}")]
    Refused(String),
    /// Its reply is no answer.
    #[error("the model server's reply is of no use: {0}")]
    Malformed(String),
}

/// Why a backend cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackend {
    /// Not a URL that can be asked.
    #[error("a base URL is http://host[:port][/path] or https://…, not {0:?}")]
    BaseUrl(String),
    /// The key cannot be sent.
    #[error("the key holds characters that no HTTP header can carry")]
    Key,
}

/// Who answers.
#[derive(Debug)]
pub enum Backend {
    /// An OpenAI-compatible chat endpoint.
    OpenAi(OpenAi),
}

impl Backend {
    /// Asks once and blocks until the answer is there, at most `timeout`.
    pub fn ask(&self, question: &Question, timeout: Duration) -> Result<Reply, BackendError> {
        match self {
            Self::OpenAi(server) => server.ask(question, timeout),
        }
    }
}

/// What an OpenAI-compatible server is asked for, and how.
#[derive(Clone)]
pub struct OpenAiSettings {
    /// `http://host:port` or `https://host`; a final `/v1` may be given or left out.
    pub base_url: String,
    /// Name of the model.
    pub model: String,
    /// Bearer token.
    pub key: Option<String>,
    /// What the model is told about its role.
    pub prompt: String,
}

impl fmt::Debug for OpenAiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiSettings")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// An OpenAI-compatible server.
pub struct OpenAi {
    settings: OpenAiSettings,
    url: String,
    agent: Agent,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl OpenAi {
    /// Checks the settings; connects to nothing yet.
    pub fn new(settings: OpenAiSettings) -> Result<Self, InvalidBackend> {
        let url = endpoint(&settings.base_url)
            .ok_or_else(|| InvalidBackend::BaseUrl(settings.base_url.chars().take(200).collect()))?;
        if settings.key.as_ref().is_some_and(|key| !key.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(InvalidBackend::Key);
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST is a misconfigured URL; better said than followed with a photo.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("glassd-cloud/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { settings, url, agent })
    }

    fn ask(&self, question: &Question, timeout: Duration) -> Result<Reply, BackendError> {
        let body = chat::request(&self.settings.model, &self.settings.prompt, question);
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(key) = &self.settings.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let mut response = request.send(&body[..]).map_err(|error| unavailable(&error))?;
        check_status(&response)?;
        let body = response.body_mut().with_config().limit(MAX_REPLY).read_to_vec();
        let body = body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(limit) => {
                BackendError::Malformed(format!("it is longer than {limit} bytes"))
            }
            error => unavailable(&error),
        })?;
        chat::reply(&body, &self.settings.model)
    }
}

fn endpoint(base_url: &str) -> Option<String> {
    let base = base_url.trim_end_matches('/');
    let base = base.strip_suffix("/v1").unwrap_or(base);
    let uri: ureq::http::Uri = base.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty());
    (known && plain).then(|| format!("{base}/v1/chat/completions"))
}

fn unavailable(error: &ureq::Error) -> BackendError {
    BackendError::Unavailable { reason: error.to_string(), retry_after: None }
}

/// The body of an error says more, but may repeat the key or the question.
fn check_status<T>(response: &Response<T>) -> Result<(), BackendError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("it answered {status}");
    if status.as_u16() == 429 || status.as_u16() == 408 || status.is_server_error() {
        return Err(BackendError::Unavailable { reason, retry_after: retry_after(response) });
    }
    Err(BackendError::Refused(reason))
}

/// Reads `Retry-After` in seconds; its other form, a date, needs a clock that both sides share.
fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let seconds: u64 = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}
