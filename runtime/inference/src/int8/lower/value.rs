//! Functions of levels.

use std::sync::Arc;

use tract_onnx::tract_core::internal::OutletId;

use super::super::kernels::{Combine, Rounding};
use super::super::window::Window;
use super::weights::Filter;

/// Where the channels of a tensor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Layout {
    /// As ONNX has it.
    Natural,
    /// Channels, ONNX's second axis, last.
    ChannelsLast,
}

/// A tensor of u8 in the new graph.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) outlet: OutletId,
    /// As ONNX has it, whatever the layout.
    pub(super) shape: Vec<usize>,
    pub(super) layout: Layout,
}

impl Stored {
    /// Returns the shape of the memory.
    pub(super) fn memory(&self) -> Vec<usize> {
        in_layout(&self.shape, self.layout)
    }

    /// Returns where an ONNX axis lies in the memory.
    pub(super) fn axis(&self, axis: usize) -> usize {
        match (self.layout, axis) {
            (Layout::Natural, axis) => axis,
            (Layout::ChannelsLast, 0) => 0,
            (Layout::ChannelsLast, 1) => self.shape.len() - 1,
            (Layout::ChannelsLast, axis) => axis - 1,
        }
    }

    /// Returns whether both layouts are the same memory.
    pub(super) fn is_both(&self) -> bool {
        self.shape.len() < 3 || self.shape[1] == 1 || self.shape[2..].iter().product::<usize>() == 1
    }
}

pub(super) fn in_layout(shape: &[usize], layout: Layout) -> Vec<usize> {
    let mut memory = shape.to_vec();
    if layout == Layout::ChannelsLast && shape.len() > 1 {
        let channels = memory.remove(1);
        memory.push(channels);
    }
    memory
}

/// What each level stands for.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) values: [f32; 256],
    /// Scale and zero point, where it is `scale · (level − zero point)`.
    pub(super) affine: Option<(f32, i32)>,
    /// The levels that this one was rounded to, and their scale and zero point: a look-up that need not happen
    /// until somebody multiplies with them.
    pub(super) rounded: Option<Rounded>,
}

/// Levels as a function of other levels.
#[derive(Clone, Debug)]
pub(super) struct Rounded {
    pub(super) levels: Box<[u8; 256]>,
    pub(super) scale: f32,
    pub(super) zero_point: i32,
}

impl Table {
    pub(super) fn affine(scale: f32, zero_point: i32) -> Self {
        let values = std::array::from_fn(|level| scale * (level as i32 - zero_point) as f32);
        Self { values, affine: Some((scale, zero_point)), rounded: None }
    }

    /// What levels of `target` stand for, as a function of the levels that were rounded to them.
    pub(super) fn through(levels: Box<[u8; 256]>, target: &Self) -> Self {
        let values = levels.map(|level| target.values[usize::from(level)]);
        let rounded = target.affine.map(|(scale, zero_point)| Rounded { levels, scale, zero_point });
        Self { values, affine: None, rounded }
    }

    pub(super) fn map(&self, function: impl Fn(f32) -> f32) -> Self {
        Self { values: self.values.map(function), affine: None, rounded: None }
    }

    pub(super) fn zip(&self, other: &Self, function: impl Fn(f32, f32) -> f32) -> Self {
        let values = std::array::from_fn(|level| function(self.values[level], other.values[level]));
        Self { values, affine: None, rounded: None }
    }

    /// Returns whether a greater level never stands for less.
    pub(super) fn is_increasing(&self) -> bool {
        self.values.windows(2).all(|pair| pair[0] <= pair[1])
    }

    /// Returns the levels of `target` nearest to what these levels stand for.
    pub(super) fn rounded_to(&self, target: &Target) -> Box<[u8; 256]> {
        let rounding = target.rounding(f32::NEG_INFINITY, f32::INFINITY);
        Box::new(self.values.map(|value| rounding.quantised(value / target.scale)))
    }
}

/// Levels to round to: `scale · (level − zero point)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) scale: f32,
    pub(super) zero_point: i32,
}

impl Target {
    /// Rounds within bounds on the numbers.
    pub(super) fn rounding(&self, low: f32, high: f32) -> Rounding {
        let whole = Rounding { zero_point: self.zero_point, low: 0, high: 255 };
        Rounding {
            low: if low == f32::NEG_INFINITY { 0 } else { whole.quantised(low / self.scale) },
            high: if high == f32::INFINITY { 255 } else { whole.quantised(high / self.scale) },
            ..whole
        }
    }
}

/// An f32 tensor as a function of levels.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Levels(Levels),
    Sums(Box<Sums>),
    Pair(Pair),
    /// Functions one after another along an ONNX axis.
    Joined {
        parts: Vec<Value>,
        axis: usize,
        shape: Vec<usize>,
    },
    Mean(Mean),
}

/// One number for each level.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    pub(super) stored: Stored,
    pub(super) table: Arc<Table>,
}

/// Sum or product of two tensors.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) combine: Combine,
    pub(super) parts: [Levels; 2],
    pub(super) bounds: [f32; 2],
}

/// A convolution or linear layer before rounding.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) input: Stored,
    pub(super) input_scale: f32,
    pub(super) input_zero_point: i32,
    pub(super) filter: Arc<Filter>,
    pub(super) window: Window,
    /// For each output channel, as a number.
    pub(super) bias: Vec<f32>,
    pub(super) bounds: [f32; 2],
    /// ONNX's shape of the output, and how it will lie.
    pub(super) shape: Vec<usize>,
    pub(super) layout: Layout,
}

/// A mean of neighbouring pixels.
#[derive(Clone, Debug)]
pub(super) struct Mean {
    pub(super) levels: Levels,
    pub(super) window: Window,
    pub(super) counts_margin: bool,
    /// ONNX's shape of the output.
    pub(super) shape: Vec<usize>,
}
