//! Records of stored audio.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | when it was begun, in seconds since 1970, **BE**; 0 where the clock was not set |
//! | 4 | 440 | frames, each `[length u8][frame]`; a length of 0 is padding |
//!
//! The firmware's packer never lets a frame end with the record (`audio_storage_packer.c`), and older ones may leave a last
//! length without its frame. So what would reach the end is not a frame.

use super::super::Record;
use crate::time::Timestamp;

/// Bytes of a record.
pub const RECORD: usize = 444;

/// Takes a record apart.
pub(super) fn read(record: &[u8; RECORD]) -> Record {
    let (stamp, rest) = record.split_first_chunk().expect("444 bytes have 4");
    let seconds = u32::from_be_bytes(*stamp);
    let at = (seconds != 0).then_some(Timestamp::from_secs(seconds.into()));
    Record { at, frames: frames(rest).collect() }
}

fn frames(mut rest: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    std::iter::from_fn(move || {
        while let Some((length, after)) = rest.split_first() {
            let length = usize::from(*length);
            if length >= after.len() {
                return None;
            }
            let frame;
            (frame, rest) = after.split_at(length);
            if length > 0 {
                return Some(frame.to_vec());
            }
        }
        None
    })
}
