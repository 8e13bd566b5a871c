//! From a graph that says "dequantise, compute in f32, quantise" to one that computes in INT8.
//!
//! tract has parsed the graph and knows shapes and constants. This walks the ONNX nodes in order and keeps, for
//! every f32 tensor that is a function of levels, that function instead of the numbers ([`Value`]). Where a
//! QuantizeLinear rounds such a function, one INT8 layer is put into tract's graph; where an operation that has
//! no INT8 form wants the numbers, they are dequantised for it, and it runs as tract runs it. What nobody wants
//! any more drops out when tract compiles the graph.

mod convolutions;
mod dynamic;
mod elementwise;
mod emit;
mod reshape;
mod transformers;
mod value;
mod weights;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::model::ParseResult;
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::tract_core::internal::{DatumType, InletId, OutletId, Tensor, TractResult};
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel};
use tract_onnx::tract_hir::internal::expand;

use self::dynamic::DynamicValue;
use self::value::{Layout, Levels, Stored, Table, Value};
use super::layers::{DequantiseWeights, Layer, Node};
use crate::attributes::Attributes;

/// Returns whether a graph holds anything to lower.
pub(crate) fn is_quantised(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| {
        matches!(&*node.op_type, "QuantizeLinear" | "DynamicQuantizeLinear" | "ConvInteger" | "MatMulInteger")
    })
}

/// Keeps tract from making numbers of constant weights while it seeks shapes: four bytes for each that, as a
/// rule, nobody reads. To be called before the graph is analysed.
pub(crate) fn weights_deferred(graph: &GraphProto, parsed: &mut ParseResult) {
    for node in graph.node.iter().filter(|node| node.op_type == "DequantizeLinear" && node.input.len() >= 2) {
        let outlet = |name: &str| parsed.outlets_by_name.get(name);
        let (Some(levels), Some(made)) = (outlet(&node.input[0]), outlet(&node.output[0])) else { continue };
        let Ok(fact) = parsed.model.outlet_fact(*levels) else { continue };
        let Some(weights) = fact.value.concretize().filter(|weights| weights.rank() >= 2) else { continue };
        let axis = Attributes(node).axis("axis", 1, weights.rank()).unwrap_or(0);
        let layer: Arc<dyn Layer> = Arc::new(DequantiseWeights { axis });
        let node = made.node;
        parsed.model.nodes[node].op = expand(Node(layer));
    }
}

/// Lowers what can be lowered. The graph must have been analysed.
pub(crate) fn lowered(graph: &GraphProto, parsed: ParseResult, opset: i64) -> TractResult<InferenceModel> {
    let mut lowering = Lowering::new(graph, parsed, opset);
    for node in &graph.node {
        if !lowering.lower(node)? {
            lowering.leave(node)?;
        }
    }
    lowering.finish(graph)
}

/// A tensor of u8 or s8 in the original graph, which here is always one of u8.
#[derive(Clone)]
struct Quantised {
    stored: Stored,
    /// What the stored levels become, where that look-up has not happened yet.
    through: Option<Box<[u8; 256]>>,
    /// s8 in the original: levels here are 128 higher.
    signed: bool,
}

/// A zero point, as a level of u8.
#[derive(Clone, Copy)]
struct Point {
    level: i32,
    /// s8 in the original.
    signed: bool,
}

/// What levels are in the original graph.
#[derive(Clone, Copy)]
enum Meaning {
    /// An f32 tensor.
    Numbers,
    /// A tensor of u8 or s8.
    Levels { signed: bool },
}

