//! Convolutions and linear layers on u8 activations, channels last.

use std::ops::Range;

use super::kernels::{self, Activation, Isa, Output, Rounding, Strip};
use super::weights::{Levels, Packed, Segments};
use super::window::{Rows, Window};

/// How sums become the output of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Scaling {
    /// Where each output channel's sum starts.
    pub(crate) bias: Vec<i32>,
    /// What one level of an output channel's sum is worth, in units of the output.
    pub(crate) multiplier: Vec<f32>,
    /// Level of the input that stands for 0, which surrounds the picture.
    pub(crate) fill: u8,
}

/// A convolution with packed weights.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    window: Window,
    groups: usize,
    /// Channels of a whole input pixel.
    input_channels: usize,
    output_channels: usize,
    segments: Segments,
    packed: Vec<Packed>,
}

/// Which of a group's panels are computed, and how their columns lie in the output.
struct Part {
    panels: Range<usize>,
    /// The output channel that comes first.
    first: usize,
    /// Values from one pixel to the next.
    stride: usize,
}

/// Rows of an output: whole rows, the first of them first.
pub(crate) enum RowsOut<'a> {
    Quantised(&'a mut [u8], Rounding),
    /// With an addend for each output channel, and what then becomes of the numbers.
    Float(&'a mut [f32], &'a [f32], Option<Activation>),
}

impl RowsOut<'_> {
    /// Returns what begins at a value.
    fn beginning_at(&mut self, value: usize) -> RowsOut<'_> {
        match self {
            Self::Quantised(output, rounding) => RowsOut::Quantised(&mut output[value..], *rounding),
            Self::Float(output, addend, activation) => {
                RowsOut::Float(&mut output[value..], addend, *activation)
            }
        }
    }
}

impl Convolution {
    pub(crate) fn new(levels: &Levels<'_>, window: Window) -> Self {
        let segments = Segments::new(&window, levels.input_channels, levels.groups == 1);
        let packed = (0..levels.groups).map(|group| Packed::new(levels, group, &window, &segments)).collect();
        Self {
            window,
            groups: levels.groups,
            input_channels: levels.input_channels * levels.groups,
            output_channels: levels.output_channels,
            segments,
            packed,
        }
    }

    pub(crate) fn input_channels(&self) -> usize {
        self.input_channels
    }

    pub(crate) fn output_channels(&self) -> usize {
        self.output_channels
    }

    /// Returns products that make one output.
    pub(crate) fn depth(&self) -> usize {
        self.input_channels / self.groups * self.window.taps()
    }

    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Spreads a value for each output channel over the packed columns, those that fill up set to 0.
    pub(crate) fn spread<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let each = self.output_channels / self.groups;
        let width = self.packed[0].width();
        let mut spread = vec![T::default(); width * self.groups];
        for (spread, values) in spread.chunks_exact_mut(width).zip(values.chunks_exact(each)) {
            spread[..each].copy_from_slice(values);
        }
        spread
    }

    /// Computes some rows of the output. `scaling` and the addend are [`Convolution::spread`].
    pub(crate) fn run(
        &self,
        isa: Isa,
        input: &[u8],
        size: [usize; 2],
        scaling: &Scaling,
        rows: Range<usize>,
        mut output: RowsOut<'_>,
    ) {
        let [_, columns] = self.window.output(size).unwrap_or_default();
        if rows.is_empty() || columns == 0 {
            return;
        }
        let whole_quads = self.segments.length().is_multiple_of(kernels::QUAD);
        if self.window.is_point() && whole_quads {
            let start = rows.start * size[1] * self.input_channels;
            let pixels = rows.len() * size[1];
            self.strip(isa, &[&input[start..]], pixels, scaling, output, &self.whole());
            return;
        }
        let mut held = Rows::new(input, size, self.input_channels, &self.window, scaling.fill);
        for row in rows.clone() {
            let seen = held.seen(&self.window, row);
            let first = (row - rows.start) * columns * self.output_channels;
            self.strip(isa, &seen, columns, scaling, output.beginning_at(first), &self.whole());
        }
    }

    /// Returns into how many columns-wise parts a matrix can be cut; 1 for any other convolution.
    pub(crate) fn panels(&self) -> usize {
        let is_matrix = self.window.is_point() && self.groups == 1;
        if is_matrix && self.segments.length().is_multiple_of(kernels::QUAD) {
            self.packed[0].panels.len()
        } else {
            1
        }
    }

    /// Returns the output channels of some of [`Convolution::panels`].
    pub(crate) fn columns(&self, panels: &Range<usize>) -> Range<usize> {
        let start =
            |panel: usize| self.packed[0].panels.get(panel).map_or(self.output_channels, |panel| panel.first);
        start(panels.start)..start(panels.end)
    }

    /// Computes some of the [`Convolution::panels`] of a matrix for all pixels: `[pixels, columns]`.
    pub(crate) fn run_panels(
        &self,
        isa: Isa,
        input: &[u8],
        scaling: &Scaling,
        panels: Range<usize>,
        output: RowsOut<'_>,
    ) {
        let columns = self.columns(&panels);
        let pixels = input.len() / self.input_channels.max(1);
        let part = Part { panels, first: columns.start, stride: columns.len() };
        self.strip(isa, &[input], pixels, scaling, output, &part);
    }

    fn whole(&self) -> Part {
        Part { panels: 0..usize::MAX, first: 0, stride: self.output_channels }
    }

    /// Computes neighbouring output pixels from the rows that their windows see.
    fn strip(
        &self,
        isa: Isa,
        rows: &[&[u8]],
        pixels: usize,
        scaling: &Scaling,
        mut output: RowsOut<'_>,
        part: &Part,
    ) {
        let each = self.output_channels / self.groups;
        let channels = self.input_channels / self.groups;
        let step = self.window.dilation[1] * self.input_channels;
        for (group, packed) in self.packed.iter().enumerate() {
            let columns = (0..self.window.size[1]).step_by(self.segments.columns);
            let segments: Vec<&[u8]> = rows
                .iter()
                .flat_map(|row| columns.clone().map(move |column| &row[column * step + group * channels..]))
                .collect();
            let width = packed.width();
            let spread = group * width..(group + 1) * width;
            let mut panels = packed
                .panels(&scaling.bias[spread.clone()], &scaling.multiplier[spread.clone()])
                .skip(part.panels.start)
                .take(part.panels.len())
                .peekable();
            while let Some((first, panel)) = panels.next() {
                let (wide, real) = (panel.vectors * kernels::LANES, panel.columns);
                let start = group * each + first - part.first;
                let out = match output.beginning_at(start) {
                    RowsOut::Quantised(output, rounding) => Output::Quantised(output, rounding),
                    RowsOut::Float(output, addend, _) => {
                        Output::Float(output, &addend[spread.start + first..][..wide])
                    }
                };
                let mut strip = Strip {
                    segments: &segments,
                    quads: packed.quads(),
                    pixel_stride: self.window.stride[1] * self.input_channels,
                    pixels,
                    panel,
                    output: out,
                    output_stride: part.stride,
                    next: panels.peek().map_or(&[], |(_, panel)| panel.weights),
                };
                kernels::multiply(isa, &mut strip);
                // While they are in the cache.
                if let RowsOut::Float(output, _, Some(activation)) = &mut output {
                    for pixel in output[start..].chunks_mut(part.stride).take(pixels) {
                        kernels::activate(isa, *activation, &mut pixel[..real]);
                    }
                }
            }
        }
    }
}
