//! The uplink and the worker between real brokers: Mosquitto, and the one in process.

#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/cloud/model_server.rs"]
mod model_server;
#[path = "../../tests/cloud/mosquitto.rs"]
mod mosquitto;
#[path = "../../tests/cloud/peer.rs"]
mod peer;

use std::process::{Command, Stdio};
use std::time::Duration;

use glassd::broker::{Broker, BrokerError};
use glassd::mqtt::{BrokerAddress, NotPublished, Publication, Topics, Uplink, UplinkEvent, UplinkSettings};
use glassd_cloud::{Backend, Counts, OpenAi, OpenAiSettings, Worker, WorkerConfig};
use glassd_core::QueryId;
use glassd_core::wire::{AnswerMessage, Encoding, QueryMessage, VERSION};
use model_server::{Act, ModelServer};
use mosquitto::Mosquitto;
use peer::{PATIENCE, Peer};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A broker of each kind: its port, and what stops it.
fn brokers() -> Vec<(&'static str, u16, Option<Mosquitto>)> {
    let in_process = Broker::spawn(0).unwrap();
    let mosquitto = Mosquitto::start("").map(|broker| ("Mosquitto", broker.port(), Some(broker)));
    [Some(("in process", in_process.addr.port(), None)), mosquitto].into_iter().flatten().collect()
}

fn spawn(port: u16) -> (Uplink, Receiver<UplinkEvent>) {
    let (events, inbox) = channel(256);
    let broker = BrokerAddress::new("127.0.0.1", port);
    let settings = UplinkSettings::new(broker, "glassd-home", Topics::new("glassd", "home"));
    (Uplink::spawn(settings, events), inbox)
}

async fn connected(port: u16) -> (Uplink, Receiver<UplinkEvent>) {
    let (uplink, mut events) = spawn(port);
    assert_eq!(next(&mut events).await, UplinkEvent::Connected);
    (uplink, events)
}

async fn next(events: &mut Receiver<UplinkEvent>) -> UplinkEvent {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("an event")
}

fn message(id: u64, encoding: Encoding) -> Vec<u8> {
    let query = QueryMessage {
        version: VERSION,
        query: QueryId(id),
        glasses: None,
        text: "which bus is that?".to_owned(),
        language: "en".to_owned(),
        image: None,
        hint: None,
        asked_at_ms: 1_700_000_000_000,
    };
    query.encode(encoding)
}

fn publication(id: u64, message: Vec<u8>) -> Publication {
    Publication::Query { query: QueryId(id), message, expires_in: Duration::from_millis(29_001) }
}

