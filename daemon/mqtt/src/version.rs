//! MQTT 5 or 3.1.1: what was wanted, what a broker speaks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;

/// Connections that end without a word before MQTT 3.1.1 is tried: the first may be the network's doing.
const WORDLESS: u8 = 2;

/// What is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// MQTT 5, or 3.1.1 with brokers that refuse it.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// MQTT 5 alone.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1 alone.
    #[serde(rename = "3.1.1")]
    V311,
}

/// A text is no [`Version`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is auto, 5 or 3.1.1, not {0:?}")]
pub struct UnknownVersion(String);

impl FromStr for Version {
    type Err = UnknownVersion;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "5" => Ok(Self::V5),
            "3.1.1" => Ok(Self::V311),
            _ => Err(UnknownVersion(text.chars().take(20).collect())),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        })
    }
}

/// What one connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1: no properties, no reasons.
    V311,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        })
    }
}

/// Finds what to speak, connection by connection.
///
/// Each starts with MQTT 5, so that a broker that learned it is noticed. A broker that refuses it is asked in 3.1.1 at once. One
/// that closes without a word (NATS: its refusal has the form of 3.1.1, which is no packet of MQTT 5) may mean the same, or the
/// network did it: 3.1.1 is tried when it happened twice, or when 3.1.1 has worked before.
#[derive(Clone, Debug)]
pub struct Negotiation {
    wanted: Version,
    next: Protocol,
    wordless: u8,
    /// 3.1.1 has worked since 5 did last.
    older_works: bool,
}

impl Negotiation {
    /// Starts with what is wanted.
    pub fn new(wanted: Version) -> Self {
        Self { wanted, next: first(wanted), wordless: 0, older_works: false }
    }

    /// Returns what the next connection speaks.
    pub fn protocol(&self) -> Protocol {
        self.next
    }

    /// Notes that a broker took a connection.
    pub fn handle_accepted(&mut self, protocol: Protocol) {
        self.wordless = 0;
        self.older_works = protocol == Protocol::V311;
        self.next = first(self.wanted);
    }

    /// Notes that a connection ended before it stood; `true` says that the other version should be tried now, without a wait.
    pub fn handle_failed(&mut self, protocol: Protocol, kind: FailureKind) -> bool {
        self.next = first(self.wanted);
        if self.wanted != Version::Auto || protocol == Protocol::V311 {
            return false;
        }
        let older = match kind {
            FailureKind::VersionRefused => true,
            FailureKind::Wordless => {
                self.wordless = self.wordless.saturating_add(1);
                self.older_works || self.wordless >= WORDLESS
            }
            FailureKind::Other => false,
        };
        if older {
            self.next = Protocol::V311;
        }
        older
    }
}

fn first(wanted: Version) -> Protocol {
    match wanted {
        Version::Auto | Version::V5 => Protocol::V5,
        Version::V311 => Protocol::V311,
    }
}

#[cfg(test)]
mod tests {
    use super::{Negotiation, Protocol, Version};
    use crate::failure::FailureKind::{Other, VersionRefused, Wordless};

    #[test]
    fn a_refusal_is_followed_by_the_older_version_at_once() {
        let mut negotiation = Negotiation::new(Version::Auto);
        assert_eq!(negotiation.protocol(), Protocol::V5);
        assert!(negotiation.handle_failed(Protocol::V5, VersionRefused));
        assert_eq!(negotiation.protocol(), Protocol::V311);
        negotiation.handle_accepted(Protocol::V311);
        assert_eq!(negotiation.protocol(), Protocol::V5, "a broker may learn");
    }

    #[test]
    fn silence_twice_means_a_refusal_and_once_it_did() {
        let mut negotiation = Negotiation::new(Version::Auto);
        assert!(!negotiation.handle_failed(Protocol::V5, Wordless));
        assert!(negotiation.handle_failed(Protocol::V5, Wordless));
        assert_eq!(negotiation.protocol(), Protocol::V311);
        negotiation.handle_accepted(Protocol::V311);
        assert!(negotiation.handle_failed(Protocol::V5, Wordless), "it was so before");
        negotiation.handle_accepted(Protocol::V5);
        assert!(!negotiation.handle_failed(Protocol::V5, Wordless), "it speaks MQTT 5 after all");
    }

    #[test]
    fn nothing_else_and_nobody_who_chose_changes_the_version() {
        let mut negotiation = Negotiation::new(Version::Auto);
        for _ in 0..5 {
            assert!(!negotiation.handle_failed(Protocol::V5, Other));
        }
        for (wanted, protocol) in [(Version::V5, Protocol::V5), (Version::V311, Protocol::V311)] {
            let mut negotiation = Negotiation::new(wanted);
            for kind in [VersionRefused, Wordless, Wordless, Other] {
                assert!(!negotiation.handle_failed(protocol, kind));
                assert_eq!(negotiation.protocol(), protocol);
            }
        }
    }
}
