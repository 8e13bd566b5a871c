//! `glassd-core`: the gateway between smart glasses and everything else, without its I/O.
//!
//! Bytes from the glasses, results of the compute threads, answers from the cloud and time go in;
//! commands to the glasses, work for the compute threads, rows for the outbox and messages for the
//! broker come out. It leaves out every task, socket, file, model, codec and clock.
//!
//! Invariants:
//! - a query that was accepted leaves in exactly one way: answered, or expired with notice;
//! - nothing is published for a query before its outbox row was confirmed as stored;
//! - in local-only mode no output carries a query to the uplink;
//! - the same inputs at the same times give the same outputs.

pub mod broker;
pub mod capture;
pub mod gateway;
pub mod ids;
pub mod link;
pub mod query;
pub mod scene;
pub mod skills;
pub mod time;
pub mod wire;

pub use gateway::Gateway;
pub use ids::{FrameId, GlassesId, QueryId};
pub use scene::{BoundingBox, Object, Scene, Vocabulary};
pub use time::Timestamp;
