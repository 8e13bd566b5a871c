//! Numbers that become other numbers: what transformers do between their products.

use tract_onnx::tract_core::internal::{
    DatumType, DimLike as _, TDim, TValue, TVec, Tensor, TractResult, ensure,
};

use super::super::kernels::{self, Activation, Isa, Normalisation, unwritten};
use super::super::pool::{MOVED, for_rows};
use super::{Layer, floats};

/// An activation by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activate(pub(crate) Activation);

impl Layer for Activate {
    fn name(&self) -> &'static str {
        "ActivationF32"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        ensure!(inputs[0].0 == DatumType::F32, "an activation of {:?}", inputs[0].0);
        Ok(inputs[0].clone())
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = floats(&inputs[0])?;
        let mut output = unwritten::<f32>(inputs[0].shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        for_rows(input.len(), view.as_slice_mut()?, input.len() as u64 * MOVED, |range, part| {
            part.copy_from_slice(&input[range]);
            kernels::activate(Isa::best(), self.0, part);
        });
        Ok(output)
    }
}

/// Layer normalisation along the last axis.
#[derive(Clone, Debug)]
pub(crate) struct Normalise {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    pub(crate) epsilon: f32,
}

impl Layer for Normalise {
    fn name(&self) -> &'static str {
        "LayerNormF32"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        let (datum, shape) = &inputs[0];
        let last = shape.last().and_then(|last| last.to_usize().ok());
        ensure!(
            *datum == DatumType::F32 && last == Some(self.scale.len()),
            "normalisation of {} places of {shape:?}",
            self.scale.len()
        );
        Ok(inputs[0].clone())
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = floats(&inputs[0])?;
        let mut output = unwritten::<f32>(inputs[0].shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        let length = self.scale.len();
        let normalisation = Normalisation { scale: &self.scale, shift: &self.shift, epsilon: self.epsilon };
        for_rows(input.len() / length, view.as_slice_mut()?, input.len() as u64 * MOVED, |range, part| {
            let rows = &input[range.start * length..range.end * length];
            kernels::normalise(Isa::best(), &normalisation, rows, part);
        });
        Ok(output)
    }
}
