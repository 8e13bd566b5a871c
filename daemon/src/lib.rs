//! `glassd`: the gateway between smart glasses and everything else, with all of its I/O.
//!
//! This crate owns every task, thread, socket, file and clock. What is decided, and when, is decided
//! in `glassd-core` and `glassd-policies`; what is computed on media and models, in `glassd-media`
//! and `glassd-inference`.

pub mod accelerators;
pub mod broker;
pub mod calibration;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
pub mod daemon;
#[cfg(feature = "demo")]
pub mod demo;
pub mod event_loop;
pub mod http;
pub mod io;
pub mod links;
pub mod models;
pub mod mqtt;
pub mod outbox;
pub mod privacy;
pub mod recordings;
pub mod secrets;
pub mod systemd;
pub mod telemetry;
pub mod vision;

use glassd_core::QueryId;

/// Draws the name of a query.
pub fn random_query_id() -> QueryId {
    QueryId(random_seed())
}

/// Draws 64 random bits from the standard library's per-process hash keys, which the system seeds.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(DRAWN.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}
