//! The worker between a real Mosquitto and a scripted model server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/cloud/model_server.rs"]
mod model_server;
#[path = "../../../tests/cloud/mosquitto.rs"]
mod mosquitto;
#[path = "../../../tests/cloud/peer.rs"]
mod peer;

use std::time::Duration;

use glassd_cloud::{
    Backend, BrokerAddress, Counts, DEFAULT_PROMPT, OpenAi, OpenAiSettings, Worker, WorkerConfig,
};
use glassd_core::QueryId;
use glassd_core::wire::{AnswerMessage, Encoding, Outcome, QueryMessage, VERSION};
use model_server::{Act, ModelServer, completion};
use mosquitto::Mosquitto;
use peer::{PATIENCE, Peer};
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const QUERY: &str = "glassd/home/query";
const ANSWER: &str = "glassd/home/answer";

/// A worker in a task of its own.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Counts>,
}

impl Running {
    fn start(port: u16, server: &ModelServer, adapt: impl FnOnce(&mut WorkerConfig)) -> Self {
        let backend = OpenAi::new(OpenAiSettings {
            base_url: server.url(),
            model: "sees-well".to_owned(),
            key: Some("secret-1".to_owned()),
            prompt: DEFAULT_PROMPT.to_owned(),
        });
        let mut config =
            WorkerConfig::new(BrokerAddress::new("127.0.0.1", port), Backend::OpenAi(backend.unwrap()));
        config.retries = 0;
        config.timeout = Duration::from_secs(10);
        adapt(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(Worker::run(config, async {
            let _ = stopped.await;
        }));
        Self { stop, task }
    }

    async fn stop(self) -> Counts {
        self.stop.send(()).expect("the worker runs");
        tokio::time::timeout(PATIENCE, self.task).await.expect("an end in time").expect("no panic")
    }
}

fn query(id: u64) -> QueryMessage {
    QueryMessage {
        version: VERSION,
        query: QueryId(id),
        glasses: None,
        text: "which bus is that?".to_owned(),
        language: "en-GB".to_owned(),
        image: Some(vec![0xFF, 0xD8, 0xFF, 0xD9]),
        hint: Some("a bus".to_owned()),
        asked_at_ms: 1_700_000_000_000,
    }
}

fn properties(id: u64, encoding: Encoding) -> PublishProperties {
    PublishProperties {
        response_topic: Some(ANSWER.to_owned()),
        correlation_data: Some(QueryId(id).correlation().to_vec().into()),
        content_type: Some(encoding.content_type().to_owned()),
        message_expiry_interval: Some(600),
        ..PublishProperties::default()
    }
}

async fn ask(peer: &Peer, id: u64) {
    peer.publish(QUERY, query(id).encode(Encoding::Cbor), properties(id, Encoding::Cbor)).await;
}

fn correlation(publish: &Publish) -> Vec<u8> {
    publish.properties.as_ref().unwrap().correlation_data.as_ref().unwrap().to_vec()
}

fn answer(publish: &Publish) -> AnswerMessage {
    let properties = publish.properties.as_ref().unwrap();
    let encoding = Encoding::of(properties.content_type.as_deref(), &publish.payload).unwrap();
    AnswerMessage::decode(&publish.payload, encoding).unwrap()
}

/// Publishes until somebody takes queries: Mosquitto drops what nobody has subscribed.
async fn ask_until_taken(peer: &Peer, server: &ModelServer, id: u64) {
    for _ in 0..400 {
        ask(peer, id).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if !server.seen().is_empty() {
            return;
        }
    }
    panic!("no worker subscribed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reaches_the_model_and_its_answer_the_gateway() {
    let Some(broker) = Mosquitto::start("") else { return };
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let server = ModelServer::start([Act::Say(" The number 11 bus. \n")]);
        let worker = Running::start(broker.port(), &server, |_| {});
        let mut peer = Peer::connect(broker.port(), "gateway", ANSWER).await;
        ask_until_taken(&peer, &server, 1).await;
        peer.next().await;
        peer.publish(QUERY, query(2).encode(encoding), properties(2, encoding)).await;
        let publish = loop {
            let publish = peer.next().await;
            // Answers from memory to the repeated first query.
            if answer(&publish).query == QueryId(2) {
                break publish;
            }
        };
        assert_eq!(correlation(&publish), QueryId(2).correlation());
        assert_eq!(
            publish.properties.as_ref().unwrap().content_type.as_deref(),
            Some(encoding.content_type())
        );
        assert_eq!(
            answer(&publish),
            AnswerMessage {
                version: VERSION,
                query: QueryId(2),
                outcome: Outcome::Answered,
                text: "The number 11 bus.".to_owned(),
                retry: false,
                model: "scripted-1".to_owned(),
            }
        );
        let seen = server.seen();
        assert_eq!(seen.len(), 2, "the first query was asked once, however often it came");
        assert_eq!(seen[1].line, "POST /v1/chat/completions");
        assert!(
            seen[1].headers.contains(&"authorization: Bearer secret-1".to_owned()),
            "{:?}",
            seen[1].headers
        );
        let body = &seen[1].body;
        assert_eq!(body["model"], "sees-well");
        assert!(body["messages"][0]["content"].as_str().unwrap().contains("en-GB"));
        let parts = &body["messages"][1]["content"];
        let text = parts[0]["text"].as_str().unwrap();
        assert!(text.starts_with("which bus is that?") && text.contains("a bus"), "{text}");
        assert_eq!(parts[1]["image_url"]["url"], "data:image/jpeg;base64,/9j/2Q==");
        assert_eq!(worker.stop().await.answered, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_model_server_does_the_gateway_is_told() {
    let Some(broker) = Mosquitto::start("") else { return };
    let say = Act::Say("a bus");
    let raw = |status, body: &[u8]| Act::Raw(status, "", body.to_vec());
    // The script, the tries it takes, and the answer: outcome, retry, and a part of its text.
    type Case = (&'static str, Vec<Act>, usize, Outcome, bool, &'static str);
    let cases: Vec<Case> = vec![
        ("overload that passes", vec![raw(429, b""), say.clone()], 2, Outcome::Answered, false, "a bus"),
        (
            "failure that passes",
            vec![raw(503, b""), raw(500, b""), say.clone()],
            3,
            Outcome::Answered,
            false,
            "a bus",
        ),
        ("overload that stays", vec![raw(429, b"")], 3, Outcome::Failed, true, "429"),
        ("silence", vec![Act::Hang], 3, Outcome::Failed, true, "timeout"),
        (
            "a wrong key",
            vec![raw(401, b"{\"error\":\"secret-1 is wrong\"}")],
            1,
            Outcome::Failed,
            false,
            "401",
        ),
        (
            "another address",
            vec![Act::Raw(302, "location: http://127.0.0.1:1/\r\n", vec![])],
            1,
            Outcome::Failed,
            false,
            "302",
        ),
        (
            "an HTML page",
            vec![raw(200, b"<!doctype html><title>Log in</title>")],
            1,
            Outcome::Failed,
            false,
            "HTML",
        ),
        ("nothing", vec![raw(200, b"")], 1, Outcome::Failed, false, "empty"),
        ("no choices", vec![raw(200, b"{\"choices\":[]}")], 1, Outcome::Failed, false, "no choices"),
        (
            "an empty message",
            vec![raw(200, &completion("  "))],
            1,
            Outcome::Failed,
            false,
            "message is empty",
        ),
        ("another shape", vec![raw(200, b"[1]")], 1, Outcome::Failed, false, "another shape"),
        ("half a reply", vec![raw(200, b"{\"choices\":[{")], 1, Outcome::Failed, false, "cut short"),
        (
            "10 MB",
            vec![raw(200, &completion(&"x".repeat(10_000_000)))],
            1,
            Outcome::Failed,
            false,
            "longer than",
        ),
    ];
    let mut peer = Peer::connect(broker.port(), "gateway", ANSWER).await;
    for (i, (name, script, tries, outcome, retry, text)) in cases.into_iter().enumerate() {
        let id = i as u64 + 1;
        let server = ModelServer::start(script);
        let worker = Running::start(broker.port(), &server, |config| {
            config.retries = 2;
            config.timeout = Duration::from_millis(500);
        });
        ask_until_taken(&peer, &server, id).await;
        let publish = loop {
            let publish = peer.next().await;
            // Left over from the case before: a query that came twice is answered twice.
            if correlation(&publish) == QueryId(id).correlation() {
                break publish;
            }
        };
        let answer = answer(&publish);
        assert_eq!((answer.outcome, answer.retry), (outcome, retry), "{name}: {answer:?}");
        assert!(answer.text.contains(text), "{name}: {answer:?}");
        assert!(!answer.text.contains("secret-1"), "{name}: {answer:?}");
        assert_eq!(server.seen().len(), tries, "{name}");
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_is_refused_or_dropped_and_ends_nothing() {
    let Some(broker) = Mosquitto::start("") else { return };
    let server = ModelServer::start([Act::Say("a bus")]);
    let worker = Running::start(broker.port(), &server, |_| {});
    let mut peer = Peer::connect(broker.port(), "gateway", "glassd/#").await;
    ask_until_taken(&peer, &server, 1).await;

    let good = query(5).encode(Encoding::Cbor);
    let with = |change: fn(&mut PublishProperties)| {
        let mut properties = properties(5, Encoding::Cbor);
        change(&mut properties);
        properties
    };
    let wrong_version = QueryMessage { version: 9, ..query(5) }.encode(Encoding::Cbor);
    let nested = vec![0x81; 100_000];
    // Told, with a part of what they are told.
    let refused: Vec<(&[u8], PublishProperties, &str)> = vec![
        (b"", with(|_| {}), "not a message"),
        (b"{\"version\":1}", with(|_| {}), "not a message"),
        (&nested, with(|_| {}), "not a message"),
        (&wrong_version, with(|_| {}), "version 9"),
        (&good, with(|p| p.content_type = Some("image/png".to_owned())), "content type"),
        (&good, with(|p| p.content_type = Some("application/json".to_owned())), "not a message"),
        (b"?", with(|p| p.correlation_data = Some(vec![7; 3].into())), "not a message"),
    ];
    // Nobody to tell, or nobody who may be told.
    let dropped: Vec<(&str, &[u8], PublishProperties)> = vec![
        (QUERY, b"?", with(|p| p.correlation_data = None)),
        (QUERY, &good, with(|p| p.response_topic = Some("glassd/other/answer".to_owned()))),
        (QUERY, &good, with(|p| p.response_topic = Some("glassd/home/command/ask".to_owned()))),
        (QUERY, &good, with(|p| p.response_topic = Some("glassd/home/answers".to_owned()))),
    ];
    let (refusals, drops) = (refused.len() as u64, dropped.len() as u64);
    for (topic, payload, properties) in dropped {
        peer.publish(topic, payload, properties).await;
    }
    for (payload, properties, text) in refused {
        let expected = properties.correlation_data.clone().unwrap().to_vec();
        peer.publish(QUERY, payload, properties).await;
        let publish = loop {
            let publish = peer.next().await;
            assert!(publish.topic == QUERY || publish.topic == ANSWER, "answered on {:?}", publish.topic);
            if publish.topic == ANSWER && answer(&publish).outcome == Outcome::Failed {
                break publish;
            }
        };
        let answer = answer(&publish);
        assert_eq!(correlation(&publish), expected);
        assert!(!answer.retry && answer.text.contains(text), "{text}: {answer:?}");
    }
    ask(&peer, 6).await;
    loop {
        let publish = peer.next().await;
        if publish.topic == ANSWER && answer(&publish).query == QueryId(6) {
            break;
        }
    }
    let counts = worker.stop().await;
    assert_eq!((counts.refused, counts.dropped, counts.answered), (refusals, drops, 2), "{counts}");
}

/// MQTT 3.1.1 has no properties: all that is known is in the message and its topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_properties_is_answered_to_its_gateway() {
    let Some(broker) = Mosquitto::start("") else { return };
    let server = ModelServer::start([Act::Say("a bus")]);
    let worker = Running::start(broker.port(), &server, |_| {});
    let mut peer = Peer::connect(broker.port(), "gateway", "glassd/#").await;
    ask_until_taken(&peer, &server, 1).await;
    for (id, encoding) in [(2, Encoding::Cbor), (3, Encoding::Json)] {
        peer.publish(QUERY, b"no query".to_vec(), PublishProperties::default()).await;
        peer.publish(QUERY, query(id).encode(encoding), PublishProperties::default()).await;
        let publish = loop {
            let publish = peer.next().await;
            if publish.topic == ANSWER && answer(&publish).query == QueryId(id) {
                break publish;
            }
        };
        assert_eq!(answer(&publish).text, "a bus");
        assert_eq!(Encoding::of(None, &publish.payload), Some(encoding), "as it was asked");
    }
    let counts = worker.stop().await;
    assert_eq!((counts.answered, counts.dropped), (3, 2), "{counts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_query_is_not_answered() {
    let Some(broker) = Mosquitto::start("") else { return };
    let server = ModelServer::start([Act::Say("taken"), Act::SayWhenReleased("late")]);
    let worker = Running::start(broker.port(), &server, |_| {});
    let mut peer = Peer::connect(broker.port(), "gateway", ANSWER).await;
    ask_until_taken(&peer, &server, 1).await;
    let expiring = PublishProperties { message_expiry_interval: Some(1), ..properties(2, Encoding::Cbor) };
    peer.publish(QUERY, query(2).encode(Encoding::Cbor), expiring).await;
    tokio::task::block_in_place(|| server.wait_for(2));
    // Its time at the model ends with the query.
    while let Some(publish) = peer.next_within(Duration::from_millis(1500)).await {
        assert_eq!(answer(&publish).query, QueryId(1));
    }
    let counts = worker.stop().await;
    assert_eq!((counts.expired, counts.failed), (1, 0), "{counts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_finishes_what_is_at_work() {
    let Some(broker) = Mosquitto::start("") else { return };
    let server = ModelServer::start([Act::SayWhenReleased("at last")]);
    let worker = Running::start(broker.port(), &server, |_| {});
    let mut peer = Peer::connect(broker.port(), "gateway", ANSWER).await;
    ask_until_taken(&peer, &server, 1).await;
    let Running { stop, task } = worker;
    stop.send(()).unwrap();
    server.release();
    assert_eq!(answer(&peer.next().await).text, "at last");
    let counts = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    assert_eq!(counts.answered, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_outlives_the_broker_that_brought_its_query() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let server = ModelServer::start([Act::SayWhenReleased("at last"), Act::Say("again")]);
    let worker = Running::start(broker.port(), &server, |_| {});
    let peer = Peer::connect(broker.port(), "gateway", ANSWER).await;
    ask_until_taken(&peer, &server, 1).await;
    drop(peer);
    broker.kill();
    broker.restart();
    let mut peer = Peer::connect(broker.port(), "gateway", ANSWER).await;
    server.release();
    assert_eq!(answer(&peer.next().await).text, "at last");
    // A gateway that missed it asks again, and is answered from memory.
    ask(&peer, 1).await;
    assert_eq!(answer(&peer.next().await).text, "at last");
    assert_eq!(server.seen().len(), 1);
    let counts = worker.stop().await;
    assert_eq!(counts.answered, 1, "{counts}");
}
