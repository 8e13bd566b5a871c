//! Raising a graph to opset 13, the first with a `DequantizeLinear` a channel.

use std::collections::BTreeMap;

use tract_onnx::pb::{NodeProto, OperatorSetIdProto};

use super::QuantiseError;
use super::graph::Graph;
use super::proto::{f32_tensor, i64_tensor, integer, integer_of, taken, text};
use crate::soundness::label;

/// What is written at least.
const OPSET: i64 = 13;
/// What belongs to opset 13.
const IR_VERSION: i64 = 7;
/// Before 7, how shapes broadcast was an attribute.
const OLDEST: i64 = 7;

/// Raises a graph to opset 13 where it is older; refuses what cannot be said in it.
pub(super) fn raise(graph: &mut Graph, shapes: &BTreeMap<String, Vec<usize>>) -> Result<(), QuantiseError> {
    let from = graph.opset();
    graph.shell.ir_version = graph.shell.ir_version.max(IR_VERSION);
    if from >= OPSET {
        return Ok(());
    }
    if from < OLDEST {
        let why =
            format!("opset {from} is too old to be raised to {OPSET}; the oldest that can be is {OLDEST}");
        return Err(QuantiseError::Malformed(why));
    }
    for at in 0..graph.nodes.len() {
        let mut node = graph.nodes[at].clone();
        raise_node(graph, &mut node, from, shapes)
            .map_err(|why| QuantiseError::Unsupported { node: label(&node), why })?;
        graph.nodes[at] = node;
    }
    graph.shell.opset_import.retain(|set| !["", "ai.onnx"].contains(&set.domain.as_str()));
    graph.shell.opset_import.insert(0, OperatorSetIdProto { domain: String::new(), version: OPSET });
    Ok(())
}

fn raise_node(
    graph: &mut Graph,
    node: &mut NodeProto,
    from: i64,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(), String> {
    match node.op_type.as_str() {
        // 13: what was an attribute is an input.
        "Squeeze" | "Unsqueeze" | "ReduceSum" => lists_to_inputs(graph, node, &[("axes", 1)]),
        "Split" => lists_to_inputs(graph, node, &[("split", 1)]),
        // 11, 10.
        "Clip" if from < 11 => {
            for (name, at, open) in [("min", 1, f32::MIN), ("max", 2, f32::MAX)] {
                let value = taken(node, name).map_or(open, |attribute| attribute.f);
                let constant = graph.free_name(&format!("{}_{name}", node.output[0]));
                graph.constants.insert(constant.clone(), f32_tensor(&constant, &[], &[value]));
                put_input(node, at, constant);
            }
        }
        "Slice" if from < 10 => {
            // Without axes they are the first ones.
            lists_to_inputs(graph, node, &[("starts", 1), ("ends", 2), ("axes", 3)]);
        }
        "Pad" if from < 11 => {
            lists_to_inputs(graph, node, &[("pads", 1)]);
            let value = taken(node, "value").map_or(0.0, |attribute| attribute.f);
            let constant = graph.free_name(&format!("{}_value", node.output[0]));
            graph.constants.insert(constant.clone(), f32_tensor(&constant, &[], &[value]));
            put_input(node, 2, constant);
        }
        "Upsample" => scales_to_resize(graph, node),
        "Resize" if from < 11 => scales_to_resize(graph, node),
        "Scatter" => node.op_type = "ScatterElements".to_owned(),
        "Dropout" => {
            taken(node, "ratio");
        }
        // 13: over one axis in place of all from one on.
        "Softmax" | "LogSoftmax" | "Hardmax" => {
            let axis = one_axis(node, shapes.get(&node.input[0]))?;
            taken(node, "axis");
            node.attribute.push(integer("axis", axis));
        }
        "TopK" | "Gemm" | "BatchNormalization" if from < 9 => {
            return Err(format!("a {} of opset {from} cannot be raised to {OPSET}", node.op_type));
        }
        "TopK" if from < 10 => return Err(format!("a TopK of opset {from} cannot be raised to {OPSET}")),
        _ => {}
    }
    Ok(())
}

fn put_input(node: &mut NodeProto, at: usize, name: String) {
    if node.input.len() <= at {
        node.input.resize(at + 1, String::new());
    }
    node.input[at] = name;
}

fn lists_to_inputs(graph: &mut Graph, node: &mut NodeProto, lists: &[(&str, usize)]) {
    for &(name, at) in lists {
        if let Some(list) = taken(node, name) {
            let constant = graph.free_name(&format!("{}_{name}", node.output[0]));
            graph.constants.insert(constant.clone(), i64_tensor(&constant, &list.ints));
            put_input(node, at, constant);
        }
    }
}

/// Upsample and the Resize of opset 10 measure from the pixels' corners, and round down.
fn scales_to_resize(graph: &mut Graph, node: &mut NodeProto) {
    if let Some(scales) = taken(node, "scales") {
        let constant = graph.free_name(&format!("{}_scales", node.output[0]));
        let tensor = f32_tensor(&constant, &[scales.floats.len()], &scales.floats);
        graph.constants.insert(constant.clone(), tensor);
        put_input(node, 1, constant);
    }
    node.op_type = "Resize".to_owned();
    // The region of interest, which only one mode reads, comes first.
    node.input.insert(1, String::new());
    node.attribute.push(text("coordinate_transformation_mode", "asymmetric"));
    node.attribute.push(text("nearest_mode", "floor"));
}

/// A softmax was over everything from an axis on; that is one axis if all others have one element.
fn one_axis(node: &NodeProto, shape: Option<&Vec<usize>>) -> Result<i64, String> {
    let op = &node.op_type;
    let shape = shape.ok_or_else(|| format!("the shape that its {op} works on is not known"))?;
    let rank = shape.len() as i64;
    let axis = integer_of(node, "axis", 1);
    let axis = if axis < 0 { axis + rank } else { axis };
    if !(0..rank).contains(&axis) {
        return Err(format!("its {op} works on axis {axis} of {rank}"));
    }
    let mut wide = (axis..rank).filter(|&axis| shape[axis as usize] > 1);
    let only = wide.next().unwrap_or(axis);
    match wide.next() {
        None => Ok(only),
        Some(_) => Err(format!(
            "its {op} works on several axes of {shape:?} at once, which opset {OPSET} cannot say"
        )),
    }
}
