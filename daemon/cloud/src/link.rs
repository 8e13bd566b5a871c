//! One connection to the broker.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use glassd_core::wire::MAX_MESSAGE;
use glassd_mqtt::{Access, Acknowledge, Client, EventLoop, Failure, FailureKind, Options, Protocol};
use rumqttc::Outgoing;
use rumqttc::v5::Event;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, Packet, PubAckReason, Publish, SubAck, SubscribeReasonCode,
};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use crate::worker::WorkerConfig;

/// Largest packet taken from the broker, in bytes.
const MAX_PACKET: u32 = (MAX_MESSAGE + 64 * 1024) as u32;
/// Answers that may wait for their acknowledgement.
const IN_FLIGHT: u16 = 64;
/// Packets handed to the client and not yet written.
const HANDED_OVER: usize = 64;
/// Time from the first SYN to the broker's grant of the subscription.
const CONNECT: Duration = Duration::from_secs(10);
/// Silence after which the broker is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest silence of the client itself, which wakes up at every keep-alive unless it is stuck in a write.
const PATIENCE: Duration = Duration::from_secs(35);
/// An answer without acknowledgement for so long means a broker that has stopped working.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);

/// What the worker needs to know.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The subscription is granted.
    Up(Sharing),
    /// A message.
    Publish(Box<Publish>),
    /// The goodbye is said.
    Closed,
    /// Nothing of interest.
    Other,
}

/// Whether the broker gives each query to one of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// It does.
    Shared,
    /// It gives each query to every worker: more than one would all ask the model.
    Alone,
}

/// A query that arrived and is not yet acknowledged.
struct Arrival {
    ticket: u64,
    publish: Publish,
    done: bool,
}

pub(crate) struct Link {
    client: Client,
    protocol: Protocol,
    /// What all gateways publish queries on.
    queries: String,
    /// What was subscribed.
    filter: String,
    sharing: Sharing,
    /// In the order of arrival, which is the order of acknowledgement.
    arrivals: VecDeque<Arrival>,
    /// Packets handed to the client that it has not yet written.
    handed_over: usize,
    /// Packet identifiers of answers and when they were written.
    unacknowledged: BTreeMap<u16, Instant>,
    deadline: Instant,
    closing: bool,
}

impl Link {
    /// Prepares a connection that takes `places` queries at once; polling the event loop opens it.
    pub(crate) fn open(
        config: &WorkerConfig,
        access: Access,
        protocol: Protocol,
        client_id: &str,
        places: usize,
    ) -> (Self, EventLoop) {
        let (client, eventloop) = glassd_mqtt::open(Options {
            broker: config.broker.clone(),
            client_id: client_id.to_owned(),
            protocol,
            access,
            keep_alive: KEEP_ALIVE,
            connect: CONNECT,
            max_packet: MAX_PACKET,
            in_flight: IN_FLIGHT,
            receive_maximum: Some(u16::try_from(places).unwrap_or(u16::MAX)),
            acknowledge: Acknowledge::ByHand,
            will: None,
            queue: HANDED_OVER + 8,
        });
        let link = Self {
            client,
            protocol,
            queries: format!("{}/+/query", config.topic_prefix),
            filter: String::new(),
            sharing: Sharing::Alone,
            arrivals: VecDeque::new(),
            handed_over: 0,
            unacknowledged: BTreeMap::new(),
            deadline: Instant::now() + CONNECT,
            closing: false,
        };
        (link, eventloop)
    }

    /// Returns when the next event must have come.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Handles what the client did.
    pub(crate) fn handle(
        &mut self,
        polled: Result<Result<Event, Failure>, Elapsed>,
    ) -> Result<LinkEvent, Failure> {
        let event = polled.map_err(|_| lost("the broker is silent".to_owned()))??;
        let oldest = self.unacknowledged.values().min();
        if oldest.is_some_and(|written| written.elapsed() > ACKNOWLEDGE) {
            return Err(lost("the broker does not acknowledge answers".to_owned()));
        }
        match event {
            Event::Incoming(Packet::SubAck(ack)) => {
                self.deadline = Instant::now() + PATIENCE;
                check(&ack).map(|()| LinkEvent::Up(self.sharing))
            }
            // The time to connect goes on until the subscription is granted.
            Event::Incoming(Packet::ConnAck(ack)) => self.subscribe(&ack).map(|()| LinkEvent::Other),
            Event::Outgoing(Outgoing::Subscribe(_)) => Ok(LinkEvent::Other),
            event => {
                self.deadline = Instant::now() + PATIENCE;
                Ok(self.handle_established(event))
            }
        }
    }

