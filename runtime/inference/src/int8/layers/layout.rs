//! Layers that move levels and compute nothing.

use std::ops::Range;

use tract_onnx::tract_core::internal::{DatumType, TDim, TValue, TVec, Tensor, TractResult, ensure};

use super::super::kernels::{self, Isa, Lines, unwritten};
use super::super::pool::{MOVED, for_pictures, for_rows};
use super::{Layer, dims, expect, floats, levels, sides};

/// The same memory under another shape or another name of its type.
#[derive(Clone, Debug)]
pub(crate) struct Relabel {
    /// Shape before and after; open where it stays.
    pub(crate) shape: Option<(Vec<usize>, Vec<usize>)>,
    /// s8 ↔ u8: levels are shifted by 128.
    pub(crate) to: DatumType,
    /// The type's sign changes.
    pub(crate) shift: bool,
}

impl Layer for Relabel {
    fn name(&self) -> &'static str {
        if self.shift { "Int8Shift" } else { "Int8Reshape" }
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        match &self.shape {
            None => Ok((self.to, inputs[0].1.clone())),
            Some((before, after)) => {
                expect(&sides(&inputs[0].1)?, before)?;
                Ok((self.to, dims(after)))
            }
        }
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let shape = self.shape.as_ref().map_or(inputs[0].shape(), |(_, after)| after);
        if !self.shift {
            let mut output = unwritten::<u8>(shape)?;
            output.try_as_plain_ram_mut()?.as_slice_mut::<u8>()?.copy_from_slice(levels(&inputs[0])?);
            return Ok(output);
        }
        if self.to == DatumType::I8 {
            let mut output = unwritten::<i8>(shape)?;
            let mut view = output.try_as_plain_ram_mut()?;
            let values = view.as_slice_mut::<i8>()?;
            for (value, &level) in values.iter_mut().zip(levels(&inputs[0])?) {
                *value = (level ^ 0x80).cast_signed();
            }
            return Ok(output);
        }
        let mut output = unwritten::<u8>(shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<u8>()?;
        for (value, &level) in values.iter_mut().zip(inputs[0].try_as_plain_ram()?.as_slice::<i8>()?) {
            *value = level.cast_unsigned() ^ 0x80;
        }
        Ok(output)
    }
}

/// Axes in another order.
#[derive(Clone, Debug)]
pub(crate) struct Permute {
    pub(crate) input: Vec<usize>,
    /// For each axis of the output, the input's.
    pub(crate) order: Vec<usize>,
}

impl Layer for Permute {
    fn name(&self) -> &'static str {
        "Int8Transpose"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        expect(&sides(&inputs[0].1)?, &self.input)?;
        let shape: Vec<usize> = self.order.iter().map(|&axis| self.input[axis]).collect();
        Ok((DatumType::U8, dims(&shape)))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = levels(&inputs[0])?;
        let shape: Vec<usize> = self.order.iter().map(|&axis| self.input[axis]).collect();
        let mut strides = vec![1; self.input.len()];
        for axis in (1..self.input.len()).rev() {
            strides[axis - 1] = strides[axis] * self.input[axis];
        }
        let steps: Vec<usize> = self.order.iter().map(|&axis| strides[axis]).collect();
        let mut output = unwritten::<u8>(&shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<u8>()?;
        let (Some(&side), Some(&step)) = (shape.last(), steps.last()) else {
            values.copy_from_slice(input);
            return Ok(output);
        };
        if let Some((rows, columns)) = self.as_matrix() {
            transpose(input, rows, columns, values);
            return Ok(output);
        }
        // An odometer over all axes but the last.
        let mut place = vec![0; shape.len() - 1];
        for line in values.chunks_exact_mut(side.max(1)) {
            let start: usize = place.iter().zip(&steps).map(|(at, step)| at * step).sum();
            for (value, &level) in line.iter_mut().zip(input[start..].iter().step_by(step.max(1))) {
                *value = level;
            }
            for (at, side) in place.iter_mut().zip(&shape).rev() {
                *at += 1;
                if *at < *side {
                    break;
                }
                *at = 0;
            }
        }
        Ok(output)
    }
}

impl Permute {
    /// Returns the sides of a matrix whose transposition this is: the last axis goes to the front, or the first one
    /// of several goes last.
    fn as_matrix(&self) -> Option<(usize, usize)> {
        let real: Vec<usize> = self.order.iter().copied().filter(|&axis| self.input[axis] > 1).collect();
        let first = (0..real.len()).find(|&at| at > 0 && real[at] < real[at - 1])?;
        let sorted = |axes: &[usize]| axes.windows(2).all(|pair| pair[0] < pair[1]);
        let whole = sorted(&real[..first]) && sorted(&real[first..]) && real[real.len() - 1] < real[0];
        let side = |axes: &[usize]| axes.iter().map(|&axis| self.input[axis]).product();
        whole.then(|| (side(&real[first..]), side(&real[..first])))
    }
}