struct Lowering<'a> {
    model: InferenceModel,
    /// Where tract has the tensors of the original graph.
    outlets: HashMap<String, OutletId>,
    producers: HashMap<&'a str, &'a NodeProto>,
    consumers: HashMap<&'a str, Vec<&'a NodeProto>>,
    graph_outputs: HashSet<&'a str>,
    /// f32 tensors that are functions of levels.
    values: HashMap<String, Value>,
    quantised: HashMap<String, Quantised>,
    dynamic: HashMap<String, DynamicValue>,
    /// Tensors brought back to f32, or made in f32 by a layer.
    floats: HashMap<String, OutletId>,
    /// The same with channels last, of those that a layer made so.
    floats_last: HashMap<String, OutletId>,
    /// Levels in the other layout.
    converted: HashMap<(OutletId, Layout), Stored>,
    /// Look-ups that have happened.
    settled: HashMap<(OutletId, Box<[u8; 256]>), OutletId>,
    /// Levels and range of activations that are quantised at each run.
    dynamic_inputs: HashMap<(OutletId, Layout), (OutletId, OutletId)>,
    /// What has been added so far, by node.
    layers: HashMap<usize, Arc<dyn Layer>>,
    /// Look-up layers, which may merge into the layer before.
    look_ups: Vec<(usize, Box<[u8; 256]>)>,
    count: usize,
    opset: i64,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a GraphProto, parsed: ParseResult, opset: i64) -> Self {
        let mut producers = HashMap::new();
        let mut consumers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
        for node in &graph.node {
            for output in &node.output {
                producers.insert(&**output, node);
            }
            for input in &node.input {
                consumers.entry(input).or_default().push(node);
            }
        }
        Self {
            model: parsed.model,
            outlets: parsed.outlets_by_name,
            producers,
            consumers,
            graph_outputs: graph.output.iter().map(|output| &*output.name).collect(),
            values: HashMap::new(),
            quantised: HashMap::new(),
            dynamic: HashMap::new(),
            floats: HashMap::new(),
            floats_last: HashMap::new(),
            converted: HashMap::new(),
            settled: HashMap::new(),
            dynamic_inputs: HashMap::new(),
            layers: HashMap::new(),
            look_ups: Vec::new(),
            count: 0,
            opset,
        }
    }

    /// Takes a node over; false leaves it to tract.
    fn lower(&mut self, node: &NodeProto) -> TractResult<bool> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Ok(false);
        }
        let attributes = Attributes(node);
        match &*node.op_type {
            "QuantizeLinear" => self.quantize_linear(node),
            "DequantizeLinear" => self.dequantize_linear(node),
            "Conv" => self.conv(node, attributes),
            "MatMul" => Ok(self.mat_mul(node)? || self.float_product(node)?),
            "Softmax" => self.softmax(node, attributes),
            "LayerNormalization" => self.layer_normalization(node, attributes),
            "Gemm" => self.gemm(node, attributes),
            "Add" | "Mul" | "Sub" | "Div" | "Max" | "Min" => self.binary(node),
            "MaxPool" => self.max_pool(node, attributes),
            "AveragePool" | "GlobalAveragePool" | "ReduceMean" => self.mean(node, attributes),
            "Concat" => self.concat(node, attributes),
            "Split" => self.split(node, attributes),
            "Slice" => self.slice(node),
            "Resize" | "Upsample" => self.resize(node, attributes),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" => self.reshape(node),
            "Transpose" => self.transpose(node, attributes),
            "DynamicQuantizeLinear" => self.dynamic_quantize_linear(node),
            "ConvInteger" | "MatMulInteger" => self.integer_product(node, attributes),
            "Cast" => self.cast(node),
            "Gelu" => Ok(self.activated(node)? || self.unary(node, attributes)?),
            _ => self.unary(node, attributes),
        }
    }

    /// Leaves a node to tract, with numbers where it reads numbers.
    fn leave(&mut self, node: &NodeProto) -> TractResult<()> {
        for (slot, input) in node.input.iter().filter(|name| !name.is_empty()).enumerate() {
            let Some(outlet) = self.plain(input)? else { continue };
            let Some(made) = node.output.iter().find_map(|name| self.outlets.get(name)) else { continue };
            self.model.add_edge(outlet, InletId::new(made.node, slot))?;
        }
        Ok(())
    }

    /// Returns a tensor in its original type and layout, where it is not tract's own.
    fn plain(&mut self, name: &str) -> TractResult<Option<OutletId>> {
        if self.dynamic.contains_key(name) {
            return Ok(None);
        }
        if let Some(quantised) = self.quantised.get(name).cloned() {
            return self.restored(&quantised).map(Some);
        }
        if self.values.contains_key(name) {
            return self.float(name).map(Some);
        }
        Ok(self.floats.get(name).copied())
    }

    fn finish(mut self, graph: &GraphProto) -> TractResult<InferenceModel> {
        let mut outputs = Vec::new();
        for output in &graph.output {
            let outlet = match self.plain(&output.name)? {
                Some(outlet) => outlet,
                None => self.outlets[&output.name],
            };
            outputs.push(outlet);
        }
        self.merge_look_ups(&mut outputs)?;
        self.model.select_output_outlets(&outputs)?;
        Ok(self.model)
    }

    /// QuantizeLinear: where a function of levels is rounded.
    fn quantize_linear(&mut self, node: &NodeProto) -> TractResult<bool> {
        let Some((scale, zero_point)) = self.scale_and_zero_point(node) else { return Ok(false) };
        // Without a zero point the type is told by an attribute: ONNX's 2 is u8, 3 is s8.
        let (table, signed) = match (zero_point, Attributes(node).int("output_dtype", 0)) {
            (Some(Point { level, signed }), _) => (Table::affine(scale, level), signed),
            (None, 0 | 2) => (Table::affine(scale, 0), false),
            (None, 3) => (Table::affine(scale, 128), true),
            _ => return Ok(false),
        };
        let (input, output) = (&node.input[0], &node.output[0]);
        let Some(shape) = self.shape(input) else { return Ok(false) };
        if self.datum(input) != Some(DatumType::F32) && !self.values.contains_key(input) {
            return Ok(false);
        }
        let mut through = None;
        let stored = match self.values.get(input).cloned() {
            Some(Value::Levels(levels)) => {
                through = emit::changes(&levels.table, emit::target(&table)?);
                levels.stored
            }
            Some(value) => self.rounded(&value, &table, output)?,
            None => self.quantised_floats(input, shape, &table, output)?,
        };
        self.quantised.insert(output.clone(), Quantised { stored, through, signed });
        Ok(true)
    }

    /// DequantizeLinear: where levels get a meaning.
    fn dequantize_linear(&mut self, node: &NodeProto) -> TractResult<bool> {
        let input = &node.input[0];
        // Constants are weights: whoever multiplies with them reads their levels.
        if self.constant(input).is_some() {
            return Ok(false);
        }
        let Some((scale, zero_point)) = self.scale_and_zero_point(node) else { return Ok(false) };
        let known = match self.quantised.get(input).cloned() {
            Some(quantised) => Some(quantised),
            None => self.foreign(input)?,
        };
        let Some(Quantised { stored, through, signed }) = known else { return Ok(false) };
        // Without a zero point it is 0, which of s8 is the level 128.
        let zero = if signed { 128 } else { 0 };
        let table = Table::affine(scale, zero_point.map_or(zero, |point| point.level));
        let table = match through {
            Some(through) => Table::through(through, &table),
            None => table,
        };
        let levels = Levels { stored, table: Arc::new(table) };
        self.values.insert(node.output[0].clone(), Value::Levels(levels));
        Ok(true)
    }

    /// Returns the scale and the zero point, if there is one; none for a scale for each channel.
    fn scale_and_zero_point(&self, node: &NodeProto) -> Option<(f32, Option<Point>)> {
        let scale = self.constant(node.input.get(1)?)?;
        let scale = (scale.len() == 1).then(|| scale.cast_to_scalar::<f32>().ok()).flatten()?;
        if !(scale.is_finite() && scale > 0.0) {
            return None;
        }
        let Some(zero_point) = node.input.get(2).filter(|name| !name.is_empty()) else {
            return Some((scale, None));
        };
        let zero_point = self.constant(zero_point)?;
        let signed = match zero_point.datum_type() {
            DatumType::U8 => false,
            DatumType::I8 => true,
            _ => return None,
        };
        let level = zero_point.cast_to_scalar::<i32>().ok()? + if signed { 128 } else { 0 };
        Some((scale, Some(Point { level, signed })))
    }

    fn constant(&self, name: &str) -> Option<Arc<Tensor>> {
        let outlet = self.outlets.get(name)?;
        self.model.outlet_fact(*outlet).ok()?.value.concretize()
    }

    fn datum(&self, name: &str) -> Option<DatumType> {
        self.model.outlet_fact(*self.outlets.get(name)?).ok()?.datum_type.concretize()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let fact = self.model.outlet_fact(*self.outlets.get(name)?).ok()?;
        let shape = fact.shape.concretize()?;
        shape.iter().map(|side| usize::try_from(side.to_i64().ok()?).ok()).collect()
    }

    /// Returns the levels of a tensor for a layer that moves or compares them, whether they stand for numbers
    /// already or not.
    fn taken(&mut self, name: &str) -> TractResult<Option<(Levels, Meaning)>> {
        if let Some(levels) = self.levels(name) {
            return Ok(Some((self.settled(&levels)?, Meaning::Numbers)));
        }
        let known = self.quantised.get(name).cloned();
        let Some(quantised) = (match known {
            Some(quantised) => Some(quantised),
            None => self.foreign(name)?,
        }) else {
            return Ok(None);
        };
        let Quantised { stored, signed, .. } = self.looked_up(&quantised)?;
        Ok(Some((Levels { stored, table: Arc::new(Table::affine(1.0, 0)) }, Meaning::Levels { signed })))
    }

    /// Notes what such a layer gives.
    fn give(&mut self, output: &str, (levels, meaning): (Levels, Meaning)) {
        match meaning {
            Meaning::Numbers => {
                self.values.insert(output.to_owned(), Value::Levels(levels));
            }
            Meaning::Levels { signed } => {
                self.quantised
                    .insert(output.to_owned(), Quantised { stored: levels.stored, through: None, signed });
            }
        }
    }

    /// Takes over a tensor of u8 or s8 that comes from outside, an input of the graph as a rule.
    fn foreign(&mut self, name: &str) -> TractResult<Option<Quantised>> {
        if self.constant(name).is_some() || self.dynamic.contains_key(name) {
            return Ok(None);
        }
        let signed = match self.datum(name) {
            Some(DatumType::U8) => false,
            Some(DatumType::I8) => true,
            _ => return Ok(None),
        };
        let Some(shape) = self.shape(name) else { return Ok(None) };
        let stored = Stored { outlet: self.outlets[name], shape, layout: Layout::Natural };
        let stored = if signed { self.shifted(&stored, DatumType::U8)? } else { stored };
        let quantised = Quantised { stored, through: None, signed };
        self.quantised.insert(name.to_owned(), quantised.clone());
        Ok(Some(quantised))
    }

    /// Returns the levels that a tensor is a function of.
    fn levels(&self, name: &str) -> Option<Levels> {
        match self.values.get(name)? {
            Value::Levels(levels) => Some(levels.clone()),
            _ => None,
        }
    }

    /// Returns whether all that becomes of a tensor is that it is rounded: then the numbers are never needed.
    fn is_only_rounded(&self, name: &str) -> bool {
        !self.graph_outputs.contains(name)
            && self.consumers.get(name).is_some_and(|consumers| {
                consumers.iter().all(|node| match &*node.op_type {
                    "QuantizeLinear" => self.scale_and_zero_point(node).is_some(),
                    "Relu" | "Clip" => node.output.iter().all(|output| self.is_only_rounded(output)),
                    "Concat" => {
                        node.input.iter().all(|input| self.is_function(input))
                            && self.is_only_rounded(&node.output[0])
                    }
                    _ => false,
                })
            })
    }

    /// Returns whether a tensor is, or will be by the time its consumer is reached, a function of levels.
    fn is_function(&self, name: &str) -> bool {
        self.values.contains_key(name)
            || self.producers.get(name).is_some_and(|node| match &*node.op_type {
                "DequantizeLinear" => self.constant(&node.input[0]).is_none(),
                "Concat" | "Conv" | "MatMul" | "Gemm" => false,
                "MaxPool" | "Split" | "Slice" | "Resize" | "Reshape" | "Transpose" | "Sigmoid" | "Tanh"
                | "HardSigmoid" | "HardSwish" | "Relu" | "Clip" | "LeakyRelu" => {
                    self.is_function(&node.input[0])
                }
                "Add" | "Mul" => {
                    node.input.iter().all(|input| self.is_function(input) || self.constant(input).is_some())
                }
                _ => false,
            })
    }
}
