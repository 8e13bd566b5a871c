//! How brokers are reached: TLS, WebSocket, certificates, passwords, and MQTT 3.1.1. The broker is Mosquitto.

#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/cloud/authority.rs"]
mod authority;
#[path = "../../tests/cloud/model_server.rs"]
mod model_server;
#[path = "../../tests/cloud/mosquitto.rs"]
mod mosquitto;

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use authority::Authority;
use glassd::mqtt::{
    AccessFiles, Protocol, Publication, Topics, Uplink, UplinkEvent, UplinkSettings, Version,
};
use glassd_cloud::{Backend, Counts, OpenAi, OpenAiSettings, Worker, WorkerConfig};
use glassd_core::QueryId;
use glassd_core::wire::{AnswerMessage, Encoding, QueryMessage, VERSION};
use model_server::{Act, ModelServer};
use mosquitto::Mosquitto;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);

struct Reach {
    url: String,
    access: AccessFiles,
    version: Version,
}

impl Reach {
    fn new(url: String) -> Self {
        Self { url, access: AccessFiles::default(), version: Version::Auto }
    }

    fn uplink(&self) -> (Uplink, Receiver<UplinkEvent>) {
        let (events, inbox) = channel(256);
        let settings = UplinkSettings {
            access: self.access.clone(),
            version: self.version,
            ..UplinkSettings::new(
                self.url.parse().unwrap(),
                "glassd-home",
                Topics::new("team/glassd", "home"),
            )
        };
        (Uplink::spawn(settings, events), inbox)
    }

