//! Messages between gateway and cloud worker, in CBOR (default) or JSON.
//!
//! A query travels on `glassd/<gateway>/query` with the MQTT 5 properties *response topic*,
//! *correlation data* ([`QueryId::correlation`]), *message expiry* and *content type*; its answer on
//! the response topic with the same correlation data and content type. In MQTT 3.1.1, which has no properties, an answer goes to
//! `glassd/<gateway>/answer`, the field `query` says to what it belongs, and the first byte how it is written.
//!
//! | field of a query | CBOR type | meaning |
//! |---|---|---|
//! | `version` | unsigned | [`VERSION`] |
//! | `query` | text | 16 hex digits |
//! | `glasses` | text | name of the glasses, may be absent |
//! | `text` | text | the question |
//! | `language` | text | BCP 47 |
//! | `image` | bytes (base64 text in JSON) | a JPEG, may be absent |
//! | `hint` | text | what the gateway itself believes to see, may be absent |
//! | `asked_at_ms` | unsigned | Unix milliseconds |
//!
//! | field of an answer | CBOR type | meaning |
//! |---|---|---|
//! | `version` | unsigned | [`VERSION`] |
//! | `query` | text | 16 hex digits |
//! | `outcome` | text | `answered` or `failed` |
//! | `text` | text | the answer, or why there is none |
//! | `retry` | bool | a failed query may be asked again |
//! | `model` | text | who answered |

use serde::{Deserialize, Serialize};

use crate::ids::{GlassesId, QueryId};

/// Version of both messages.
pub const VERSION: u8 = 1;
/// Longest question or answer, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;
/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// How a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// RFC 8949.
    #[default]
    Cbor,
    /// RFC 8259, with images in base64.
    Json,
}

impl Encoding {
    /// Returns the MQTT content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Cbor => "application/cbor",
            Self::Json => "application/json",
        }
    }

    /// Reads an MQTT content type; where it is absent the message itself tells: no CBOR message begins as a JSON object does.
    pub fn of(content_type: Option<&str>, message: &[u8]) -> Option<Self> {
        match content_type {
            None if message.trim_ascii_start().starts_with(b"{") => Some(Self::Json),
            None | Some("application/cbor") => Some(Self::Cbor),
            Some("application/json") => Some(Self::Json),
            Some(_) => None,
        }
    }
}

/// A hard query on its way to the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryMessage {
    /// Always [`VERSION`].
    pub version: u8,
    /// Which query.
    pub query: QueryId,
    /// Whose glasses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glasses: Option<GlassesId>,
    /// The question.
    pub text: String,
    /// Language of the question, BCP 47.
    pub language: String,
    /// The frame it is about, a JPEG.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "image_bytes")]
    pub image: Option<Vec<u8>>,
    /// What the gateway itself believes to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When it was asked, Unix milliseconds.
    pub asked_at_ms: u64,
}

/// How a query ended at the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// `text` is the answer.
    Answered,
    /// `text` says why there is none.
    Failed,
}

/// What came back from the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerMessage {
    /// Always [`VERSION`].
    pub version: u8,
    /// Which query.
    pub query: QueryId,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer, or why there is none.
    pub text: String,
    /// A failed query may be asked again.
    #[serde(default)]
    pub retry: bool,
    /// Who answered.
    #[serde(default)]
    pub model: String,
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is longer than {MAX_MESSAGE}")]
    TooLong(usize),
    /// Not the fields and types of the message.
    #[error("not a message: {0}")]
    Malformed(String),
    /// Of another version.
    #[error("message version {0}, expected {VERSION}")]
    Version(u8),
    /// A text longer than [`MAX_TEXT`].
    #[error("a text of {0} bytes is longer than {MAX_TEXT}")]
    TextTooLong(usize),
}

impl QueryMessage {
    /// Writes the message.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encode(self, encoding)
    }

    /// Reads a message from foreign bytes.
    pub fn decode(bytes: &[u8], encoding: Encoding) -> Result<Self, DecodeError> {
        let message: Self = decode(bytes, encoding)?;
        check(message.version, &message.text)?;
        Ok(message)
    }
}

impl AnswerMessage {
    /// Writes the message.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encode(self, encoding)
    }

    /// Reads a message from foreign bytes.
    pub fn decode(bytes: &[u8], encoding: Encoding) -> Result<Self, DecodeError> {
        let message: Self = decode(bytes, encoding)?;
        check(message.version, &message.text)?;
        Ok(message)
    }
}

fn encode<T: Serialize>(message: &T, encoding: Encoding) -> Vec<u8> {
    let mut bytes = Vec::new();
    match encoding {
        Encoding::Cbor => ciborium::into_writer(message, &mut bytes).expect("a Vec takes every byte"),
        Encoding::Json => serde_json::to_writer(&mut bytes, message).expect("a Vec takes every byte"),
    }
    bytes
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8], encoding: Encoding) -> Result<T, DecodeError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    match encoding {
        // The recursion limit bounds what nested garbage can cost.
        Encoding::Cbor => ciborium::de::from_reader_with_recursion_limit(bytes, 16)
            .map_err(|error| DecodeError::Malformed(error.to_string())),
        Encoding::Json => {
            serde_json::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))
        }
    }
}

fn check(version: u8, text: &str) -> Result<(), DecodeError> {
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    if text.len() > MAX_TEXT {
        return Err(DecodeError::TextTooLong(text.len()));
    }
    Ok(())
}

/// Bytes in CBOR, base64 text in JSON.
mod image_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        image: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match image {
            None => serializer.serialize_none(),
            Some(bytes) if serializer.is_human_readable() => {
                serializer.serialize_some(&STANDARD.encode(bytes))
            }
            Some(bytes) => serializer.serialize_some(serde_bytes::Bytes::new(bytes)),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        if deserializer.is_human_readable() {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| STANDARD.decode(text).map_err(D::Error::custom)).transpose()
        } else {
            Ok(Option::<serde_bytes::ByteBuf>::deserialize(deserializer)?.map(serde_bytes::ByteBuf::into_vec))
        }
    }
}
