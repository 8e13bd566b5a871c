//! `glassd-sim`: simulated glasses, the rooms they look into, their radio, and a cloud that knows the truth.
//!
//! It leaves out every clock, file and socket: time is an argument, and a seed makes everything. It is linked
//! into the gateway only for its demo.
//!
//! Invariants:
//! - the same seed and the same calls give the same bytes;
//! - the truth about a picture comes from the room, never from looking at the picture.

pub mod cloud;
pub mod glasses;
mod judge;
pub mod questions;
pub mod radio;
pub mod world;
