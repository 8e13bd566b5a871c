//! Local skills: what the gateway answers by itself.
//!
//! [`understand`] accepts only sentences that it can account for to the last word: a question that
//! merely *contains* a known one ("is there a red ball left of the cube?") is hard, and goes to the
//! cloud. [`answer()`] gives a candidate with the probability that it is right; whether that is enough
//! is the escalation policy's decision.

mod agreement;
mod answer;
mod intent;
mod words;

pub use agreement::agree;
pub use answer::{Candidate, Context, answer};
pub use intent::{Intent, Subject, understand};
