//! Serving many streams with several models: who is next, what stays loaded, whose word counts.
//!
//! | | |
//! |---|---|
//! | [`Queue`] | what an accelerator does next: frames latest-wins, questions strict, deadlines, priorities, micro-batches |
//! | [`Models`] | models by name within a memory budget: loaded when asked for, the least recently used unloaded |
//! | [`fused`], [`voted`] | ensembles: weighted boxes fusion and weighted voting |
//! | [`arm_of`] | variants: which of several models a session gets |
//! | [`ResultCache`] | what was seen in a picture like this one |
//!
//! Nothing here has a thread or a clock: the owner of an accelerator's thread calls, and time is an argument.

mod batch;
mod budget;
mod ensemble;
mod models;
mod queue;
mod result_cache;
mod sighting;
mod variants;
mod words;

pub use self::batch::Batching;
pub use self::budget::{Budget, OverBudget};
pub use self::ensemble::{Ballot, fused, voted};
pub use self::models::{ModelEvent, Models, PerceiveError};
pub use self::queue::{Class, Full, MOST_PASSED_OVER, Next, Priority, Queue, Request};
pub use self::result_cache::{Hit, ResultCache, ResultCacheSettings};
pub use self::sighting::Sighting;
pub use self::variants::arm_of;
