//! The client: MQTT 5, or 3.1.1 in the words of MQTT 5.

use std::time::Duration;

use glassd_core::broker::{BrokerAddress, Transport};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Filter, LastWill, Packet, PubAck, PubAckReason, Publish, SubAck,
    SubscribeReasonCode,
};
use rumqttc::v5::{self, Event};
use rumqttc::{NetworkOptions, TlsConfiguration};

use crate::access::Access;
use crate::failure::Failure;
use crate::version::Protocol;

/// Who acknowledges what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// The client, on arrival.
    AtOnce,
    /// The owner, with [`Client::try_ack`].
    ByHand,
}

/// What one connection is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub broker: BrokerAddress,
    /// MQTT client id.
    pub client_id: String,
    /// Which version.
    pub protocol: Protocol,
    /// Secrets and certificates.
    pub access: Access,
    /// Silence after which the broker is asked whether it is still there; at least 1 s.
    pub keep_alive: Duration,
    /// Time from the first SYN to CONNACK.
    pub connect: Duration,
    /// Largest packet taken from the broker, in bytes; in 3.1.1 the largest to it, too, for it says none.
    pub max_packet: u32,
    /// Publishes that may wait for their acknowledgement.
    pub in_flight: u16,
    /// Publishes that the broker may send without acknowledgement; 3.1.1 cannot say so.
    pub receive_maximum: Option<u16>,
    /// Who acknowledges what arrives.
    pub acknowledge: Acknowledge,
    /// What the broker says when this client dies.
    pub will: Option<LastWill>,
    /// Packets that may wait for the event loop.
    pub queue: usize,
}

/// A packet was not taken: too many wait, or the topic is none.
#[derive(Debug, thiserror::Error)]
#[error("the MQTT client does not take the packet: {0}")]
pub struct HandOverError(String);

/// Hands packets to the event loop.
#[derive(Clone, Debug)]
pub enum Client {
    /// MQTT 5.
    V5(v5::AsyncClient),
    /// MQTT 3.1.1.
    V311(rumqttc::AsyncClient),
}

/// One connection; polling it opens it.
pub struct EventLoop {
    inner: Inner,
    heard: bool,
}

