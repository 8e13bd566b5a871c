//! f32 in plain loops over a fixed number of lanes, which the compiler turns into the vectors of whatever instruction
//! set it is inlined for: FMA on AVX2, NEON on ARM64.

use super::{Activation, FloatProduct, Normalisation};

/// Values that are computed side by side: two vectors of AVX2, four of NEON.
const WIDTH: usize = 16;

/// e to the power of a value up to 88, within some units in the last place.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding it leaves the whole part in the last bits of the sum.
    const SHIFT: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let whole = shifted - SHIFT;
    // ln 2 in two parts, so that the difference keeps its digits.
    let rest = whole.mul_add(-0.693_359_4, x);
    let rest = whole.mul_add(2.121_944_4e-4, rest);
    // Cephes' expf polynomial.
    let mut poly = 1.987_569_1e-4_f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_58e-2, 0.166_666_65, 0.5] {
        poly = poly.mul_add(rest, coefficient);
    }
    let poly = poly.mul_add(rest * rest, rest) + 1.0;
    poly * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn min(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

/// Folds values in lanes, then the lanes.
#[inline(always)]
fn folded(values: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; WIDTH];
    let mut chunks = values.chunks_exact(WIDTH);
    for chunk in &mut chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = fold(*lane, value);
        }
    }
    lanes.iter().chain(chunks.remainder()).fold(start, |all, &value| fold(all, value))
}

#[inline(always)]
pub(super) fn exponentials(rows: &mut [f32], length: usize, sums: &mut [f32]) {
    for (row, sum) in rows.chunks_exact_mut(length).zip(sums) {
        let highest = folded(row, f32::NEG_INFINITY, max);
        for value in row.iter_mut() {
            *value = exp(*value - highest);
        }
        *sum = folded(row, 0.0, |a, b| a + b);
    }
}

#[inline(always)]
pub(super) fn softmax_columns(values: &mut [f32], rows: usize, columns: usize) {
    let mut start = 0;
    while start < columns {
        let width = WIDTH.min(columns - start);
        let mut highest = [f32::NEG_INFINITY; WIDTH];
        for line in values.chunks_exact(columns) {
            let line = line[start..][..width].iter();
            highest.iter_mut().zip(line).for_each(|(highest, &value)| *highest = max(*highest, value));
        }
        let mut sums = [0.0; WIDTH];
        for line in values.chunks_exact_mut(columns) {
            let line = line[start..][..width].iter_mut().zip(&highest);
            for (sum, (value, highest)) in sums.iter_mut().zip(line) {
                *value = exp(*value - highest);
                *sum += *value;
            }
        }
        let shares = sums.map(|sum| 1.0 / sum);
        for line in values.chunks_exact_mut(columns).take(rows) {
            let line = line[start..][..width].iter_mut();
            line.zip(&shares).for_each(|(value, share)| *value *= share);
        }
        start += width;
    }
}

#[inline(always)]
pub(super) fn span(values: &[f32]) -> (f32, f32) {
    (folded(values, 0.0, min), folded(values, 0.0, max))
}

/// Rows of the left matrix that share what is loaded of the right one.
const ROWS: usize = 4;

#[inline(always)]
pub(super) fn multiply_floats(product: &mut FloatProduct<'_>) {
    let [rows, _, columns] = product.sides;
    for column in (0..columns).step_by(WIDTH) {
        let mut row = 0;
        while row < rows {
            if rows - row >= ROWS {
                tile::<ROWS>(product, row, column);
                row += ROWS;
            } else {
                tile::<1>(product, row, column);
                row += 1;
            }
        }
    }
}

#[inline(always)]
fn tile<const R: usize>(product: &mut FloatProduct<'_>, row: usize, column: usize) {
    let [_, depth, columns] = product.sides;
    let [left_stride, right_stride, output_stride] = product.strides;
    let width = WIDTH.min(columns - column);
    let left: [&[f32]; R] = std::array::from_fn(|at| &product.left[(row + at) * left_stride..][..depth]);
    let mut sums = [[0.0_f32; WIDTH]; R];
    for at in 0..depth {
        let right = &product.right[at * right_stride + column..][..width];
        match <&[f32; WIDTH]>::try_from(right) {
            Ok(line) => accumulate(&mut sums, left, at, line),
            Err(_) => {
                let mut line = [0.0; WIDTH];
                line[..width].copy_from_slice(right);
                accumulate(&mut sums, left, at, &line);
            }
        }
    }
    for (at, sums) in sums.iter().enumerate() {
        product.output[(row + at) * output_stride + column..][..width].copy_from_slice(&sums[..width]);
    }
}

#[inline(always)]
fn accumulate<const R: usize>(
    sums: &mut [[f32; WIDTH]; R],
    left: [&[f32]; R],
    at: usize,
    line: &[f32; WIDTH],
) {
    for (sums, left) in sums.iter_mut().zip(left) {
        for (sum, right) in sums.iter_mut().zip(line) {
            *sum = left[at].mul_add(*right, *sum);
        }
    }
}

#[inline(always)]
pub(super) fn dots(vector: &[f32], rows: &[f32], stride: usize, output: &mut [f32]) {
    for (row, output) in output.iter_mut().enumerate() {
        let row = &rows[row * stride..][..vector.len()];
        let (mut values, mut others) = (vector.chunks_exact(WIDTH), row.chunks_exact(WIDTH));
        let mut lanes = [0.0_f32; WIDTH];
        for (values, others) in (&mut values).zip(&mut others) {
            for (lane, (value, other)) in lanes.iter_mut().zip(values.iter().zip(others)) {
                *lane = value.mul_add(*other, *lane);
            }
        }
        let rest = values.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b);
        *output = lanes.into_iter().chain(rest).sum();
    }
}

#[inline(always)]
pub(super) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Gelu => values.iter_mut().for_each(|value| *value *= 0.5 + 0.5 * erf_of(*value)),
        Activation::Silu(steepness) => {
            // Beyond that the share is as small as it gets, and exponentials are no numbers any more.
            values.iter_mut().for_each(|value| *value /= 1.0 + exp(min(-steepness * *value, 87.0)));
        }
    }
}

/// The error function of x / √2, by the formula of the reference.
#[inline(always)]
fn erf_of(x: f32) -> f32 {
    let magnitude = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / magnitude.mul_add(0.327_591_1, 1.0);
    let mut poly = 1.061_405_4_f32;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        poly = poly.mul_add(t, coefficient);
    }
    (poly * t).mul_add(-exp(-magnitude * magnitude), 1.0).copysign(x)
}

#[inline(always)]
pub(super) fn normalise(normalisation: &Normalisation<'_>, rows: &[f32], output: &mut [f32]) {
    let length = normalisation.scale.len();
    for (row, output) in rows.chunks_exact(length).zip(output.chunks_exact_mut(length)) {
        let mean = folded(row, 0.0, |all, value| all + value) / length as f32;
        for (output, value) in output.iter_mut().zip(row) {
            *output = value - mean;
        }
        let squares = summed_squares(output);
        let by = 1.0 / (squares / length as f32 + normalisation.epsilon).sqrt();
        let places = normalisation.scale.iter().zip(normalisation.shift);
        for (output, (scale, shift)) in output.iter_mut().zip(places) {
            *output = (*output * by).mul_add(*scale, *shift);
        }
    }
}

#[inline(always)]
fn summed_squares(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; WIDTH];
    let mut chunks = values.chunks_exact(WIDTH);
    for chunk in &mut chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane = value.mul_add(*value, *lane));
    }
    lanes.into_iter().chain(chunks.remainder().iter().map(|value| value * value)).sum()
}
