//! One connection, from CONNECT to its end.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use glassd_core::wire::MAX_MESSAGE;
use rumqttc::NetworkOptions;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, LastWill, Packet, PubAckReason, Publish, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, timeout_at};

use super::{Publication, Shared, Topics, UplinkEvent, UplinkSettings};

/// Publishes that may wait for their acknowledgement. The core keeps fewer queries in flight; the rest
/// is for state and answers.
const IN_FLIGHT: u16 = 16;
/// Packets handed to the client and not yet written.
const HANDED_OVER: usize = 16;
/// Largest packet taken from the broker, in bytes.
const MAX_PACKET: u32 = (MAX_MESSAGE + 64 * 1024) as u32;
/// Silence after which the broker is asked whether it is still there; one that stays silent for as long
/// again is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
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
    Lost(String),
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
    client: AsyncClient,
    phase: Phase,
    /// Packets handed to the client that it has not yet written.
    handed_over: usize,
    /// Packet identifiers of publishes and when they were written.
    unacknowledged: BTreeMap<u16, Instant>,
}

/// Runs one connection to its end; drops what is queued until it stands.
pub(super) async fn run(
    settings: &UplinkSettings,
    shared: &Shared,
    queue: &mut Receiver<Publication>,
    events: &Sender<UplinkEvent>,
) -> Ended {
    let (client, mut eventloop) = AsyncClient::new(options(settings), HANDED_OVER + 4);
    let mut connection = Connection {
        settings,
        shared,
        client,
        phase: Phase::Connecting,
        handed_over: 0,
        unacknowledged: BTreeMap::new(),
    };
    connection.subscribe();
    // The client wakes up at every keep-alive; one that does not is stuck in a write.
    let patience = KEEP_ALIVE * 2 + Duration::from_secs(5);
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
            Phase::Up | Phase::Closing => deadline = Instant::now() + patience,
            Phase::Closed => deadline = deadline.min(Instant::now() + GOODBYE),
        }
        if event == Some(UplinkEvent::Connected) {
            // Meant for the connection before.
            while queue.try_recv().is_ok() {}
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
                    Ok(Err(error)) => Err(self.lost(&error)),
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
            Phase::Up => self.handed_over < HANDED_OVER,
            Phase::Closing | Phase::Closed => false,
        }
    }

    fn publish(&mut self, publication: Publication) -> Result<(), Ended> {
        match self.phase {
            Phase::Up => self.hand_over(publication.packet(&self.settings.topics, self.settings.encoding)),
            // Meant for the connection before.
            Phase::Connecting | Phase::Closing | Phase::Closed => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Ended> {
        if self.phase == Phase::Connecting {
            return Err(Ended::Closed);
        }
        self.phase = Phase::Closing;
        self.hand_over(status(&self.settings.topics, "offline"))
    }

    /// Says goodbye once everything is acknowledged: a socket closed with acknowledgements unread resets
    /// the connection, and the broker loses what it has not read yet.
    fn disconnect_when_settled(&mut self) -> Result<(), Ended> {
        let settled = self.handed_over == 0 && self.unacknowledged.is_empty();
        if self.phase == Phase::Closing && settled {
            self.phase = Phase::Closed;
            // The will is for those that die; the broker forgets it at this.
            self.client.try_disconnect().map_err(|_| Ended::Closed)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, packet: Publish) -> Result<(), Ended> {
        let Publish { topic, qos, retain, payload, properties, .. } = packet;
        let topic = String::from_utf8_lossy(&topic).into_owned();
        let properties = properties.unwrap_or_default();
        self.client.try_publish_with_properties(topic, qos, retain, payload, properties).map_err(
            |error| Ended::Lost(format!("a packet could not be handed to the MQTT client: {error}")),
        )?;
        self.handed_over += 1;
        Ok(())
    }

    fn subscribe(&mut self) {
        let filter = |path: String| Filter {
            retain_forward_rule: RetainForwardRule::Never,
            ..Filter::new(path, QoS::AtLeastOnce)
        };
        let topics = &self.settings.topics;
        self.client
            .try_subscribe_many([filter(topics.answer()), filter(topics.commands())])
            .expect("the client's queue is empty");
    }

    fn handle(&mut self, event: Event) -> Result<Option<UplinkEvent>, Ended> {
        let oldest = self.unacknowledged.values().min();
        if oldest.is_some_and(|written| written.elapsed() > ACKNOWLEDGE) {
            return Err(Ended::Lost("the broker does not acknowledge what is published".to_owned()));
        }
        match event {
            Event::Incoming(Packet::ConnAck(ack)) => {
                self.shared.max_packet.store(max_packet(&ack), Ordering::Release);
                Ok(None)
            }
            Event::Incoming(Packet::SubAck(ack)) => self.handle_suback(&ack),
            Event::Incoming(Packet::PubAck(ack)) => {
                self.unacknowledged.remove(&ack.pkid);
                if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
                    tracing::warn!(reason = ?ack.reason, "the broker refused a publish");
                }
                self.disconnect_when_settled()?;
                Ok(None)
            }
            Event::Incoming(Packet::Publish(publish)) => Ok(self.handle_publish(publish)),
            Event::Outgoing(Outgoing::Publish(id)) => {
                self.handed_over = self.handed_over.saturating_sub(1);
                if id != 0 {
                    self.unacknowledged.insert(id, Instant::now());
                }
                Ok(None)
            }
            Event::Incoming(_) | Event::Outgoing(_) => Ok(None),
        }
    }

    fn handle_suback(&mut self, ack: &SubAck) -> Result<Option<UplinkEvent>, Ended> {
        let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        if ack.return_codes.len() != 2 || !ack.return_codes.iter().all(granted) {
            let codes = &ack.return_codes;
            return Err(Ended::Lost(format!("the broker refuses the subscriptions: {codes:?}")));
        }
        if self.phase != Phase::Connecting {
            return Ok(None);
        }
        self.phase = Phase::Up;
        self.hand_over(status(&self.settings.topics, "online"))?;
        Ok(Some(UplinkEvent::Connected))
    }

    fn handle_publish(&self, publish: Publish) -> Option<UplinkEvent> {
        let event = self.read(publish);
        if event.is_none() {
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
        let name = topics.command_name(topic)?.to_owned();
        Some(UplinkEvent::Command { name, payload })
    }

    fn lost(&self, error: &ConnectionError) -> Ended {
        match self.phase {
            // Whatever happens now, it is over.
            Phase::Closing | Phase::Closed => Ended::Closed,
            Phase::Connecting | Phase::Up => Ended::Lost(error.to_string()),
        }
    }

    fn silent(&self) -> Ended {
        match self.phase {
            Phase::Connecting => Ended::Lost("the broker does not answer".to_owned()),
            Phase::Up => Ended::Lost("the broker has fallen silent".to_owned()),
            Phase::Closing | Phase::Closed => Ended::Closed,
        }
    }
}

fn options(settings: &UplinkSettings) -> MqttOptions {
    let mut options = MqttOptions::new(&settings.client_id, settings.broker.host(), settings.broker.port());
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options
        .set_network_options(network)
        .set_connection_timeout(CONNECT.as_secs())
        .set_clean_start(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_max_packet_size(Some(MAX_PACKET))
        // The client allocates its table of packet identifiers at once: 16 rather than 65,535 entries.
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_last_will(LastWill::new(settings.topics.status(), "offline", QoS::AtLeastOnce, true, None));
    if let Some(credentials) = &settings.credentials {
        options.set_credentials(&credentials.username, &credentials.password);
    }
    options
}

fn status(topics: &Topics, status: &'static str) -> Publish {
    Publish { retain: true, ..Publish::new(topics.status(), QoS::AtLeastOnce, status, None) }
}

fn max_packet(ack: &ConnAck) -> u32 {
    ack.properties.as_ref().and_then(|properties| properties.max_packet_size).unwrap_or(u32::MAX)
}
