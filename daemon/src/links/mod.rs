//! Links to glasses: tasks that carry notifications to the core and writes to the glasses.

#[cfg(feature = "bluetooth")]
pub mod bluetooth;
#[cfg(feature = "demo")]
pub mod simulated;
