//! The ACL file for Mosquitto: a gateway can touch nothing but its own tree, a worker only queries and answers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/cloud/mosquitto.rs"]
mod mosquitto;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use mosquitto::Mosquitto;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/mosquitto/acl");

/// All that anybody says or hears.
const TOPICS: [&str; 16] = [
    "glassd/attic/status",
    "glassd/attic/state",
    "glassd/attic/query",
    "glassd/attic/answer",
    "glassd/attic/answered",
    "glassd/attic/amber/event",
    "glassd/attic/command/ask",
    "glassd/cellar/status",
    "glassd/cellar/query",
    "glassd/cellar/answer",
    "glassd/cellar/amber/event",
    "glassd/cellar/command/privacy",
    "homeassistant/device/attic/config",
    "homeassistant/device/cellar/amber/config",
    "homeassistant/status",
    "elsewhere",
];

async fn connect(port: u16, user: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(format!("client-of-{user}"), "127.0.0.1", port);
    options.set_credentials(user, user);
    let (client, mut eventloop) = AsyncClient::new(options, 64);
    let connected = timeout(PATIENCE, eventloop.poll()).await.unwrap().unwrap();
    assert!(matches!(connected, Event::Incoming(Packet::ConnAck(_))));
    (client, eventloop)
}

/// Publishes on every topic and returns on which it was let.
async fn written_by(port: u16, user: &str) -> BTreeSet<&'static str> {
    let (client, mut eventloop) = connect(port, user).await;
    let mut written = BTreeSet::new();
    for topic in TOPICS {
        client.publish(topic, QoS::AtLeastOnce, false, user.to_owned()).await.unwrap();
        let reason = loop {
            if let Event::Incoming(Packet::PubAck(ack)) =
                timeout(PATIENCE, eventloop.poll()).await.unwrap().unwrap()
            {
                break ack.reason;
            }
        };
        match reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                written.insert(topic);
            }
            reason => assert_eq!(reason, PubAckReason::NotAuthorized, "{user}: {topic}"),
        }
    }
    written
}

/// Subscribes everything, has the others publish on every topic, and returns what came.
async fn read_by(port: u16, user: &str, filter: &str) -> BTreeSet<String> {
    let (client, mut eventloop) = connect(port, user).await;
    client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
    loop {
        if let Event::Incoming(Packet::SubAck(_)) =
            timeout(PATIENCE, eventloop.poll()).await.unwrap().unwrap()
        {
            break;
        }
    }
    let listening = tokio::spawn(async move {
        let mut read = BTreeSet::new();
        while let Ok(event) = timeout(Duration::from_secs(1), eventloop.poll()).await {
            if let Event::Incoming(Packet::Publish(publish)) = event.unwrap() {
                read.insert(String::from_utf8(publish.topic.to_vec()).unwrap());
            }
        }
        read
    });
    written_by(port, "everybody").await;
    listening.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_can_touch_nothing_but_its_own_tree() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "").unwrap();
    for user in ["attic", "cellar", "cloud", "home", "everybody"] {
        let status = Command::new("mosquitto_passwd").arg("-b").arg(&users).args([user, user]).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("skipped: mosquitto_passwd is not installed");
            return;
        }
    }
    let acl = folder.path().join("acl");
    let everybody = "\nuser everybody\ntopic readwrite #\n";
    std::fs::write(&acl, std::fs::read_to_string(FILE).unwrap() + everybody).unwrap();
    let further = format!(
        "user root\nallow_anonymous false\npassword_file {}\nacl_file {}",
        users.display(),
        acl.display()
    );
    let Some(broker) = Mosquitto::start(&further) else { return };
    let port = broker.port();
    assert_eq!(written_by(port, "everybody").await.len(), TOPICS.len());

    let check = async |user: &str, filter: &str, writes: &[&str], reads: &[&str]| {
        let written: Vec<_> = written_by(port, user).await.into_iter().collect();
        assert_eq!(written, writes, "{user} writes");
        let read: Vec<_> = read_by(port, user, filter).await.into_iter().collect();
        assert_eq!(read, reads, "{user} reads");
    };
    check(
        "attic",
        "#",
        &[
            "glassd/attic/amber/event",
            "glassd/attic/answered",
            "glassd/attic/query",
            "glassd/attic/state",
            "glassd/attic/status",
            "homeassistant/device/attic/config",
        ],
        &["glassd/attic/answer", "glassd/attic/command/ask", "homeassistant/status"],
    )
    .await;
    for filter in ["#", "$share/cloud/glassd/+/query"] {
        let (answers, queries) =
            (["glassd/attic/answer", "glassd/cellar/answer"], ["glassd/attic/query", "glassd/cellar/query"]);
        // What every user may hear.
        let mut reads = queries.to_vec();
        if filter == "#" {
            reads.push("homeassistant/status");
        }
        check("cloud", filter, &answers, &reads).await;
    }
    check(
        "home",
        "#",
        &[
            "glassd/attic/command/ask",
            "glassd/cellar/command/privacy",
            "homeassistant/device/attic/config",
            "homeassistant/device/cellar/amber/config",
            "homeassistant/status",
        ],
        &[
            "glassd/attic/amber/event",
            "glassd/attic/answered",
            "glassd/attic/state",
            "glassd/attic/status",
            "glassd/cellar/amber/event",
            "glassd/cellar/status",
            "homeassistant/device/attic/config",
            "homeassistant/device/cellar/amber/config",
            "homeassistant/status",
        ],
    )
    .await;
}
