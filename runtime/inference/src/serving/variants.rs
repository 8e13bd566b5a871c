//! Variants: which of several models a session gets.

use sha2::{Digest, Sha256};

use crate::manifest::{VariantArm, VariantEntry};

/// Returns the arm that a session gets, always the same one; none where no arm has a weight.
///
/// Weighted rendezvous hashing (Schindelhauer and Schomaker 2005, "Weighted distributed hash tables", the logarithmic
/// method): each arm draws −ln(u) ÷ weight from a hash of itself and the session, and the smallest wins. An arm gets
/// its share of the weights, and a change of one weight moves sessions only to or from that arm.
pub fn arm_of<'a>(variant: &'a VariantEntry, session: &str) -> Option<&'a VariantArm> {
    let drawn = |arm: &VariantArm| -uniform(&variant.name, session, &arm.model).ln() / f64::from(arm.weight);
    let arms = variant.arms.iter().filter(|arm| arm.weight > 0.0);
    arms.min_by(|a, b| drawn(a).total_cmp(&drawn(b)))
}

/// A number above 0 and below 1, even over sessions and independent from arm to arm.
fn uniform(variant: &str, session: &str, arm: &str) -> f64 {
    let mut hash = Sha256::new();
    for part in [variant, session, arm] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let bytes: [u8; 8] = hash.finalize()[..8].try_into().expect("a digest has 32 bytes");
    // The middle of one of 2^53 steps, which a double holds exactly.
    ((u64::from_le_bytes(bytes) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}
