//! The gateway's own open profile, for makers of firmware. `runtime/core/OPEN_PROFILE.md` tells the same at more
//! length, with an example; the numbers are ours, so both and the tests change together.
//!
//! Service `7B1D0010-6C61-7373-642D-676C61737365`; OpenControl `7B1D0011-…`, which the gateway writes with
//! response; OpenData `7B1D0012-…`, which the glasses notify, from an MTU of 64 on. All integers are
//! little-endian but the query's name. The first byte is the type.
//!
//! | OpenData, from the glasses | bytes after the type |
//! |---|---|
//! | `01` hello | version u8, abilities u8, longest write u16, shortest interval in ms u16, codec u8, bytes of an LC3 frame u16, number of sizes u8, each u16; see `hello` |
//! | `02` taken | request u8, longest side u16, quality u8, interval in ms u32, microphone u8: what is in force now |
//! | `03` photo | number u8, length u32, length of a chunk u16, CRC-32 u32, orientation u8, taken at in ms u64; see `photo` |
//! | `04` chunk | photo u8, index u16, bytes |
//! | `05` end | photo u8: every chunk that was to be sent was |
//! | `06` audio | sequence u16, time in ms u32, frame |
//! | `07` button | u8: 1 single, 2 double, 3 long, 4 press, 5 release |
//! | `08` tap | u8: 1 or 2 taps |
//! | `09` battery | percent u8 |
//! | `0A` motion | acceleration 3 × i16 in 1/1000 g, then, where there is a gyroscope, rotation 3 × i16 in 1/10 °/s |
//!
//! | OpenControl, from the gateway | bytes after the type |
//! |---|---|
//! | `40` hello | version u8, time in ms u64 |
//! | `41` clock | time in ms u64 |
//! | `42` camera | request u8, longest side u16, quality u8 |
//! | `43` capture | request u8, interval in ms u32: 0 none, FFFFFFFF one photo now |
//! | `44` microphone | request u8, 0 or 1 |
//! | `45` vibrate | ms u16 |
//! | `46` missing | photo u8, first u16, bits: bit *b* of byte *n* asks for chunk first + 8 *n* + *b*; no bits: for the photo's `03` |
//! | `47` done | photo u8, 0 whole, 1 given up, 2 wrong checksum |
//! | `48` text | kind u8, query u64 big-endian, piece u8, pieces u8, UTF-8 |
//!
//! Rules for versions: the one that is spoken is the lesser of the two hellos. A message of an unknown type is
//! skipped and counted, what follows the known bytes of a message is skipped, and a version changes
//! neither the meaning of a known byte nor the hellos.

mod audio;
mod connection;
mod control;
mod hello;
mod photo;
mod requests;

use super::{ButtonEvent, Characteristic, DropReason, Motion};
pub use connection::Connection;
pub use hello::{Hello, SHORTEST_WRITE, VERSION};
pub use photo::MAX_PHOTO;
pub use requests::{RETRY, TRIES, Taken};

/// Every characteristic that these glasses have.
pub const CHARACTERISTICS: [Characteristic; 2] = [Characteristic::OpenControl, Characteristic::OpenData];

/// Longest text that is shown, in bytes.
pub const MAX_TEXT: usize = 2048;

fn button(value: &[u8]) -> Result<ButtonEvent, DropReason> {
    match value {
        [1, ..] => Ok(ButtonEvent::Single),
        [2, ..] => Ok(ButtonEvent::Double),
        [3, ..] => Ok(ButtonEvent::Long),
        [4, ..] => Ok(ButtonEvent::Press),
        [5, ..] => Ok(ButtonEvent::Release),
        [_, ..] => Err(DropReason::UnknownValue),
        [] => Err(DropReason::Malformed),
    }
}

/// A tap is told as what a button would have done.
fn tap(value: &[u8]) -> Result<ButtonEvent, DropReason> {
    match value {
        [1 | 2, ..] => button(value),
        [_, ..] => Err(DropReason::UnknownValue),
        [] => Err(DropReason::Malformed),
    }
}

fn battery(value: &[u8]) -> Result<u8, DropReason> {
    match *value {
        [percent @ 0..=100, ..] => Ok(percent),
        [_, ..] => Err(DropReason::UnknownValue),
        [] => Err(DropReason::Malformed),
    }
}

fn motion(value: &[u8]) -> Result<Motion, DropReason> {
    let (acceleration, rest) = axes(value).ok_or(DropReason::Malformed)?;
    Ok(Motion {
        acceleration: acceleration.map(|milli| milli / 1000.0),
        rotation: axes(rest).map(|(rotation, _)| rotation.map(|tenths| tenths / 10.0)),
    })
}

fn axes(value: &[u8]) -> Option<([f32; 3], &[u8])> {
    let (&[a, b, c, d, e, f], rest) = value.split_first_chunk()?;
    Some(([[a, b], [c, d], [e, f]].map(|axis| f32::from(i16::from_le_bytes(axis))), rest))
}