/// Reads what a newcomer gets on a topic where something is retained. One that comes before the message
/// gets it as news, and comes again.
async fn retained(port: u16, id: &str, topic: &str) -> String {
    for _ in 0..100 {
        let publish = Peer::connect(port, id, topic).await.next().await;
        if publish.retain {
            return String::from_utf8(publish.payload.to_vec()).unwrap();
        }
    }
    panic!("{topic} is not retained");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_retained_and_the_will_fires() {
    for (name, port, _broker) in brokers() {
        // A runtime of its own, so that the whole uplink can die at once.
        let mortal = tokio::runtime::Runtime::new().unwrap();
        let (uplink, mut events) = {
            let _inside = mortal.enter();
            spawn(port)
        };
        assert_eq!(next(&mut events).await, UplinkEvent::Connected, "{name}");
        assert_eq!(retained(port, "early", "glassd/home/status").await, "online", "{name}");
        let mut watcher = Peer::connect(port, "watcher", "glassd/home/status").await;
        assert_eq!(watcher.next().await.payload, "online", "{name}");
        mortal.shutdown_background();
        assert_eq!(watcher.next().await.payload, "offline", "{name}: the will");
        assert_eq!(retained(port, "late", "glassd/home/status").await, "offline", "{name}");
        drop(uplink);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_comes_after_everything_else() {
    for (name, port, _broker) in brokers() {
        let (uplink, _events) = connected(port).await;
        let mut watcher = Peer::connect(port, "watcher", "glassd/home/#").await;
        for n in 0..10 {
            uplink.publish(Publication::State(serde_json::json!({"n": n}))).unwrap();
        }
        uplink.shutdown().await;
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "offline") {
            seen.push(String::from_utf8(watcher.next().await.payload.to_vec()).unwrap());
        }
        let states = seen.iter().filter(|text| text.contains("\"n\"")).count();
        assert_eq!(states, 10, "{name}: {seen:?}");
        assert_eq!(retained(port, "late", "glassd/home/state").await, r#"{"n":9}"#, "{name}");
    }
}

/// Mosquitto's own client says what a query looks like on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_carries_what_its_answer_needs() {
    for (name, port, _broker) in brokers() {
        let (uplink, _events) = connected(port).await;
        let client = Command::new("mosquitto_sub")
            .args(["-V", "5", "-h", "127.0.0.1", "-q", "1", "-C", "1", "-W", "20", "-p", &port.to_string()])
            .args(["-t", "glassd/home/query", "-F", "%C %D %R %E %r %x"])
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut client) = client else {
            eprintln!("skipped: mosquitto_sub (Debian's mosquitto-clients) is not installed");
            return;
        };
        while client.try_wait().unwrap().is_none() {
            let _ = uplink.publish(publication(u64::from_be_bytes(*b"abcdefgh"), vec![0, 0xFF, 7]));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let line = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
        let (line, payload) = line.trim().rsplit_once(' ').unwrap();
        assert_eq!(payload, "00ff07", "{name}");
        // 29.001 s, rounded up.
        assert_eq!(line, "application/cbor abcdefgh glassd/home/answer 30 0", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_commands_arrive_and_nothing_else_does() {
    for (name, port, _broker) in brokers() {
        let peer = Peer::connect(port, "peer", "unused").await;
        // Retained before the gateway comes, as by mistake.
        for topic in ["glassd/home/command/pause", "glassd/home/answer"] {
            peer.publish_retained(topic, "stale").await;
            assert_eq!(retained(port, "early", topic).await, "stale", "{name}");
        }
        let (uplink, mut events) = connected(port).await;
        let answer = PublishProperties {
            correlation_data: Some(vec![1, 0, 2].into()),
            content_type: Some("application/json".to_owned()),
            ..PublishProperties::default()
        };
        let none = PublishProperties::default;
        peer.publish("glassd/home/command/ask/twice", "x", none()).await;
        peer.publish("glassd/other/command/ask", "x", none()).await;
        peer.publish("glassd/home/command/ask", "how many cups?", none()).await;
        peer.publish("glassd/home/answer", "{}", answer).await;
        peer.publish("glassd/home/answer", vec![], none()).await;
        let expected = [
            UplinkEvent::Command { name: "ask".to_owned(), payload: b"how many cups?".to_vec() },
            UplinkEvent::Answer {
                correlation: vec![1, 0, 2],
                content_type: Some("application/json".to_owned()),
                payload: b"{}".to_vec(),
            },
            UplinkEvent::Answer { correlation: vec![], content_type: None, payload: vec![] },
        ];
        for expected in expected {
            assert_eq!(next(&mut events).await, expected, "{name}");
        }
        // Mosquitto does not even send what is retained; rumqttd 0.20 does, whatever is asked of it.
        let unexpected = if name == "Mosquitto" { 0 } else { 2 };
        assert_eq!(uplink.unexpected_total(), unexpected, "{name}");
        uplink.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_pass_both_ways() {
    for (name, port, _broker) in brokers() {
        let (uplink, mut events) = connected(port).await;
        let mut peer = Peer::connect(port, "peer", "glassd/+/query").await;
        let large: Vec<u8> = (0..900_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        uplink.publish(publication(1, large.clone())).unwrap();
        assert_eq!(peer.next().await.payload, large, "{name}");
        peer.publish("glassd/home/answer", large.clone(), PublishProperties::default()).await;
        let UplinkEvent::Answer { payload, .. } = next(&mut events).await else {
            panic!("{name}: no answer")
        };
        assert_eq!(payload, large, "{name}");
        uplink.shutdown().await;
    }
}

/// Starts a worker; dropping the sender, or sending, stops it.
fn worker(port: u16, server: &ModelServer) -> (oneshot::Sender<()>, JoinHandle<Counts>) {
    let backend = OpenAi::new(OpenAiSettings {
        base_url: server.url(),
        model: "m".to_owned(),
        key: None,
        prompt: String::new(),
    });
    let config = WorkerConfig::new(BrokerAddress::new("127.0.0.1", port), Backend::OpenAi(backend.unwrap()));
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(Worker::run(config, async {
        let _ = stopped.await;
    }));
    (stop, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_load() {
    for (name, port, _broker) in brokers() {
        let servers = [ModelServer::start([Act::Say("one")]), ModelServer::start([Act::Say("two")])];
        let workers = servers.each_ref().map(|server| worker(port, server));
        let (uplink, mut events) = connected(port).await;
        let mut warm_up = 1000;
        while servers.iter().any(|server| server.seen().is_empty()) {
            uplink.publish(publication(warm_up, message(warm_up, Encoding::Cbor))).unwrap();
            warm_up += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(warm_up < 1400, "{name}: both workers subscribe");
        }
        let before = servers.each_ref().map(|server| server.seen().len());
        for id in 1..=20 {
            uplink.publish(publication(id, message(id, Encoding::Cbor))).unwrap();
        }
        let mut answered = std::collections::BTreeSet::new();
        while answered.len() < 20 {
            let UplinkEvent::Answer { correlation, .. } = next(&mut events).await else {
                panic!("{name}: the broker is gone after {answered:?}");
            };
            let id = QueryId::from_correlation(&correlation).unwrap().0;
            assert!(id >= 1000 || answered.insert(id), "{name}: {id} was answered twice");
        }
        let after = servers.each_ref().map(|server| server.seen().len());
        let shares = [after[0] - before[0], after[1] - before[1]];
        assert_eq!(shares.iter().sum::<usize>(), 20, "{name}");
        assert!(shares.iter().all(|share| *share >= 5), "{name}: {shares:?}");
        for (stop, task) in workers {
            stop.send(()).unwrap();
            tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
        }
        uplink.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_come_back_answered_whatever_the_order() {
    for (name, port, _broker) in brokers() {
        for encoding in [Encoding::Cbor, Encoding::Json] {
            // The first answer takes until the others are there: acknowledgements must wait for it,
            // or rumqttd closes the connection.
            let server = ModelServer::start([Act::SayWhenReleased("slow"), Act::Say("quick")]);
            let (stop, worker) = worker(port, &server);
            let (events, mut events_in) = channel(256);
            let settings = UplinkSettings {
                encoding,
                ..UplinkSettings::new(
                    BrokerAddress::new("127.0.0.1", port),
                    "glassd-home",
                    Topics::new("glassd", "home"),
                )
            };
            let uplink = Uplink::spawn(settings, events);
            assert_eq!(next(&mut events_in).await, UplinkEvent::Connected);
            for _ in 0..400 {
                if !server.seen().is_empty() {
                    break;
                }
                uplink.publish(publication(1, message(1, encoding))).unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(server.seen().len(), 1, "{name}: the worker asks once");
            for id in 2..=9 {
                uplink.publish(publication(id, message(id, encoding))).unwrap();
            }
            let mut order = Vec::new();
            while order.len() < 9 {
                let UplinkEvent::Answer { correlation, content_type, payload } = next(&mut events_in).await
                else {
                    panic!("{name}: no answer after {order:?}");
                };
                assert_eq!(content_type.as_deref(), Some(encoding.content_type()), "{name}");
                let answer = AnswerMessage::decode(&payload, encoding).unwrap();
                assert_eq!(QueryId::from_correlation(&correlation), Some(answer.query), "{name}");
                assert_eq!(answer.text, if answer.query == QueryId(1) { "slow" } else { "quick" }, "{name}");
                order.push(answer.query.0);
                if order.len() == 8 {
                    server.release();
                }
            }
            assert_eq!(order.last(), Some(&1), "{name}: {order:?}");
            order.sort_unstable();
            assert_eq!(order, (1..=9).collect::<Vec<_>>(), "{name}: each exactly once");
            stop.send(()).unwrap();
            let counts = tokio::time::timeout(PATIENCE, worker).await.unwrap().unwrap();
            assert_eq!(counts.answered, 9, "{name}: {counts}");
            uplink.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_is_found_again_and_gets_nothing_twice() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let (uplink, mut events) = connected(broker.port()).await;
    broker.kill();
    assert!(matches!(next(&mut events).await, UplinkEvent::Disconnected { .. }));
    let refused = uplink.publish(publication(1, vec![1]));
    assert_eq!(refused, Err(NotPublished::Disconnected));
    broker.restart();
    // Other reasons may be told on the way.
    while next(&mut events).await != UplinkEvent::Connected {}
    let mut peer = Peer::connect(broker.port(), "peer", "glassd/home/query").await;
    uplink.publish(publication(2, vec![2])).unwrap();
    assert_eq!(peer.next().await.payload, [2][..]);
    broker.kill();
    broker.restart();
    let mut peer = Peer::connect(broker.port(), "peer", "glassd/home/query").await;
    while next(&mut events).await != UplinkEvent::Connected {}
    uplink.publish(publication(3, vec![3])).unwrap();
    assert_eq!(peer.next().await.payload, [3][..], "the second query is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_for_the_broker_is_refused_and_the_rest_goes_on() {
    let Some(broker) = Mosquitto::start("max_packet_size 20000") else { return };
    let (uplink, _events) = connected(broker.port()).await;
    let mut peer = Peer::connect(broker.port(), "peer", "glassd/home/query").await;
    let refused = uplink.publish(publication(1, vec![1; 20_000]));
    assert_eq!(refused, Err(NotPublished::TooLarge { bytes: 20_000, max: 20_000 }));
    uplink.publish(publication(2, vec![2; 17_000])).unwrap();
    assert_eq!(peer.next().await.payload.len(), 17_000);
}

#[test]
fn a_port_in_use_is_named() {
    let first = Broker::spawn(0).unwrap();
    assert!(first.is_running());
    let second = Broker::spawn(first.addr.port()).unwrap_err();
    assert!(matches!(second, BrokerError::Listen { .. }), "{second}");
    assert!(second.to_string().contains(&first.addr.to_string()), "{second}");
    let third = Broker::spawn(0).unwrap();
    assert_ne!(first.addr, third.addr);
}
