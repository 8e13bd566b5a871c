//! Convolutions in f32 between INT8 layers: those that the quantiser left, patch embeddings above all.

use std::ops::Range;

use tract_onnx::tract_core::internal::{DatumType, TDim, TValue, TVec, Tensor, TractResult};

use super::super::kernels::{self, FloatProduct, Isa, unwritten};
use super::super::pool::{FEW_ROWS, FLOAT, for_columns, for_rows, parts};
use super::super::window::Window;
use super::layout::transpose;
use super::{Layer, dims, expect, floats, sides};

/// Output pixels whose windows are laid out at a time.
const PIXELS: usize = 48;
/// Output channels that lie side by side, as the kernel reads them.
const PANEL: usize = 64;
/// Columns of a window from which on its rows are long enough to be copied one by one; under it the input is turned
/// first, so that all channels of a pixel lie side by side.
const WIDE: usize = 8;

/// A convolution in f32 to channels last, of a picture or of a line.
///
/// What an output pixel sees is laid out by channel, row and column where rows of the window are wide, else by row,
/// column and channel; so are the weights.
#[derive(Debug)]
pub(crate) struct ConvolveFloat {
    window: Window,
    /// Channels, rows and columns of the input.
    input: [usize; 3],
    /// Shape of the input's memory, channels second or last.
    memory: Vec<usize>,
    is_last: bool,
    output_channels: usize,
    bias: Vec<f32>,
    /// `[panels, depth, PANEL]`
    weights: Vec<f32>,
}

impl ConvolveFloat {
    /// `weights` come by output channel, input channel, row and column; `memory` is the input's shape: as ONNX has it, or
    /// with channels last.
    pub(crate) fn new(
        weights: &[f32],
        bias: Vec<f32>,
        window: Window,
        input: [usize; 3],
        memory: Vec<usize>,
        is_last: bool,
    ) -> Self {
        let output_channels = bias.len();
        let depth = input[0] * window.taps();
        let mut packed = vec![0.0; output_channels.next_multiple_of(PANEL) * depth];
        for (output, weights) in weights.chunks_exact(depth.max(1)).enumerate() {
            let start = output / PANEL * depth * PANEL + output % PANEL;
            let to = packed[start..].iter_mut().step_by(PANEL);
            match is_wide(&window) {
                true => to.zip(weights).for_each(|(to, &weight)| *to = weight),
                false => {
                    let by_tap =
                        (0..window.taps()).flat_map(|tap| weights[tap..].iter().step_by(window.taps()));
                    to.zip(by_tap).for_each(|(to, &weight)| *to = weight);
                }
            }
        }
        Self { window, input, memory, is_last, output_channels, bias, weights: packed }
    }

    /// Rows and columns of the output.
    fn size(&self) -> [usize; 2] {
        self.window.output([self.input[1], self.input[2]]).unwrap_or_default()
    }

    fn shape(&self) -> Vec<usize> {
        let [rows, columns] = self.size();
        match self.memory.len() {
            3 => vec![1, columns, self.output_channels],
            _ => vec![1, rows, columns, self.output_channels],
        }
    }

    /// Lays out what one output pixel sees of an input with channels last.
    fn lay_out_pixels(&self, input: &[f32], place: [usize; 2], to: &mut [f32]) {
        let [channels, height, width] = self.input;
        let Window { size, stride, dilation, before, .. } = &self.window;
        for (tap, to) in to.chunks_exact_mut(channels).enumerate() {
            let taps = [tap / size[1], tap % size[1]];
            let [y, x] = [0, 1].map(|side| {
                (place[side] * stride[side] + taps[side] * dilation[side]).wrapping_sub(before[side])
            });
            match y < height && x < width {
                true => to.copy_from_slice(&input[(y * width + x) * channels..][..channels]),
                false => to.fill(0.0),
            }
        }
    }

