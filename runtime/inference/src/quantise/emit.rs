//! Writing the quantised graph: `DequantizeLinear → operation → QuantizeLinear` wherever integers are.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::graph::Graph;
use super::kinds::{Kind, data_inputs, is_merged, kind};
use super::placement::Plan;
use super::proto::{f32_tensor, integer, node, tensor};
use super::range::Affine;
use super::weights::{Clipping, Levels};

/// In which form constants are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Weights in s8, biases in i32: the file.
    Integers,
    /// The floats that those integers stand for: the same function, and quicker where tract runs it.
    Simulated,
}

/// How weights become integers.
#[derive(Clone, Debug, Default)]
pub(super) struct Weighting {
    pub(super) clipping: Clipping,
    /// Added to the bias of a node, a value a channel.
    pub(super) corrections: BTreeMap<usize, Vec<f32>>,
}

/// Biases are held this far below the end of an i32, so that sums have room (a quarter of it).
const BIAS_LEVELS: f32 = (1_u32 << 29) as f32;

/// Writes the graph with its planned nodes on integers.
pub(super) fn emit(graph: &Graph, plan: &Plan, weighting: &Weighting, form: Form) -> Graph {
    let mut emitter = Emitter::new(graph, plan, weighting, form);
    for at in 0..graph.nodes.len() {
        emitter.node(at);
    }
    emitter.finish()
}

/// Writes the FP32 graph in which every planned weighted node stands a second time, on its quantised input and
/// with its quantised weights; returns it with the (node, FP32 output, quantised output) of each.
pub(super) fn emit_local(
    graph: &Graph,
    plan: &Plan,
    weighting: &Weighting,
) -> (Graph, Vec<(usize, String, String)>) {
    let mut emitter = Emitter::new(graph, plan, weighting, Form::Simulated);
    let mut pairs = Vec::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        emitter.out.nodes.push(node.clone());
        if plan.quantised.contains(&at)
            && let Kind::Weighted { axis } = kind(graph, node)
        {
            let mut twin = node.clone();
            twin.input[0] = emitter.dequantised(&node.input[0]);
            emitter.weights(at, axis, &mut twin);
            twin.output[0] = emitter.free(&format!("{}_local", node.output[0]));
            twin.name.clone_from(&twin.output[0]);
            pairs.push((at, node.output[0].clone(), twin.output[0].clone()));
            emitter.out.nodes.push(twin);
        }
    }
    (emitter.finish(), pairs)
}

struct Emitter<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    weighting: &'a Weighting,
    form: Form,
    /// Tensors that every reader reads in quantised form.
    replaced: BTreeSet<String>,
    /// From a tensor to its quantised form, as far as it is written.
    dequantised: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    out: Graph,
}

impl<'a> Emitter<'a> {
    fn new(graph: &'a Graph, plan: &'a Plan, weighting: &'a Weighting, form: Form) -> Self {
        let mut taken: BTreeSet<String> = graph.constants.keys().cloned().collect();
        taken.extend(graph.inputs.iter().map(|input| input.name.clone()));
        taken.extend(graph.nodes.iter().flat_map(|node| node.output.iter().cloned()));
        let out = Graph { nodes: Vec::new(), ..graph.clone() };
        let (replaced, dequantised) = (replaced(graph, plan), BTreeMap::new());
        Self { graph, plan, weighting, form, replaced, dequantised, taken, out }
    }

    fn finish(mut self) -> Graph {
        let read: BTreeSet<&String> = self.out.nodes.iter().flat_map(|node| &node.input).collect();
        self.out.constants.retain(|name, _| read.contains(name) || self.graph.is_output(name));
        self.out
    }

