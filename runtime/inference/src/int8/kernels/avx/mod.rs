//! What AVX2 and AVX-VNNI share: everything on 256 bits but the products of weights and levels.
//!
//! Without masks, what is left over behind the last whole vector goes through [`scalar`], or through a buffer.

pub(super) mod plain;
mod tiles;
pub(super) mod vnni;

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadu_si128, _mm_max_epu8, _mm_min_epu8, _mm_packus_epi16, _mm_set1_epi8,
    _mm_srli_si128, _mm_storeu_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_castsi256_si128,
    _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtps_epi32, _mm256_div_ps, _mm256_extracti128_si256,
    _mm256_fmadd_ps, _mm256_i32gather_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_max_epu8,
    _mm256_min_epu8, _mm256_min_ps, _mm256_mul_ps, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_subs_epi8, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16, _mm256_xor_si256,
};
use std::ptr;

use super::{
    Addition, Combination, Combine, DepthStrip, FARTHEST, LANES, Output, QUAD, Rounding, Strip, scalar,
};

/// Channels in a depthwise block.
const BLOCK: usize = 32;
/// Columns in a register of sums.
const HALF: usize = LANES / 2;

/// Sums of 16 columns.
type Sums = [__m256i; 2];

/// # Safety
/// 16 values are at `at`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_sums(at: *const i32) -> Sums {
    // SAFETY: the caller's.
    unsafe { [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(HALF).cast())] }
}

/// # Safety
/// 16 values are at `at`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_floats(at: *const f32) -> [__m256; 2] {
    // SAFETY: the caller's.
    unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(HALF))] }
}

/// Rounds and shifts to the zero point; not yet clamped.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded(value: __m256, zero_point: i32) -> __m256i {
    // The comparison gives its second operand for what is no number, as `f32::min` does.
    let bounded = _mm256_min_ps(value, _mm256_set1_ps(FARTHEST));
    _mm256_add_epi32(_mm256_cvtps_epi32(bounded), _mm256_set1_epi32(zero_point))
}

/// Packing saturates on the way to u8, so clamping afterwards gives what clamping before would.
#[inline]
#[target_feature(enable = "avx2")]
fn levels16([low, high]: [__m256; 2], rounding: Rounding) -> __m128i {
    let words = _mm256_packs_epi32(rounded(low, rounding.zero_point), rounded(high, rounding.zero_point));
    let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
    let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(rounding.low.cast_signed()));
    _mm_min_epu8(bytes, _mm_set1_epi8(rounding.high.cast_signed()))
}

/// # Safety
/// `real` values can be written at `at`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store16(at: *mut u8, real: usize, levels: __m128i) {
    // SAFETY: the caller's; the buffer holds 16.
    unsafe {
        if real >= LANES {
            _mm_storeu_si128(at.cast(), levels);
        } else {
            let mut buffer = [0_u8; LANES];
            _mm_storeu_si128(buffer.as_mut_ptr().cast(), levels);
            ptr::copy_nonoverlapping(buffer.as_ptr(), at, real);
        }
    }
}

/// Stores what some pixels have in the 16 columns of a vector.
///
/// # Safety
/// `super::multiply` has checked the strip, which has the pixels and the vector.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_tile<const P: usize>(strip: &mut Strip<'_>, pixel: usize, vector: usize, sums: &[Sums; P]) {
    let panel = strip.panel;
    let first = vector * LANES;
    let real = panel.columns.saturating_sub(first).min(LANES);
    // SAFETY: the caller's; no more than the real columns are written.
    unsafe {
        let [low, high] = load_floats(panel.multiplier.as_ptr().add(first));
        for (row, sums) in sums.iter().enumerate() {
            let at = (pixel + row) * strip.output_stride + first;
            let values = [
                _mm256_mul_ps(_mm256_cvtepi32_ps(sums[0]), low),
                _mm256_mul_ps(_mm256_cvtepi32_ps(sums[1]), high),
            ];
            match &mut strip.output {
                Output::Quantised(output, rounding) => {
                    store16(output.as_mut_ptr().wrapping_add(at), real, levels16(values, *rounding));
                }
                Output::Float(output, addend) => {
                    let addend = load_floats(addend.as_ptr().add(first));
                    let mut buffer = [0.0_f32; LANES];
                    for (half, (value, addend)) in values.into_iter().zip(addend).enumerate() {
                        _mm256_storeu_ps(buffer.as_mut_ptr().add(half * HALF), _mm256_add_ps(value, addend));
                    }
                    let at = output.as_mut_ptr().wrapping_add(at);
                    if real == LANES {
                        ptr::copy_nonoverlapping(buffer.as_ptr(), at, LANES);
                    } else {
                        ptr::copy_nonoverlapping(buffer.as_ptr(), at, real);
                    }
                }
            }
        }
    }
}

