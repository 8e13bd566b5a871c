//! AVX-512 on f32: what stands between the INT8 layers.

use std::arch::x86_64::{
    __m512, __mmask16, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm512_add_ps, _mm512_div_ps,
    _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_mask_max_ps, _mm512_mask_min_ps,
    _mm512_mask_mov_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_mul_ps,
    _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_reduce_min_ps, _mm512_roundscale_ps, _mm512_scalef_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::{Activation, FloatProduct, LANES, Normalisation, lanes};

fn mask(real: usize) -> __mmask16 {
    if real >= LANES { 0xffff } else { (1 << real) - 1 }
}

/// e to the power of each value, within two units in the last place; for values up to 88.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp(x: __m512) -> __m512 {
    let x = _mm512_max_ps(x, _mm512_set1_ps(-104.0));
    let two = _mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E));
    let whole = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(two);
    // ln 2 in two parts, so that the difference keeps its digits.
    let rest = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693_359_4), x);
    let rest = _mm512_fnmadd_ps(whole, _mm512_set1_ps(-2.121_944_4e-4), rest);
    // Cephes' expf polynomial.
    let mut poly = _mm512_set1_ps(1.987_569_1e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_58e-2, 0.166_666_65, 0.5] {
        poly = _mm512_fmadd_ps(poly, rest, _mm512_set1_ps(coefficient));
    }
    let square = _mm512_mul_ps(rest, rest);
    let poly = _mm512_add_ps(_mm512_fmadd_ps(poly, square, rest), _mm512_set1_ps(1.0));
    _mm512_scalef_ps(poly, whole)
}

/// Each row of `length` becomes exponentials below its highest value, with their sum.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn exponentials(rows: &mut [f32], length: usize, sums: &mut [f32]) {
    let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
    for (row, sum) in rows.chunks_exact_mut(length).zip(sums) {
        let row = row.as_mut_ptr();
        let whole = length / (4 * LANES) * 4 * LANES;
        // SAFETY: the masks end with the row.
        unsafe {
            let mut highest = [lowest; 4];
            for at in (0..whole).step_by(4 * LANES) {
                for (lane, highest) in highest.iter_mut().enumerate() {
                    *highest = _mm512_max_ps(*highest, _mm512_loadu_ps(row.add(at + lane * LANES)));
                }
            }
            let [a, b, c, d] = highest;
            let mut highest = _mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d));
            for at in (whole..length).step_by(LANES) {
                let mask = mask(length - at);
                highest =
                    _mm512_mask_max_ps(highest, mask, highest, _mm512_maskz_loadu_ps(mask, row.add(at)));
            }
            let highest = _mm512_set1_ps(_mm512_reduce_max_ps(highest));
            let mut all = _mm512_setzero_ps();
            let whole = length / LANES * LANES;
            for at in (0..whole).step_by(LANES) {
                let value = exp(_mm512_sub_ps(_mm512_loadu_ps(row.add(at)), highest));
                _mm512_storeu_ps(row.add(at), value);
                all = _mm512_add_ps(all, value);
            }
            if whole < length {
                let mask = mask(length - whole);
                let below = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, row.add(whole)), highest);
                let value = _mm512_mask_mov_ps(_mm512_setzero_ps(), mask, exp(below));
                _mm512_mask_storeu_ps(row.add(whole), mask, value);
                all = _mm512_add_ps(all, value);
            }
            *sum = _mm512_reduce_add_ps(all);
        }
    }
}

/// Least and greatest value, 0 among them.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn span(values: &[f32]) -> (f32, f32) {
    let zero = _mm512_setzero_ps();
    let (mut low, mut high) = ([zero; 4], [zero; 4]);
    for (number, at) in (0..values.len()).step_by(LANES).enumerate() {
        let mask = mask(values.len() - at);
        // SAFETY: the mask ends with the slice.
        let value = unsafe { _mm512_maskz_loadu_ps(mask, values.as_ptr().add(at)) };
        let lane = number % 4;
        low[lane] = _mm512_mask_min_ps(low[lane], mask, value, low[lane]);
        high[lane] = _mm512_mask_max_ps(high[lane], mask, value, high[lane]);
    }
    let least = low.map(|low| _mm512_reduce_min_ps(low)).into_iter().fold(0.0, f32::min);
    (least, high.map(|high| _mm512_reduce_max_ps(high)).into_iter().fold(0.0, f32::max))
}

/// Rows of the left matrix that share what is loaded of the right one.
const ROWS: usize = 6;
/// Vectors of columns.
const COLUMNS: usize = 4;

