//! SDOT: 16 products and 4 sums in one instruction. Its intrinsics are not stable yet, so it is written out.

use std::arch::aarch64::{
    int8x16_t, int32x4_t, uint8x16_t, vdupq_n_u8, veorq_u8, vmlaq_n_s32, vreinterpretq_s8_u8,
};
use std::arch::asm;

/// A sum for each of four columns.
type Sum = int32x4_t;
type Levels = int8x16_t;

/// Brings levels into the range of s8, which subtracts 128.
#[inline]
#[target_feature(enable = "neon")]
fn levels(bytes: uint8x16_t) -> Levels {
    vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128)))
}

/// Starts with what the 128 taken from each level would have given.
#[inline]
#[target_feature(enable = "neon")]
fn start(bias: int32x4_t, weights: int32x4_t) -> Sum {
    vmlaq_n_s32(bias, weights, 128)
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
#[target_feature(enable = "neon,dotprod")]
fn dot_quad<const AT: i32>(mut sum: Sum, levels: Levels, weights: int8x16_t) -> Sum {
    // SAFETY: the processor has the instruction, which changes the one register that it says it does.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {levels:v}.4b[{at}]",
            sum = inout(vreg) sum, weights = in(vreg) weights, levels = in(vreg) levels, at = const AT,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds the products of four quads of levels, one with each column.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(mut sum: Sum, levels: Levels, weights: int8x16_t) -> Sum {
    // SAFETY: the processor has the instruction, which changes the one register that it says it does.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {levels:v}.16b",
            sum = inout(vreg) sum, weights = in(vreg) weights, levels = in(vreg) levels,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

// Twenty sums and five registers of levels leave seven of the 32 to weights.
super::tiles::tiles!("neon,dotprod", 5, [0 1 2 3 4 5 6 7 8]);
