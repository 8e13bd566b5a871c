//! Simulated glasses, their world and their radio: seeded, sans-IO.

pub mod world;
