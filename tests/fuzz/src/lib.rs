//! `glassd-fuzz`: hostile bytes for every parser that takes foreign ones.
//!
//! A [`Target`] is a function on bytes that must return, whatever they are, and checks what must hold of
//! its result. [`Campaign`] takes inputs from a small committed corpus, mutates them from a seed and keeps
//! those that led to something new. It needs no nightly compiler and no instrumentation, and so sees
//! outcomes, not branches. Inputs that once failed belong into the corpus, where a test runs them.

mod campaign;
mod mutate;
mod targets;

pub use campaign::{Campaign, Failure, corpus};
pub use targets::{TARGETS, Target, target};