enum Inner {
    V5(Box<v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// Prepares a connection.
pub fn open(options: Options) -> (Client, EventLoop) {
    match options.protocol {
        Protocol::V5 => {
            let queue = options.queue;
            let (client, eventloop) = v5::AsyncClient::new(options.v5(), queue);
            (Client::V5(client), EventLoop { inner: Inner::V5(Box::new(eventloop)), heard: false })
        }
        Protocol::V311 => {
            let queue = options.queue;
            let network = options.network();
            let (client, mut eventloop) = rumqttc::AsyncClient::new(options.v311(), queue);
            eventloop.set_network_options(network);
            (Client::V311(client), EventLoop { inner: Inner::V311(Box::new(eventloop)), heard: false })
        }
    }
}

impl EventLoop {
    /// Waits for the next event, or for the connection's end. Not to be dropped before it is done: dropped in the middle of
    /// a write it would lose the packet.
    pub async fn poll(&mut self) -> Result<Event, Failure> {
        let event = match &mut self.inner {
            Inner::V5(eventloop) => {
                eventloop.poll().await.map_err(|error| Failure::of_v5(&error, self.heard))?
            }
            Inner::V311(eventloop) => {
                newer(eventloop.poll().await.map_err(|error| Failure::of_v311(&error, self.heard))?)
            }
        };
        self.heard |= matches!(event, Event::Incoming(Packet::ConnAck(_)));
        Ok(event)
    }
}

impl Client {
    /// Hands over a publish; in 3.1.1 without its properties.
    pub fn try_publish(&self, packet: Publish) -> Result<(), HandOverError> {
        let Publish { topic, qos, retain, payload, properties, .. } = packet;
        let topic = String::from_utf8_lossy(&topic).into_owned();
        let handed = match self {
            Self::V5(client) => client
                .try_publish_with_properties(topic, qos, retain, payload, properties.unwrap_or_default())
                .map_err(|error| error.to_string()),
            Self::V311(client) => {
                client.try_publish(topic, older_qos(qos), retain, payload).map_err(|error| error.to_string())
            }
        };
        handed.map_err(HandOverError)
    }

    /// Subscribes; 3.1.1 knows of a filter its path and quality of service only.
    pub fn try_subscribe(&self, filters: Vec<Filter>) -> Result<(), HandOverError> {
        let handed = match self {
            Self::V5(client) => client.try_subscribe_many(filters).map_err(|error| error.to_string()),
            Self::V311(client) => {
                let older =
                    |filter: Filter| rumqttc::SubscribeFilter::new(filter.path, older_qos(filter.qos));
                client.try_subscribe_many(filters.into_iter().map(older)).map_err(|error| error.to_string())
            }
        };
        handed.map_err(HandOverError)
    }

    /// Takes a subscription back.
    pub fn try_unsubscribe(&self, path: &str) -> Result<(), HandOverError> {
        let handed = match self {
            Self::V5(client) => client.try_unsubscribe(path).map_err(|error| error.to_string()),
            Self::V311(client) => client.try_unsubscribe(path).map_err(|error| error.to_string()),
        };
        handed.map_err(HandOverError)
    }

    /// Acknowledges a publish.
    pub fn try_ack(&self, publish: &Publish) -> Result<(), HandOverError> {
        let handed = match self {
            Self::V5(client) => client.try_ack(publish).map_err(|error| error.to_string()),
            Self::V311(client) => {
                let mut older = rumqttc::Publish::new("", older_qos(publish.qos), []);
                older.pkid = publish.pkid;
                client.try_ack(&older).map_err(|error| error.to_string())
            }
        };
        handed.map_err(HandOverError)
    }

    /// Says goodbye.
    pub fn try_disconnect(&self) -> Result<(), HandOverError> {
        let handed = match self {
            Self::V5(client) => client.try_disconnect().map_err(|error| error.to_string()),
            Self::V311(client) => client.try_disconnect().map_err(|error| error.to_string()),
        };
        handed.map_err(HandOverError)
    }
}

impl Options {
    /// The client takes a URL for WebSocket, and a name otherwise.
    fn host(&self) -> String {
        if self.broker.transport().is_web_socket() {
            self.broker.to_string()
        } else {
            self.broker.bare_host().to_owned()
        }
    }

    fn transport(&self) -> rumqttc::Transport {
        let tls = || {
            let config = self.access.tls.clone();
            TlsConfiguration::Rustls(config.expect("access is read for the broker's address"))
        };
        match self.broker.transport() {
            Transport::Tcp => rumqttc::Transport::Tcp,
            Transport::Tls => rumqttc::Transport::tls_with_config(tls()),
            Transport::WebSocket => rumqttc::Transport::Ws,
            Transport::SecureWebSocket => rumqttc::Transport::wss_with_config(tls()),
        }
    }

    fn network(&self) -> NetworkOptions {
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(self.connect.as_secs().max(1));
        network
    }

    fn v5(self) -> v5::MqttOptions {
        let mut options = v5::MqttOptions::new(&self.client_id, self.host(), self.broker.port());
        options
            .set_transport(self.transport())
            .set_network_options(self.network())
            .set_connection_timeout(self.connect.as_secs().max(1))
            .set_clean_start(true)
            .set_keep_alive(self.keep_alive)
            .set_manual_acks(self.acknowledge == Acknowledge::ByHand)
            .set_max_packet_size(Some(self.max_packet))
            // The client allocates its table of packet identifiers at once: a few rather than 65,535 entries.
            .set_outgoing_inflight_upper_limit(self.in_flight);
        if self.receive_maximum.is_some() {
            options.set_receive_maximum(self.receive_maximum);
        }
        if let Some(will) = self.will {
            options.set_last_will(will);
        }
        if let Some(login) = self.access.login {
            options.set_credentials(login.username, login.password);
        }
        options
    }

    fn v311(self) -> rumqttc::MqttOptions {
        let mut options = rumqttc::MqttOptions::new(&self.client_id, self.host(), self.broker.port());
        let max_packet = self.max_packet as usize;
        options
            .set_transport(self.transport())
            .set_clean_session(true)
            .set_keep_alive(self.keep_alive)
            .set_manual_acks(self.acknowledge == Acknowledge::ByHand)
            .set_max_packet_size(max_packet, max_packet)
            .set_inflight(self.in_flight);
        if let Some(will) = self.will {
            let topic = String::from_utf8_lossy(&will.topic).into_owned();
            let qos = older_qos(will.qos);
            options.set_last_will(rumqttc::LastWill::new(topic, will.message, qos, will.retain));
        }
        if let Some(login) = self.access.login {
            // A password without a user name is against MQTT 3.1.1 (3.1.2.9).
            let username = if login.username.is_empty() { self.client_id } else { login.username };
            options.set_credentials(username, login.password);
        }
        options
    }
}

fn older_qos(qos: QoS) -> rumqttc::QoS {
    match qos {
        QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
        QoS::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        QoS::ExactlyOnce => rumqttc::QoS::ExactlyOnce,
    }
}

fn newer_qos(qos: rumqttc::QoS) -> QoS {
    match qos {
        rumqttc::QoS::AtMostOnce => QoS::AtMostOnce,
        rumqttc::QoS::AtLeastOnce => QoS::AtLeastOnce,
        rumqttc::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

/// Says an event of MQTT 3.1.1 in the words of MQTT 5; what nobody here listens for becomes an answer to a ping.
fn newer(event: rumqttc::Event) -> Event {
    let packet = match event {
        rumqttc::Event::Outgoing(outgoing) => return Event::Outgoing(outgoing),
        rumqttc::Event::Incoming(packet) => packet,
    };
    Event::Incoming(match packet {
        rumqttc::Packet::ConnAck(ack) => Packet::ConnAck(ConnAck {
            session_present: ack.session_present,
            // The client gives no other.
            code: ConnectReturnCode::Success,
            properties: None,
        }),
        rumqttc::Packet::SubAck(ack) => Packet::SubAck(SubAck {
            pkid: ack.pkid,
            return_codes: ack
                .return_codes
                .into_iter()
                .map(|code| match code {
                    rumqttc::SubscribeReasonCode::Success(qos) => {
                        SubscribeReasonCode::Success(newer_qos(qos))
                    }
                    rumqttc::SubscribeReasonCode::Failure => SubscribeReasonCode::Failure,
                })
                .collect(),
            properties: None,
        }),
        rumqttc::Packet::PubAck(ack) => {
            Packet::PubAck(PubAck { pkid: ack.pkid, reason: PubAckReason::Success, properties: None })
        }
        rumqttc::Packet::Publish(publish) => Packet::Publish(Publish {
            dup: publish.dup,
            qos: newer_qos(publish.qos),
            retain: publish.retain,
            topic: publish.topic.into(),
            pkid: publish.pkid,
            payload: publish.payload,
            properties: None,
        }),
        _ => Packet::PingResp(rumqttc::v5::mqttbytes::v5::PingResp),
    })
}
