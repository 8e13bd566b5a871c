//! Changes to bytes that parsers tend to stumble over.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Longest input that mutation makes, in bytes.
const MAX_INPUT: usize = 64 * 1024;
/// Numbers at which counts and lengths turn over.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFE,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    0xFFFF_FFFF_FFFF_FFFF,
];

/// Changes `bytes` in one to eight places; `other` is what parts are taken from.
pub(crate) fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..=8) {
        change(bytes, other, random);
    }
    bytes.truncate(MAX_INPUT);
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..bytes.len());
    let end = at + random.random_range(0..=(bytes.len() - at).min(64));
    match random.random_range(0..9) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => bytes[at] = bytes[at].wrapping_add(random.random_range(0..=6)).wrapping_sub(3),
        3 => write_edge(&mut bytes[at..], random),
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..end)),
        6 => {
            let copied = bytes[at..end].to_vec();
            let to = random.random_range(0..=bytes.len());
            bytes.splice(to..to, copied);
        }
        7 => {
            let fresh: Vec<u8> = (0..random.random_range(1..=16)).map(|_| random.random()).collect();
            bytes.splice(at..at, fresh);
        }
        _ => {
            let from = random.random_range(0..=other.len());
            let to = from + random.random_range(0..=(other.len() - from).min(256));
            bytes.splice(at..end, other[from..to].iter().copied());
        }
    }
}

/// Writes an edge as a number of one, two, four or eight bytes in either order, as far as there is room.
fn write_edge(place: &mut [u8], random: &mut ChaCha8Rng) {
    let edge = EDGES.choose(random).copied().unwrap_or_default();
    let width = 1 << random.random_range(0..4);
    let mut number = edge.to_le_bytes();
    let number = &mut number[..width];
    if random.random() {
        number.reverse();
    }
    for (byte, new) in place.iter_mut().zip(number) {
        *byte = *new;
    }
}
