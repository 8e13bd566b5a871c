//! What the gateway writes: a table of all types stands in the module above.

use std::time::Duration;

use super::super::answer_text::Kind;
use super::super::{Characteristic, Write};
use super::{MAX_TEXT, VERSION};
use crate::ids::QueryId;
use crate::time::Timestamp;

/// Bytes of a text message before its text.
const TEXT_HEADER: usize = 12;
/// Bytes of a `46` before its bits.
const MISSING_HEADER: usize = 4;
/// The interval that means one photo now.
pub(super) const NOW: u32 = u32::MAX;

/// How the taking of a photo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Whole = 0,
    GivenUp = 1,
    WrongChecksum = 2,
}

pub(super) fn write(value: Vec<u8>) -> Write {
    Write { characteristic: Characteristic::OpenControl, value }
}

pub(super) fn hello(now: Timestamp) -> Vec<u8> {
    [&[0x40, VERSION], &millis(now)[..]].concat()
}

pub(super) fn clock(now: Timestamp) -> Vec<u8> {
    [&[0x41], &millis(now)[..]].concat()
}

fn millis(now: Timestamp) -> [u8; 8] {
    (now.as_micros() / 1000).to_le_bytes()
}

pub(super) fn camera(request: u8, longest_side: u16, quality: u8) -> Vec<u8> {
    let [low, high] = longest_side.to_le_bytes();
    vec![0x42, request, low, high, quality.clamp(1, 100)]
}

pub(super) fn capture(request: u8, interval_ms: u32) -> Vec<u8> {
    [&[0x43, request], &interval_ms.to_le_bytes()[..]].concat()
}

/// The wanted interval in ms, at least 1 and less than [`NOW`].
pub(super) fn interval_ms(interval: Duration) -> u32 {
    u32::try_from(interval.as_millis()).unwrap_or(NOW).clamp(1, NOW - 1)
}

pub(super) fn microphone(request: u8, on: bool) -> Vec<u8> {
    vec![0x44, request, on.into()]
}

pub(super) fn vibrate(duration: Duration) -> Vec<u8> {
    let [low, high] = u16::try_from(duration.as_millis()).unwrap_or(u16::MAX).to_le_bytes();
    vec![0x45, low, high]
}

/// Asks for chunks, in rising order, as far as one write reaches.
pub(super) fn missing(photo: u8, mut chunks: impl Iterator<Item = u16>, longest_write: usize) -> Vec<u8> {
    let first = chunks.next().unwrap_or(0);
    let mut value = vec![0x46, photo];
    value.extend(first.to_le_bytes());
    value.push(1);
    for chunk in chunks {
        let (byte, bit) = (usize::from(chunk - first) / 8, (chunk - first) % 8);
        if MISSING_HEADER + byte >= longest_write {
            break;
        }
        value.resize(value.len().max(MISSING_HEADER + byte + 1), 0);
        value[MISSING_HEADER + byte] |= 1 << bit;
    }
    value
}

/// Asks for the announcement of a photo.
pub(super) fn missing_start(photo: u8) -> Vec<u8> {
    vec![0x46, photo, 0, 0]
}

pub(super) fn done(photo: u8, outcome: Outcome) -> Vec<u8> {
    vec![0x47, photo, outcome as u8]
}

/// Cuts a text into pieces, each in one write, between characters.
pub(super) fn text(kind: Kind, query: QueryId, text: &str, longest_write: usize) -> Vec<Vec<u8>> {
    let mut rest = &text[..text.floor_char_boundary(MAX_TEXT)];
    let mut pieces = Vec::new();
    while !rest.is_empty() || pieces.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(longest_write - TEXT_HEADER));
        pieces.push(piece);
        rest = after;
    }
    let count = u8::try_from(pieces.len()).expect("46 bytes and more a piece, of 2048");
    let header = |piece: u8| [&[0x48, kind.code()], &query.correlation()[..], &[piece, count]].concat();
    (0..).zip(pieces).map(|(number, piece)| [&header(number)[..], piece.as_bytes()].concat()).collect()
}
