//! Which protocol a pair of glasses speaks.

use super::{Protocol, even, frame, mentra, omi, open};

/// What is known of glasses when their link is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Omi, OpenGlass or OmiGlass.
    Omi(omi::Firmware),
    /// Brilliant's Frame.
    Frame(frame::Settings),
    /// Even's G1, both arms of it.
    Even,
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
            Self::Frame(settings) => Box::new(frame::Connection::new(settings)),
            Self::Even => Box::new(even::Connection::new()),
            Self::Mentra => Box::new(mentra::Connection::default()),
            Self::Open => Box::new(open::Connection::default()),
        }
    }
}