    /// Shares the queries with other workers where the broker can: MQTT 5 has it unless the broker says otherwise, 3.1.1 has not.
    fn subscribe(&mut self, ack: &ConnAck) -> Result<(), Failure> {
        let shares = ack.properties.as_ref().and_then(|properties| properties.shared_subscription_available);
        self.sharing = match self.protocol {
            Protocol::V5 if shares != Some(0) => Sharing::Shared,
            Protocol::V5 | Protocol::V311 => Sharing::Alone,
        };
        self.filter = match self.sharing {
            Sharing::Shared => format!("$share/cloud/{}", self.queries),
            Sharing::Alone => self.queries.clone(),
        };
        let filter = Filter::new(self.filter.clone(), QoS::AtLeastOnce);
        self.client.try_subscribe(vec![filter]).map_err(|error| lost(error.to_string()))
    }

    fn handle_established(&mut self, event: Event) -> LinkEvent {
        match event {
            Event::Incoming(Packet::Publish(publish)) => return LinkEvent::Publish(Box::new(publish)),
            Event::Incoming(Packet::PubAck(ack)) => {
                self.unacknowledged.remove(&ack.pkid);
                if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
                    tracing::warn!(reason = ?ack.reason, "the broker refused an answer");
                }
            }
            Event::Outgoing(Outgoing::Publish(id)) => {
                self.handed_over = self.handed_over.saturating_sub(1);
                self.unacknowledged.insert(id, Instant::now());
            }
            Event::Outgoing(Outgoing::PubAck(_)) => self.handed_over = self.handed_over.saturating_sub(1),
            Event::Outgoing(Outgoing::Disconnect) => return LinkEvent::Closed,
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
        LinkEvent::Other
    }

    /// Whether an answer and its acknowledgement can be handed over.
    pub(crate) fn has_room(&self) -> bool {
        self.handed_over + 2 <= HANDED_OVER
    }

    /// Notes an arrival, to be acknowledged in its turn.
    pub(crate) fn note(&mut self, publish: &Publish, ticket: u64) {
        if publish.qos == QoS::AtMostOnce {
            return;
        }
        // Only its identifier is needed; the payload is large.
        let publish = Publish { payload: Default::default(), properties: None, ..publish.clone() };
        self.arrivals.push_back(Arrival { ticket, publish, done: false });
    }

    /// Publishes an answer; there must be room.
    pub(crate) fn publish(&mut self, packet: Publish) {
        if self.client.try_publish(packet).is_ok() {
            self.handed_over += 1;
        }
    }

    /// Marks an arrival as done with; one of an earlier connection is not there any more.
    pub(crate) fn done(&mut self, ticket: u64) {
        if let Some(arrival) = self.arrivals.iter_mut().find(|arrival| arrival.ticket == ticket) {
            arrival.done = true;
        }
    }

    /// Acknowledges what is done, in the order of arrival, behind the answers handed over before.
    pub(crate) fn acknowledge(&mut self) {
        while self.handed_over < HANDED_OVER
            && self.arrivals.front().is_some_and(|arrival| arrival.done)
            && let Some(arrival) = self.arrivals.pop_front()
        {
            if self.client.try_ack(&arrival.publish).is_ok() {
                self.handed_over += 1;
            }
        }
    }

    /// Asks the broker for no more queries.
    pub(crate) fn unsubscribe(&self) {
        // A queue too full for that ends with the connection, soon.
        let _ = self.client.try_unsubscribe(&self.filter);
    }

    /// Says goodbye once everything is acknowledged: a socket closed with acknowledgements unread resets
    /// the connection, and the broker loses what it has not read yet.
    pub(crate) fn close_when_settled(&mut self) {
        if !self.closing && self.handed_over == 0 && self.unacknowledged.is_empty() {
            self.closing = self.client.try_disconnect().is_ok();
        }
    }
}

fn lost(reason: String) -> Failure {
    Failure { kind: FailureKind::Other, reason }
}

fn check(ack: &SubAck) -> Result<(), Failure> {
    match ack.return_codes.first() {
        Some(SubscribeReasonCode::Success(_)) => Ok(()),
        other => Err(lost(format!("the broker refuses the subscription: {other:?}"))),
    }
}
