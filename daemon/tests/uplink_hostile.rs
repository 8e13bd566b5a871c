//! The uplink against brokers that misbehave, byte by byte (MQTT 5, OASIS 2019).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use glassd::mqtt::{
    BrokerAddress, NotPublished, Protocol, Publication, Topics, Uplink, UplinkEvent, UplinkSettings,
};
use glassd_core::QueryId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Success, no properties.
const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];

/// One connection of the uplink, seen by the broker.
struct Session(TcpStream);

/// A packet: the first byte of its header, and what follows the header.
#[derive(Debug, PartialEq, Eq)]
struct Packet(u8, Vec<u8>);

impl Packet {
    fn is_publish_on(&self, topic: &str) -> bool {
        self.0 >> 4 == 3 && self.1[2..].starts_with(topic.as_bytes())
    }

    /// The identifier of a publish at least once.
    fn identifier(&self) -> [u8; 2] {
        let at = 2 + usize::from(u16::from_be_bytes([self.1[0], self.1[1]]));
        [self.1[at], self.1[at + 1]]
    }
}

impl Session {
    async fn accept(listener: &TcpListener) -> Self {
        Self(timeout(PATIENCE, listener.accept()).await.expect("a connection in time").unwrap().0)
    }

    async fn read(&mut self) -> Packet {
        timeout(PATIENCE, self.read_packet()).await.expect("a packet in time").unwrap()
    }

    async fn read_packet(&mut self) -> std::io::Result<Packet> {
        let first = self.0.read_u8().await?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.0.read_u8().await?;
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(Packet(first, body))
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Grants the connection and the subscriptions.
    async fn welcome(&mut self) {
        assert_eq!(self.read().await.0, 0x10, "CONNECT");
        self.write(CONNACK).await;
        let subscribe = self.read().await;
        assert_eq!(subscribe.0, 0x82, "SUBSCRIBE");
        self.write(&[0x90, 5, subscribe.1[0], subscribe.1[1], 0, 1, 1]).await;
    }

    async fn acknowledge(&mut self, publish: &Packet) {
        let [high, low] = publish.identifier();
        self.write(&[0x40, 2, high, low]).await;
    }
}

async fn start() -> (TcpListener, Uplink, Receiver<UplinkEvent>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = BrokerAddress::from(listener.local_addr().unwrap());
    let (events, inbox) = channel(64);
    let settings = UplinkSettings::new(broker, "glassd-home", Topics::new("glassd", "home"));
    (listener, Uplink::spawn(settings, events), inbox)
}

async fn next(events: &mut Receiver<UplinkEvent>) -> UplinkEvent {
    timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("an event")
}

fn query(id: u64, bytes: usize) -> Publication {
    let expires_in = Duration::from_secs(60);
    Publication::Query { query: QueryId(id), message: vec![id as u8; bytes], expires_in }
}

#[tokio::test]
async fn a_query_without_acknowledgement_is_not_sent_again_by_itself() {
    let (listener, uplink, mut events) = start().await;
    let mut session = Session::accept(&listener).await;
    session.welcome().await;
    assert_eq!(next(&mut events).await, UplinkEvent::Connected);
    let status = session.read().await;
    assert!(status.is_publish_on("glassd/home/status"), "{status:?}");
    session.acknowledge(&status).await;
    uplink.publish(query(1, 100)).unwrap();
    let first = session.read().await;
    assert!(first.is_publish_on("glassd/home/query") && first.1.ends_with(&[1; 100]), "{first:?}");
    drop(session);
    assert!(matches!(next(&mut events).await, UplinkEvent::Disconnected { .. }));

    let mut session = Session::accept(&listener).await;
    session.welcome().await;
    assert_eq!(next(&mut events).await, UplinkEvent::Connected);
    uplink.publish(query(2, 100)).unwrap();
    let status = session.read().await;
    assert!(status.is_publish_on("glassd/home/status"), "{status:?}");
    session.acknowledge(&status).await;
    let second = session.read().await;
    assert!(second.1.ends_with(&[2; 100]), "{second:?}");
}

#[tokio::test]
async fn a_broker_that_refuses_or_talks_nonsense_is_left_and_tried_again() {
    // What the broker sends (letters, as an HTTP server would) instead of CONNACK, or after it, or after the grant; and a part of the reason.
    enum At {
        Connect,
        Subscribe,
        Later,
    }
    let cases: [(At, &[u8], &str); 8] = [
        (At::Connect, &[0x20, 3, 0, 0x86, 0], "BadUserNamePassword"),
        (At::Connect, &[0x20, 3, 0, 0x89, 0], "ServerBusy"),
        (At::Connect, &[b'H'; 200], ""),
        (At::Subscribe, &[0x90, 5, 0, 1, 0, 1, 0x87], "refuses the subscriptions"),
        (At::Subscribe, &[0x90, 4, 0, 1, 0, 1], "refuses the subscriptions"),
        // An acknowledgement of nothing; a packet of 256 MB; a DISCONNECT because of a takeover.
        (At::Later, &[0x40, 2, 0, 9], "unsolicited"),
        (At::Later, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0], ""),
        (At::Later, &[0xE0, 2, 0x8E, 0], "SessionTakenOver"),
    ];
    for (at, bytes, reason) in cases {
        let (listener, uplink, mut events) = start().await;
        let mut session = Session::accept(&listener).await;
        match at {
            At::Connect => assert_eq!(session.read().await.0, 0x10),
            At::Subscribe => {
                assert_eq!(session.read().await.0, 0x10);
                session.write(CONNACK).await;
                assert_eq!(session.read().await.0, 0x82);
            }
            At::Later => {
                session.welcome().await;
                assert_eq!(next(&mut events).await, UplinkEvent::Connected);
            }
        }
        session.write(bytes).await;
        let event = next(&mut events).await;
        let UplinkEvent::Disconnected { reason: told } = &event else { panic!("{bytes:?}: {event:?}") };
        assert!(told.contains(reason), "{bytes:?}: {told}");
        assert_eq!(uplink.publish(query(1, 1)), Err(NotPublished::Disconnected));
        let mut again = Session::accept(&listener).await;
        again.welcome().await;
        assert_eq!(next(&mut events).await, UplinkEvent::Connected, "{bytes:?}");
    }
}