    fn free(&mut self, wanted: &str) -> String {
        let numbered = (1..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        let name = names.find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    fn node(&mut self, at: usize) {
        let mut node = self.graph.nodes[at].clone();
        let kind = kind(self.graph, &node);
        let is_quantised = self.plan.quantised.contains(&at);
        let data = data_inputs(&node, kind);
        let is_merged = merged(self.graph, self.plan, at);
        for input in 0..node.input.len() {
            let name = node.input[input].clone();
            let is_data = is_quantised && !is_merged && data.contains(&input) && !name.is_empty();
            if is_data || self.replaced.contains(&name) {
                node.input[input] = self.dequantised(&name);
            }
        }
        if is_quantised && let Kind::Weighted { axis } = kind {
            self.weights(at, axis, &mut node);
        }
        self.out.nodes.push(node);
    }

    /// Returns the quantised form of a tensor, which is written where it is first read.
    fn dequantised(&mut self, name: &str) -> String {
        if let Some(written) = self.dequantised.get(name) {
            return written.clone();
        }
        let written = match self.plan.steps.get(name) {
            Some(&steps) => self.round_trip(name, steps),
            None => self.constant(name),
        };
        self.dequantised.insert(name.to_owned(), written.clone());
        written
    }

    fn round_trip(&mut self, name: &str, steps: Affine) -> String {
        let (scale, zero) = self.steps(name, steps);
        let levels = self.free(&format!("{name}_QuantizeLinear_Output"));
        let values = self.free(&format!("{name}_DequantizeLinear_Output"));
        self.out.nodes.push(node("QuantizeLinear", &[name, &scale, &zero], &levels));
        self.out.nodes.push(node("DequantizeLinear", &[&levels, &scale, &zero], &values));
        values
    }

    fn steps(&mut self, name: &str, steps: Affine) -> (String, String) {
        let scale = self.free(&format!("{name}_scale"));
        let zero = self.free(&format!("{name}_zero_point"));
        self.out.constants.insert(scale.clone(), f32_tensor(&scale, &[], &[steps.scale]));
        self.out.constants.insert(zero.clone(), tensor(&zero, &[], DataType::Uint8, vec![steps.zero]));
        (scale, zero)
    }

    /// A constant in the place of an activation becomes u8; a single number stays what it is, which makes a
    /// function of the other operand's levels.
    fn constant(&mut self, name: &str) -> String {
        let Some((shape, values)) = self.graph.floats(name).filter(|(_, values)| values.len() > 1) else {
            return name.to_owned();
        };
        let extremes = |(low, high): (f32, f32), value: &f32| (low.min(*value), high.max(*value));
        let (low, high) = values.iter().fold((0.0, 0.0), extremes);
        let steps = Affine::of_range(low, high);
        let level = |value: &f32| {
            ((value / steps.scale).round_ties_even() + f32::from(steps.zero)).clamp(0.0, 255.0) as u8
        };
        let levels: Vec<u8> = values.iter().map(level).collect();
        let (scale, zero) = self.steps(name, steps);
        let quantised = self.free(&format!("{name}_quantized"));
        let written = self.free(&format!("{name}_DequantizeLinear_Output"));
        let levels = tensor(&quantised, &shape, DataType::Uint8, levels);
        self.out.constants.insert(quantised.clone(), levels);
        self.out.nodes.push(node("DequantizeLinear", &[&quantised, &scale, &zero], &written));
        written
    }

    /// Gives a node the integers, or what they stand for, in place of its weights and its bias.
    fn weights(&mut self, at: usize, axis: usize, node: &mut NodeProto) {
        let original = &self.graph.nodes[at];
        let Some((shape, values)) = self.graph.floats(&original.input[1]) else { return };
        let input = self.plan.steps.get(&original.input[0]).map_or(1.0, |steps| steps.scale);
        let named = original.input.get(2).filter(|name| !name.is_empty());
        let mut bias = named.and_then(|name| self.graph.floats(name)).map(|(_, bias)| bias);
        if let Some(correction) = self.weighting.corrections.get(&at).filter(|_| node.op_type != "MatMul") {
            let bias = bias.get_or_insert_with(|| vec![0.0; correction.len()]);
            bias.iter_mut().zip(correction).for_each(|(bias, correction)| *bias += correction);
        }
        let floor: Vec<f32> = bias.iter().flatten().map(|bias| bias.abs() / input / BIAS_LEVELS).collect();
        let levels = Levels::new(&values, &shape, axis, self.weighting.clipping, &floor);
        let name = original.input[1].clone();
        node.input[1] = self.channels(&name, &shape, axis, &levels);
        if let Some(bias) = bias {
            let name = named.cloned().unwrap_or_else(|| format!("{name}_bias"));
            let steps: Vec<f32> = levels.steps.iter().map(|step| step * input).collect();
            node.input.truncate(2);
            let bias = self.bias(&name, &bias, &steps);
            node.input.push(bias);
        }
    }

    fn channels(&mut self, name: &str, shape: &[usize], axis: usize, levels: &Levels) -> String {
        if self.form == Form::Simulated {
            let written = self.free(&format!("{name}_simulated"));
            self.out.set_floats(&written, shape, &levels.values());
            return written;
        }
        let bytes = levels.levels.iter().map(|&level| level as u8).collect();
        self.integers(name, (shape, axis), (DataType::Int8, bytes), &levels.steps, 1)
    }

    fn bias(&mut self, name: &str, bias: &[f32], steps: &[f32]) -> String {
        let levels = bias.iter().zip(steps).map(|(bias, step)| (bias / step).round_ties_even() as i32);
        if self.form == Form::Simulated {
            let values: Vec<f32> = levels.zip(steps).map(|(level, step)| level as f32 * step).collect();
            let written = self.free(&format!("{name}_simulated"));
            self.out.set_floats(&written, &[values.len()], &values);
            return written;
        }
        let bytes = levels.flat_map(i32::to_le_bytes).collect();
        self.integers(name, (&[bias.len()], 0), (DataType::Int32, bytes), steps, 4)
    }

    /// Integers with a step for each side of an axis, and their way back to floats.
    fn integers(
        &mut self,
        name: &str,
        (shape, axis): (&[usize], usize),
        (data_type, bytes): (DataType, Vec<u8>),
        steps: &[f32],
        size: usize,
    ) -> String {
        let levels = self.free(&format!("{name}_quantized"));
        let scale = self.free(&format!("{name}_scale"));
        let zero = self.free(&format!("{name}_zero_point"));
        let written = self.free(&format!("{name}_DequantizeLinear_Output"));
        let constants = &mut self.out.constants;
        constants.insert(levels.clone(), tensor(&levels, shape, data_type, bytes));
        constants.insert(scale.clone(), f32_tensor(&scale, &[steps.len()], steps));
        constants.insert(zero.clone(), tensor(&zero, &[steps.len()], data_type, vec![0; size * steps.len()]));
        let mut back = node("DequantizeLinear", &[&levels, &scale, &zero], &written);
        back.attribute.push(integer("axis", axis as i64));
        self.out.nodes.push(back);
        written
    }
}

/// Tells whether a node is merged into the weighted one before it.
pub(super) fn merged(graph: &Graph, plan: &Plan, at: usize) -> bool {
    let node = &graph.nodes[at];
    let Some(input) = node.input.first().filter(|_| is_merged(node) && plan.quantised.contains(&at)) else {
        return false;
    };
    let reads = graph.nodes.iter().flat_map(|node| &node.input).filter(|name| *name == input).count();
    let maker = graph.nodes[..at].iter().position(|node| node.output.contains(input));
    reads == 1
        && !graph.is_output(input)
        && maker.is_some_and(|maker| {
            plan.quantised.contains(&maker)
                && matches!(kind(graph, &graph.nodes[maker]), Kind::Weighted { .. })
        })
}

/// Returns the tensors whose every reader reads the quantised form: what planned nodes make, unless it is
/// merged into the next, or comes out of a weighted one and floats alone read it.
fn replaced(graph: &Graph, plan: &Plan) -> BTreeSet<String> {
    let readers = graph.readers();
    let mut replaced = BTreeSet::new();
    for &at in &plan.quantised {
        let node = &graph.nodes[at];
        let is_weighted = matches!(kind(graph, node), Kind::Weighted { .. }) || merged(graph, plan, at);
        for output in node.output.iter().filter(|name| plan.steps.contains_key(*name)) {
            let read = readers.get(output).map_or(&[][..], Vec::as_slice);
            let is_merged = matches!(read, [only] if merged(graph, plan, *only));
            let is_read = read.iter().any(|reader| {
                let data = data_inputs(&graph.nodes[*reader], kind(graph, &graph.nodes[*reader]));
                plan.quantised.contains(reader) && graph.nodes[*reader].input[data].contains(output)
            });
            if !is_merged && (is_read || !is_weighted) {
                replaced.insert(output.clone());
            }
        }
    }
    replaced
}
