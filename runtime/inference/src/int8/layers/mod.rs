//! What the lowered graph is made of: layers on u8 tensors, as operations of tract.

mod attention;
mod convolve;
mod convolve_float;
mod elementwise;
mod floats;
mod heads;
mod layout;
mod pool;

use std::fmt::Debug;
use std::sync::Arc;

use tract_onnx::prelude::SpecialOps as _;
use tract_onnx::tract_core::internal::{
    AxesMapping, Cost, DatumType, DimLike, EvalContext, EvalOp, Op, OutletId, StaticName, TDim, TValue, TVec,
    Tensor, TractResult, TypedFact, TypedModel, TypedOp, as_op, ensure, op_as_typed_op, op_out_of_plan, tvec,
};
use tract_onnx::tract_hir::infer::{InferenceResult, TensorProxy};
use tract_onnx::tract_hir::internal::{Expansion, Solver};

use super::kernels::Activation;

pub(crate) use self::attention::{MultiplyMatrices, Softmax};
pub(crate) use self::convolve::{Convolve, ConvolveDepthwise, ConvolveDynamic, Finish};
pub(crate) use self::convolve_float::{ConvolveFloat, is_wide};
pub(crate) use self::elementwise::{
    AddLevels, CombineTables, Dequantise, DequantiseWeights, LookUp, Quantise, QuantiseDynamic, Spread,
};
pub(crate) use self::floats::{Activate, Normalise};
pub(crate) use self::heads::Attention;
pub(crate) use self::layout::{ChannelsSecond, Concatenate, Part, Permute, Relabel, Slice};
pub(crate) use self::pool::{AveragePool, MaxPool, UpsampleNearest};

/// One layer. Shapes are those of the memory: channels last where a tensor has any.
pub(crate) trait Layer: Debug + Send + Sync + 'static {
    /// Name in explanations.
    fn name(&self) -> &'static str;
    /// Returns type and shape of the output.
    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)>;
    /// Computes the output.
    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor>;
    /// Returns whether the output is not computed while shapes are sought, though all inputs may be constant: it
    /// would be kept although nobody may want it.
    fn is_deferred(&self) -> bool {
        false
    }
    /// Returns the layer with its output levels looked up in a table; none where that is no saving.
    fn with_table(&self, _: &[u8; 256]) -> Option<Arc<dyn Layer>> {
        None
    }
    /// Returns the layer with its numbers brought through an activation; none where it does not do that.
    fn with_activation(&self, _: Activation) -> Option<Arc<dyn Layer>> {
        None
    }
    /// Returns the multiply-adds of one run on inputs of these shapes.
    fn macs(&self, _: &[&[usize]]) -> u64 {
        0
    }
}

/// A layer in a graph.
#[derive(Clone, Debug)]
pub(crate) struct Node(pub(crate) Arc<dyn Layer>);

// tract compares operations to share equal ones; layers are shared when they are lowered.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Node {}

impl Op for Node {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }
    op_as_typed_op!();
}

impl EvalOp for Node {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec![self.0.run(&inputs)?.into()])
    }
}

impl TypedOp for Node {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let inputs: Vec<_> =
            inputs.iter().map(|fact| (fact.datum_type, fact.shape.iter().cloned().collect())).collect();
        let (datum, shape) = self.0.output(&inputs)?;
        Ok(tvec![TypedFact::dt_shape(datum, &*shape)])
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let shapes: Option<Vec<&[usize]>> = inputs.iter().map(|fact| fact.shape.as_concrete()).collect();
        let macs = shapes.map_or(0, |shapes| self.0.macs(&shapes));
        Ok(tvec![(Cost::FMA(DatumType::I8), TDim::from(macs as i64))])
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        AxesMapping::disconnected(inputs, outputs)
    }
}

impl Expansion for Node {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }

    fn runs_out_of_plan(&self) -> bool {
        !self.0.is_deferred()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let types: Vec<_> = inputs.iter().map(|input| &input.datum_type).collect();
        solver.given_all(types, move |solver, types| {
            let shapes: Vec<_> = inputs.iter().map(|input| &input.shape).collect();
            solver.given_all(shapes, move |solver, shapes| {
                let inputs: Vec<_> = types.iter().copied().zip(shapes).collect();
                let (datum, shape) = self.0.output(&inputs)?;
                solver.equals(&outputs[0].datum_type, datum)?;
                solver.equals(&outputs[0].shape, shape)
            })
        })
    }
}

/// Returns a tensor's values.
pub(crate) fn levels(tensor: &TValue) -> TractResult<&[u8]> {
    tensor.try_as_plain_ram()?.as_slice::<u8>()
}

pub(crate) fn floats(tensor: &TValue) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice::<f32>()
}

/// Returns the sides of an input as numbers.
pub(crate) fn sides(shape: &[TDim]) -> TractResult<TVec<usize>> {
    shape.iter().map(|side| Ok(side.to_usize()?)).collect()
}

pub(crate) fn dims(shape: &[usize]) -> TVec<TDim> {
    shape.iter().map(|&side| TDim::from(side as i64)).collect()
}

/// Refuses a shape other than the one that a layer was made for.
pub(crate) fn expect(actual: &[usize], expected: &[usize]) -> TractResult<()> {
    ensure!(actual == expected, "a layer made for {expected:?} got {actual:?}");
    Ok(())
}
