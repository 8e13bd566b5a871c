//! What transformers do in f32, on layers of our own where those are quicker than tract's.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::{DatumType, OutletId, TractResult};
use tract_onnx::tract_hir::infer::Factoid as _;

use super::super::layers::{Attention, Layer, MultiplyMatrices, Softmax};
use super::Lowering;
use crate::attributes::Attributes;

impl Lowering<'_> {
    pub(super) fn softmax(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        match self.softmax_axis(node, attributes) {
            Some(axis) => self.on_numbers(node, Softmax { axis }),
            None => Ok(false),
        }
    }

    /// Returns the axis of a softmax along one axis.
    fn softmax_axis(&self, node: &NodeProto, attributes: Attributes<'_>) -> Option<usize> {
        let rank = self.rank(&node.input[0])?;
        // Before opset 13 all axes from the named one on were one.
        let axis = attributes.axis("axis", if self.opset < 13 { 1 } else { -1 }, rank)?;
        (self.opset >= 13 || axis + 1 == rank).then_some(axis)
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
        if let Some((attention, sources, output)) = self.attention(node) {
            let inputs: TractResult<Vec<OutletId>> =
                sources.iter().map(|name| self.number_outlet(name)).collect();
            let outlet = self.emit(&output, attention, &inputs?)?;
            self.floats.insert(output, outlet);
            return Ok(true);
        }
        self.on_numbers(node, MultiplyMatrices)
    }

    /// Finds attention that ends in a product: `softmax(queries · keys · scale) · values`, its inputs, and the
    /// tensor that it gives, heads side by side.
    fn attention(&self, node: &NodeProto) -> Option<(Attention, [String; 3], String)> {
        let shares = self.behind_casts(&node.input[0])?;
        let shares = self.sole(shares, "Softmax")?;
        let rank = self.rank(&shares.input[0])?;
        if rank != 4 || self.softmax_axis(shares, Attributes(shares)) != Some(3) {
            return None;
        }
        let (scale, scores) = self.scale_of(&shares.input[0])?;
        let scores = self.sole(scores, "MatMul")?;
        let joined = self.only_consumer(&node.output[0], "Transpose")?;
        if Attributes(joined).sizes("perm")? != [0, 2, 1, 3] {
            return None;
        }
        let (queries, query_axes) = self.seen_through(&scores.input[0])?;
        let (keys, [batch, head, place, row]) = self.seen_through(&scores.input[1])?;
        let (values, value_axes) = self.seen_through(&node.input[1])?;
        // The layer wants each row's places side by side.
        let axes = [query_axes, [batch, head, row, place], value_axes];
        let fits = axes.iter().all(|axes| axes[3] == 3)
            && [queries, keys, values].iter().all(|name| self.datum(name) == Some(DatumType::F32));
        let sources = [queries, keys, values].map(str::to_owned);
        fits.then(|| (Attention { scale, axes }, sources, joined.output[0].clone()))
    }

    /// Returns the node that makes a tensor, where nothing else reads it.
    fn sole(&self, name: &str, op: &str) -> Option<&NodeProto> {
        let node = *self.producers.get(name).filter(|node| node.op_type == op)?;
        (self.consumers.get(name)?.len() == 1 && !self.graph_outputs.contains(name)).then_some(node)
    }

    /// Casts from f32 to f32 do nothing.
    fn behind_casts<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        match self.sole(name, "Cast") {
            Some(node) if self.datum(&node.input[0]) == Some(DatumType::F32) => {
                self.behind_casts(&node.input[0])
            }
            Some(_) => None,
            None => Some(name),
        }
    }

    /// Returns what a tensor is a multiple of, and by how much.
    fn scale_of<'n>(&'n self, name: &'n str) -> Option<(f32, &'n str)> {
        let (node, divides) = match (self.sole(name, "Mul"), self.sole(name, "Div")) {
            (Some(node), _) => (node, false),
            (_, Some(node)) => (node, true),
            _ => return Some((1.0, name)),
        };
        let by = self.constant(&node.input[1]).filter(|by| by.len() == 1)?.cast_to_scalar::<f32>().ok()?;
        Some((if divides { 1.0 / by } else { by }, &node.input[0]))
    }

    /// Returns a tensor of four axes and their order, looking through a transposition.
    fn seen_through<'n>(&'n self, name: &'n str) -> Option<(&'n str, [usize; 4])> {
        let transposed = self.producers.get(name).filter(|node| node.op_type == "Transpose");
        let (name, axes) = match transposed {
            Some(node) => (&*node.input[0], Attributes(node).sizes("perm")?.try_into().ok()?),
            None => (name, [0, 1, 2, 3]),
        };
        (self.rank(name)? == 4).then_some((name, axes))
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
