//! Which protocol a pair of glasses speaks.

use super::{Protocol, omi};

/// What is known of glasses when their link is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Omi, OpenGlass or OmiGlass.
    Omi(omi::Firmware),
}

impl Profile {
    /// Begins a connection.
    pub fn connect(self) -> Box<dyn Protocol> {
        match self {
            Self::Omi(firmware) => Box::new(omi::Connection::new(firmware)),
        }
    }
}
