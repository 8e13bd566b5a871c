//! Links to glasses: tasks that carry notifications to the core and writes to the glasses, and [how they stand](status).

#[cfg(feature = "bluetooth")]
pub mod bluetooth;
#[cfg(feature = "demo")]
pub mod simulated;
pub mod status;

pub use self::status::{LinkStatus, Stage};

/// A link is to leave its glasses alone for a while.
#[derive(Debug)]
pub struct Pause {
    /// Until then; a time that is over ends a pause.
    pub until: tokio::time::Instant,
    /// Why.
    pub reason: &'static str,
    /// Told once the link is down: before, its end would end what others do with the glasses.
    pub begun: tokio::sync::oneshot::Sender<()>,
}