/// `[rows, columns]` becomes `[columns, rows]`.
pub(super) fn transpose<T: Copy + Send + Sync>(input: &[T], rows: usize, columns: usize, output: &mut [T]) {
    for_rows(columns, output, input.len() as u64 * MOVED, |range, part| {
        transpose_columns(input, rows, columns, range, part);
    });
}

/// Some columns become rows, a block at a time, so that neither side leaves the cache.
fn transpose_columns<T: Copy>(
    input: &[T],
    rows: usize,
    columns: usize,
    range: Range<usize>,
    output: &mut [T],
) {
    const BLOCK: usize = 32;
    for row in (0..rows).step_by(BLOCK) {
        let block = BLOCK.min(rows - row);
        for start in range.clone().step_by(BLOCK) {
            for column in start..(start + BLOCK).min(range.end) {
                let to = &mut output[(column - range.start) * rows + row..][..block];
                let from = input[row * columns + column..].iter().step_by(columns);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
    }
}

/// A range of one axis.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) input: Vec<usize>,
    pub(crate) axis: usize,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

impl Slice {
    fn shape(&self) -> Vec<usize> {
        let mut shape = self.input.clone();
        shape[self.axis] = self.length;
        shape
    }
}

impl Layer for Slice {
    fn name(&self) -> &'static str {
        "Int8Slice"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        expect(&sides(&inputs[0].1)?, &self.input)?;
        Ok((DatumType::U8, dims(&self.shape())))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let mut output = unwritten::<u8>(&self.shape())?;
        let inner: usize = self.input[self.axis + 1..].iter().product();
        let whole = self.input[self.axis] * inner;
        let part = self.length * inner;
        let input = levels(&inputs[0])?;
        let lines = Lines {
            table: None,
            length: part,
            input_stride: whole,
            output_stride: part,
            lines: input.len().checked_div(whole).unwrap_or(0),
        };
        let mut view = output.try_as_plain_ram_mut()?;
        kernels::copy_lines(Isa::best(), &lines, &input[self.start * inner..], view.as_slice_mut::<u8>()?);
        Ok(output)
    }
}

/// One input of a [`Concatenate`].
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its side along the axis.
    pub(crate) length: usize,
    /// What its levels become; none where they stay.
    pub(crate) table: Option<Box<[u8; 256]>>,
}

/// Inputs one after another along an axis.
#[derive(Clone, Debug)]
pub(crate) struct Concatenate {
    /// Shape of the output.
    pub(crate) shape: Vec<usize>,
    pub(crate) axis: usize,
    pub(crate) parts: Vec<Part>,
}

impl Layer for Concatenate {
    fn name(&self) -> &'static str {
        "Int8Concat"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        for ((_, shape), part) in inputs.iter().zip(&self.parts) {
            let mut expected = self.shape.clone();
            expected[self.axis] = part.length;
            expect(&sides(shape)?, &expected)?;
        }
        ensure!(inputs.len() == self.parts.len(), "{} inputs for {} parts", inputs.len(), self.parts.len());
        Ok((DatumType::U8, dims(&self.shape)))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let isa = Isa::best();
        let mut output = unwritten::<u8>(&self.shape)?;
        let inner: usize = self.shape[self.axis + 1..].iter().product();
        let line = (self.shape[self.axis] * inner).max(1);
        let mut view = output.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<u8>()?;
        let mut start = 0;
        for (input, part) in inputs.iter().zip(&self.parts) {
            let length = part.length * inner;
            let input = levels(input)?;
            let lines = Lines {
                table: part.table.as_deref(),
                length,
                input_stride: length,
                output_stride: line,
                lines: input.len().checked_div(length).unwrap_or(0),
            };
            kernels::copy_lines(isa, &lines, input, &mut values[start..]);
            start += length;
        }
        Ok(output)
    }
}

/// Numbers with channels last become numbers with channels second.
#[derive(Clone, Debug)]
pub(crate) struct ChannelsSecond;

impl Layer for ChannelsSecond {
    fn name(&self) -> &'static str {
        "TransposeF32"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        let mut shape = inputs[0].1.clone();
        if let Some(channels) = shape.pop() {
            shape.insert(1, channels);
        }
        Ok((DatumType::F32, shape))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let shape = sides(&self.output(&[(DatumType::F32, dims(inputs[0].shape()))])?.1)?;
        let input = floats(&inputs[0])?;
        let channels = shape[1].max(1);
        let mut output = unwritten::<f32>(&shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        for_pictures(shape[0], input, view.as_slice_mut::<f32>()?, |input, output| {
            transpose(input, input.len() / channels, channels, output);
        });
        Ok(output)
    }
}
