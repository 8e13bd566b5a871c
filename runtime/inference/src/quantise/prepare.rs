//! Bringing a graph into the form that is quantised: constants as initialisers, batch normalisations folded
//! into their convolutions, no operations that do nothing, opset 13 at least.

use std::collections::BTreeMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::graph::Graph;
use super::proto::{f32_tensor, float_of, i64_tensor, integer_of, tensor};
use super::{QuantiseError, functions, opset};
use crate::soundness::label;

/// Prepares a graph; `shapes` are those of its tensors on a sample, as far as they are known.
pub(super) fn prepare(graph: &mut Graph, shapes: &BTreeMap<String, Vec<usize>>) -> Result<(), QuantiseError> {
    lift_constants(graph)?;
    check_weights(graph)?;
    opset::raise(graph, shapes)?;
    drop_idle(graph);
    fold_normalisations(graph);
    functions::name_functions(graph);
    fold_shifts(graph);
    Ok(())
}

/// Makes initialisers of `Constant` nodes.
pub(super) fn lift_constants(graph: &mut Graph) -> Result<(), QuantiseError> {
    for node in std::mem::take(&mut graph.nodes) {
        if node.op_type != "Constant" || graph.is_output(&node.output[0]) {
            graph.nodes.push(node);
            continue;
        }
        let name = &node.output[0];
        let lifted = node.attribute.first().and_then(|attribute| constant(name, attribute));
        let Some(lifted) = lifted else {
            let why = "a Constant whose value is no tensor of numbers".to_owned();
            return Err(QuantiseError::Unsupported { node: label(&node), why });
        };
        graph.constants.insert(name.clone(), lifted);
    }
    Ok(())
}

fn constant(name: &str, attribute: &AttributeProto) -> Option<TensorProto> {
    let scalar = |data_type, bytes: &[u8]| Some(tensor(name, &[], data_type, bytes.to_vec()));
    match attribute.name.as_str() {
        "value" => attribute.t.clone().map(|value| TensorProto { name: name.to_owned(), ..value }),
        "value_float" => scalar(DataType::Float, &attribute.f.to_le_bytes()),
        "value_int" => scalar(DataType::Int64, &attribute.i.to_le_bytes()),
        "value_floats" => Some(f32_tensor(name, &[attribute.floats.len()], &attribute.floats)),
        "value_ints" => Some(i64_tensor(name, &attribute.ints)),
        _ => None,
    }
}

fn check_weights(graph: &Graph) -> Result<(), QuantiseError> {
    for node in &graph.nodes {
        for name in &node.input {
            let finite = |(_, values): (_, Vec<f32>)| values.iter().all(|value| value.is_finite());
            // Limits of a Clip, paddings and sizes may be infinite; what is multiplied and added may not.
            let is_weight = ["Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Add", "Mul"]
                .contains(&node.op_type.as_str());
            if is_weight && !graph.floats(name).is_none_or(finite) {
                let (node, tensor) = (label(node), name.clone());
                return Err(QuantiseError::WeightsNotFinite { node, tensor });
            }
        }
    }
    Ok(())
}

/// Takes out Identity and Dropout, which do nothing outside training.
fn drop_idle(graph: &mut Graph) {
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        for input in &mut node.input {
            if let Some(source) = renamed.get(input) {
                input.clone_from(source);
            }
        }
        let is_idle = ["Identity", "Dropout"].contains(&node.op_type.as_str())
            && !node.input.is_empty()
            && !node.output.iter().any(|output| graph.is_output(output))
            && node.output.len() == 1;
        if is_idle {
            renamed.insert(node.output[0].clone(), node.input[0].clone());
        } else {
            graph.nodes.push(node);
        }
    }
}

