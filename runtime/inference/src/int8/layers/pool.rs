//! Layers that bring neighbouring pixels together, and the one that spreads them.

use tract_onnx::tract_core::internal::{DatumType, TDim, TValue, TVec, Tensor, TractResult};

use super::super::kernels::{Rounding, unwritten};
use super::super::pool::{for_pictures, for_rows};
use super::super::window::Window;
use super::{Layer, dims, expect, levels, sides};

/// The greatest level of a window.
#[derive(Clone, Debug)]
pub(crate) struct MaxPool {
    pub(crate) pictures: usize,
    pub(crate) window: Window,
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
}

fn shape(pictures: usize, window: &Window, size: [usize; 2], channels: usize) -> [usize; 4] {
    let [rows, columns] = window.output(size).unwrap_or_default();
    [pictures, rows, columns, channels]
}

/// Calls `each` with the input pixels that a window sees.
fn seen(
    window: &Window,
    [height, width]: [usize; 2],
    row: usize,
    column: usize,
    mut each: impl FnMut(usize),
) {
    let at = |side: usize, place: usize, tap: usize, end: usize| {
        (place * window.stride[side] + tap * window.dilation[side])
            .checked_sub(window.before[side])
            .filter(|at| *at < end)
    };
    for y in (0..window.size[0]).filter_map(|tap| at(0, row, tap, height)) {
        for x in (0..window.size[1]).filter_map(|tap| at(1, column, tap, width)) {
            each(y * width + x);
        }
    }
}

impl Layer for MaxPool {
    fn name(&self) -> &'static str {
        "Int8MaxPool"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        expect(&sides(&inputs[0].1)?, &[self.pictures, self.size[0], self.size[1], self.channels])?;
        Ok((DatumType::U8, dims(&shape(self.pictures, &self.window, self.size, self.channels))))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = levels(&inputs[0])?;
        let shape = shape(self.pictures, &self.window, self.size, self.channels);
        let mut output = unwritten::<u8>(&shape)?;
        let line = (shape[2] * self.channels).max(1);
        let work = (line * shape[1] * self.window.taps()) as u64;
        let mut view = output.try_as_plain_ram_mut()?;
        for_pictures(self.pictures, input, view.as_slice_mut::<u8>()?, |input, output| {
            for_rows(shape[1], output, work, |rows, part| {
                for (row, line) in rows.zip(part.chunks_exact_mut(line)) {
                    for (column, pixel) in line.chunks_exact_mut(self.channels).enumerate() {
                        pixel.fill(0);
                        seen(&self.window, self.size, row, column, |at| {
                            let levels = &input[at * self.channels..][..self.channels];
                            let both = pixel.iter_mut().zip(levels);
                            both.for_each(|(greatest, &level)| *greatest = level.max(*greatest));
                        });
                    }
                }
            });
        });
        Ok(output)
    }
}

/// The mean of a window's levels, rescaled.
#[derive(Clone, Debug)]
pub(crate) struct AveragePool {
    pub(crate) pictures: usize,
    pub(crate) window: Window,
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    /// Margins count as zeros.
    pub(crate) counts_margin: bool,
    /// Scale of the input over scale of the output.
    pub(crate) multiplier: f32,
    /// Level of the input that stands for 0.
    pub(crate) zero_point: i32,
    pub(crate) rounding: Rounding,
    /// Shape of the output's memory; it holds as many values as rows, columns and channels ask for.
    pub(crate) shape: Vec<usize>,
}

impl Layer for AveragePool {
    fn name(&self) -> &'static str {
        "Int8AveragePool"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        expect(&sides(&inputs[0].1)?, &[self.pictures, self.size[0], self.size[1], self.channels])?;
        Ok((DatumType::U8, dims(&self.shape)))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = levels(&inputs[0])?;
        let [_, rows, columns, _] = shape(self.pictures, &self.window, self.size, self.channels);
        let mut output = unwritten::<u8>(&self.shape)?;
        let line = (columns * self.channels).max(1);
        let work = (line * rows * self.window.taps()) as u64;
        let mut view = output.try_as_plain_ram_mut()?;
        for_pictures(self.pictures, input, view.as_slice_mut::<u8>()?, |input, output| {
            for_rows(rows, output, work, |rows, part| {
                let mut sums = vec![0i32; self.channels];
                for (row, line) in rows.zip(part.chunks_exact_mut(line)) {
                    for (column, pixel) in line.chunks_exact_mut(self.channels).enumerate() {
                        sums.fill(0);
                        let mut count = 0;
                        seen(&self.window, self.size, row, column, |at| {
                            count += 1;
                            let levels = &input[at * self.channels..][..self.channels];
                            sums.iter_mut().zip(levels).for_each(|(sum, &level)| *sum += i32::from(level));
                        });
                        let over = if self.counts_margin { self.window.taps() } else { count };
                        let multiplier = self.multiplier / over.max(1) as f32;
                        let zeros = count as i32 * self.zero_point;
                        for (level, &sum) in pixel.iter_mut().zip(&sums) {
                            *level = self.rounding.quantised((sum - zeros) as f32 * multiplier);
                        }
                    }
                }
            });
        });
        Ok(output)
    }
}

/// Each pixel several times, in both directions.
#[derive(Clone, Debug)]
pub(crate) struct UpsampleNearest {
    /// Pictures, rows, columns and channels of the input.
    pub(crate) input: [usize; 4],
    pub(crate) factor: [usize; 2],
}

impl UpsampleNearest {
    fn shape(&self) -> [usize; 4] {
        let [pictures, rows, columns, channels] = self.input;
        [pictures, rows * self.factor[0], columns * self.factor[1], channels]
    }
}

impl Layer for UpsampleNearest {
    fn name(&self) -> &'static str {
        "Int8Resize"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        expect(&sides(&inputs[0].1)?, &self.input)?;
        Ok((DatumType::U8, dims(&self.shape())))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let [_, _, columns, channels] = self.input;
        let [down, across] = self.factor;
        let mut output = unwritten::<u8>(&self.shape())?;
        let lines = levels(&inputs[0])?.chunks_exact((columns * channels).max(1));
        let wide = (columns * across * channels).max(1);
        let mut view = output.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<u8>()?;
        for (to, from) in values.chunks_exact_mut(wide * down).zip(lines) {
            let (first, rest) = to.split_at_mut(wide);
            let pixels = from.chunks_exact(channels.max(1));
            for (to, from) in first.chunks_exact_mut((across * channels).max(1)).zip(pixels) {
                to.chunks_exact_mut(channels.max(1)).for_each(|to| to.copy_from_slice(from));
            }
            rest.chunks_exact_mut(wide).for_each(|to| to.copy_from_slice(first));
        }
        Ok(output)
    }
}
