//! The uplink: one connection to a broker, in MQTT 5 or else 3.1.1, kept up by one task.
//!
//! Invariants:
//! - a connection starts clean on both sides: what was not acknowledged when it broke is not sent
//!   again by itself ([`rumqttc`] would, without a time limit); the core does so, from the outbox;
//! - what is queued here belongs to the connection that stands: it is dropped with it;
//! - [`UplinkEvent::Connected`] is sent after the broker has granted the subscriptions, so that no
//!   answer can come before anybody listens;
//! - MQTT 3.1.1 loses nothing of that: only a query's expiry, of which the core keeps its own account, and correlation data,
//!   whose place the name in the answer takes;
//! - retained messages are neither answers nor commands: a command retained by mistake would run at
//!   every reconnect.

mod connection;
mod home_assistant;
mod keep_alive;
mod publication;
mod task;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use glassd_core::wire::Encoding;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use self::home_assistant::{Device, devices};
pub use self::keep_alive::KeepAlive;
pub use self::publication::{Publication, event_of};
pub use self::topics::Topics;
pub use glassd_core::broker::{BrokerAddress, InvalidBrokerAddress};
pub use glassd_mqtt::{AccessFiles, Protocol, Version};

/// Publications that wait for the connection. Full-queue rule: the publication is refused; a query is
/// published again by the core, the state is retained and comes again, events are lost and counted.
const QUEUE: usize = 64;

/// How long [`Uplink::shutdown`] waits for the goodbye.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// What topic, properties and headers add to a payload at most, in bytes.
const PACKET_OVERHEAD: usize = 2048;

/// How to reach the broker, and who is calling.
#[derive(Clone, Debug)]
pub struct UplinkSettings {
    /// Where.
    pub broker: BrokerAddress,
    /// As whom, and whom to trust.
    pub access: AccessFiles,
    /// Which MQTT.
    pub version: Version,
    /// How long a quiet connection is left alone.
    pub keep_alive: KeepAlive,
    /// MQTT client id, one for each gateway: a broker keeps only the last that connects with it.
    pub client_id: String,
    /// Where to publish and what to listen to.
    pub topics: Topics,
    /// How queries are written.
    pub encoding: Encoding,
    /// First part of Home Assistant's topics, where it is told of this gateway.
    pub home_assistant: Option<String>,
}

impl UplinkSettings {
    /// Takes what has no default.
    pub fn new(broker: BrokerAddress, client_id: impl Into<String>, topics: Topics) -> Self {
        Self {
            broker,
            access: AccessFiles::default(),
            version: Version::Auto,
            keep_alive: KeepAlive::default(),
            client_id: client_id.into(),
            topics,
            encoding: Encoding::default(),
            home_assistant: None,
        }
    }
}

/// What the uplink tells the event loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkEvent {
    /// The broker is there, and listens.
    Connected,
    /// The broker is gone, or was not there. Told again only when the reason changes.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A message on the answer topic.
    Answer {
        /// MQTT correlation data; empty where absent.
        correlation: Vec<u8>,
        /// MQTT content type.
        content_type: Option<String>,
        /// The message.
        payload: Vec<u8>,
    },
    /// Home Assistant has started, and knows nothing yet.
    HomeAssistantBorn,
    /// A message on a command topic.
    Command {
        /// Last part of the topic.
        name: String,
        /// The message.
        payload: Vec<u8>,
    },
}

/// Why a publication was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// There is no broker.
    #[error("the broker is not connected")]
    Disconnected,
    /// Too much waits.
    #[error("{QUEUE} publications wait for the broker")]
    Busy,
    /// The broker takes no packet as large.
    #[error("a message of {bytes} bytes is too large for the broker, which takes packets up to {max}")]
    TooLarge {
        /// Payload in bytes.
        bytes: usize,
        /// Largest packet in bytes.
        max: u32,
    },
}

/// What handle and task both see.
#[derive(Debug)]
struct Shared {
    connected: AtomicBool,
    /// Largest packet that the broker takes, in bytes.
    max_packet: AtomicU32,
    unexpected: AtomicU64,
    unheard: AtomicU64,
    /// What the last connection that stood spoke: 5, 3, or 0 before the first.
    version: AtomicU8,
}

/// Handle to the task.
#[derive(Debug)]
pub struct Uplink {
    publications: mpsc::Sender<Publication>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Uplink {
    /// Starts the task in the current runtime; it waits while `events` is full, and ends when nobody
    /// reads them any more.
    pub fn spawn(settings: UplinkSettings, events: mpsc::Sender<UplinkEvent>) -> Self {
        let (publications, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            connected: AtomicBool::new(false),
            max_packet: AtomicU32::new(u32::MAX),
            unexpected: AtomicU64::new(0),
            unheard: AtomicU64::new(0),
            version: AtomicU8::new(0),
        });
        let task = tokio::spawn(task::run(settings, Arc::clone(&shared), queue, events));
        Self { publications, shared, task }
    }

    /// Hands over a publication. Never waits.
    pub fn publish(&self, publication: Publication) -> Result<(), NotPublished> {
        if !self.shared.connected.load(Ordering::Acquire) {
            return Err(NotPublished::Disconnected);
        }
        let bytes = publication.payload_bytes();
        let max = self.shared.max_packet.load(Ordering::Acquire);
        if bytes + PACKET_OVERHEAD > max as usize {
            return Err(NotPublished::TooLarge { bytes, max });
        }
        self.publications.try_send(publication).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotPublished::Busy,
            mpsc::error::TrySendError::Closed(_) => NotPublished::Disconnected,
        })
    }

    /// Returns how many messages came that are neither answer nor command: retained, too long, or on
    /// a topic that was not asked for.
    pub fn unexpected_total(&self) -> u64 {
        self.shared.unexpected.load(Ordering::Relaxed)
    }

    /// Returns how many queries a broker took and said that nobody listens for them; only MQTT 5 says so.
    pub fn unheard_total(&self) -> u64 {
        self.shared.unheard.load(Ordering::Relaxed)
    }

    /// Returns what the last connection that stood spoke.
    pub fn protocol(&self) -> Option<Protocol> {
        match self.shared.version.load(Ordering::Relaxed) {
            0 => None,
            5 => Some(Protocol::V5),
            _ => Some(Protocol::V311),
        }
    }

    /// Returns whether the task still runs; false means that it panicked.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Publishes what waits and `offline`, says goodbye and waits for that, at most 3 s.
    pub async fn shutdown(self) {
        drop(self.publications);
        let mut task = self.task;
        if tokio::time::timeout(SHUTDOWN, &mut task).await.is_err() {
            task.abort();
        }
    }
}
