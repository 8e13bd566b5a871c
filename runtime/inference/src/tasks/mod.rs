//! What models are asked: from a picture or a sentence to what it shows or means.
//!
//! Each task brings its input into the tensors that a manifest entry describes, and turns scores into calibrated
//! answers. How a model runs it does not know.

pub(crate) mod classify;
pub(crate) mod detect;
pub(crate) mod embedding;
pub(crate) mod faces;
mod input;
pub(crate) mod presence;
pub(crate) mod read;
mod sampling;
pub(crate) mod text_encoder;
mod text_model;
pub(crate) mod tokenizer;
pub(crate) mod zero_shot;
