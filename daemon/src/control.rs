//! The control socket: one JSON object a line, both ways.
//!
//! | request | replies |
//! |---|---|
//! | `{"ask": {"text": "…", "glasses": "…"}}` | `{"accepted": "<query>"}`, maybe `{"deferred": "<query>"}`, then `{"ended": {…}}` |
//! | `{"status": {}}` | `{"status": {…}}` |
//! | `{"privacy": "local-only"}` | `{"done": {}}` |
//! | `{"record": {"glasses": "…"}}` | `{"captured": {…}}` for all that comes over the air, until the client closes |
//! | `{"pause": {"glasses": "…", "seconds": 60}}` | `{"done": {}}`: the link lets the glasses go for so long; 0 ends it |
//!
//! A malformed request gets `{"error": "…"}`.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use glassd_core::capture::Captured;
use glassd_core::query::Answered;
use glassd_core::{GlassesId, QueryId};
use glassd_policies::Privacy;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::event_loop::Event;

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 32;
/// Longest request, in bytes.
const MAX_REQUEST: u64 = 64 * 1024;
/// Replies that wait for a slow client; more are dropped with the client.
const MAX_REPLIES: usize = 16;
/// The same for a recording: some ten seconds of photos and audio.
const MAX_CAPTURED: usize = 4096;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Ask a question.
    Ask(Ask),
    /// Tell the state.
    Status {},
    /// Set the privacy mode.
    Privacy(Privacy),
    /// Send all that comes over the air.
    Record {
        /// From whom; `None` from all.
        #[serde(default)]
        glasses: Option<GlassesId>,
    },
    /// Leave glasses to another program for a while.
    Pause {
        /// Which.
        glasses: GlassesId,
        /// For how long, in seconds, at most 600; 0 ends it.
        seconds: u16,
    },
}

/// A question; also the payload of the MQTT command `ask`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The question.
    pub text: String,
    /// Whose glasses; may be left out when there is one pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glasses: Option<GlassesId>,
    /// A name of the caller's choice, 16 hex digits: a question that comes again under it is not asked
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryId>,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The question is on disk.
    Accepted(QueryId),
    /// The question waits for the uplink.
    Deferred(QueryId),
    /// The answer, with its explanation.
    Ended(Box<Answered>),
    /// The state.
    Status(serde_json::Value),
    /// Something came over the air.
    Captured(Captured),
    /// Done, with nothing to say.
    Done {},
    /// The request was not understood.
    Error(String),
}

/// Listens in a task of its own; the socket is for its owner only.
pub fn spawn(path: &Path, events: mpsc::Sender<Event>) -> anyhow::Result<Control> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    remove_stale(path)?;
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the permissions of {}", path.display()))?;
    let task = tokio::spawn(accept(listener, events));
    Ok(Control { path: path.to_owned(), task })
}

/// The listening socket; it is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes the socket of a daemon that is gone; refuses when one still answers, or it is no socket.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    anyhow::ensure!(metadata.file_type().is_socket(), "{} is there and is no socket", path.display());
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("another glassd listens on {}", path.display());
    }
    std::fs::remove_file(path).with_context(|| format!("cannot remove the stale socket {}", path.display()))
}

async fn accept(listener: UnixListener, events: mpsc::Sender<Event>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let events = events.clone();
        tokio::spawn(async move {
            // An error here means that the client is gone.
            let _ = serve(stream, events).await;
            drop(place);
        });
    }
}

async fn serve(stream: UnixStream, events: mpsc::Sender<Event>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(MAX_REQUEST)).read_line(&mut line).await?;
    let request = read_request(&line);
    let room = if matches!(request, Ok(Request::Record { .. })) { MAX_CAPTURED } else { MAX_REPLIES };
    let (replies, mut answers) = mpsc::channel(room);
    match request {
        Ok(request) => {
            if events.send(Event::Control { request, replies }).await.is_err() {
                return Ok(());
            }
        }
        Err(error) => {
            let _ = replies.try_send(Reply::Error(error));
            drop(replies);
        }
    }
    while let Some(reply) = answers.recv().await {
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
    }
    writer.shutdown().await
}

fn read_request(line: &str) -> Result<Request, String> {
    if line.len() as u64 >= MAX_REQUEST && !line.ends_with('\n') {
        return Err(format!("a request may have up to {} KB, this one is longer", MAX_REQUEST / 1024));
    }
    serde_json::from_str(line).map_err(|error| format!("not a request: {error}"))
}

/// Sends a request and hands every reply to `each` until the daemon closes.
pub async fn request(path: &Path, request: &Request, mut each: impl FnMut(Reply)) -> anyhow::Result<()> {
    let stream = UnixStream::connect(path).await.with_context(|| {
        format!(
            "no glassd answers on {}; is it running, and is this its gateway.control_socket?",
            path.display()
        )
    })?;
    let (reader, mut writer) = stream.into_split();
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    writer.write_all(&line).await.context("cannot send the request")?;
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await.context("the daemon closed the connection")? {
        each(serde_json::from_str(&line).with_context(|| format!("not a reply: {line}"))?);
    }
    Ok(())
}
