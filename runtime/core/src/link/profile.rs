//! Which protocol a pair of glasses speaks, and what there is of it in their GATT tables.

use serde::{Deserialize, Serialize};

use super::{Characteristic, Protocol, even, frame, mentra, omi, open, uuid};

/// What is known of glasses when their link is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

impl Part {
    /// Tells whether a device with such an advertisement may be it.
    pub fn matches(&self, name: Option<&str>, advertises: impl FnOnce(u128) -> bool) -> bool {
        match self.name_has {
            Some(mark) => name.is_some_and(|name| name.contains(mark)),
            None => advertises(self.service),
        }
    }
}

/// One Bluetooth device of a pair of glasses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The service that it has, and advertises unless it is told by its name.
    pub service: u128,
    /// What its name contains, where nothing else tells it from the other parts.
    pub name_has: Option<&'static str>,
    /// What of it this gateway can use.
    pub characteristics: &'static [Characteristic],
}

impl Profile {
    /// Returns the Bluetooth devices that such glasses are.
    pub const fn parts(self) -> &'static [Part] {
        const fn only(service: u128, characteristics: &'static [Characteristic]) -> Part {
            Part { service, name_has: None, characteristics }
        }
        const fn arm(mark: &'static str, characteristics: &'static [Characteristic]) -> Part {
            Part { service: uuid::EVEN_SERVICE, name_has: Some(mark), characteristics }
        }
        match self {
            Self::Omi(_) => &const { [only(uuid::OMI_SERVICE, &omi::CHARACTERISTICS)] },
            Self::Frame(_) => &const { [only(uuid::FRAME_SERVICE, &frame::CHARACTERISTICS)] },
            Self::Even => &const { [arm("_L_", &even::LEFT), arm("_R_", &even::RIGHT)] },
            Self::Mentra => &const { [only(uuid::MENTRA_SERVICE, &mentra::CHARACTERISTICS)] },
            Self::Open => &const { [only(uuid::OPEN_SERVICE, &open::CHARACTERISTICS)] },
        }
    }

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
