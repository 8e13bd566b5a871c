//! The quantiser on nets that are built by hand.

mod functions;
mod net;
mod refusals;
mod steps;
mod whole;