#[target_feature(enable = "avx512f")]
pub(super) unsafe fn multiply_floats(product: &mut FloatProduct<'_>) {
    let [rows, _, columns] = product.sides;
    for column in (0..columns).step_by(COLUMNS * LANES) {
        let blocks = rows.div_ceil(ROWS);
        let mut row = 0;
        for block in 0..blocks {
            let end = (block + 1) * rows / blocks;
            // SAFETY: the caller's; every tile lies inside of the product.
            unsafe {
                match end - row {
                    1 => tile::<1>(product, row, column),
                    2 => tile::<2>(product, row, column),
                    3 => tile::<3>(product, row, column),
                    4 => tile::<4>(product, row, column),
                    5 => tile::<5>(product, row, column),
                    _ => tile::<6>(product, row, column),
                }
            }
            row = end;
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize>(product: &mut FloatProduct<'_>, row: usize, column: usize) {
    let [_, depth, columns] = product.sides;
    let [left_stride, right_stride, output_stride] = product.strides;
    let masks: [__mmask16; COLUMNS] =
        std::array::from_fn(|at| mask(columns.saturating_sub(column + at * LANES)));
    let mut sums = [[_mm512_setzero_ps(); COLUMNS]; R];
    // SAFETY: `super::multiply_floats` has checked the lengths against the sides; the masks end with the columns.
    unsafe {
        let left = product.left.as_ptr().add(row * left_stride);
        let right = product.right.as_ptr().add(column);
        if masks[COLUMNS - 1] == 0xffff {
            for at in 0..depth {
                let line = right.add(at * right_stride);
                let line: [__m512; COLUMNS] = std::array::from_fn(|at| _mm512_loadu_ps(line.add(at * LANES)));
                accumulate(&mut sums, left.add(at), left_stride, line);
            }
        } else {
            for at in 0..depth {
                let line = right.wrapping_add(at * right_stride);
                let line: [__m512; COLUMNS] =
                    std::array::from_fn(|at| _mm512_maskz_loadu_ps(masks[at], line.wrapping_add(at * LANES)));
                accumulate(&mut sums, left.add(at), left_stride, line);
            }
        }
        for (at, sums) in sums.into_iter().enumerate() {
            let to = product.output.as_mut_ptr().add((row + at) * output_stride + column);
            for (vector, sum) in sums.into_iter().enumerate() {
                _mm512_mask_storeu_ps(to.wrapping_add(vector * LANES), masks[vector], sum);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn accumulate<const R: usize>(
    sums: &mut [[__m512; COLUMNS]; R],
    left: *const f32,
    stride: usize,
    line: [__m512; COLUMNS],
) {
    for (row, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's.
        let value = _mm512_set1_ps(unsafe { *left.add(row * stride) });
        for (sum, line) in sums.iter_mut().zip(line) {
            *sum = _mm512_fmadd_ps(value, line, *sum);
        }
    }
}

/// Rows that are multiplied at a time, so that one sum need not wait for the other.
const SIDE_BY_SIDE: usize = 4;

#[target_feature(enable = "avx512f")]
pub(super) unsafe fn dots(vector: &[f32], rows: &[f32], stride: usize, output: &mut [f32]) {
    for (block, output) in output.chunks_mut(SIDE_BY_SIDE).enumerate() {
        let mut sums = [_mm512_setzero_ps(); SIDE_BY_SIDE];
        for at in (0..vector.len()).step_by(LANES) {
            let mask = mask(vector.len() - at);
            // SAFETY: `super::dots` has checked that the last row fits; the mask ends with the vector.
            unsafe {
                let value = _mm512_maskz_loadu_ps(mask, vector.as_ptr().add(at));
                for (row, sum) in sums.iter_mut().enumerate().take(output.len()) {
                    let from = rows.as_ptr().add((block * SIDE_BY_SIDE + row) * stride + at);
                    *sum = _mm512_fmadd_ps(value, _mm512_maskz_loadu_ps(mask, from), *sum);
                }
            }
        }
        for (output, sum) in output.iter_mut().zip(sums) {
            *output = _mm512_reduce_add_ps(sum);
        }
    }
}

/// Softmax down columns: `rows` values, `stride` apart, for each of `columns`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn softmax_columns(values: &mut [f32], rows: usize, columns: usize) {
    let start = values.as_mut_ptr();
    for column in (0..columns).step_by(LANES) {
        let mask = mask(columns - column);
        // SAFETY: `super::softmax_columns` has checked the length; the mask ends with the columns.
        unsafe {
            let at = |row: usize| start.add(row * columns + column);
            let mut highest = _mm512_set1_ps(f32::NEG_INFINITY);
            for row in 0..rows {
                highest = _mm512_max_ps(highest, _mm512_maskz_loadu_ps(mask, at(row)));
            }
            let mut sum = _mm512_setzero_ps();
            for row in 0..rows {
                let value = exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, at(row)), highest));
                _mm512_mask_storeu_ps(at(row), mask, value);
                sum = _mm512_add_ps(sum, value);
            }
            let share = _mm512_div_ps(_mm512_set1_ps(1.0), sum);
            for row in 0..rows {
                let value = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, at(row)), share);
                _mm512_mask_storeu_ps(at(row), mask, value);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
pub(super) unsafe fn activate(activation: Activation, values: &mut [f32]) {
    lanes::activate(activation, values);
}

#[target_feature(enable = "avx512f")]
pub(super) unsafe fn normalise(normalisation: &Normalisation<'_>, rows: &[f32], output: &mut [f32]) {
    lanes::normalise(normalisation, rows, output);
}
