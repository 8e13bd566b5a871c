//! The quantiser on nets that are built by hand.

mod net;
mod refusals;
mod steps;
mod whole;