/// Folds `Conv → BatchNormalization` into the convolution.
fn fold_normalisations(graph: &mut Graph) {
    let fold = |graph: &Graph, _: &NodeProto, next: &NodeProto, channels: usize| {
        if next.op_type != "BatchNormalization"
            || next.output.len() != 1
            || integer_of(next, "training_mode", 0) != 0
        {
            return None;
        }
        let statistics: Option<Vec<Vec<f32>>> =
            (1..5).map(|at| next.input.get(at).and_then(|name| graph.floats(name)).map(|(_, v)| v)).collect();
        let [scale, shift, mean, variance] = statistics?.try_into().ok()?;
        if [&scale, &shift, &mean, &variance].iter().any(|values| values.len() != channels) {
            return None;
        }
        let epsilon = float_of(next, "epsilon", 1e-5);
        let factors: Vec<f32> = scale
            .iter()
            .zip(&variance)
            .map(|(scale, variance)| scale / (variance + epsilon).sqrt())
            .collect();
        let shifts = (0..channels).map(|c| shift[c] - mean[c] * factors[c]).collect();
        Some((factors, shifts))
    };
    fold_into_convolutions(graph, fold);
}

/// Folds `Conv → Add` and `Conv → Mul` with a constant a channel into the convolution.
fn fold_shifts(graph: &mut Graph) {
    let fold = |graph: &Graph, conv: &NodeProto, next: &NodeProto, channels: usize| {
        let is_add = next.op_type == "Add";
        if !is_add && next.op_type != "Mul" {
            return None;
        }
        let other = next.input.iter().find(|input| **input != conv.output[0])?;
        let rank = graph.floats(&conv.input[1])?.0.len();
        let (shape, values) = graph.floats(other)?;
        // The channel is the second side, counted from the front of a tensor of the convolution's rank.
        let is_channel = shape.len() == rank && shape[1] == channels && values.len() == channels
            || shape.len() == rank - 1 && shape[0] == channels && values.len() == channels;
        let values = match values.len() {
            1 if shape.len() <= rank => vec![values[0]; channels],
            _ if is_channel => values,
            _ => return None,
        };
        Some(if is_add { (vec![1.0; channels], values) } else { (values, vec![0.0; channels]) })
    };
    fold_into_convolutions(graph, fold);
}

/// What a folded operation does to a channel: a factor, then a shift.
type Affinity = (Vec<f32>, Vec<f32>);

/// Folds what follows a convolution into it, wherever `fold` says what that does to each channel.
fn fold_into_convolutions(
    graph: &mut Graph,
    fold: impl Fn(&Graph, &NodeProto, &NodeProto, usize) -> Option<Affinity>,
) {
    let mut at = 0;
    while at < graph.nodes.len() {
        match folded(graph, at, &fold) {
            // The same convolution may be followed by more.
            Some(gone) => drop(graph.nodes.remove(gone)),
            None => at += 1,
        }
    }
}

/// Folds the only reader of node `at` into it; returns which node is gone.
fn folded(
    graph: &mut Graph,
    at: usize,
    fold: &impl Fn(&Graph, &NodeProto, &NodeProto, usize) -> Option<Affinity>,
) -> Option<usize> {
    let conv = graph.nodes[at].clone();
    if conv.op_type != "Conv" || conv.input.len() < 2 || graph.is_output(&conv.output[0]) {
        return None;
    }
    let reads = |node: &NodeProto| node.input.iter().filter(|input| **input == conv.output[0]).count();
    let mut readers = graph.nodes.iter().enumerate().filter(|(_, node)| reads(node) > 0);
    let (gone, next) = readers.next()?;
    if readers.next().is_some() || reads(next) != 1 {
        return None;
    }
    let (shape, weights) = graph.floats(&conv.input[1])?;
    let channels = *shape.first().filter(|&&channels| channels > 0)?;
    let bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => graph.floats(name)?.1,
        None => vec![0.0; channels],
    };
    let (factors, shifts) = fold(graph, &conv, next, channels)?;
    if bias.len() != channels {
        return None;
    }
    let output = next.output[0].clone();
    let inner = weights.len() / channels;
    let weights: Vec<f32> = weights.iter().enumerate().map(|(i, w)| w * factors[i / inner]).collect();
    let bias: Vec<f32> = (0..channels).map(|c| bias[c] * factors[c] + shifts[c]).collect();
    let weights_name = graph.free_name(&format!("{}_folded", conv.input[1]));
    graph.set_floats(&weights_name, &shape, &weights);
    let bias_name = graph.free_name(&format!("{weights_name}_bias"));
    graph.set_floats(&bias_name, &[channels], &bias);
    let folded = &mut graph.nodes[at];
    folded.input = vec![conv.input[0].clone(), weights_name, bias_name];
    folded.output = vec![output];
    Some(gone)
}