    /// Lays out what one output pixel sees of an input with channels second.
    fn lay_out(&self, input: &[f32], row: usize, column: usize, to: &mut [f32]) {
        let [_, height, width] = self.input;
        let at = |side: usize, place: usize, tap: usize, end: usize| {
            (place * self.window.stride[side] + tap * self.window.dilation[side])
                .checked_sub(self.window.before[side])
                .filter(|at| *at < end)
        };
        let taps = self.window.taps();
        let wide = self.window.size[1];
        let (y, x) = (at(0, row, 0, height), at(1, column, 0, width));
        if let (Some(y), Some(x)) = (y, x)
            && self.window.dilation == [1, 1]
            && y + self.window.size[0] <= height
            && x + wide <= width
        {
            // All inside: each row of the window lies in one piece.
            for (line, to) in to.chunks_exact_mut(wide).enumerate() {
                let (channel, tap) = (line / self.window.size[0], line % self.window.size[0]);
                to.copy_from_slice(&input[(channel * height + y + tap) * width + x..][..wide]);
            }
            return;
        }
        for (channel, to) in to.chunks_exact_mut(taps).enumerate() {
            for (tap, to) in to.iter_mut().enumerate() {
                let y = at(0, row, tap / self.window.size[1], height);
                let x = at(1, column, tap % self.window.size[1], width);
                *to = match (y, x) {
                    (Some(y), Some(x)) => input[(channel * height + y) * width + x],
                    _ => 0.0,
                };
            }
        }
    }
}

impl ConvolveFloat {
    fn depth(&self) -> usize {
        self.input[0] * self.window.taps()
    }

    /// Lays out what some output pixels see.
    fn seen(&self, input: &[f32], pixels: Range<usize>) -> Vec<f32> {
        let [_, columns] = self.size();
        let mut seen = vec![0.0; pixels.len() * self.depth()];
        for (pixel, to) in pixels.zip(seen.chunks_exact_mut(self.depth())) {
            match is_wide(&self.window) {
                true => self.lay_out(input, pixel / columns, pixel % columns, to),
                false => self.lay_out_pixels(input, [pixel / columns, pixel % columns], to),
            }
        }
        seen
    }

    /// Multiplies what pixels see with some panels of the weights, and adds the biases.
    fn multiply(&self, seen: &[f32], panels: Range<usize>, output: &mut [f32], stride: usize) {
        let depth = self.depth();
        let start = panels.start * PANEL;
        let weights = self.weights.chunks_exact(depth * PANEL).skip(panels.start);
        for (panel, weights) in panels.zip(weights) {
            let channels = panel * PANEL..(panel * PANEL + PANEL).min(self.output_channels);
            let mut product = FloatProduct {
                sides: [seen.len() / depth, depth, channels.len()],
                strides: [depth, PANEL, stride],
                left: seen,
                right: weights,
                output: &mut output[channels.start - start..],
            };
            kernels::multiply_floats(Isa::best(), &mut product);
            for pixel in output.chunks_exact_mut(stride) {
                let values = pixel[channels.start - start..].iter_mut();
                values.zip(&self.bias[channels.clone()]).for_each(|(value, bias)| *value += bias);
            }
        }
    }
}

/// Returns whether the layer wants an input with channels second.
pub(crate) fn is_wide(window: &Window) -> bool {
    window.size[1] >= WIDE
}

