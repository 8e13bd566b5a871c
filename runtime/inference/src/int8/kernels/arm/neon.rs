//! Plain NEON: `smull` makes 16 bits of a product, `sadalp` adds two neighbours to 32 bits.
//!
//! `smlal` would add a second product before, but 16 bits do not hold two of -128 · -128.

use std::arch::aarch64::{
    int8x16_t, int32x4_t, uint8x16_t, vdupq_laneq_s32, vdupq_n_s32, vdupq_n_u8, veorq_u8, vget_low_s8,
    vmlaq_n_s32, vmull_high_s8, vmull_s8, vpadalq_s16, vpaddq_s32, vreinterpretq_s8_s32, vreinterpretq_s8_u8,
    vreinterpretq_s32_s8, vzip1q_s32, vzip2q_s32,
};

/// Two sums for each of four columns.
type Sum = [int32x4_t; 2];
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
    let bias = vmlaq_n_s32(bias, weights, 128);
    let zero = vdupq_n_s32(0);
    [vzip1q_s32(bias, zero), vzip2q_s32(bias, zero)]
}

#[inline]
#[target_feature(enable = "neon")]
fn total(sum: Sum) -> int32x4_t {
    vpaddq_s32(sum[0], sum[1])
}

/// Brings one of four quads to where [`dot_quad`] finds it.
#[inline]
#[target_feature(enable = "neon")]
fn quad<const AT: i32>(levels: Levels) -> Levels {
    vreinterpretq_s8_s32(vdupq_laneq_s32::<AT>(vreinterpretq_s32_s8(levels)))
}

/// Adds the products of a quad of levels with four columns.
#[inline]
#[target_feature(enable = "neon")]
fn dot_quad<const AT: i32>(sum: Sum, quad: Levels, weights: int8x16_t) -> Sum {
    dot(sum, quad, weights)
}

/// Adds the products of four quads of levels, one with each column.
#[inline]
#[target_feature(enable = "neon")]
fn dot(sum: Sum, levels: Levels, weights: int8x16_t) -> Sum {
    let low = vmull_s8(vget_low_s8(levels), vget_low_s8(weights));
    [vpadalq_s16(sum[0], low), vpadalq_s16(sum[1], vmull_high_s8(levels, weights))]
}

// Sixteen sums leave half of the 32 registers to weights, levels and products.
super::tiles::tiles!("neon", 2, [0 1 2 3 4]);
