//! Answer text: how an answer reaches glasses that can show or speak text.
//!
//! No vendor protocol of [`super::omi`] carries text to the glasses, so this is the first piece of
//! the gateway's own open profile. Service `7B1D0001-6C61-7373-642D-676C61737365`, characteristic
//! `7B1D0002-…`, write with response:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind: 0 an answer, 1 a notice (an answer follows later) |
//! | 2 | 8 | query id, big-endian: the glasses show an answer once |
//! | 10 | n | text, UTF-8, at most [`MAX_TEXT`] bytes, cut between characters |

use super::{Characteristic, Write};
use crate::ids::QueryId;

/// Longest text, in bytes: an ATT value is at most 512.
pub const MAX_TEXT: usize = 512 - HEADER;
const HEADER: usize = 10;
const VERSION: u8 = 1;

/// What a text is to the wearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer to the query: comes once.
    Answer,
    /// Something to know while the answer is not there yet.
    Notice,
}

impl Kind {
    /// Its number on the wire.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Answer => 0,
            Self::Notice => 1,
        }
    }
}

/// Writes a text to the glasses.
pub fn encode(kind: Kind, query: QueryId, text: &str) -> Write {
    let end = text.floor_char_boundary(MAX_TEXT);
    let mut value = Vec::with_capacity(HEADER + end);
    value.push(VERSION);
    value.push(kind.code());
    value.extend_from_slice(&query.correlation());
    value.extend_from_slice(&text.as_bytes()[..end]);
    Write { characteristic: Characteristic::AnswerText, value }
}

/// Reads a text, as glasses do.
pub fn decode(value: &[u8]) -> Option<(Kind, QueryId, &str)> {
    let (header, text) = value.split_at_checked(HEADER)?;
    let kind = match header[1] {
        0 => Kind::Answer,
        1 => Kind::Notice,
        _ => return None,
    };
    if header[0] != VERSION || text.len() > MAX_TEXT {
        return None;
    }
    Some((kind, QueryId::from_correlation(&header[2..])?, std::str::from_utf8(text).ok()?))
}