/// What NATS does: its refusal has the form of MQTT 3.1.1, which is half a packet in MQTT 5.
const OLD_REFUSAL: &[u8] = &[0x20, 2, 0, 1];

impl Session {
    /// Reads CONNECT and returns its protocol level: 5, or 4 for MQTT 3.1.1.
    async fn level(&mut self) -> u8 {
        let connect = self.read().await;
        assert_eq!((connect.0, &connect.1[2..6]), (0x10, &b"MQTT"[..]));
        connect.1[6]
    }

    /// Grants a connection of MQTT 3.1.1 and its subscriptions.
    async fn welcome_older(&mut self) {
        assert_eq!(self.level().await, 4);
        self.write(&[0x20, 2, 0, 0]).await;
        let subscribe = self.read().await;
        self.write(&[0x90, 4, subscribe.1[0], subscribe.1[1], 1, 1]).await;
    }
}

#[tokio::test]
async fn a_broker_of_mqtt_311_is_spoken_to_in_it() {
    // What the broker sends before it closes, and how often it must.
    let cases: [(&[u8], usize); 3] = [(OLD_REFUSAL, 2), (&[], 2), (&[0x20, 3, 0, 0x84, 0], 1)];
    for (refusal, times) in cases {
        let (listener, uplink, mut events) = start().await;
        for _ in 0..times {
            let mut session = Session::accept(&listener).await;
            assert_eq!(session.level().await, 5);
            session.write(refusal).await;
        }
        let mut session = Session::accept(&listener).await;
        session.welcome_older().await;
        while next(&mut events).await != UplinkEvent::Connected {}
        assert_eq!(uplink.protocol(), Some(Protocol::V311));
        let status = session.read().await;
        assert!(status.is_publish_on("glassd/home/status"), "{status:?}");
        session.acknowledge(&status).await;
        uplink.publish(query(1, 100)).unwrap();
        let first = session.read().await;
        assert_eq!(first.1.len(), 2 + "glassd/home/query".len() + 2 + 100, "no properties: {first:?}");
        session.acknowledge(&first).await;
        session.write(b"\x30\x15\x00\x12glassd/home/answer{").await;
        let answer = UplinkEvent::Answer { correlation: vec![], content_type: None, payload: b"{".to_vec() };
        assert_eq!(next(&mut events).await, answer);
        // It may have learned MQTT 5; if not, the older version follows at once.
        drop(session);
        let mut session = Session::accept(&listener).await;
        assert_eq!(session.level().await, 5);
        session.write(refusal).await;
        drop(session);
        let mut session = timeout(Duration::from_millis(400), Session::accept(&listener)).await.unwrap();
        session.welcome_older().await;
        while next(&mut events).await != UplinkEvent::Connected {}
    }
}

#[tokio::test]
async fn odd_publishes_are_counted_and_end_nothing() {
    let (listener, uplink, mut events) = start().await;
    let mut session = Session::accept(&listener).await;
    session.welcome().await;
    assert_eq!(next(&mut events).await, UplinkEvent::Connected);
    let publish = |first: u8, topic: &[u8], payload: &[u8]| {
        let mut packet = vec![first, (topic.len() + payload.len() + 3) as u8, 0, topic.len() as u8];
        packet.extend_from_slice(topic);
        packet.push(0);
        packet.extend_from_slice(payload);
        packet
    };
    session.write(&publish(0x30, b"glassd/home/command/\xFF", b"x")).await;
    session.write(&publish(0x30, b"somewhere/else", b"x")).await;
    session.write(&publish(0x31, b"glassd/home/command/ask", b"retained")).await;
    session.write(&publish(0x30, b"glassd/home/command/", b"x")).await;
    session.write(&publish(0x30, b"glassd/home/command/ask", b"good")).await;
    let good = UplinkEvent::Command { name: "ask".to_owned(), payload: b"good".to_vec() };
    assert_eq!(next(&mut events).await, good);
    assert_eq!(uplink.unexpected_total(), 4);
}

#[tokio::test]
async fn a_broker_that_takes_nothing_fills_a_queue_that_ends() {
    let (listener, uplink, mut events) = start().await;
    let mut session = Session::accept(&listener).await;
    session.welcome().await;
    assert_eq!(next(&mut events).await, UplinkEvent::Connected);
    let mut taken = 0;
    let refused = loop {
        match uplink.publish(query(taken, 100_000)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1000, "the queue has no end");
        tokio::task::yield_now().await;
    };
    assert_eq!(refused, NotPublished::Busy);
    // 64 in the queue, 16 with the client, 16 on the wire without acknowledgement.
    assert!((64..=100).contains(&taken), "{taken} publications of 100 KB taken");
    assert!(uplink.is_running());
}
