//! What transformers do in f32, on layers of our own where those are quicker than tract's.

use std::f32::consts::FRAC_1_SQRT_2;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::{DatumType, InletId, OutletId, TractResult, tvec};
use tract_onnx::tract_hir::infer::{Factoid as _, InferenceFact};
use tract_onnx::tract_hir::internal::expand;
use tract_onnx::tract_hir::ops::array::PermuteAxes;

use super::super::kernels::Activation;
use super::super::layers::{Activate, Attention, Layer, MultiplyMatrices, Normalise, Softmax};
use super::Lowering;
use super::weights::numbers;
use crate::attributes::Attributes;

/// More products than any spelling of an activation has.
const MANY_PRODUCTS: usize = 8;

impl Lowering<'_> {
    pub(super) fn softmax(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let Some(axis) = self.softmax_axis(node, attributes) else { return Ok(false) };
        if let Some((input, order, output)) = self.between_transpositions(node) {
            let (input, output) = (input.to_owned(), output.to_owned());
            let numbers = self.number_outlet(&input)?;
            let shares = self.emit(&output, Softmax { axis: order[0][axis] }, &[numbers])?;
            let joined = order[1].iter().map(|&axis| order[0][axis]).collect();
            let outlet = self.transposed(&output, shares, joined)?;
            self.floats.insert(output, outlet);
            return Ok(true);
        }
        self.on_numbers(node, Softmax { axis })
    }

    /// Finds a transposition before a node and one behind it, which are one if the node works on another axis: what
    /// goes in, both orders, and what comes out.
    fn between_transpositions(&self, node: &NodeProto) -> Option<(&str, [Vec<usize>; 2], &str)> {
        let before = self.sole(&node.input[0], "Transpose")?;
        let behind = self.only_consumer(&node.output[0], "Transpose")?;
        let order = |node| Attributes(node).sizes("perm");
        let is_numbers = self.datum(&before.input[0]) == Some(DatumType::F32);
        let order = [order(before)?, order(behind)?];
        (is_numbers && order[0].len() == order[1].len())
            .then(|| (&*before.input[0], order, &*behind.output[0]))
    }

    /// Lets tract transpose numbers.
    fn transposed(&mut self, of: &str, input: OutletId, order: Vec<usize>) -> TractResult<OutletId> {
        let op = expand(PermuteAxes::new(Some(order.into())));
        let node = self.model.add_node(format!("{of}.order"), op, tvec![InferenceFact::default()])?;
        self.model.add_edge(input, InletId::new(node, 0))?;
        Ok(OutletId::new(node, 0))
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
        // One picture or sentence, and as many heads of keys and values as of queries.
        let side = |name: &str, axis: usize| self.side(name, axis);
        let heads = side(queries, query_axes[1]).filter(|_| side(queries, query_axes[0]) == Some(1));
        let alike = [(keys, axes[1]), (values, axes[2])]
            .iter()
            .all(|(name, axes)| side(name, axes[0]) == Some(1) && side(name, axes[1]) == heads);
        let fits = axes.iter().all(|axes| axes[3] == 3)
            && heads.is_some()
            && alike
            && [queries, keys, values].iter().all(|name| self.datum(name) == Some(DatumType::F32));
        let sources = [queries, keys, values].map(str::to_owned);
        fits.then(|| (Attention { scale, axes }, sources, joined.output[0].clone()))
    }

    /// The end of an activation on numbers, which then goes into the layer that makes them.
    pub(super) fn activated(&mut self, node: &NodeProto) -> TractResult<bool> {
        let Some((activation, input)) = self.activation(node) else { return Ok(false) };
        let output = &node.output[0];
        let is_numbers = !self.values.contains_key(&input) && self.datum(&input) == Some(DatumType::F32);
        // A constant of more axes adds some.
        if !is_numbers || self.rank(&input) != self.rank(output) {
            return Ok(false);
        }
        let last = self.floats_last.get(&input).copied();
        let before = match last {
            Some(last) => last,
            None => self.number_outlet(&input)?,
        };
        // What reads the numbers themselves is the activation alone: twice, or once as an operation of its own.
        let readers = self.consumers.get(&*input).map_or(0, Vec::len);
        let own = readers == if node.op_type == "Gelu" { 1 } else { 2 };
        let with = self
            .layers
            .get(&before.node)
            .filter(|_| own && !self.graph_outputs.contains(&*input))
            .and_then(|layer| layer.with_activation(activation));
        let outlet = match with {
            Some(layer) => {
                let inputs = self.model.nodes[before.node].inputs.clone();
                self.emit_shared(output, layer, &inputs)?
            }
            None => self.emit(output, Activate(activation), &[before])?,
        };
        let outlet = if last.is_some() { self.channels_second(outlet, output)? } else { outlet };
        self.floats.insert(output.clone(), outlet);
        Ok(true)
    }

    /// Finds an activation that ends in a node, and the tensor that it is of.
    fn activation(&self, node: &NodeProto) -> Option<(Activation, String)> {
        if node.op_type != "Mul" && node.op_type != "Gelu" {
            return None;
        }
        if node.op_type == "Gelu" {
            let is_exact = matches!(Attributes(node).text("approximate"), "" | "none");
            return is_exact.then(|| (Activation::Gelu, node.input[0].clone()));
        }
        let (factor, tensors) = self.factors(node)?;
        let [a, b] = tensors.try_into().ok()?;
        [(a, b), (b, a)].into_iter().find_map(|(of, share)| {
            if let Some(sigmoid) = self.sole(share, "Sigmoid") {
                let (steepness, from) = self.scale_of(&sigmoid.input[0])?;
                return (from == of && factor == 1.0).then(|| (Activation::Silu(steepness), of.to_owned()));
            }
            let (one, erf) = self.with_constant(self.sole(share, "Add")?)?;
            let (scale, from) = self.scale_of(&self.sole(erf, "Erf")?.input[0])?;
            let is_gelu = from == of && one == 1.0 && factor == 0.5 && (scale - FRAC_1_SQRT_2).abs() < 1e-6;
            is_gelu.then(|| (Activation::Gelu, of.to_owned()))
        })
    }

    /// Returns what a product of products is made of: the constants, multiplied, and the tensors. None where these are
    /// many.
    fn factors<'n>(&'n self, node: &'n NodeProto) -> Option<(f32, Vec<&'n str>)> {
        let (mut factor, mut tensors, mut count) = (1.0, Vec::new(), 0);
        let mut products = vec![node];
        while let Some(node) = products.pop() {
            for input in &node.input {
                match (self.scalar(input), self.sole(input, "Mul")) {
                    (Some(constant), _) => factor *= constant,
                    (None, Some(node)) => products.push(node),
                    _ => tensors.push(&**input),
                }
            }
            count += 1;
            if tensors.len() + products.len() > 2 || count > MANY_PRODUCTS {
                return None;
            }
        }
        Some((factor, tensors))
    }

    /// Returns the one number of a constant.
    fn scalar(&self, name: &str) -> Option<f32> {
        self.constant(name).filter(|it| it.len() == 1)?.cast_to_scalar::<f32>().ok()
    }

    /// Splits an operation on a tensor and one constant number.
    fn with_constant<'n>(&self, node: &'n NodeProto) -> Option<(f32, &'n str)> {
        let [a, b] = &node.input[..] else { return None };
        self.scalar(b).map(|b| (b, &**a)).or_else(|| self.scalar(a).map(|a| (a, &**b)))
    }

    /// Layer normalisation spelled out, which ends in a sum.
    pub(super) fn normalised(&mut self, node: &NodeProto) -> TractResult<bool> {
        let Some((input, layer)) = self.normalisation(node) else { return Ok(false) };
        self.normalise(node, &input, layer)
    }

    /// Layer normalisation as one operation.
    pub(super) fn layer_normalization(
        &mut self,
        node: &NodeProto,
        attributes: Attributes<'_>,
    ) -> TractResult<bool> {
        let places = |name: &String| self.constant(name).and_then(|it| numbers(&it));
        let rank = self.rank(&node.input[0]);
        let is_last = rank.is_some_and(|rank| attributes.axis("axis", -1, rank) == Some(rank - 1));
        let Some(scale) = node.input.get(1).and_then(places).filter(|_| is_last && node.output.len() == 1)
        else {
            return Ok(false);
        };
        let shift = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => places(name),
            None => Some(vec![0.0; scale.len()]),
        };
        let Some(shift) = shift else { return Ok(false) };
        let layer = Normalise { scale, shift, epsilon: attributes.float("epsilon", 1e-5) };
        self.normalise(node, &node.input[0], layer)
    }

    fn normalise(&mut self, node: &NodeProto, input: &str, layer: Normalise) -> TractResult<bool> {
        let last = self.rank(input).and_then(|rank| rank.checked_sub(1));
        let length = last.and_then(|last| self.side(input, last));
        if length != Some(layer.scale.len()) || layer.shift.len() != layer.scale.len() || length == Some(0) {
            return Ok(false);
        }
        if self.datum(input) != Some(DatumType::F32) || self.rank(input) != self.rank(&node.output[0]) {
            return Ok(false);
        }
        let numbers = self.number_outlet(input)?;
        let outlet = self.emit(&node.output[0], layer, &[numbers])?;
        self.floats.insert(node.output[0].clone(), outlet);
        Ok(true)
    }

    /// Finds `(x − mean) / √(variance + epsilon) · scale + shift` and its `x`.
    fn normalisation(&self, node: &NodeProto) -> Option<(String, Normalise)> {
        let (shift, scaled) = self.with_places(node, "Add")?;
        let (scale, divided) = self.with_places(self.sole(scaled, "Mul")?, "Mul")?;
        let divided = self.sole(divided, "Div")?;
        let centred = self.made_by(&divided.input[0], "Sub")?;
        let (epsilon, variance) =
            self.with_constant(self.sole(&self.sole(&divided.input[1], "Sqrt")?.input[0], "Add")?)?;
        let squares = self.sole(self.mean_of_last(variance)?, "Pow")?;
        let is_square = self.scalar(&squares.input[1]) == Some(2.0) && squares.input[0] == centred.output[0];
        let mean_of = self.mean_of_last(&centred.input[1])?;
        (is_square && mean_of == centred.input[0])
            .then(|| (centred.input[0].clone(), Normalise { scale, shift, epsilon }))
    }

    /// Splits an operation on a tensor and a constant with a number for each place of the last axis.
    fn with_places<'n>(&self, node: &'n NodeProto, op: &str) -> Option<(Vec<f32>, &'n str)> {
        let [a, b] = &node.input[..] else { return None };
        let places = |name: &str| {
            let constant = self.constant(name).filter(|it| it.rank() == 1 && it.len() > 1)?;
            numbers(&constant)
        };
        let is_op = node.op_type == op;
        let split = places(b).map(|b| (b, &**a)).or_else(|| places(a).map(|a| (a, &**b)));
        split.filter(|_| is_op)
    }

    /// Returns what a tensor is the mean of, along the last axis, which stays.
    fn mean_of_last(&self, name: &str) -> Option<&str> {
        let node = self.sole(name, "ReduceMean")?;
        let attributes = Attributes(node);
        let axes = match node.input.get(1) {
            Some(axes) => numbers(&*self.constant(axes)?)?.iter().map(|&axis| axis as i64).collect(),
            None => node.attribute.iter().find(|attribute| attribute.name == "axes")?.ints.clone(),
        };
        let rank = self.rank(&node.input[0])? as i64;
        let is_last = matches!(axes[..], [axis] if axis.rem_euclid(rank) == rank - 1);
        (is_last && attributes.int("keepdims", 1) == 1).then_some(&*node.input[0])
    }

    fn made_by(&self, name: &str, op: &str) -> Option<&NodeProto> {
        self.producers.get(name).copied().filter(|node| node.op_type == op)
    }

    fn side(&self, name: &str, axis: usize) -> Option<usize> {
        let fact = self.model.outlet_fact(*self.outlets.get(name)?).ok()?;
        usize::try_from(fact.shape.dims().nth(axis)?.concretize()?.to_i64().ok()?).ok()
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

    pub(super) fn rank(&self, name: &str) -> Option<usize> {
        let fact = self.model.outlet_fact(*self.outlets.get(name)?).ok()?;
        fact.shape.rank().concretize().and_then(|rank| usize::try_from(rank).ok())
    }
}
