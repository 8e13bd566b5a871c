//! INT8 layers: u8 activations with channels last, s8 weights, sums in i32.

pub mod bench;
mod conv;
mod depthwise;
mod kernels;
mod layers;
mod lower;
mod operators;
mod pool;
mod weights;
mod window;

pub use kernels::Isa;
pub(crate) use lower::{is_quantised, lowered, weights_deferred};
pub(crate) use operators::spelled_out;
pub use pool::{Threads, ThreadsError};
