//! How gateway and worker reach a broker: over TCP or WebSocket, in the clear or in TLS 1.3, with password, token or client
//! certificate, in MQTT 5 or, where a broker knows no better, in MQTT 3.1.1.
//!
//! It leaves out: what is said, and when to connect again. One [`EventLoop`] is one connection.
//!
//! Invariants:
//! - both versions speak in the types of MQTT 5; what 3.1.1 cannot say (properties, reasons) is left out on the way;
//! - a connection starts clean on both sides: nothing is sent again by itself;
//! - secrets and certificates are read anew for every connection, so that new ones need no restart, and show in no debug
//!   output;
//! - TLS is 1.3 and nothing older, and a broker's certificate is always checked.

mod access;
mod client;
mod failure;
mod probe;
mod tls;
mod version;

pub use access::{Access, AccessError, AccessFiles, Login};
pub use client::{Acknowledge, Client, EventLoop, HandOverError, Options, open};
pub use failure::{Failure, FailureKind};
pub use probe::probe;
pub use version::{Negotiation, Protocol, UnknownVersion, Version};
