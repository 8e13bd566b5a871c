//! Depthwise convolutions: one filter for each channel.

use std::ops::Range;

use super::conv::Scaling;
use super::kernels::{self, DepthStrip, Isa, LANES, QUAD, Rounding};
use super::weights::terms;
use super::window::{Rows, Window};

/// A depthwise convolution with weights packed for one instruction set.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    isa: Isa,
    window: Window,
    channels: usize,
    weights: Vec<i8>,
    terms: usize,
    /// Of each channel's weights, in the order of the blocks.
    sums: Vec<i32>,
}

impl Depthwise {
    /// `levels` are -255 to 255, by channel, row and column.
    pub(crate) fn new(isa: Isa, levels: &[i16], channels: usize, window: Window) -> Self {
        let [height, width] = window.size;
        let quads = height.div_ceil(QUAD);
        let block = LANES * isa.depth_lanes();
        let blocks = channels.div_ceil(block);
        let each = width * quads * block * QUAD;
        let mut ordered = vec![0; blocks * each];
        for (channel, levels) in levels.chunks_exact(height * width).enumerate() {
            for (tap, &level) in levels.iter().enumerate() {
                let (row, column) = (tap / width, tap % width);
                let quad = column * quads + row / QUAD;
                let place = place(isa, channel % block) * QUAD + row % QUAD;
                ordered[channel / block * each + quad * block * QUAD + place] = level;
            }
        }
        let terms = terms(ordered);
        // Terms lie inside of blocks.
        let weights = (0..blocks)
            .flat_map(|block| terms.iter().flat_map(move |term| &term[block * each..(block + 1) * each]))
            .copied()
            .collect();
        let sums: Vec<i32> = levels
            .chunks_exact(height * width)
            .map(|levels| levels.iter().map(|&level| i32::from(level)).sum())
            .collect();
        let mut depthwise = Self { isa, window, channels, weights, terms: terms.len(), sums: Vec::new() };
        depthwise.sums = depthwise.spread(&sums);
        depthwise
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Brings a value for each channel into the order of the blocks.
    pub(crate) fn spread<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let block = LANES * self.isa.depth_lanes();
        let mut spread = vec![T::default(); values.len().div_ceil(block) * block];
        for (channel, &value) in values.iter().enumerate() {
            spread[channel / block * block + place(self.isa, channel % block)] = value;
        }
        spread
    }

    /// Computes some rows of the output. `scaling` is [`Depthwise::spread`].
    pub(crate) fn run(
        &self,
        input: &[u8],
        size: [usize; 2],
        scaling: &Scaling,
        rounding: Rounding,
        rows: Range<usize>,
        output: &mut [u8],
    ) {
        let [_, columns] = self.window.output(size).unwrap_or_default();
        let mut held = Rows::new(input, size, self.channels, &self.window, scaling.fill);
        for (row, output) in rows.zip(output.chunks_exact_mut(columns * self.channels)) {
            let seen = held.seen(&self.window, row);
            let mut strip = DepthStrip {
                rows: &seen,
                channels: self.channels,
                width: self.window.size[1],
                dilation: self.window.dilation[1],
                stride: self.window.stride[1],
                pixels: columns,
                weights: &self.weights,
                terms: self.terms,
                sums: &self.sums,
                bias: &scaling.bias,
                multiplier: &scaling.multiplier,
                rounding,
                output,
            };
            kernels::convolve_depthwise(self.isa, &mut strip);
        }
    }
}

/// Where a channel of a block lies: vector, lane, then four neighbours.
fn place(isa: Isa, channel: usize) -> usize {
    let (lane, vector, neighbour) = (channel / LANES, channel % LANES / 4, channel % 4);
    (vector * isa.depth_lanes() + lane) * 4 + neighbour
}
