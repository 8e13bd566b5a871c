//! What transformers do in f32, on layers of our own where those are quicker than tract's.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::{DatumType, OutletId, TractResult};
use tract_onnx::tract_hir::infer::Factoid as _;

use super::super::layers::{Layer, MultiplyMatrices, SoftmaxLast};
use super::Lowering;
use super::attributes::Attributes;

impl Lowering<'_> {
    /// Softmax along the last axis.
    pub(super) fn softmax(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let Some(rank) = self.rank(&node.input[0]) else { return Ok(false) };
        // Before opset 13 all axes from the named one on were one.
        let default = if self.opset < 13 { 1 } else { -1 };
        if rank == 0 || attributes.axis("axis", default, rank) != Some(rank - 1) {
            return Ok(false);
        }
        self.on_numbers(node, SoftmaxLast)
    }

    /// A product of two activations.
    pub(super) fn float_product(&mut self, node: &NodeProto) -> TractResult<bool> {
        let all_known = node
            .input
            .iter()
            .all(|input| self.constant(input).is_none() && self.rank(input).is_some_and(|rank| rank >= 2));
        if node.input.len() != 2 || !all_known {
            return Ok(false);
        }
        self.on_numbers(node, MultiplyMatrices)
    }

    fn on_numbers(&mut self, node: &NodeProto, layer: impl Layer) -> TractResult<bool> {
        if self.datum(&node.output[0]) != Some(DatumType::F32) {
            return Ok(false);
        }
        let inputs: TractResult<Vec<OutletId>> =
            node.input.iter().map(|name| self.number_outlet(name)).collect();
        let outlet = self.emit(&node.output[0], layer, &inputs?)?;
        self.floats.insert(node.output[0].clone(), outlet);
        Ok(true)
    }

    fn rank(&self, name: &str) -> Option<usize> {
        let fact = self.model.outlet_fact(*self.outlets.get(name)?).ok()?;
        fact.shape.rank().concretize().and_then(|rank| usize::try_from(rank).ok())
    }
}
