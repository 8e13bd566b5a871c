//! A plain MQTT 5 client that publishes and listens, for tests.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::mpsc::{Receiver, channel};

/// How long anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A client with one subscription.
pub struct Peer {
    client: AsyncClient,
    publishes: Receiver<Publish>,
    task: tokio::task::JoinHandle<()>,
}

impl Peer {
    /// Connects and subscribes; returns when the broker has granted it.
    pub async fn connect(port: u16, id: &str, filter: &str) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(Some(2 * 1024 * 1024)).set_keep_alive(Duration::from_secs(10));
        let (client, mut eventloop) = AsyncClient::new(options, 64);
        client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
        let (sender, publishes) = channel(1024);
        let (granted, ready) = tokio::sync::oneshot::channel();
        let mut granted = Some(granted);
        let task = tokio::spawn(async move {
            loop {
                match eventloop.poll().await {
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        granted.take().map(|granted| granted.send(()));
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        if sender.send(publish).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        eprintln!("the peer is not connected any more: {error}");
                        return;
                    }
                }
            }
        });
        tokio::time::timeout(PATIENCE, ready).await.expect("a grant in time").expect("a grant");
        Self { client, publishes, task }
    }

    /// Publishes at least once.
    pub async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>, properties: PublishProperties) {
        let payload: Vec<u8> = payload.into();
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
            .await
            .unwrap();
    }

    /// Publishes at least once, to be kept by the broker.
    pub async fn publish_retained(&self, topic: &str, payload: &str) {
        self.client.publish(topic, QoS::AtLeastOnce, true, payload.to_owned()).await.unwrap();
    }

    /// Waits for the next message.
    pub async fn next(&mut self) -> Publish {
        tokio::time::timeout(PATIENCE, self.publishes.recv())
            .await
            .expect("a message in time")
            .expect("a message")
    }

    /// Returns the next message if there is one within `time`.
    pub async fn next_within(&mut self, time: Duration) -> Option<Publish> {
        tokio::time::timeout(time, self.publishes.recv()).await.ok().flatten()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
