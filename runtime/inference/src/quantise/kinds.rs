//! Which operations can work on integers, and how.

use tract_onnx::pb::NodeProto;

use super::graph::Graph;
use super::proto::{attribute, float_of, integer_of};

/// What an operation does with quantised tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Multiplies by constant weights, whose output channels lie on `axis`.
    Weighted {
        /// Of the weights.
        axis: usize,
    },
    /// Its output has steps of its own.
    Rescaling,
    /// Moves or picks values: its output has the steps of its first input.
    Sharing,
    /// Works on floats.
    Float,
}

/// Tells what an operation does with quantised tensors.
pub(super) fn kind(graph: &Graph, node: &NodeProto) -> Kind {
    match node.op_type.as_str() {
        "Conv" | "Gemm" | "MatMul" => {
            weighted(graph, node).map_or(Kind::Float, |axis| Kind::Weighted { axis })
        }
        "Add" | "Mul" | "Concat" | "AveragePool" | "GlobalAveragePool" | "Sigmoid" | "HardSwish"
        | "HardSigmoid" | "Relu" | "Clip" | "LeakyRelu" => Kind::Rescaling,
        "Slice" | "Split" | "Reshape" | "Transpose" | "Flatten" | "Squeeze" | "Unsqueeze" => Kind::Sharing,
        // With indices as a second output it picks more than values.
        "MaxPool" if node.output.len() == 1 => Kind::Sharing,
        "Resize" if attribute(node, "mode").is_none_or(|mode| mode.s == b"nearest") => Kind::Sharing,
        _ => Kind::Float,
    }
}

fn weighted(graph: &Graph, node: &NodeProto) -> Option<usize> {
    let (shape, weights) = graph.floats(node.input.get(1)?)?;
    let is_constant =
        |at: usize| node.input.get(at).is_none_or(|name| name.is_empty() || graph.floats(name).is_some());
    if weights.is_empty() || graph.constants.contains_key(&node.input[0]) || !is_constant(2) {
        return None;
    }
    let axis = match node.op_type.as_str() {
        "Conv" if shape.len() >= 3 => 0,
        "Gemm" if shape.len() == 2 => {
            let is_plain = float_of(node, "alpha", 1.0) == 1.0
                && float_of(node, "beta", 1.0) == 1.0
                && integer_of(node, "transA", 0) == 0;
            is_plain.then(|| usize::from(integer_of(node, "transB", 0) == 0))?
        }
        "MatMul" if shape.len() == 2 => 1,
        _ => return None,
    };
    let bias_fits = |(_, bias): (_, Vec<f32>)| bias.len() == shape[axis];
    let bias = node.input.get(2).filter(|name| !name.is_empty());
    bias.and_then(|name| graph.floats(name)).is_none_or(bias_fits).then_some(axis)
}

/// Returns the inputs that are activations, or constants in the place of one, by position.
pub(super) fn data_inputs(node: &NodeProto, kind: Kind) -> std::ops::Range<usize> {
    match kind {
        Kind::Float => 0..0,
        Kind::Rescaling if ["Add", "Mul", "Concat"].contains(&node.op_type.as_str()) => 0..node.input.len(),
        _ => 0..1.min(node.input.len()),
    }
}

/// Tells whether an activation function is the same for a times x as for x, times a, for every a above 0.
pub(super) fn is_homogeneous(node: &NodeProto) -> bool {
    ["Relu", "LeakyRelu"].contains(&node.op_type.as_str())
}

/// Tells whether an operation is merged into the weighted one before it, so that nothing is quantised between.
pub(super) fn is_merged(node: &NodeProto) -> bool {
    ["Relu", "Clip"].contains(&node.op_type.as_str())
}
