//! A way around an error of tract 0.23.
//!
//! tract merges what stands between a dequantisation and a quantisation into a table of 256 entries
//! (`DequantizeLinearF32::declutter`). It takes Softmax for element-wise, so that each value is normalised
//! by itself: a quantised MobileNet gives all its classes the same score. Spelled out as maximum,
//! difference, exponential, sum and quotient, a softmax is no longer mistaken.

use tract_onnx::prelude::{DatumType, OutletId, TractResult, TypedModel, TypedModelPatch, TypedNode};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::quant::{QuantizeLinearI8, QuantizeLinearU8};

/// Spells out every softmax that feeds a quantisation; to be called before the model is decluttered.
pub(crate) fn spelled_out(mut model: TypedModel) -> TractResult<TypedModel> {
    let mut patches = Vec::new();
    for node in &model.nodes {
        if let Some(softmax) = node.op_as::<Softmax>()
            && softmax.kind == SoftmaxKind::Softmax
            && model.outlet_fact(node.inputs[0])?.datum_type == DatumType::F32
            && model.single_succ(node.id)?.is_some_and(is_quantisation)
        {
            patches.push(spelling(&model, node, softmax)?);
        }
    }
    for patch in patches {
        patch.apply(&mut model)?;
    }
    Ok(model)
}

fn is_quantisation(node: &TypedNode) -> bool {
    node.op_as::<ElementWiseOp>()
        .is_some_and(|op| op.0.is::<QuantizeLinearU8>() || op.0.is::<QuantizeLinearI8>())
}

fn spelling(model: &TypedModel, node: &TypedNode, softmax: &Softmax) -> TractResult<TypedModelPatch> {
    let mut patch = TypedModelPatch::default();
    let name = |part: &str| format!("{}.{part}", node.name);
    let reduce = |reducer| Reduce::new(softmax.axes.clone(), reducer);
    let input = patch.tap_model(model, node.inputs[0])?;
    let highest = patch.wire_node(name("max"), reduce(Reducer::Max), &[input])?[0];
    let below = patch.wire_node(name("sub"), math::sub(), &[input, highest])?[0];
    let exponentials = patch.wire_node(name("exp"), math::exp(), &[below])?[0];
    let total = patch.wire_node(name("sum"), reduce(Reducer::Sum), &[exponentials])?[0];
    let shares = patch.wire_node(name("div"), math::div(), &[exponentials, total])?[0];
    patch.shunt_outside(model, OutletId::new(node.id, 0), shares)?;
    Ok(patch)
}
