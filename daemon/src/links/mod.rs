//! Links to glasses: tasks that carry notifications to the core and writes to the glasses, and [how they stand](status).

#[cfg(feature = "bluetooth")]
pub mod bluetooth;
#[cfg(feature = "demo")]
pub mod simulated;
pub mod status;

pub use self::status::{LinkStatus, Stage};

/// A link leaves its glasses alone for a while.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// Until then.
    pub until: tokio::time::Instant,
    /// Why.
    pub reason: &'static str,
}
