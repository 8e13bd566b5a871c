//! An HTTP server that plays an OpenAI-compatible model server from a script, for tests.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with this text.
    Say(&'static str),
    /// Answers with status, further header lines and body.
    Raw(u16, &'static str, Vec<u8>),
    /// Answers nothing and keeps the connection until the server is dropped.
    Hang,
    /// Answers when the server was told to go on.
    SayWhenReleased(&'static str),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method and path.
    pub line: String,
    /// Header lines, names in lower case.
    pub headers: Vec<String>,
    /// The body as JSON.
    pub body: serde_json::Value,
}

#[derive(Default)]
struct State {
    script: VecDeque<Act>,
    last: Option<Act>,
    seen: Vec<Seen>,
    released: bool,
    stopped: bool,
}

/// The server; its last act is repeated for ever.
pub struct ModelServer {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl ModelServer {
    /// Starts on a free port of 127.0.0.1.
    pub fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { script: script.into_iter().collect(), ..State::default() };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.0.lock().unwrap().stopped {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, state }
    }

    /// Returns its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.0.lock().unwrap().seen.clone()
    }

    /// Waits until so many requests have come.
    pub fn wait_for(&self, requests: usize) {
        let (state, changed) = &*self.state;
        let state = state.lock().unwrap();
        let patience = Duration::from_secs(20);
        let (state, late) = changed.wait_timeout_while(state, patience, |s| s.seen.len() < requests).unwrap();
        assert!(!late.timed_out(), "{} of {requests} requests came", state.seen.len());
    }

    /// Lets [`Act::SayWhenReleased`] go on.
    pub fn release(&self) {
        self.state.0.lock().unwrap().released = true;
        self.state.1.notify_all();
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.state.0.lock().unwrap().stopped = true;
        self.state.1.notify_all();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// Writes a chat completion as servers do.
pub fn completion(text: &str) -> Vec<u8> {
    let message = serde_json::json!({"role": "assistant", "content": text});
    let body = serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "scripted-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    });
    body.to_string().into_bytes()
}

fn serve(stream: TcpStream, shared: &(Mutex<State>, Condvar)) {
    let mut reader = BufReader::new(stream);
    // One request a connection: the next act is chosen by whoever asks next.
    let Some(seen) = read_request(&mut reader) else { return };
    let (state, changed) = shared;
    let act = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen);
        if let Some(act) = state.script.pop_front() {
            state.last = Some(act);
        }
        state.last.clone().expect("a script has at least one act")
    };
    changed.notify_all();
    let stream = reader.get_mut();
    // Whoever asked may be gone.
    let _ = match act {
        Act::Say(text) => respond(stream, 200, "", &completion(text)),
        Act::Raw(status, headers, body) => respond(stream, status, headers, &body),
        Act::Hang => {
            let wait = changed.wait_while(state.lock().unwrap(), |state| !state.stopped);
            drop(wait.unwrap());
            Ok(())
        }
        Act::SayWhenReleased(text) => {
            let wait = changed.wait_while(state.lock().unwrap(), |state| !state.released && !state.stopped);
            drop(wait.unwrap());
            respond(stream, 200, "", &completion(text))
        }
    };
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push(format!("{}:{}", name.to_lowercase(), value));
    }
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length:"))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let line = line.rsplit_once(' ')?.0.to_owned();
    Some(Seen { line, headers, body: serde_json::from_slice(&body).ok()? })
}

fn respond(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n{headers}\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    stream.flush()
}