impl Layer for ConvolveFloat {
    fn name(&self) -> &'static str {
        "ConvF32"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        expect(&sides(&inputs[0].1)?, &self.memory)?;
        Ok((DatumType::F32, dims(&self.shape())))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let shape = self.shape();
        let mut input = floats(&inputs[0])?;
        let mut turned = Vec::new();
        if !is_wide(&self.window) && !self.is_last {
            turned.resize(input.len(), 0.0);
            transpose(input, self.input[0], input.len() / self.input[0].max(1), &mut turned);
            input = &turned;
        }
        let pixels = self.size().iter().product();
        let mut output = unwritten::<f32>(&shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<f32>()?;
        let work = self.macs(&[]) * FLOAT;
        let panels = self.output_channels.div_ceil(PANEL);
        if pixels <= FEW_ROWS {
            let seen = self.seen(input, 0..pixels);
            let parts = parts(work).min(panels);
            for_columns(parts, self.output_channels, values, |part| {
                let panels = panels * part / parts..panels * (part + 1) / parts;
                let channels = panels.start * PANEL..(panels.end * PANEL).min(self.output_channels);
                let mut output = vec![0.0; pixels * channels.len()];
                self.multiply(&seen, panels, &mut output, channels.len());
                (channels, output)
            });
            return Ok(output);
        }
        for_rows(pixels, values, work, |range, part| {
            for (block, part) in part.chunks_mut(PIXELS * self.output_channels).enumerate() {
                let first = range.start + block * PIXELS;
                let seen = self.seen(input, first..first + part.len() / self.output_channels);
                self.multiply(&seen, 0..panels, part, self.output_channels);
            }
        });
        Ok(output)
    }

    fn macs(&self, _: &[&[usize]]) -> u64 {
        let outputs: usize = self.shape().iter().product();
        (outputs * self.input[0] * self.window.taps()) as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn wave(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * step) % 23) as f32 / 11.0 - 1.0).collect()
    }

    #[test]
    fn it_gives_the_sums_it_stands_for() {
        let window = |size, stride, before, after| Window { size, stride, dilation: [1, 1], before, after };
        let cases = [
            (window([3, 3], [1, 2], [1, 0], [1, 2]), [3, 9, 11], 70),
            (window([1, 3], [1, 2], [0, 1], [0, 1]), [5, 1, 40], 3),
            (window([4, 4], [4, 4], [0, 0], [0, 0]), [2, 8, 12], 64),
            (window([8, 8], [8, 8], [0, 0], [0, 0]), [2, 16, 24], 64),
            (window([2, 9], [1, 3], [1, 4], [0, 4]), [3, 5, 20], 7),
        ];
        for (window, input, outputs) in cases {
            let [channels, height, width] = input;
            let weights = wave(outputs * channels * window.taps(), 7);
            let (bias, values) = (wave(outputs, 5), wave(channels * height * width, 13));
            let [rows, columns] = window.output([height, width]).unwrap();
            let memory = vec![1, channels, height, width];
            let tensor = Tensor::from_shape(&memory, &values).unwrap();
            let layer = ConvolveFloat::new(&weights, bias.clone(), window.clone(), input, memory, false);
            let output = layer.run(&[tensor.into()]).unwrap();
            assert_eq!(output.shape(), [1, rows, columns, outputs]);
            let output = output.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
            if !is_wide(&window) {
                // The same with channels last, as a line where it is one.
                let mut turned = vec![0.0; values.len()];
                transpose(&values, channels, height * width, &mut turned);
                let picture = [1, height, width, channels];
                let memory = if height == 1 { [1, width, channels].to_vec() } else { picture.to_vec() };
                let tensor = Tensor::from_shape(&memory, &turned).unwrap();
                let layer = ConvolveFloat::new(&weights, bias.clone(), window.clone(), input, memory, true);
                let last = layer.run(&[tensor.into()]).unwrap();
                assert_eq!(last.shape().len(), if height == 1 { 3 } else { 4 });
                assert_eq!(last.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap(), output);
            }
            for (at, value) in output.into_iter().enumerate() {
                let (pixel, channel) = (at / outputs, at % outputs);
                let mut expected = bias[channel];
                for input in 0..channels {
                    for tap in 0..window.taps() {
                        let y = (pixel / columns * window.stride[0] + tap / window.size[1])
                            .wrapping_sub(window.before[0]);
                        let x = (pixel % columns * window.stride[1] + tap % window.size[1])
                            .wrapping_sub(window.before[1]);
                        if y < height && x < width {
                            expected += values[(input * height + y) * width + x]
                                * weights[(channel * channels + input) * window.taps() + tap];
                        }
                    }
                }
                assert!((value - expected).abs() < 1e-3, "{window:?} at {at}: {value} {expected}");
            }
        }
    }
}
