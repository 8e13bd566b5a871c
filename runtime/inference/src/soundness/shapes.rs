//! Axes, indices and steps a channel: what has to fit shapes, as far as they are known.

use std::collections::BTreeMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::{constants, label, numbers};
use crate::attributes::Attributes;

/// The sides of a tensor, none for an unknown one; none at all where not even their number is known.
pub(crate) type Shape = Option<Vec<Option<i64>>>;

/// Checks what the nodes say of their inputs against the inputs' shapes; says in one sentence which node is wrong.
pub(crate) fn check_shapes(graph: &GraphProto, shape: impl Fn(&str) -> Shape) -> Result<(), String> {
    let constants = constants(graph);
    graph.node.iter().try_for_each(|node| {
        let told = |why: String| format!("node {:?}: {why}", label(node));
        let Some(sides) = node.input.first().and_then(|name| shape(name)) else { return Ok(()) };
        check_axes(node, &sides, &constants).map_err(told)?;
        check_places(node, &sides, &constants).map_err(told)?;
        check_steps(node, &sides, &shape).map_err(told)?;
        check_pair(node, &sides, &shape).map_err(told)
    })
}

/// An axis is one of the input's, counted from the first or from behind the last.
fn check_axes(
    node: &NodeProto,
    sides: &[Option<i64>],
    constants: &BTreeMap<&str, &TensorProto>,
) -> Result<(), String> {
    let attributes = Attributes(node);
    let rank = sides.len() as i64;
    let one = || attributes.integer("axis").map(|axis| vec![axis]);
    let given = |at: usize| {
        let listed = attributes.integers("axes");
        listed.or_else(|| Some(numbers(node, at, constants)?.iter().map(|axis| *axis as i64).collect()))
    };
    // One more than the last axis: a flattening ends there, a new axis may lie there.
    let (axes, most) = match node.op_type.as_str() {
        "Softmax" | "LogSoftmax" | "Hardmax" | "Concat" | "Gather" | "GatherElements" | "ScatterElements"
        | "Split" | "ArgMax" | "ArgMin" | "TopK" | "LayerNormalization" | "LpNormalization" | "Compress" => {
            (one(), rank)
        }
        "Flatten" => (one(), rank + 1),
        "OneHot" => (one(), rank + 1),
        "Squeeze" => (given(1), rank),
        "Unsqueeze" => {
            let axes = given(1);
            let new = axes.as_ref().map_or(0, Vec::len) as i64;
            (axes, rank + new)
        }
        "Slice" => (given(3), rank),
        "ReduceMax" | "ReduceMin" | "ReduceMean" | "ReduceSum" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => (given(1), rank),
        _ => return Ok(()),
    };
    // A number alone is taken for a row of one value.
    let most = most.max(1);
    let is_axis = |axis: &i64| (-most..most).contains(axis);
    match axes.iter().flatten().find(|axis| !is_axis(axis)) {
        Some(axis) => Err(format!("its axis {axis} is not one from -{most} to {}", most - 1)),
        None => Ok(()),
    }
}

/// What is gathered or cut at constant places is there.
fn check_places(
    node: &NodeProto,
    sides: &[Option<i64>],
    constants: &BTreeMap<&str, &TensorProto>,
) -> Result<(), String> {
    if !["Gather", "Split"].contains(&node.op_type.as_str()) {
        return Ok(());
    }
    let axis = Attributes(node).axis("axis", 0, sides.len());
    let Some(length) = axis.and_then(|axis| sides[axis]) else { return Ok(()) };
    if node.op_type == "Split" {
        // Until opset 12 they are an attribute.
        let listed = Attributes(node).integers("split");
        let listed = listed.map(|lengths| lengths.into_iter().map(|length| length as f64).collect());
        let Some(lengths) = numbers(node, 1, constants).or(listed) else { return Ok(()) };
        let is_whole =
            lengths.iter().sum::<f64>() == length as f64 && lengths.iter().all(|part| *part >= 0.0);
        return if is_whole {
            Ok(())
        } else {
            Err(format!("it cuts {length} into {lengths:?}").replace(".0", ""))
        };
    }
    let indices = numbers(node, 1, constants).unwrap_or_default();
    let is_there = |index: &f64| (-length as f64..length as f64).contains(index);
    match indices.iter().find(|index| !is_there(index)) {
        Some(index) => Err(format!("it gathers the value at {index} of {length}")),
        None => Ok(()),
    }
}

/// Steps of a quantisation are one, or one for each side of an axis that there is.
fn check_steps(
    node: &NodeProto,
    sides: &[Option<i64>],
    shape: &impl Fn(&str) -> Shape,
) -> Result<(), String> {
    if !["QuantizeLinear", "DequantizeLinear"].contains(&node.op_type.as_str()) {
        return Ok(());
    }
    // Steps for blocks of values have as many axes as the values.
    let Some(&[Some(steps)]) = node.input.get(1).and_then(|name| shape(name)).as_deref() else {
        return Ok(());
    };
    if steps == 1 {
        return Ok(());
    }
    let axis = Attributes(node).int("axis", 1);
    let Some(at) = Attributes(node).axis("axis", 1, sides.len()) else {
        let rank = sides.len().max(1);
        return Err(format!("its axis {axis} is not one from -{rank} to {}", rank - 1));
    };
    match sides[at] {
        Some(side) if side != steps => {
            Err(format!("it has {steps} steps, and its input has {side} values along axis {axis}"))
        }
        _ => Ok(()),
    }
}

/// Two inputs that are computed value by value have the same sides, from the last one on, or one of them has 1.
fn check_pair(node: &NodeProto, sides: &[Option<i64>], shape: &impl Fn(&str) -> Shape) -> Result<(), String> {
    if !["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"].contains(&node.op_type.as_str()) {
        return Ok(());
    }
    let Some(other) = node.input.get(1).and_then(|name| shape(name)) else { return Ok(()) };
    let fits = |(one, other): (&Option<i64>, &Option<i64>)| match (one, other) {
        (Some(one), Some(other)) => one == other || [*one, *other].contains(&1),
        _ => true,
    };
    if sides.iter().rev().zip(other.iter().rev()).all(fits) {
        return Ok(());
    }
    let [one, other] = [sides, &other].map(shown);
    Err(format!("its inputs {one} and {other} do not fit each other"))
}

/// Returns a shape as it is told.
pub(super) fn shown(sides: &[Option<i64>]) -> String {
    let side = |side: &Option<i64>| side.map_or("?".to_owned(), |side| side.to_string());
    sides.iter().map(side).collect::<Vec<_>>().join("x")
}
