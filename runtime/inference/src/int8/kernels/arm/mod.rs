//! What the ARM64 sets share: everything but the products of weights and levels.
//!
//! What is left over behind the last whole vector goes through [`scalar`], or through a buffer.

pub(super) mod dotprod;
pub(super) mod i8mm;
pub(super) mod neon;
mod tiles;

use std::arch::aarch64::{
    float32x4_t, int32x4_t, uint8x16_t, uint8x16x4_t, uint32x4_t, vaddq_f32, vaddq_s32, vcombine_s16,
    vcombine_u8, vcvtnq_s32_f32, vcvtq_f32_s32, vcvtq_f32_u32, vdivq_f32, vdupq_n_f32, vdupq_n_s32,
    vdupq_n_u8, vfmaq_f32, vget_low_u8, vget_low_u16, vld1q_f32, vld1q_s32, vld1q_u8, vld1q_u8_x4, vmaxq_u8,
    vminnmq_f32, vminq_u8, vmovl_high_u8, vmovl_high_u16, vmovl_u8, vmovl_u16, vmulq_f32, vqmovn_s32,
    vqmovun_s16, vqtbl4q_u8, vqtbx4q_u8, vreinterpretq_u8_u16, vreinterpretq_u16_u8, vst1q_f32, vst1q_u8,
    vsubq_u8, vzip1q_u8, vzip1q_u16, vzip2q_u8, vzip2q_u16,
};
use std::ptr;

use super::{
    Addition, Combination, Combine, DepthStrip, FARTHEST, LANES, Output, QUAD, Rounding, Strip, scalar,
};

/// Columns in a register of sums.
const QUARTER: usize = LANES / 4;

/// Four values at each quarter of 16.
///
/// # Safety
/// 16 values are at `at`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_sums(at: *const i32) -> [int32x4_t; 4] {
    // SAFETY: the caller's.
    unsafe { [vld1q_s32(at), vld1q_s32(at.add(4)), vld1q_s32(at.add(8)), vld1q_s32(at.add(12))] }
}

/// # Safety
/// 16 values are at `at`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_floats(at: *const f32) -> [float32x4_t; 4] {
    // SAFETY: the caller's.
    unsafe { [vld1q_f32(at), vld1q_f32(at.add(4)), vld1q_f32(at.add(8)), vld1q_f32(at.add(12))] }
}

/// Rounds and shifts to the zero point; not yet clamped.
#[inline]
#[target_feature(enable = "neon")]
fn rounded(value: float32x4_t, zero_point: i32) -> int32x4_t {
    // `fminnm` gives its other operand for what is no number, as `f32::min` does.
    let bounded = vminnmq_f32(value, vdupq_n_f32(FARTHEST));
    vaddq_s32(vcvtnq_s32_f32(bounded), vdupq_n_s32(zero_point))
}

/// Narrowing saturates on the way to u8, so clamping afterwards gives what clamping before would.
#[inline]
#[target_feature(enable = "neon")]
fn levels16([a, b, c, d]: [float32x4_t; 4], rounding: Rounding) -> uint8x16_t {
    let zero_point = rounding.zero_point;
    let low = vcombine_s16(vqmovn_s32(rounded(a, zero_point)), vqmovn_s32(rounded(b, zero_point)));
    let high = vcombine_s16(vqmovn_s32(rounded(c, zero_point)), vqmovn_s32(rounded(d, zero_point)));
    let bytes = vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
    vminq_u8(vmaxq_u8(bytes, vdupq_n_u8(rounding.low)), vdupq_n_u8(rounding.high))
}

/// # Safety
/// `real` values can be written at `at`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store16(at: *mut u8, real: usize, levels: uint8x16_t) {
    // SAFETY: the caller's; the buffer holds 16.
    unsafe {
        if real >= LANES {
            vst1q_u8(at, levels);
        } else {
            let mut buffer = [0_u8; LANES];
            vst1q_u8(buffer.as_mut_ptr(), levels);
            ptr::copy_nonoverlapping(buffer.as_ptr(), at, real);
        }
    }
}

