//! Names of things: glasses, frames, queries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Name of one pair of glasses, as it stands in MQTT topics: 1 to 32 of `a-z 0-9 - _`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct GlassesId(String);

/// Why a text is no [`GlassesId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("glasses are named by 1 to 32 of a-z, 0-9, '-' and '_', not {0:?}")]
pub struct InvalidGlassesId(String);

impl GlassesId {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GlassesId {
    type Err = InvalidGlassesId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if (1..=32).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidGlassesId(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for GlassesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GlassesId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Number of a frame within one run of the gateway, rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u64);

/// Identity of a query, and the correlation data of its MQTT request: 64 bits, 16 hex digits as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// Why a text is no [`QueryId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a query is named by 16 hex digits, not {0:?}")]
pub struct InvalidQueryId(String);

impl QueryId {
    /// Returns the correlation data of the query: 8 bytes, big-endian.
    pub const fn correlation(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads correlation data.
    pub fn from_correlation(data: &[u8]) -> Option<Self> {
        Some(Self(u64::from_be_bytes(data.try_into().ok()?)))
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for QueryId {
    type Err = InvalidQueryId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
            .ok_or_else(|| InvalidQueryId(text.chars().take(64).collect()))
    }
}

impl Serialize for QueryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QueryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
