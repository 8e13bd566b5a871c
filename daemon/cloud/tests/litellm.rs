//! The program `glassd-cloud` between a real Mosquitto and LiteLLM's proxy, a model server that nobody
//! here wrote (`tests/cloud/requirements.txt`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/cloud/mosquitto.rs"]
mod mosquitto;
#[path = "../../../tests/cloud/peer.rs"]
mod peer;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use glassd_core::QueryId;
use glassd_core::wire::{AnswerMessage, Encoding, Outcome, QueryMessage, VERSION};
use mosquitto::Mosquitto;
use peer::Peer;
use rumqttc::v5::mqttbytes::v5::PublishProperties;

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts LiteLLM and waits until it answers; returns its port.
fn litellm(python: &OsString, folder: &Path) -> (Process, u16) {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let log = folder.join("litellm.log");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cloud/litellm.yaml");
    let child = Command::new(python)
        .args(["-c", "from litellm.proxy.proxy_cli import run_server; run_server()"])
        .args([
            "--config",
            config,
            "--host",
            "127.0.0.1",
            "--telemetry",
            "False",
            "--port",
            &port.to_string(),
        ])
        // Its list of prices comes with the package; it need not be fetched.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(File::create(&log).unwrap())
        .stderr(File::options().append(true).open(&log).unwrap())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let started = Instant::now();
    while !is_alive(port) {
        let log = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(matches!(process.0.try_wait(), Ok(None)), "LiteLLM ended: {}", log());
        assert!(started.elapsed() < Duration::from_secs(120), "LiteLLM does not start: {}", log());
        std::thread::sleep(Duration::from_millis(200));
    }
    (process, port)
}

fn is_alive(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut reply = [0; 12];
    let request = b"GET /health/liveliness HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).is_ok() && stream.read_exact(&mut reply).is_ok() && reply == *b"HTTP/1.1 200"
}

fn worker(broker: u16, server: u16, model: &str, key: &Path) -> Process {
    let child = Command::new(env!("CARGO_BIN_EXE_glassd-cloud"))
        .args(["--broker", &format!("mqtt://127.0.0.1:{broker}")])
        .args(["--base-url", &format!("http://127.0.0.1:{server}/v1"), "--model", model])
        .args(["--timeout", "30", "--retries", "0", "--key-file"])
        .arg(key)
        .spawn()
        .unwrap();
    Process(child)
}

/// Asks until a worker takes the query, and returns its answer.
async fn ask(peer: &mut Peer, id: u64) -> AnswerMessage {
    let query = QueryMessage {
        version: VERSION,
        query: QueryId(id),
        glasses: None,
        text: "which bus is that?".to_owned(),
        language: "en".to_owned(),
        image: Some(vec![0xFF, 0xD8, 0xFF, 0xD9]),
        hint: None,
        asked_at_ms: 1_700_000_000_000,
    };
    let properties = PublishProperties {
        response_topic: Some("glassd/home/answer".to_owned()),
        correlation_data: Some(QueryId(id).correlation().to_vec().into()),
        content_type: Some(Encoding::Cbor.content_type().to_owned()),
        ..PublishProperties::default()
    };
    for _ in 0..120 {
        peer.publish("glassd/home/query", query.encode(Encoding::Cbor), properties.clone()).await;
        while let Some(publish) = peer.next_within(Duration::from_millis(500)).await {
            let answer = AnswerMessage::decode(&publish.payload, Encoding::Cbor).unwrap();
            if answer.query == QueryId(id) {
                return answer;
            }
        }
    }
    panic!("no worker answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn litellm_answers_through_the_worker() {
    let Some(python) = std::env::var_os("GLASSD_CLOUD_PYTHON") else {
        eprintln!("skipped: GLASSD_CLOUD_PYTHON names no Python with tests/cloud/requirements.txt");
        return;
    };
    let Some(broker) = Mosquitto::start("") else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let (_server, port) = tokio::task::block_in_place(|| litellm(&python, folder.path()));
    let mut peer = Peer::connect(broker.port(), "gateway", "glassd/home/answer").await;

    // The model, the key, and the answer: outcome, retry, and a part of its text.
    let cases = [
        ("sees-well", "sk-test-1", Outcome::Answered, false, "The number 11 bus."),
        ("overloaded", "sk-test-1", Outcome::Failed, true, "429"),
        ("sees-well", "sk-wrong", Outcome::Failed, false, "40"),
        ("no-such-model", "sk-test-1", Outcome::Failed, false, "40"),
    ];
    for (i, (model, secret, outcome, retry, text)) in cases.into_iter().enumerate() {
        std::fs::write(&key, format!("{secret}\n")).unwrap();
        let _worker = worker(broker.port(), port, model, &key);
        let answer = ask(&mut peer, i as u64 + 1).await;
        assert_eq!((answer.outcome, answer.retry), (outcome, retry), "{model}: {answer:?}");
        assert!(answer.text.contains(text), "{model}: {answer:?}");
    }
}