/// Stores what a pixel has in the 16 columns of a vector.
///
/// # Safety
/// `super::multiply` has checked the strip, which has the pixel and the vector.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store_pixel(strip: &mut Strip<'_>, pixel: usize, vector: usize, sums: [int32x4_t; 4]) {
    let panel = strip.panel;
    let first = vector * LANES;
    let real = panel.columns.saturating_sub(first).min(LANES);
    let at = pixel * strip.output_stride + first;
    // SAFETY: the caller's; no more than the real columns are written.
    unsafe {
        let mut values = load_floats(panel.multiplier.as_ptr().add(first));
        for (value, sum) in values.iter_mut().zip(sums) {
            *value = vmulq_f32(vcvtq_f32_s32(sum), *value);
        }
        match &mut strip.output {
            Output::Quantised(output, rounding) => {
                store16(output.as_mut_ptr().wrapping_add(at), real, levels16(values, *rounding));
            }
            Output::Float(output, addend) => {
                let addend = load_floats(addend.as_ptr().add(first));
                let mut buffer = [0.0_f32; LANES];
                for (quarter, (value, addend)) in values.into_iter().zip(addend).enumerate() {
                    vst1q_f32(buffer.as_mut_ptr().add(quarter * QUARTER), vaddq_f32(value, addend));
                }
                ptr::copy_nonoverlapping(buffer.as_ptr(), output.as_mut_ptr().wrapping_add(at), real);
            }
        }
    }
}

/// Four window rows of 16 channels at a pixel. Channels beyond the real ones hold anything.
#[inline]
#[target_feature(enable = "neon")]
fn load_rows(strip: &DepthStrip<'_>, quad: usize, pixel: usize, block: usize) -> [uint8x16_t; QUAD] {
    let at = pixel * strip.channels + block * LANES;
    let mut rows = [vdupq_n_u8(0); QUAD];
    for (row, levels) in rows.iter_mut().zip(&strip.rows[quad * QUAD..]) {
        let levels = &levels[at..];
        // SAFETY: both slices hold 16 bytes.
        *row = unsafe {
            if let Some(levels) = levels.get(..LANES) {
                vld1q_u8(levels.as_ptr())
            } else {
                let mut buffer = [0_u8; LANES];
                buffer[..levels.len()].copy_from_slice(levels);
                vld1q_u8(buffer.as_ptr())
            }
        };
    }
    rows
}

/// # Safety
/// 16 bytes are at that offset of each row.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_quad(rows: [*const u8; QUAD], offset: usize) -> [uint8x16_t; QUAD] {
    // SAFETY: the caller's.
    rows.map(|row| unsafe { vld1q_u8(row.add(offset)) })
}

/// Interleaves four rows, so that each channel's four levels lie side by side.
#[inline]
#[target_feature(enable = "neon")]
fn interleaved(rows: [uint8x16_t; QUAD]) -> [uint8x16_t; QUAD] {
    let pair = |a, b| (vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b));
    let low = pair(vzip1q_u8(rows[0], rows[1]), vzip1q_u8(rows[2], rows[3]));
    let high = pair(vzip2q_u8(rows[0], rows[1]), vzip2q_u8(rows[2], rows[3]));
    [
        vreinterpretq_u8_u16(vzip1q_u16(low.0, low.1)),
        vreinterpretq_u8_u16(vzip2q_u16(low.0, low.1)),
        vreinterpretq_u8_u16(vzip1q_u16(high.0, high.1)),
        vreinterpretq_u8_u16(vzip2q_u16(high.0, high.1)),
    ]
}

/// Rounds and stores a pixel of a depthwise block.
#[inline]
#[target_feature(enable = "neon")]
fn depth_finish(strip: &mut DepthStrip<'_>, block: usize, pixel: usize, sums: [int32x4_t; 4]) {
    let multiplier = &strip.multiplier[block * LANES..][..LANES];
    let real = (strip.channels - block * LANES).min(LANES);
    let output = &mut strip.output[pixel * strip.channels + block * LANES..][..real];
    // SAFETY: one slice has 16 values, the other as many as are stored.
    unsafe {
        let mut values = load_floats(multiplier.as_ptr());
        for (value, sum) in values.iter_mut().zip(sums) {
            *value = vmulq_f32(vcvtq_f32_s32(sum), *value);
        }
        store16(output.as_mut_ptr(), real, levels16(values, strip.rounding));
    }
}