    fn worker(&self, server: &ModelServer) -> (oneshot::Sender<()>, JoinHandle<Counts>) {
        let backend = OpenAi::new(OpenAiSettings {
            base_url: server.url(),
            model: "m".to_owned(),
            key: None,
            prompt: String::new(),
        });
        let config = WorkerConfig {
            access: self.access.clone(),
            version: self.version,
            topic_prefix: "team/glassd".to_owned(),
            ..WorkerConfig::new(self.url.parse().unwrap(), Backend::OpenAi(backend.unwrap()))
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(Worker::run(config, async {
            let _ = stopped.await;
        }));
        (stop, task)
    }
}

async fn next(events: &mut Receiver<UplinkEvent>) -> UplinkEvent {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("an event")
}

fn query(id: u64) -> Publication {
    let message = QueryMessage {
        version: VERSION,
        query: QueryId(id),
        glasses: None,
        text: "which bus is that?".to_owned(),
        language: "en".to_owned(),
        // Many TLS records and WebSocket frames.
        image: Some(vec![0xFF; 200_000]),
        hint: None,
        asked_at_ms: 1_700_000_000_000,
    };
    let message = message.encode(Encoding::Cbor);
    Publication::Query { query: QueryId(id), message, expires_in: Duration::from_secs(30) }
}

/// Sends queries through gateway's and worker's connection until one is answered.
async fn passes(name: &str, gateway: &Reach, worker: &Reach) -> Protocol {
    let server = ModelServer::start([Act::Say("the 11")]);
    let (stop, worker) = worker.worker(&server);
    let (uplink, mut events) = gateway.uplink();
    assert_eq!(next(&mut events).await, UplinkEvent::Connected, "{name}");
    let mut id = 0;
    let (correlation, content_type, payload) = loop {
        id += 1;
        uplink.publish(query(id)).unwrap();
        match tokio::time::timeout(Duration::from_millis(200), events.recv()).await {
            Ok(Some(UplinkEvent::Answer { correlation, content_type, payload })) => {
                break (correlation, content_type, payload);
            }
            Ok(other) => panic!("{name}: {other:?}"),
            Err(_) => assert!(id < 100, "{name}: no answer"),
        }
    };
    let encoding = Encoding::of(content_type.as_deref(), &payload).unwrap();
    let answer = AnswerMessage::decode(&payload, encoding).unwrap();
    assert_eq!(answer.text, "the 11", "{name}");
    if !correlation.is_empty() {
        assert_eq!(QueryId::from_correlation(&correlation), Some(answer.query), "{name}");
    }
    let protocol = uplink.protocol().unwrap();
    uplink.shutdown().await;
    stop.send(()).unwrap();
    let counts = tokio::time::timeout(PATIENCE, worker).await.unwrap().unwrap();
    assert_eq!((counts.refused, counts.dropped), (0, 0), "{name}: {counts}");
    protocol
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_pass_in_tls_and_web_socket_with_a_client_certificate() {
    let Some(authority) = Authority::new() else { return };
    let (certificate, key) = authority.sign("broker", "DNS:localhost,IP:127.0.0.1");
    let tls = format!(
        "user root\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        authority.certificate().display(),
        certificate.display(),
        key.display()
    );
    let access = AccessFiles {
        authorities: Some(authority.certificate()),
        identity: Some(authority.sign("gateway", "DNS:home")),
        ..AccessFiles::default()
    };
    for (scheme, further) in [
        ("mqtts", tls.clone()),
        ("ws", "protocol websockets".to_owned()),
        ("wss", format!("{tls}\nprotocol websockets")),
    ] {
        let Some(broker) = Mosquitto::start(&further) else { return };
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("{scheme}://{host}:{}", broker.port());
            let reach = Reach { access: access.clone(), ..Reach::new(url) };
            assert_eq!(passes(scheme, &reach, &reach).await, Protocol::V5);
            let older = Reach { version: Version::V311, ..reach };
            assert_eq!(passes(scheme, &older, &older).await, Protocol::V311);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_nobody_vouches_for_is_told_nothing() {
    let (Some(authority), Some(stranger)) = (Authority::new(), Authority::new()) else { return };
    let tls = |(certificate, key): (std::path::PathBuf, std::path::PathBuf), further: &str| {
        let (ca, certificate, key) =
            (authority.certificate(), certificate.display().to_string(), key.display().to_string());
        format!("user root\ncafile {}\ncertfile {certificate}\nkeyfile {key}\n{further}", ca.display())
    };
    let good = || authority.sign("broker", "IP:127.0.0.1");
    let trust = |authority: &Authority| AccessFiles {
        authorities: Some(authority.certificate()),
        ..AccessFiles::default()
    };
    let with_identity = |identity| AccessFiles { identity: Some(identity), ..trust(&authority) };
    let cases = [
        (tls(good(), ""), trust(&stranger), "signed by nobody who is trusted"),
        (
            tls(stranger.sign("broker", "IP:127.0.0.1"), ""),
            trust(&authority),
            "signed by nobody who is trusted",
        ),
        (tls(authority.sign("other", "DNS:other.lan"), ""), trust(&authority), "is for another name"),
        (tls(good(), "require_certificate true"), trust(&authority), "wants a client certificate"),
        (
            tls(good(), "require_certificate true"),
            with_identity(stranger.sign("gateway", "DNS:home")),
            "refuses the client certificate",
        ),
        (String::new(), trust(&authority), "not TLS"),
    ];
    for (further, access, expected) in cases {
        let Some(broker) = Mosquitto::start(&further) else { return };
        let url = format!("mqtts://127.0.0.1:{}", broker.port());
        let (uplink, mut events) = Reach { access, ..Reach::new(url) }.uplink();
        let event = next(&mut events).await;
        let UplinkEvent::Disconnected { reason } = event else { panic!("{expected}: {event:?}") };
        // A plain broker may close before it says anything.
        let silent = expected == "not TLS" && reason.contains("without a word");
        assert!(reason.contains(expected) || silent, "{expected}: {reason}");
        drop(uplink);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_tls_12_is_told_apart() {
    let Some(authority) = Authority::new() else { return };
    let (certificate, key) = authority.sign("broker", "IP:127.0.0.1");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-tls1_2", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
        .arg(certificate)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let access = AccessFiles { authorities: Some(authority.certificate()), ..AccessFiles::default() };
    let (_uplink, mut events) = Reach { access, ..Reach::new(format!("mqtts://127.0.0.1:{port}")) }.uplink();
    loop {
        let UplinkEvent::Disconnected { reason } = next(&mut events).await else { panic!("connected") };
        // OpenSSL may not listen yet.
        if !reason.contains("refused") {
            assert_eq!(reason, "the broker does not speak TLS 1.3");
            break;
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_needs_no_restart() {
    let Some(authority) = Authority::new() else { return };
    let users = authority.write("users", "");
    let give = |password: &str| {
        let status = Command::new("mosquitto_passwd").arg("-b").arg(&users).args(["home", password]).status();
        status.is_ok_and(|status| status.success())
    };
    if !give("first") {
        eprintln!("skipped: mosquitto_passwd is not installed");
        return;
    }
    let password = authority.write("password", "first\n");
    let further = format!("user root\nallow_anonymous false\npassword_file {}", users.display());
    let Some(mut broker) = Mosquitto::start(&further) else { return };
    let access = AccessFiles {
        username: "home".to_owned(),
        password: Some(password.clone()),
        ..AccessFiles::default()
    };
    let (_uplink, mut events) =
        Reach { access, ..Reach::new(format!("mqtt://127.0.0.1:{}", broker.port())) }.uplink();
    assert_eq!(next(&mut events).await, UplinkEvent::Connected);
    broker.kill();
    assert!(give("second"));
    broker.restart();
    loop {
        let UplinkEvent::Disconnected { reason } = next(&mut events).await else { panic!("connected") };
        if reason.contains("NotAuthorized") || reason.contains("BadUserNamePassword") {
            break;
        }
    }
    std::fs::write(&password, "second\n").unwrap();
    while next(&mut events).await != UplinkEvent::Connected {}
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_and_worker_need_not_speak_the_same_version() {
    let Some(broker) = Mosquitto::start("") else { return };
    let reach = |version| Reach { version, ..Reach::new(format!("mqtt://127.0.0.1:{}", broker.port())) };
    for (gateway, worker) in [(Version::V5, Version::V311), (Version::V311, Version::V5)] {
        passes(&format!("{gateway} and {worker}"), &reach(gateway), &reach(worker)).await;
    }
}
