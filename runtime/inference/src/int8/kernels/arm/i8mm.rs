//! USDOT: SDOT for levels that have no sign. Its intrinsics are not stable yet, so it is written out.

use std::arch::aarch64::{int8x16_t, int32x4_t, uint8x16_t};
use std::arch::asm;

/// A sum for each of four columns.
type Sum = int32x4_t;
type Levels = uint8x16_t;

#[inline]
#[target_feature(enable = "neon")]
fn levels(bytes: uint8x16_t) -> Levels {
    bytes
}

#[inline]
#[target_feature(enable = "neon")]
fn start(bias: int32x4_t, _weights: int32x4_t) -> Sum {
    bias
}

#[inline]
#[target_feature(enable = "neon")]
fn total(sum: Sum) -> int32x4_t {
    sum
}

/// The instruction picks the quad.
#[inline]
#[target_feature(enable = "neon")]
fn quad<const AT: i32>(levels: Levels) -> Levels {
    levels
}

/// Adds the products of a quad of levels with four columns.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn dot_quad<const AT: i32>(mut sum: Sum, levels: Levels, weights: int8x16_t) -> Sum {
    // SAFETY: the processor has the instruction, which changes the one register that it says it does.
    unsafe {
        asm!(
            "sudot {sum:v}.4s, {weights:v}.16b, {levels:v}.4b[{at}]",
            sum = inout(vreg) sum, weights = in(vreg) weights, levels = in(vreg) levels, at = const AT,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds the products of four quads of levels, one with each column.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn dot(mut sum: Sum, levels: Levels, weights: int8x16_t) -> Sum {
    // SAFETY: the processor has the instruction, which changes the one register that it says it does.
    unsafe {
        asm!(
            "usdot {sum:v}.4s, {levels:v}.16b, {weights:v}.16b",
            sum = inout(vreg) sum, weights = in(vreg) weights, levels = in(vreg) levels,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

// Twenty-four sums and six registers of levels leave two of the 32 to weights: nothing else is needed here.
super::tiles::tiles!("neon,i8mm", 6, [0 1 2 3 4 5 6 7 8]);
