//! Which protocol a pair of glasses speaks.

use super::{Protocol, mentra, omi, open};

/// What is known of glasses when their link is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Omi, OpenGlass or OmiGlass.
    Omi(omi::Firmware),
    /// Glasses of MentraOS.
    Mentra,
    /// Glasses of the gateway's own open profile.
    Open,
}

impl Profile {
    /// Begins a connection.
    pub fn connect(self) -> Box<dyn Protocol> {
        match self {
            Self::Omi(firmware) => Box::new(omi::Connection::new(firmware)),
            Self::Mentra => Box::new(mentra::Connection::default()),
            Self::Open => Box::new(open::Connection::default()),
        }
    }
}
