//! One connection, from CONNECT to its end.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use glassd_core::wire::MAX_MESSAGE;
use glassd_mqtt::{Access, Acknowledge, Client, EventLoop, Failure, FailureKind, Options, Protocol};
use rumqttc::Outgoing;
use rumqttc::v5::Event;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, LastWill, Packet, PubAck, PubAckReason, Publish, RetainForwardRule, SubAck,
    SubscribeReasonCode,
};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, timeout_at};

use super::{Publication, Shared, Topics, UplinkEvent, UplinkSettings, home_assistant};

/// Publishes that may wait for their acknowledgement. The core keeps fewer queries in flight; the rest
/// is for state and answers.
const IN_FLIGHT: u16 = 16;
/// Packets handed to the client and not yet written.
const HANDED_OVER: usize = 16;
/// Largest packet taken from the broker, in bytes.
const MAX_PACKET: u32 = (MAX_MESSAGE + 64 * 1024) as u32;
/// Time from the first SYN to the broker's grant of the subscriptions.
const CONNECT: Duration = Duration::from_secs(10);
/// A publish without acknowledgement for so long means a broker that has stopped working.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);

/// How long the broker may take to close after DISCONNECT.
const GOODBYE: Duration = Duration::from_millis(500);

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The handle is gone, or nobody reads the events.
    Closed,
    /// The broker is gone, and why.
    Lost(Failure),
}

impl Ended {
    fn lost(reason: impl Into<String>) -> Self {
        Self::Lost(Failure { kind: FailureKind::Other, reason: reason.into() })
    }
}

/// What a packet says, as far as its acknowledgement matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Query,
    Else,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// CONNECT and SUBSCRIBE are on their way.
    Connecting,
    /// The subscriptions are granted.
    Up,
    /// `offline` is on its way, behind everything else.
    Closing,
    /// All is acknowledged, DISCONNECT is on its way, and the broker closes.
    Closed,
}

struct Connection<'a> {
    settings: &'a UplinkSettings,
    shared: &'a Shared,
    client: Client,
    protocol: Protocol,
    phase: Phase,
    /// Packets handed to the client that it has not yet written, in their order.
    handed_over: VecDeque<Says>,
    /// Packet identifiers of publishes and when they were written.
    unacknowledged: BTreeMap<u16, (Instant, Says)>,
}

/// Runs one connection to its end; drops what is queued until it stands.
pub(super) async fn run(
    settings: &UplinkSettings,
    shared: &Shared,
    protocol: Protocol,
    queue: &mut Receiver<Publication>,
    events: &Sender<UplinkEvent>,
) -> Ended {
    let (files, broker) = (settings.access.clone(), settings.broker.clone());
    // Some milliseconds of disk.
    let access = match tokio::task::spawn_blocking(move || files.read(&broker)).await {
        Ok(Ok(access)) => access,
        Ok(Err(error)) => return Ended::lost(error.to_string()),
        Err(error) => return Ended::lost(format!("certificates could not be read: {error}")),
    };
    let keep_alive = settings.keep_alive.choose();
    let (client, mut eventloop) = glassd_mqtt::open(options(settings, access, protocol, keep_alive));
    let mut connection = Connection {
        settings,
        shared,
        client,
        protocol,
        phase: Phase::Connecting,
        handed_over: VecDeque::new(),
        unacknowledged: BTreeMap::new(),
    };
    connection.subscribe();
    // The client wakes up at every keep-alive; one that does not is stuck in a write.
    let patience = keep_alive * 2 + Duration::from_secs(5);
    let mut deadline = Instant::now() + CONNECT;
    loop {
        let polled = match connection.poll(&mut eventloop, queue, deadline).await {
            Ok(polled) => polled,
            Err(ended) => return ended,
        };
        let event = match connection.handle(polled) {
            Ok(event) => event,
            Err(ended) => return ended,
        };
        match connection.phase {
            Phase::Connecting => {}
            Phase::Up | Phase::Closing => {
                let silent = Instant::now() + patience;
                deadline = connection.acknowledgement_due().map_or(silent, |due| due.min(silent));
            }
            Phase::Closed => deadline = deadline.min(Instant::now() + GOODBYE),
        }
        if event == Some(UplinkEvent::Connected) {
            // Meant for the connection before.
            while queue.try_recv().is_ok() {}
            shared.version.store(if protocol == Protocol::V5 { 5 } else { 3 }, Ordering::Relaxed);
            shared.connected.store(true, Ordering::Release);
        }
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return Ended::Closed;
        }
    }
}

