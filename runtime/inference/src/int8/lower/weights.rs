//! Constant weights, as levels above their zero points.

use std::sync::Arc;

use tract_onnx::tract_core::internal::{DatumType, Tensor};

use super::super::weights::{Levels, Values};
use super::Lowering;
use super::value::Sums;

/// A constant tensor of levels, as it is stored, and what one level is worth.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    stored: Arc<Tensor>,
    /// One, or one for each index along [`Weights::axis`].
    zero_points: Vec<i16>,
    pub(super) shape: Vec<usize>,
    /// One, or one for each index along [`Weights::axis`].
    pub(super) scales: Vec<f32>,
    pub(super) axis: usize,
}

impl Weights {
    /// Returns the levels above their zero points, -255 to 255, in the order of the shape.
    fn values(&self) -> Option<Values<'_>> {
        let plain = self.stored.try_as_plain_ram().ok()?;
        let zero_point = self.zero_points[0];
        let is_one = self.zero_points.iter().all(|other| *other == zero_point);
        match self.stored.datum_type() {
            DatumType::I8 if is_one && zero_point == 0 => {
                Some(Values::Narrow { bytes: self.stored.as_bytes(), flip: 0 })
            }
            DatumType::U8 if is_one && zero_point == 128 => {
                Some(Values::Narrow { bytes: self.stored.as_bytes(), flip: 128 })
            }
            DatumType::I8 => Some(self.widened(plain.as_slice::<i8>().ok()?)),
            DatumType::U8 => Some(self.widened(plain.as_slice::<u8>().ok()?)),
            _ => None,
        }
    }

    fn widened<T: Copy + Into<i16>>(&self, levels: &[T]) -> Values<'static> {
        let inner: usize = self.shape.get(self.axis + 1..).map_or(1, |rest| rest.iter().product());
        let along = self.zero_points.len();
        let above = |(at, &level): (usize, &T)| level.into() - self.zero_points[at / inner.max(1) % along];
        Values::Wide(levels.iter().enumerate().map(above).collect())
    }
}

/// The weights of a layer, output channels first.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// Each output sees all input channels of its group.
    Whole {
        weights: Weights,
        output_channels: usize,
        /// Of a group.
        input_channels: usize,
        groups: usize,
        /// A matrix whose input channels come first.
        inputs_first: bool,
    },
    /// Each channel by itself.
    Depthwise { weights: Weights, channels: usize },
}

impl Filter {
    pub(super) fn scales(&self) -> &[f32] {
        &self.weights().scales
    }

    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Whole { output_channels, .. } => *output_channels,
            Self::Depthwise { channels, .. } => *channels,
        }
    }

    fn weights(&self) -> &Weights {
        match self {
            Self::Whole { weights, .. } | Self::Depthwise { weights, .. } => weights,
        }
    }

    /// Returns the levels above their zero points, in the order of the shape.
    pub(super) fn levels(&self) -> Levels<'_> {
        let (groups, input_channels, inputs_first) = match self {
            Self::Whole { groups, input_channels, inputs_first, .. } => {
                (*groups, *input_channels, *inputs_first)
            }
            Self::Depthwise { channels, .. } => (*channels, 1, false),
        };
        Levels {
            values: self.weights().values().expect("weights are of u8 or s8"),
            output_channels: self.outputs(),
            input_channels,
            groups,
            inputs_first,
        }
    }
}

impl Sums {
    /// Rows and columns of the input.
    pub(super) fn size(&self) -> [usize; 2] {
        match self.input.shape[..] {
            [_, _, height, width] => [height, width],
            // Rows of one pixel each: threads may part between any of them.
            ref shape => [shape[..shape.len() - 1].iter().product(), 1],
        }
    }

    /// Returns where the sums start: the bias, less what the input's zero point adds.
    pub(super) fn start(&self) -> Vec<i32> {
        let zero = self.input_zero_point;
        let scales = self.filter.scales().iter().cycle();
        let starts = self.filter.levels().sums().into_iter().zip(&self.bias).zip(scales);
        starts
            .map(|((sum, bias), scale)| {
                let bias =
                    (f64::from(*bias) / (f64::from(self.input_scale) * f64::from(*scale))).round_ties_even();
                (bias as i32).wrapping_sub(zero.wrapping_mul(sum))
            })
            .collect()
    }

    /// Returns what a sum is worth, in units of an output scale.
    pub(super) fn multiplier(&self, output_scale: f32) -> Vec<f32> {
        let scales = self.filter.scales().iter().cycle().take(self.filter.outputs());
        scales.map(|scale| self.input_scale * scale / output_scale).collect()
    }
}

impl Lowering<'_> {
    /// Returns a constant's levels, where a DequantizeLinear makes numbers of them.
    pub(super) fn weights(&self, name: &str) -> Option<Weights> {
        let node = self.producers.get(name).filter(|node| node.op_type == "DequantizeLinear")?;
        let levels = self.constant(&node.input[0])?;
        let scales = self.constant(&node.input[1])?;
        let zero_point = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => Some(self.constant(name)?),
            None => None,
        };
        let axis = super::Attributes(node).axis("axis", 1, levels.rank()).unwrap_or(0);
        weights(levels, &scales, zero_point.as_deref(), axis)
    }
}

/// Puts together what weights are; none where scales and zero points do not fit them.
pub(super) fn weights(
    levels: Arc<Tensor>,
    scales: &Tensor,
    zero_points: Option<&Tensor>,
    axis: usize,
) -> Option<Weights> {
    if !matches!(levels.datum_type(), DatumType::I8 | DatumType::U8) {
        return None;
    }
    let shape = levels.shape().to_vec();
    let scales = numbers(scales).filter(|all| !all.is_empty())?;
    let zero_points = zero_points.map_or(Some(vec![0.0]), numbers).filter(|all| !all.is_empty())?;
    let along = shape.get(axis).copied().unwrap_or(1);
    let fits = |count: usize| count == 1 || count == along;
    if !fits(scales.len()) || !fits(zero_points.len()) {
        return None;
    }
    if !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return None;
    }
    let zero_points = zero_points.into_iter().map(|zero_point| zero_point as i16).collect();
    Some(Weights { stored: levels, zero_points, shape, scales, axis })
}

pub(super) fn numbers(tensor: &Tensor) -> Option<Vec<f32>> {
    let cast = tensor.cast_to::<f32>().ok()?;
    Some(cast.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec())
}