/// Four window rows of a block's channels at a pixel. Channels beyond the real ones hold anything.
#[inline]
#[target_feature(enable = "avx2")]
fn load_rows(strip: &DepthStrip<'_>, quad: usize, pixel: usize, block: usize) -> [__m256i; QUAD] {
    let at = pixel * strip.channels + block * BLOCK;
    let mut rows = [_mm256_setzero_si256(); QUAD];
    for (row, levels) in rows.iter_mut().zip(&strip.rows[quad * QUAD..]) {
        let levels = &levels[at..];
        // SAFETY: both slices hold 32 bytes.
        *row = unsafe {
            if let Some(levels) = levels.get(..BLOCK) {
                _mm256_loadu_si256(levels.as_ptr().cast())
            } else {
                let mut buffer = [0_u8; BLOCK];
                buffer[..levels.len()].copy_from_slice(levels);
                _mm256_loadu_si256(buffer.as_ptr().cast())
            }
        };
    }
    rows
}

/// # Safety
/// 32 bytes are at that offset of each row.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_quad(rows: [*const u8; QUAD], offset: usize) -> [__m256i; QUAD] {
    // SAFETY: the caller's.
    rows.map(|row| unsafe { _mm256_loadu_si256(row.add(offset).cast()) })
}

/// Interleaves four rows, so that each channel's four levels lie side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn interleaved(rows: [__m256i; QUAD]) -> [__m256i; QUAD] {
    let low = [_mm256_unpacklo_epi8(rows[0], rows[1]), _mm256_unpacklo_epi8(rows[2], rows[3])];
    let high = [_mm256_unpackhi_epi8(rows[0], rows[1]), _mm256_unpackhi_epi8(rows[2], rows[3])];
    [
        _mm256_unpacklo_epi16(low[0], low[1]),
        _mm256_unpackhi_epi16(low[0], low[1]),
        _mm256_unpacklo_epi16(high[0], high[1]),
        _mm256_unpackhi_epi16(high[0], high[1]),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn depth_bias(strip: &DepthStrip<'_>, block: usize) -> [__m256i; 4] {
    let bias = strip.bias[block * BLOCK..][..BLOCK].as_ptr();
    // SAFETY: the slice has 32 values.
    [0, 1, 2, 3].map(|vector| unsafe { _mm256_loadu_si256(bias.add(vector * HALF).cast()) })
}

/// Rounds and stores a pixel of a depthwise block; packing undoes the order that interleaving made.
#[inline]
#[target_feature(enable = "avx2")]
fn depth_finish(strip: &mut DepthStrip<'_>, block: usize, pixel: usize, sums: [__m256i; 4]) {
    let multiplier = strip.multiplier[block * BLOCK..][..BLOCK].as_ptr();
    let rounding = strip.rounding;
    let mut values = sums;
    for (vector, sums) in values.iter_mut().enumerate() {
        // SAFETY: the slice has 32 values.
        let multiplier = unsafe { _mm256_loadu_ps(multiplier.add(vector * HALF)) };
        *sums = rounded(_mm256_mul_ps(_mm256_cvtepi32_ps(*sums), multiplier), rounding.zero_point);
    }
    let [a, b, c, d] = values;
    let packed = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let packed = _mm256_max_epu8(packed, _mm256_set1_epi8(rounding.low.cast_signed()));
    let packed = _mm256_min_epu8(packed, _mm256_set1_epi8(rounding.high.cast_signed()));
    let real = (strip.channels - block * BLOCK).min(BLOCK);
    let output = &mut strip.output[pixel * strip.channels + block * BLOCK..][..real];
    // SAFETY: each store is as long as the slice or the buffer that it goes to.
    unsafe {
        if real == BLOCK {
            _mm256_storeu_si256(output.as_mut_ptr().cast(), packed);
        } else {
            let mut buffer = [0_u8; BLOCK];
            _mm256_storeu_si256(buffer.as_mut_ptr().cast(), packed);
            if real == BLOCK / 2 {
                output.copy_from_slice(&buffer[..BLOCK / 2]);
            } else {
                output.copy_from_slice(&buffer[..real]);
            }
        }
    }
}

/// Registers of levels that share the loads of the table.
const LOOKED_UP: usize = 2;

/// `input` holds as many levels as `output`, and may be the same memory.
///
/// A shuffle looks up 16 entries by the low four bits, and gives 0 where the top bit is set. So the levels are
/// walked down 16 at a time, and what is found is the difference to the 16 entries before: those of a level add up
/// (by exclusive or) to its entry, and it finds nothing more once it is below 0.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn look_up(table: &[u8; 256], input: *const u8, output: &mut [u8]) {
    const EACH: usize = 32;
    let mut differences = [_mm256_setzero_si256(); 16];
    for (part, difference) in differences.iter_mut().enumerate() {
        let entries: [u8; EACH] = std::array::from_fn(|at| {
            // The upper eight parts are walked apart, for a level is signed to the processor.
            let before = if part % 8 == 0 { 0 } else { table[part * 16 - 16 + at % 16] };
            table[part * 16 + at % 16] ^ before
        });
        // SAFETY: the array is as long as the load.
        *difference = unsafe { _mm256_loadu_si256(entries.as_ptr().cast()) };
    }
    let (step, top) = (_mm256_set1_epi8(16), _mm256_set1_epi8(i8::MIN));
    let whole = output.len() / (EACH * LOOKED_UP) * (EACH * LOOKED_UP);
    for at in (0..whole).step_by(EACH * LOOKED_UP) {
        // SAFETY: both have that many bytes, and all are read before any is written.
        unsafe {
            let levels: [__m256i; LOOKED_UP] =
                std::array::from_fn(|part| _mm256_loadu_si256(input.add(at + part * EACH).cast()));
            let mut found = [_mm256_setzero_si256(); LOOKED_UP];
            for half in 0..2 {
                let mut left = if half == 0 { levels } else { levels.map(|l| _mm256_xor_si256(l, top)) };
                for difference in &differences[half * 8..][..8] {
                    for (found, left) in found.iter_mut().zip(&mut left) {
                        *found = _mm256_xor_si256(*found, _mm256_shuffle_epi8(*difference, *left));
                        *left = _mm256_subs_epi8(*left, step);
                    }
                }
            }
            for (part, found) in found.into_iter().enumerate() {
                _mm256_storeu_si256(output.as_mut_ptr().add(at + part * EACH).cast(), found);
            }
        }
    }
    for (at, output) in output.iter_mut().enumerate().skip(whole) {
        // SAFETY: `input` is as long as `output`.
        *output = table[usize::from(unsafe { input.add(at).read() })];
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn quantise(scale: f32, rounding: Rounding, input: &[f32], output: &mut [u8]) {
    let by = _mm256_set1_ps(scale);
    let (vectors, rest) = output.as_chunks_mut::<LANES>();
    let (values, tail) = input.as_chunks::<LANES>();
    for (output, values) in vectors.iter_mut().zip(values) {
        // SAFETY: both have 16 elements.
        unsafe {
            let values = load_floats(values.as_ptr()).map(|value| _mm256_div_ps(value, by));
            _mm_storeu_si128(output.as_mut_ptr().cast(), levels16(values, rounding));
        }
    }
    scalar::quantise(scale, rounding, tail, rest);
}

/// Widens 16 levels.
#[inline]
#[target_feature(enable = "avx2")]
fn widened(levels: &[u8; LANES]) -> Sums {
    // SAFETY: the array has 16 bytes.
    let levels = unsafe { _mm_loadu_si128(levels.as_ptr().cast()) };
    [_mm256_cvtepu8_epi32(levels), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(levels))]
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn add(addition: &Addition, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [scale_a, scale_b] = addition.scales.map(|scale| _mm256_set1_ps(scale));
    let offset = _mm256_set1_ps(addition.offset);
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let (vectors, rest) = output.as_chunks_mut::<LANES>();
    for ((output, a), b) in vectors.iter_mut().zip(a).zip(b) {
        let b = widened(b).map(|b| _mm256_fmadd_ps(_mm256_cvtepi32_ps(b), scale_b, offset));
        let a = widened(a);
        let values = [0, 1].map(|half| _mm256_fmadd_ps(_mm256_cvtepi32_ps(a[half]), scale_a, b[half]));
        // SAFETY: the array has 16 bytes.
        unsafe { _mm_storeu_si128(output.as_mut_ptr().cast(), levels16(values, addition.rounding)) };
    }
    scalar::add(addition, [rest_a, rest_b], rest);
}

#[target_feature(enable = "avx2")]
pub(super) fn combine(combination: &Combination, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [first, second] = &*combination.tables;
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let (vectors, rest) = output.as_chunks_mut::<LANES>();
    // SAFETY: a level is an index into a table.
    let read = |table: &[f32; 256], levels| unsafe { _mm256_i32gather_ps::<4>(table.as_ptr(), levels) };
    for ((output, a), b) in vectors.iter_mut().zip(a).zip(b) {
        let (a, b) = (widened(a), widened(b));
        let values = [0, 1].map(|half| {
            let (a, b) = (read(first, a[half]), read(second, b[half]));
            match combination.combine {
                Combine::Sum => _mm256_add_ps(a, b),
                Combine::Product => _mm256_mul_ps(a, b),
            }
        });
        // SAFETY: the array has 16 bytes.
        unsafe { _mm_storeu_si128(output.as_mut_ptr().cast(), levels16(values, combination.rounding)) };
    }
    scalar::combine(combination, [rest_a, rest_b], rest);
}