impl Connection<'_> {
    /// Waits for the client's next event, and hands it publications meanwhile.
    ///
    /// The client's future is not dropped before it is done: dropped in the middle of a write it
    /// would lose the packet.
    async fn poll(
        &mut self,
        eventloop: &mut EventLoop,
        queue: &mut Receiver<Publication>,
        deadline: Instant,
    ) -> Result<Event, Ended> {
        let mut polled = pin!(timeout_at(deadline, eventloop.poll()));
        loop {
            tokio::select! {
                polled = &mut polled => return match polled {
                    Ok(Ok(event)) => Ok(event),
                    Ok(Err(error)) => Err(self.lost(error)),
                    Err(_) => Err(self.silent()),
                },
                publication = queue.recv(), if self.takes() => match publication {
                    Some(publication) => self.publish(publication)?,
                    None => self.close()?,
                },
            }
        }
    }

    /// Whether to look at the queue now.
    fn takes(&self) -> bool {
        match self.phase {
            Phase::Connecting => true,
            Phase::Up => self.handed_over.len() < HANDED_OVER,
            Phase::Closing | Phase::Closed => false,
        }
    }

    fn publish(&mut self, publication: Publication) -> Result<(), Ended> {
        match self.phase {
            Phase::Up => {
                let says = match &publication {
                    Publication::Query { .. } => Says::Query,
                    Publication::State(_)
                    | Publication::Answered(_)
                    | Publication::Event { .. }
                    | Publication::Discovery { .. } => Says::Else,
                };
                let packet = publication.packet(&self.settings.topics, self.settings.encoding);
                self.hand_over(packet, says)
            }
            // Meant for the connection before.
            Phase::Connecting | Phase::Closing | Phase::Closed => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Ended> {
        if self.phase == Phase::Connecting {
            return Err(Ended::Closed);
        }
        self.phase = Phase::Closing;
        self.hand_over(status(&self.settings.topics, "offline"), Says::Else)
    }

    /// Says goodbye once everything is acknowledged: a socket closed with acknowledgements unread resets
    /// the connection, and the broker loses what it has not read yet.
    fn disconnect_when_settled(&mut self) -> Result<(), Ended> {
        let settled = self.handed_over.is_empty() && self.unacknowledged.is_empty();
        if self.phase == Phase::Closing && settled {
            self.phase = Phase::Closed;
            // The will is for those that die; the broker forgets it at this.
            self.client.try_disconnect().map_err(|_| Ended::Closed)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, packet: Publish, says: Says) -> Result<(), Ended> {
        self.client.try_publish(packet).map_err(|error| Ended::lost(error.to_string()))?;
        self.handed_over.push_back(says);
        Ok(())
    }

    fn subscribe(&mut self) {
        let filter = |path: String| Filter {
            retain_forward_rule: RetainForwardRule::Never,
            ..Filter::new(path, QoS::AtLeastOnce)
        };
        let filters = self.subscriptions().into_iter().map(filter).collect();
        self.client.try_subscribe(filters).expect("the client's queue is empty");
    }

    fn subscriptions(&self) -> Vec<String> {
        let topics = &self.settings.topics;
        [topics.answer(), topics.commands()].into_iter().chain(self.births()).collect()
    }

    /// Where Home Assistant tells of its birth.
    fn births(&self) -> Option<String> {
        self.settings.home_assistant.as_ref().map(|prefix| format!("{prefix}/status"))
    }

    fn handle(&mut self, event: Event) -> Result<Option<UplinkEvent>, Ended> {
        if self.acknowledgement_due().is_some_and(|due| due <= Instant::now()) {
            return Err(self.silent());
        }
        match event {
            Event::Incoming(Packet::ConnAck(ack)) => {
                self.shared.max_packet.store(max_packet(&ack, self.protocol), Ordering::Release);
                Ok(None)
            }
            Event::Incoming(Packet::SubAck(ack)) => self.handle_suback(&ack),
            Event::Incoming(Packet::PubAck(ack)) => {
                self.handle_puback(&ack);
                self.disconnect_when_settled()?;
                Ok(None)
            }
            Event::Incoming(Packet::Publish(publish)) => Ok(self.handle_publish(publish)),
            Event::Outgoing(Outgoing::Publish(id)) => {
                let says = self.handed_over.pop_front().unwrap_or(Says::Else);
                if id != 0 {
                    self.unacknowledged.insert(id, (Instant::now(), says));
                }
                Ok(None)
            }
            Event::Incoming(_) | Event::Outgoing(_) => Ok(None),
        }
    }

    fn handle_puback(&mut self, ack: &PubAck) {
        let says = self.unacknowledged.remove(&ack.pkid).map_or(Says::Else, |(_, says)| says);
        match ack.reason {
            PubAckReason::Success => {}
            // Who watches state and events comes and goes; a query that nobody takes waits for its time-out.
            PubAckReason::NoMatchingSubscribers if says == Says::Query => {
                if self.shared.unheard.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!("nobody takes queries from this broker; does a glassd-cloud run?");
                }
            }
            PubAckReason::NoMatchingSubscribers => {}
            reason => tracing::warn!(?reason, "the broker refused a publish"),
        }
    }

    fn handle_suback(&mut self, ack: &SubAck) -> Result<Option<UplinkEvent>, Ended> {
        let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        if ack.return_codes.len() != self.subscriptions().len() || !ack.return_codes.iter().all(granted) {
            let codes = &ack.return_codes;
            return Err(Ended::lost(format!("the broker refuses the subscriptions: {codes:?}")));
        }
        if self.phase != Phase::Connecting {
            return Ok(None);
        }
        self.phase = Phase::Up;
        self.hand_over(status(&self.settings.topics, "online"), Says::Else)?;
        Ok(Some(UplinkEvent::Connected))
    }

    fn handle_publish(&self, publish: Publish) -> Option<UplinkEvent> {
        let expected = self.births().is_some_and(|births| publish.topic == births);
        let event = self.read(publish);
        if event.is_none() && !expected {
            self.shared.unexpected.fetch_add(1, Ordering::Relaxed);
        }
        event
    }

    fn read(&self, publish: Publish) -> Option<UplinkEvent> {
        if publish.retain || publish.payload.len() > MAX_MESSAGE {
            return None;
        }
        let topics = &self.settings.topics;
        let topic = std::str::from_utf8(&publish.topic).ok()?;
        let payload = publish.payload.to_vec();
        if topic == topics.answer() {
            let properties = publish.properties.unwrap_or_default();
            let correlation = properties.correlation_data.unwrap_or_default().to_vec();
            return Some(UplinkEvent::Answer { correlation, content_type: properties.content_type, payload });
        }
        if self.births().is_some_and(|births| births == topic) {
            // Its death says `offline`, and nothing has to be done.
            return (payload == home_assistant::BIRTH).then_some(UplinkEvent::HomeAssistantBorn);
        }
        let name = topics.command_name(topic)?.to_owned();
        Some(UplinkEvent::Command { name, payload })
    }

    fn lost(&self, failure: Failure) -> Ended {
        match self.phase {
            // Whatever happens now, it is over.
            Phase::Closing | Phase::Closed => Ended::Closed,
            Phase::Connecting | Phase::Up => Ended::Lost(failure),
        }
    }

    /// Returns when the broker must have acknowledged the oldest publish.
    fn acknowledgement_due(&self) -> Option<Instant> {
        self.unacknowledged.values().map(|(written, _)| *written + ACKNOWLEDGE).min()
    }

    fn silent(&self) -> Ended {
        let due = self.acknowledgement_due();
        match self.phase {
            Phase::Up if due.is_some_and(|due| due <= Instant::now()) => {
                Ended::lost("the broker does not acknowledge what is published")
            }
            Phase::Connecting => Ended::lost("the broker does not answer"),
            Phase::Up => Ended::lost("the broker has fallen silent"),
            Phase::Closing | Phase::Closed => Ended::Closed,
        }
    }
}

fn options(settings: &UplinkSettings, access: Access, protocol: Protocol, keep_alive: Duration) -> Options {
    Options {
        broker: settings.broker.clone(),
        client_id: settings.client_id.clone(),
        protocol,
        access,
        keep_alive,
        connect: CONNECT,
        max_packet: MAX_PACKET,
        in_flight: IN_FLIGHT,
        receive_maximum: None,
        acknowledge: Acknowledge::AtOnce,
        will: Some(LastWill::new(settings.topics.status(), "offline", QoS::AtLeastOnce, true, None)),
        queue: HANDED_OVER + 4,
    }
}

fn status(topics: &Topics, status: &'static str) -> Publish {
    Publish { retain: true, ..Publish::new(topics.status(), QoS::AtLeastOnce, status, None) }
}

/// MQTT 3.1.1 says no limit; the client has one of its own then.
fn max_packet(ack: &ConnAck, protocol: Protocol) -> u32 {
    let told = ack.properties.as_ref().and_then(|properties| properties.max_packet_size);
    told.unwrap_or(match protocol {
        Protocol::V5 => u32::MAX,
        Protocol::V311 => MAX_PACKET,
    })
}