/// `input` holds as many levels as `output`, and may be the same memory.
#[target_feature(enable = "neon")]
pub(super) unsafe fn look_up(table: &[u8; 256], input: *const u8, output: &mut [u8]) {
    let whole = output.len() / LANES * LANES;
    let quarter = vdupq_n_u8(64);
    // SAFETY: the table has four times 64 entries; both slices have that many bytes, and each vector is read
    // before it is written.
    unsafe {
        let part = |at: usize| -> uint8x16x4_t { vld1q_u8_x4(table.as_ptr().add(at * 64)) };
        let (a, b, c, d) = (part(0), part(1), part(2), part(3));
        for at in (0..whole).step_by(LANES) {
            // What is not among the 64 entries becomes 0 with `tbl`, and stays what it is with `tbx`.
            let levels = vld1q_u8(input.add(at));
            let found = vqtbl4q_u8(a, levels);
            let levels = vsubq_u8(levels, quarter);
            let found = vqtbx4q_u8(found, b, levels);
            let levels = vsubq_u8(levels, quarter);
            let found = vqtbx4q_u8(found, c, levels);
            let levels = vsubq_u8(levels, quarter);
            vst1q_u8(output.as_mut_ptr().add(at), vqtbx4q_u8(found, d, levels));
        }
    }
    for (at, output) in output.iter_mut().enumerate().skip(whole) {
        // SAFETY: `input` is as long as `output`.
        *output = table[usize::from(unsafe { input.add(at).read() })];
    }
}

#[target_feature(enable = "neon")]
pub(super) fn quantise(scale: f32, rounding: Rounding, input: &[f32], output: &mut [u8]) {
    let by = vdupq_n_f32(scale);
    let (vectors, rest) = output.as_chunks_mut::<LANES>();
    let (values, tail) = input.as_chunks::<LANES>();
    for (output, values) in vectors.iter_mut().zip(values) {
        // SAFETY: both have 16 elements.
        unsafe {
            let values = load_floats(values.as_ptr()).map(|value| vdivq_f32(value, by));
            vst1q_u8(output.as_mut_ptr(), levels16(values, rounding));
        }
    }
    scalar::quantise(scale, rounding, tail, rest);
}

/// Widens 16 levels.
#[inline]
#[target_feature(enable = "neon")]
fn widened(levels: &[u8; LANES]) -> [float32x4_t; 4] {
    // SAFETY: the array has 16 bytes.
    let levels = unsafe { vld1q_u8(levels.as_ptr()) };
    let (low, high) = (vmovl_u8(vget_low_u8(levels)), vmovl_high_u8(levels));
    let quarters: [uint32x4_t; 4] = [
        vmovl_u16(vget_low_u16(low)),
        vmovl_high_u16(low),
        vmovl_u16(vget_low_u16(high)),
        vmovl_high_u16(high),
    ];
    quarters.map(|quarter| vcvtq_f32_u32(quarter))
}

#[target_feature(enable = "neon")]
pub(super) fn add(addition: &Addition, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [scale_a, scale_b] = addition.scales.map(|scale| vdupq_n_f32(scale));
    let offset = vdupq_n_f32(addition.offset);
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let (vectors, rest) = output.as_chunks_mut::<LANES>();
    for ((output, a), b) in vectors.iter_mut().zip(a).zip(b) {
        let (a, mut values) = (widened(a), widened(b));
        for (value, a) in values.iter_mut().zip(a) {
            *value = vfmaq_f32(vfmaq_f32(offset, *value, scale_b), a, scale_a);
        }
        // SAFETY: the array has 16 bytes.
        unsafe { vst1q_u8(output.as_mut_ptr(), levels16(values, addition.rounding)) };
    }
    scalar::add(addition, [rest_a, rest_b], rest);
}

#[target_feature(enable = "neon")]
pub(super) fn combine(combination: &Combination, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [first, second] = &*combination.tables;
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let (vectors, rest) = output.as_chunks_mut::<LANES>();
    let read = |table: &[f32; 256], levels: &[u8; LANES]| levels.map(|level| table[usize::from(level)]);
    for ((output, a), b) in vectors.iter_mut().zip(a).zip(b) {
        let (a, b) = (read(first, a), read(second, b));
        // SAFETY: the arrays have 16 values each.
        unsafe {
            let (mut values, b) = (load_floats(a.as_ptr()), load_floats(b.as_ptr()));
            for (value, b) in values.iter_mut().zip(b) {
                *value = match combination.combine {
                    Combine::Sum => vaddq_f32(*value, b),
                    Combine::Product => vmulq_f32(*value, b),
                };
            }
            vst1q_u8(output.as_mut_ptr(), levels16(values, combination.rounding));
        }
    }
    scalar::combine(combination, [rest_a, rest_b], rest);
}
