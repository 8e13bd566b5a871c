//! Answer text: how an answer reaches glasses that can show or speak text.
//!
//! No vendor protocol of [`super::omi`] carries text to the glasses, so this is the first piece of
//! the gateway's own open profile. Service `7B1D0001-6C61-7373-642D-676C61737365`, characteristic
//! `7B1D0002-…`, write with response:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 8 | query id, big-endian: the glasses show an answer once |
//! | 9 | n | text, UTF-8, at most [`MAX_TEXT`] bytes, cut between characters |

use super::{Characteristic, Write};
use crate::ids::QueryId;

/// Longest text, in bytes: an ATT value is at most 512.
pub const MAX_TEXT: usize = 512 - HEADER;
const HEADER: usize = 9;
const VERSION: u8 = 1;

/// Writes an answer.
pub fn encode(query: QueryId, text: &str) -> Write {
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    let mut value = Vec::with_capacity(HEADER + end);
    value.push(VERSION);
    value.extend_from_slice(&query.correlation());
    value.extend_from_slice(&text.as_bytes()[..end]);
    Write { characteristic: Characteristic::AnswerText, value }
}

/// Reads an answer, as glasses do.
pub fn decode(value: &[u8]) -> Option<(QueryId, &str)> {
    let (header, text) = value.split_at_checked(HEADER)?;
    if header[0] != VERSION || text.len() > MAX_TEXT {
        return None;
    }
    Some((QueryId::from_correlation(&header[1..])?, std::str::from_utf8(text).ok()?))
}
