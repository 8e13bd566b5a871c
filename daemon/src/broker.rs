//! A broker in process, for a gateway that has none: rumqttd on loopback, MQTT 5 only.
//!
//! It keeps nothing across a restart; the outbox does. It cannot be stopped: its threads
//! (`broker`, `router-0`, `mqtt-v5`) end with the process, and its port is free again then. Nothing is
//! lost by that: a client that is cut off publishes again, and the gateway's last will is of no use to
//! anybody when gateway and broker die together.
//!
//! Everybody on this machine can reach it: it listens on 127.0.0.1 and asks for no password.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use glassd_core::wire::MAX_MESSAGE;
use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};

/// How long the broker may take until it listens.
const START: Duration = Duration::from_secs(5);
/// Times to look for a free port: another program may take it between the look and the use.
const ATTEMPTS: usize = 5;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Somebody else listens there, or may not be listened there.
    #[error("the broker in process cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// It did not come up.
    #[error("the broker in process did not start on {0}")]
    Start(SocketAddr),
}

/// Starts brokers.
#[derive(Debug)]
pub struct Broker;

/// A broker that listens.
#[derive(Debug)]
pub struct RunningBroker {
    /// Where.
    pub addr: SocketAddr,
    thread: JoinHandle<()>,
}

impl RunningBroker {
    /// Returns whether it still listens.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }
}

impl Broker {
    /// Starts a broker on 127.0.0.1 and returns when it listens, within 5 s; port 0 takes a free one.
    pub fn spawn(port: u16) -> Result<RunningBroker, BrokerError> {
        let attempts = if port == 0 { ATTEMPTS } else { 1 };
        let mut result = start(port);
        for _ in 1..attempts {
            if result.is_ok() {
                break;
            }
            result = start(port);
        }
        result
    }
}

fn start(port: u16) -> Result<RunningBroker, BrokerError> {
    let address = free_address(port)?;
    let listen_error = |source| BrokerError::Listen { address, source };
    let thread = std::thread::Builder::new()
        .name("broker".to_owned())
        .spawn(move || {
            // Returns when its listener has failed.
            if let Err(error) = rumqttd::Broker::new(config(address)).start() {
                tracing::error!(%error, "the broker in process ended");
            }
        })
        .map_err(listen_error)?;
    let broker = RunningBroker { addr: address, thread };
    let started = Instant::now();
    while started.elapsed() < START && broker.is_running() {
        if TcpStream::connect(address).is_ok() {
            return Ok(broker);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(BrokerError::Start(address))
}

/// rumqttd only logs that it cannot listen, so that is tried before.
fn free_address(port: u16) -> Result<SocketAddr, BrokerError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen_error = |source| BrokerError::Listen { address, source };
    TcpListener::bind(address).map_err(listen_error)?.local_addr().map_err(listen_error)
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: MAX_MESSAGE + 64 * 1024,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let server = ServerSettings {
        name: "mqtt-v5".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: 64,
        max_outgoing_packet_count: 100,
        // A log for each subscribed filter stays in memory: at most 4 MiB and one message each.
        max_segment_size: 1024 * 1024,
        max_segment_count: 4,
        ..RouterConfig::default()
    };
    Config { router, v5: Some(HashMap::from([("1".to_owned(), server)])), ..Config::default() }
}
