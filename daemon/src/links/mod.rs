//! Links to glasses: tasks that carry notifications to the core and writes to the glasses.

pub mod simulated;
