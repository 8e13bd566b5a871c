//! What the bench of the kernels runs: layers by themselves, on any instruction set.

use super::conv::{Convolution, RowsOut, Scaling};
use super::depthwise::Depthwise;
use super::kernels::{self, Isa, Rounding};
use super::weights::{Levels, Values};
use super::window::Window;

const ROUNDING: Rounding = Rounding { zero_point: 128, low: 0, high: 255 };

/// A layer to measure: rows, columns, channels in and out; a square window with an edge as wide as it needs.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Rows and columns of the input.
    pub size: [usize; 2],
    /// Input and output channels; of a depthwise layer, 1 of the latter.
    pub channels: [usize; 2],
    /// Rows and columns of the window.
    pub window: usize,
    /// Pixels from a window to the next.
    pub stride: usize,
}

impl Shape {
    fn window(&self) -> Window {
        let edge = [self.window / 2; 2];
        Window {
            size: [self.window; 2],
            stride: [self.stride; 2],
            dilation: [1; 2],
            before: edge,
            after: edge,
        }
    }

    fn output(&self) -> [usize; 2] {
        self.window().output(self.size).unwrap_or_default()
    }

    fn rows(&self) -> usize {
        self.output()[0]
    }

    fn pixels(&self) -> usize {
        self.output().iter().product()
    }

    /// Returns products of one run.
    pub fn products(&self) -> usize {
        self.pixels() * self.window * self.window * self.channels[0] * self.channels[1]
    }
}

/// Values without a pattern that a processor could learn.
fn noise(length: usize) -> impl Iterator<Item = u8> {
    let mut state = 1_u64;
    (0..length).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
}

fn weights(length: usize) -> Vec<i16> {
    noise(length).map(|level| i16::from(level.max(1)) - 128).collect()
}

fn scaling(bias: Vec<i32>, multiplier: Vec<f32>) -> Scaling {
    Scaling { bias, multiplier, fill: 128 }
}

/// Returns what runs a convolution once.
pub fn convolution(isa: Isa, shape: Shape) -> impl FnMut() {
    let [input_channels, output_channels] = shape.channels;
    let values = weights(output_channels * input_channels * shape.window * shape.window);
    let values = Values::Wide(values);
    let levels = Levels { values, output_channels, input_channels, groups: 1, inputs_first: false };
    let convolution = Convolution::new(&levels, shape.window());
    let scaling = scaling(
        convolution.spread(&vec![0; output_channels]),
        convolution.spread(&vec![1e-3; output_channels]),
    );
    let input: Vec<u8> = noise(shape.size[0] * shape.size[1] * input_channels).collect();
    let mut output = vec![0; shape.pixels() * output_channels];
    move || {
        let out = RowsOut::Quantised(&mut output, ROUNDING);
        convolution.run(isa, &input, shape.size, &scaling, 0..shape.rows(), out);
    }
}

/// Returns what runs a depthwise convolution once.
pub fn depthwise(isa: Isa, shape: Shape) -> impl FnMut() {
    let channels = shape.channels[0];
    let levels = weights(channels * shape.window * shape.window);
    let depthwise = Depthwise::new(isa, &levels, channels, shape.window());
    let scaling = scaling(depthwise.spread(&vec![0; channels]), depthwise.spread(&vec![1e-3; channels]));
    let input: Vec<u8> = noise(shape.size[0] * shape.size[1] * channels).collect();
    let mut output = vec![0; shape.pixels() * channels];
    move || depthwise.run(&input, shape.size, &scaling, ROUNDING, 0..shape.rows(), &mut output)
}

/// Returns what looks so many levels up once.
pub fn look_up(isa: Isa, levels: usize) -> impl FnMut() {
    let table: [u8; 256] = std::array::from_fn(|at| (at as u8).wrapping_mul(7));
    let input: Vec<u8> = noise(levels).collect();
    let mut output = vec![0; levels];
    move || kernels::look_up(isa, &table, &input, &mut output)
}
