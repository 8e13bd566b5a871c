//! Graphs that quantise their activations anew at each run: DynamicQuantizeLinear, an integer product, its scale.

use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::{OutletId, Tensor, TractResult};
use tract_onnx::tract_hir::ops::source::Source;

use super::super::conv::Convolution;
use super::super::layers::{ConvolveDynamic, QuantiseDynamic};
use super::super::window::Window;
use super::Lowering;
use super::convolutions::{filter, linear_filter};
use super::value::Layout;
use super::weights::{Filter, numbers, weights};
use crate::attributes::Attributes;

/// A tensor between an activation and the numbers that a product with it gives.
#[derive(Clone)]
pub(super) enum DynamicValue {
    /// Levels, scale or zero point of the f32 tensor of this name.
    Levels(String),
    Scale(String),
    ZeroPoint,
    /// Scale of the activation times that of the weights.
    Scales(String, Vec<f32>),
    /// Integer sums: made by the product of this name, whose activation is the second one.
    Product(String, String),
}

struct Product {
    filter: Filter,
    window: Window,
    /// ONNX's shape of the output, where rows and columns are known; none for a linear layer.
    picture: Option<[usize; 4]>,
}

impl Lowering<'_> {
    pub(super) fn dynamic_quantize_linear(&mut self, node: &NodeProto) -> TractResult<bool> {
        let [levels, scale, zero_point] = &node.output[..] else { return Ok(false) };
        let input = node.input[0].clone();
        let node_outputs = [levels.as_str(), scale.as_str(), zero_point.as_str()];
        let understood = |name: &String, allowed: &[&str]| {
            self.consumers
                .get(&**name)
                .is_none_or(|nodes| nodes.iter().all(|node| allowed.contains(&&*node.op_type)))
        };
        let products = ["MatMulInteger", "ConvInteger"];
        let all_taken = self.consumers.get(&**levels).is_some_and(|nodes| {
            nodes.iter().all(|node| {
                products.contains(&&*node.op_type) && self.is_understood(node, &node_outputs, &input)
            })
        });
        if !(all_taken && understood(scale, &["Mul"]) && understood(zero_point, &products)) {
            return Ok(false);
        }
        self.dynamic.insert(levels.clone(), DynamicValue::Levels(input.clone()));
        self.dynamic.insert(scale.clone(), DynamicValue::Scale(input));
        self.dynamic.insert(zero_point.clone(), DynamicValue::ZeroPoint);
        Ok(true)
    }

    pub(super) fn integer_product(&mut self, node: &NodeProto, _: Attributes<'_>) -> TractResult<bool> {
        let Some(DynamicValue::Levels(activation)) = self.dynamic.get(&node.input[0]).cloned() else {
            return Ok(false);
        };
        if !self.is_scaled_once(node) {
            return Ok(false);
        }
        let output = node.output[0].clone();
        self.dynamic.insert(output.clone(), DynamicValue::Product(output, activation));
        Ok(true)
    }

    /// Returns whether a product's weights are constant and its sums become numbers by one scale.
    fn is_scaled_once(&self, node: &NodeProto) -> bool {
        let cast = self.only_consumer(&node.output[0], "Cast");
        cast.is_some_and(|cast| self.only_consumer(&cast.output[0], "Mul").is_some())
            && self.constant(&node.input[1]).is_some()
    }

    /// Reads the weights and the window of an integer product; none where they are of no known form.
    fn product(&self, node: &NodeProto, activation: &str) -> Option<Product> {
        let levels = self.constant(&node.input[1])?;
        let zero_points = match node.input.get(3).filter(|name| !name.is_empty()) {
            Some(name) => Some(self.constant(name)?),
            None => None,
        };
        let unit = tract_onnx::prelude::Tensor::from(1.0f32);
        if node.op_type == "MatMulInteger" {
            let weights = weights(levels, &unit, zero_points.as_deref(), 1)?;
            let filter = linear_filter(weights, false)?;
            return Some(Product { filter, window: Window::point(), picture: None });
        }
        let weights = weights(levels, &unit, zero_points.as_deref(), 0)?;
        let attributes = Attributes(node);
        // One scale is found for all of an input: pictures of a batch would not be on their own.
        let input = self.shape(activation).filter(|shape| shape.first() == Some(&1))?;
        let window = self.window(node, attributes, &input, weights.shape.get(2..)?)?;
        let groups = usize::try_from(attributes.int("group", 1)).ok()?;
        let filter = match filter(weights, groups, input[1])? {
            Filter::Depthwise { weights, channels } => Filter::Whole {
                weights,
                output_channels: channels,
                input_channels: 1,
                groups: channels,
                inputs_first: false,
            },
            whole => whole,
        };
        let [rows, columns] = window.output([input[2], input[3]])?;
        let picture = Some([1, filter.outputs(), rows, columns]);
        Some(Product { filter, window, picture })
    }

    pub(super) fn only_consumer(&self, name: &str, op: &str) -> Option<&NodeProto> {
        match self.consumers.get(name)?[..] {
            [node] if node.op_type == op && !self.graph_outputs.contains(name) => Some(node),
            _ => None,
        }
    }

    /// Sums stay what they are.
    pub(super) fn cast(&mut self, node: &NodeProto) -> TractResult<bool> {
        let Some(value @ DynamicValue::Product(..)) = self.dynamic.get(&node.input[0]).cloned() else {
            return Ok(false);
        };
        self.dynamic.insert(node.output[0].clone(), value);
        Ok(true)
    }

    /// A multiplication by a scale; none where neither side is dynamic.
    pub(super) fn scaled(&mut self, node: &NodeProto) -> TractResult<Option<bool>> {
        let [a, b] = &node.input[..] else { return Ok(None) };
        for (value, other) in [(a, b), (b, a)] {
            match (self.dynamic.get(value).cloned(), self.dynamic.get(other).cloned()) {
                (Some(DynamicValue::Scale(activation)), _) => {
                    let Some(scales) = self.constant(other).and_then(|scales| numbers(&scales)) else {
                        return Ok(Some(false));
                    };
                    self.dynamic.insert(node.output[0].clone(), DynamicValue::Scales(activation, scales));
                    return Ok(Some(true));
                }
                (
                    Some(DynamicValue::Product(product, of)),
                    Some(DynamicValue::Scales(activation, scales)),
                ) if of == activation => {
                    return self.dynamic_layer(node, &product, &activation, &scales).map(Some);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn dynamic_layer(
        &mut self,
        node: &NodeProto,
        product: &str,
        activation: &str,
        scales: &[f32],
    ) -> TractResult<bool> {
        let Some(&multiplied) = self.producers.get(product) else { return Ok(false) };
        let Some(product) = self.product(multiplied, activation) else { return Ok(false) };
        let outputs = product.filter.outputs();
        let scales = if scales.len() == 1 { vec![scales[0]; outputs] } else { scales.to_vec() };
        let bias = self.added_bias(&node.output[0], outputs, product.picture.is_some());
        let layout = if product.picture.is_some() { Layout::ChannelsLast } else { Layout::Natural };
        let (levels, range) = self.dynamic_levels(activation, layout)?;
        let levels_of_weights = product.filter.levels();
        let convolution = Convolution::new(&levels_of_weights, product.window.clone());
        let zeros = vec![0.0; outputs];
        let addend = convolution.spread(bias.as_ref().map_or(&zeros, |(_, bias)| bias));
        let size = match (product.picture, self.shape(activation)) {
            (Some(_), Some(input)) => Some([input[2], input[3]]),
            _ => None,
        };
        let layer = ConvolveDynamic {
            sums: levels_of_weights.sums(),
            scales,
            addend,
            size,
            convolution: Arc::new(convolution),
            activation: None,
        };
        let output = bias.map_or_else(|| node.output[0].clone(), |(output, _)| output);
        let is_picture = product.picture.is_some();
        drop(product);
        let mut outlet = self.emit(&output, layer, &[levels, range])?;
        if is_picture {
            outlet = self.channels_second(outlet, &output)?;
        }
        self.floats.insert(output, outlet);
        self.release(&multiplied.input[1])?;
        Ok(true)
    }

    /// Returns whether a product of an activation's levels becomes numbers in the one way that a layer does: with the
    /// activation's own zero point, and by its scale times one for each output channel at most.
    fn is_understood(&self, node: &NodeProto, [levels, scale, zero_point]: &[&str; 3], input: &str) -> bool {
        let Some(product) = self.product(node, input) else { return false };
        let own = node.input[0] == *levels && node.input.get(2).is_some_and(|name| name == zero_point);
        let numbers = || {
            let cast = self.only_consumer(&node.output[0], "Cast")?;
            let multiplied = self.only_consumer(&cast.output[0], "Mul")?;
            let by = multiplied.input.iter().find(|name| **name != cast.output[0])?;
            let of_weights = match self.producers.get(&**by).filter(|node| node.op_type == "Mul") {
                Some(scales) if scales.input.iter().any(|name| name == scale) => {
                    let other = scales.input.iter().find(|name| *name != scale)?;
                    self.constant(other)?
                }
                _ => return None,
            };
            let along =
                self.is_along_channels(&of_weights, product.filter.outputs(), product.picture.is_some());
            let rank = self.rank(&multiplied.output[0]) == self.rank(&node.output[0]);
            Some(along && rank)
        };
        own && numbers().unwrap_or(false)
    }

    /// Returns whether a constant is one number, or one for each output channel, lying along them.
    fn is_along_channels(&self, constant: &Tensor, outputs: usize, is_picture: bool) -> bool {
        let from_the_end = if is_picture { 3 } else { 1 };
        let along = constant.rank().checked_sub(from_the_end).map(|axis| constant.shape()[axis]);
        constant.len() == 1 || (constant.len() == outputs && along == Some(outputs))
    }

    /// Gives up weights that are packed now and that nobody else reads: both would be in memory otherwise until the
    /// whole graph is lowered.
    fn release(&mut self, weights: &str) -> TractResult<()> {
        let outlet = self.outlets[weights];
        let fact = self.model.outlet_fact(outlet)?.clone().without_value();
        let is_sole = self.consumers.get(weights).is_some_and(|consumers| consumers.len() == 1);
        if is_sole && !self.graph_outputs.contains(weights) {
            // The product that was taken over is still in the graph, and checked: it wants the type and the shape.
            self.model.set_outlet_fact(outlet, fact)?;
            self.model.nodes[outlet.node].op = Box::new(Source);
        }
        Ok(())
    }

    /// Returns the bias that the only consumer adds, and that consumer's output.
    fn added_bias(&self, name: &str, outputs: usize, is_picture: bool) -> Option<(String, Vec<f32>)> {
        let add = self.only_consumer(name, "Add")?;
        let other = add.input.iter().find(|input| *input != name)?;
        let bias = self.constant(other)?;
        let fits = bias.len() == outputs
            && self.is_along_channels(&bias, outputs, is_picture)
            && self.rank(&add.output[0]) == self.rank(name);
        Some((add.output[0].clone(), numbers(&bias).filter(|_| fits)?))
    }

    /// Returns the outlet that carries an f32 tensor.
    pub(super) fn number_outlet(&mut self, name: &str) -> TractResult<OutletId> {
        Ok(match self.plain(name)? {
            Some(outlet) => outlet,
            None => self.outlets[name],
        })
    }

    /// Quantises a tensor once for all its readers.
    fn dynamic_levels(&mut self, name: &str, layout: Layout) -> TractResult<(OutletId, OutletId)> {
        let (activation, spread) = self.numbers_for(name, layout)?;
        if let Some(found) = self.dynamic_inputs.get(&(activation, layout)) {
            return Ok(*found);
        }
        let range = self.emit(name, QuantiseDynamic::RANGE, &[activation])?;
        let levels = self.emit(name, QuantiseDynamic { spread }, &[activation, range])?;
        self.dynamic_inputs.insert((activation, layout), (levels, range));
        Ok((levels, range))
    }
}
