//! What stands in f32 between INT8 layers: shares of exponentials, and products of two activations.

use tract_onnx::tract_core::internal::{DatumType, TDim, TValue, TVec, Tensor, TractResult, ensure};

use tract_onnx::tract_core::broadcast::multi_broadcast;

use super::super::kernels::{self, FloatProduct, Isa, unwritten};
use super::super::pool::{FLOAT, MOVED, for_rows};
use super::{Layer, dims, floats, sides};

/// Softmax along one axis.
#[derive(Clone, Debug)]
pub(crate) struct Softmax {
    pub(crate) axis: usize,
}

impl Layer for Softmax {
    fn name(&self) -> &'static str {
        "SoftmaxF32"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        ensure!(self.axis < inputs[0].1.len(), "softmax along axis {} of {:?}", self.axis, inputs[0].1);
        Ok(inputs[0].clone())
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = floats(&inputs[0])?;
        let shape = inputs[0].shape();
        let length = shape[self.axis];
        let inner: usize = shape[self.axis + 1..].iter().product();
        let mut output = unwritten::<f32>(shape)?;
        let matrices = input.len().checked_div(length * inner).unwrap_or(0);
        let each = length * inner;
        let work = input.len() as u64 * MOVED;
        for_rows(matrices, output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?, work, |rows, part| {
            for (row, part) in rows.zip(part.chunks_exact_mut(each)) {
                part.copy_from_slice(&input[row * each..][..each]);
                match inner {
                    1 => kernels::softmax(Isa::best(), part, length),
                    _ => kernels::softmax_columns(Isa::best(), part, length, inner),
                }
            }
        });
        Ok(output)
    }
}

/// Products of the matrices in the last two axes; the axes before them broadcast.
#[derive(Clone, Debug)]
pub(crate) struct MultiplyMatrices;

fn product_shape(left: &[TDim], right: &[TDim]) -> TractResult<TVec<TDim>> {
    ensure!(left.len() >= 2 && right.len() >= 2, "a product of {left:?} and {right:?}");
    let (left_outer, left_inner) = left.split_at(left.len() - 2);
    let (right_outer, right_inner) = right.split_at(right.len() - 2);
    ensure!(left_inner[1] == right_inner[0], "a product of {left:?} and {right:?}");
    let mut shape: TVec<TDim> = multi_broadcast(&[left_outer, right_outer])?.into_iter().collect();
    shape.extend([left_inner[0].clone(), right_inner[1].clone()]);
    Ok(shape)
}

impl Layer for MultiplyMatrices {
    fn name(&self) -> &'static str {
        "MatMulF32"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        Ok((DatumType::F32, product_shape(&inputs[0].1, &inputs[1].1)?))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let (left_shape, right_shape) = (inputs[0].shape(), inputs[1].shape());
        let shape = sides(&product_shape(&dims(left_shape), &dims(right_shape))?)?;
        let rank = shape.len();
        let (rows, columns) = (shape[rank - 2], shape[rank - 1]);
        let depth = left_shape[left_shape.len() - 1];
        let (left, right) = (floats(&inputs[0])?, floats(&inputs[1])?);
        let mut output = unwritten::<f32>(&shape)?;
        let outer = &shape[..rank - 2];
        let matrices: usize = outer.iter().product();
        // Every row of every matrix is one row of the whole.
        let work = self.macs(&[left_shape, right_shape]) * FLOAT;
        for_rows(
            matrices * rows,
            output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?,
            work,
            |range, part| {
                let mut done = range.start;
                let mut rest = part;
                while done < range.end && columns > 0 {
                    let (matrix, first) = (done / rows, done % rows);
                    let count = (rows - first).min(range.end - done);
                    let (now, later) = rest.split_at_mut(count * columns);
                    let left_at = place(matrix, outer, &left_shape[..left_shape.len() - 2]) * rows + first;
                    let right_at =
                        place(matrix, outer, &right_shape[..right_shape.len() - 2]) * depth * columns;
                    let mut product = FloatProduct {
                        sides: [count, depth, columns],
                        strides: [depth, columns, columns],
                        left: &left[left_at * depth..][..count * depth],
                        right: &right[right_at..][..depth * columns],
                        output: now,
                    };
                    kernels::multiply_floats(Isa::best(), &mut product);
                    done += count;
                    rest = later;
                }
            },
        );
        Ok(output)
    }

    fn macs(&self, inputs: &[&[usize]]) -> u64 {
        let product = product_shape(&dims(inputs[0]), &dims(inputs[1])).and_then(|shape| sides(&shape));
        let depth = inputs[0].last().copied().unwrap_or_default();
        product.map_or(0, |shape| (shape.iter().product::<usize>() * depth) as u64)
    }
}

/// Which matrix of a broadcast operand stands at a place of the outer axes.
fn place(mut number: usize, outer: &[usize], operand: &[usize]) -> usize {
    let mut at = 0;
    let mut step = 1;
    for (axis, side) in outer.iter().enumerate().rev() {
        let index = number % side;
        number /= side;
        if let Some(own) = (axis + operand.len()).checked_sub(outer.len()) {
            at += if operand[own] == 1 { 0 } else { index * step };
            step *= operand[own];
        }
    }
    at
}
