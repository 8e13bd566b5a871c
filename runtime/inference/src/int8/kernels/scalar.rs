//! The reference: plain loops, in the order in which the packed layouts are documented.

use super::{
    Activation, Addition, Combination, Combine, DepthStrip, FloatProduct, LANES, Lines, Normalisation,
    Output, QUAD, Rounding, Strip,
};

pub(super) fn multiply(strip: &mut Strip<'_>) {
    let panel = strip.panel;
    let width = panel.vectors * LANES;
    for pixel in 0..strip.pixels {
        for column in 0..panel.columns {
            let mut sum = panel.bias[column];
            let dot = |at: &[u8], weights: &[i8]| -> i32 {
                let weights = &weights[column * QUAD..][..QUAD];
                at.iter().zip(weights).map(|(&level, &weight)| i32::from(level) * i32::from(weight)).sum()
            };
            for (segment, weights) in
                strip.segments.iter().zip(panel.weights.chunks_exact(strip.quads * width * QUAD))
            {
                let at = &segment[pixel * strip.pixel_stride..][..strip.quads * QUAD];
                for (at, weights) in at.chunks_exact(QUAD).zip(weights.chunks_exact(width * QUAD)) {
                    sum = sum.wrapping_add(dot(at, weights));
                }
            }
            for excess in panel.excess {
                let start = pixel * strip.pixel_stride + excess.quad * QUAD;
                let at = &strip.segments[excess.segment][start..][..QUAD];
                sum = sum.wrapping_add(dot(at, &excess.weights));
            }
            let at = pixel * strip.output_stride + column;
            let value = sum as f32 * panel.multiplier[column];
            match &mut strip.output {
                Output::Quantised(output, rounding) => output[at] = rounding.quantised(value),
                Output::Float(output, addend) => output[at] = value + addend[column],
            }
        }
    }
}

pub(super) fn convolve_depthwise(strip: &mut DepthStrip<'_>) {
    let (channels, quads) = (strip.channels, strip.quads());
    let term = strip.width * quads * LANES * QUAD;
    for pixel in 0..strip.pixels {
        for channel in 0..channels {
            let mut sum = strip.bias[channel];
            let weights = &strip.weights[channel / LANES * strip.terms * term..][..strip.terms * term];
            for weights in weights.chunks_exact(term) {
                for column in 0..strip.width {
                    let at = (pixel * strip.stride + column * strip.dilation) * channels + channel;
                    for (row, levels) in strip.rows.iter().enumerate() {
                        let quad = column * quads + row / QUAD;
                        let weight = weights[(quad * LANES + channel % LANES) * QUAD + row % QUAD];
                        sum = sum.wrapping_add(i32::from(levels[at]) * i32::from(weight));
                    }
                }
            }
            strip.output[pixel * channels + channel] =
                strip.rounding.quantised(sum as f32 * strip.multiplier[channel]);
        }
    }
}

pub(super) fn look_up(table: &[u8; 256], input: &[u8], output: &mut [u8]) {
    for (output, &input) in output.iter_mut().zip(input) {
        *output = table[usize::from(input)];
    }
}

pub(super) fn quantise(scale: f32, rounding: Rounding, input: &[f32], output: &mut [u8]) {
    for (output, &input) in output.iter_mut().zip(input) {
        *output = rounding.quantised(input / scale);
    }
}

pub(super) fn add(addition: &Addition, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [scale_a, scale_b] = addition.scales;
    for ((output, &a), &b) in output.iter_mut().zip(a).zip(b) {
        let value = f32::from(a).mul_add(scale_a, f32::from(b).mul_add(scale_b, addition.offset));
        *output = addition.rounding.quantised(value);
    }
}

pub(super) fn combine(combination: &Combination, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [first, second] = &*combination.tables;
    for ((output, &a), &b) in output.iter_mut().zip(a).zip(b) {
        let (a, b) = (first[usize::from(a)], second[usize::from(b)]);
        *output = combination.rounding.quantised(match combination.combine {
            Combine::Sum => a + b,
            Combine::Product => a * b,
        });
    }
}

pub(super) fn copy_lines(lines: &Lines<'_>, input: &[u8], output: &mut [u8]) {
    for (line, from) in input.chunks(lines.input_stride.max(1)).take(lines.lines).enumerate() {
        let to = &mut output[line * lines.output_stride..][..lines.length];
        match lines.table {
            Some(table) => look_up(table, &from[..lines.length], to),
            None => to.copy_from_slice(&from[..lines.length]),
        }
    }
}

pub(super) fn exponentials(rows: &mut [f32], length: usize, sums: &mut [f32]) {
    for (row, sum) in rows.chunks_exact_mut(length).zip(sums) {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|value| *value = (*value - highest).exp());
        *sum = row.iter().sum();
    }
}

pub(super) fn span(values: &[f32]) -> (f32, f32) {
    let low = values.iter().copied().fold(0.0, f32::min);
    (low, values.iter().copied().fold(0.0, f32::max))
}

pub(super) fn multiply_floats(product: &mut FloatProduct<'_>) {
    let [rows, depth, columns] = product.sides;
    let [left, right, output] = product.strides;
    for row in 0..rows {
        let output = &mut product.output[row * output..][..columns];
        output.fill(0.0);
        for (at, &value) in product.left[row * left..][..depth].iter().enumerate() {
            let right = &product.right[at * right..][..columns];
            output.iter_mut().zip(right).for_each(|(sum, right)| *sum += value * right);
        }
    }
}

pub(super) fn dots(vector: &[f32], rows: &[f32], stride: usize, output: &mut [f32]) {
    for (row, output) in output.iter_mut().enumerate() {
        *output = vector.iter().zip(&rows[row * stride..]).map(|(a, b)| a * b).sum();
    }
}

pub(super) fn softmax_columns(values: &mut [f32], rows: usize, columns: usize) {
    let mut column = vec![0.0; rows];
    for at in 0..columns {
        column.iter_mut().zip(values[at..].iter().step_by(columns)).for_each(|(to, &from)| *to = from);
        let mut sum = [0.0];
        exponentials(&mut column, rows, &mut sum);
        column.iter_mut().for_each(|value| *value /= sum[0]);
        values[at..].iter_mut().step_by(columns).zip(&column).for_each(|(to, &from)| *to = from);
    }
}

pub(super) fn activate(activation: Activation, values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = activation.of(*value));
}

pub(super) fn normalise(normalisation: &Normalisation<'_>, rows: &[f32], output: &mut [f32]) {
    let length = normalisation.scale.len();
    for (row, output) in rows.chunks_exact(length).zip(output.chunks_exact_mut(length)) {
        let mean = row.iter().map(|&value| f64::from(value)).sum::<f64>() / length as f64;
        let squares: f64 = row.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
        let by = 1.0 / (squares / length as f64 + f64::from(normalisation.epsilon)).sqrt();
        let places = normalisation.scale.iter().zip(normalisation.shift);
        for ((output, &value), (scale, shift)) in output.iter_mut().zip(row).zip(places) {
            *output = ((f64::from(value) - mean) * by) as f32 * scale + shift;
        }
    }
}
