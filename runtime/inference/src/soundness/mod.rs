//! What a graph must be before anything is made of it: tract believes its file.
//!
//! [`check`] needs only the file, [`check_shapes`] what tract inferred of it; [`told`] makes a sentence of what tract
//! refuses itself.

mod outputs;
mod refusal;
mod shapes;
mod sizes;
mod tensors;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::Tensor;
use tract_onnx::tensor::load_tensor;

pub(crate) use self::outputs::{Declared, declared};
pub(crate) use self::refusal::{told, undecoded};
pub(crate) use self::shapes::{Shape, check_shapes};

/// Values of the largest tensor: what lies about its shapes must not take the machine's memory. The largest that is
/// known here, the words of a speech recogniser, has 20 million.
pub(crate) const MAX_VALUES: i64 = 1 << 26;
/// tract's analysis is slower than linear in the nodes; the deepest network known here has 1,500.
const MAX_NODES: usize = 10_000;
/// The latest set of operations (ONNX 1.23).
const MAX_OPSET: i64 = 28;
/// Widest kernel, stride and dilation.
const MAX_STEP: i64 = 4096;
/// Widest margin.
const MAX_MARGIN: i64 = 1024;
/// Longest name that is told.
const MAX_NAME: usize = 80;

/// Checks order and names, sizes, windows and scales; says in one sentence which node or tensor is wrong.
pub(crate) fn check(graph: &GraphProto) -> Result<(), String> {
    if graph.node.len() > MAX_NODES {
        return Err(format!("it has {} nodes, at most {MAX_NODES} are taken", graph.node.len()));
    }
    if graph.node.is_empty() {
        return Err("it has no operations".to_owned());
    }
    graph.initializer.iter().try_for_each(tensors::check_values)?;
    graph.input.iter().try_for_each(tensors::check_input)?;
    check_order(graph)?;
    let constants = constants(graph);
    let weights = with_dequantised(graph, &constants);
    graph.node.iter().try_for_each(|node| {
        let told = |why: String| format!("node {:?}: {why}", label(node));
        let tensors = node.attribute.iter().filter_map(|attribute| attribute.t.as_ref());
        tensors.into_iter().try_for_each(tensors::check_values).map_err(told)
    })?;
    graph.node.iter().try_for_each(|node| {
        let told = |why: String| format!("node {:?}: {why}", label(node));
        windows::check_window(node, &weights).map_err(told)?;
        windows::check_permutation(node).map_err(told)?;
        sizes::check_scale(node, &constants).map_err(told)?;
        sizes::check_size(node, &constants).map_err(told)
    })
}

/// Checks that the operations are of a set that there is.
pub(crate) fn check_opset(model: &ModelProto) -> Result<(), String> {
    let sets = model.opset_import.iter().filter(|set| ["", "ai.onnx"].contains(&set.domain.as_str()));
    match sets.map(|set| set.version).find(|version| !(1..=MAX_OPSET).contains(version)) {
        Some(version) => Err(format!("its operations are of opset {version}, known are 1 to {MAX_OPSET}")),
        None => Ok(()),
    }
}

/// Checks that every operation is one that runs here.
pub(crate) fn check_operations(graph: &GraphProto) -> Result<(), String> {
    let known = tract_onnx::onnx().op_register;
    let is_known = |node: &&NodeProto| {
        ["", "ai.onnx", "com.microsoft"].contains(&node.domain.as_str())
            && known.0.contains_key(node.op_type.as_str())
    };
    match graph.node.iter().find(|node| !is_known(node)) {
        Some(node) => {
            let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
            let op = shortened(&format!("{domain}{}", node.op_type));
            Err(format!("node {:?}: no operation called {op} is known here", label(node)))
        }
        None => Ok(()),
    }
}

/// Returns what a node is called: by its name, or by its first output.
pub(crate) fn label(node: &NodeProto) -> String {
    let first = || node.output.first().map_or("without a name", String::as_str);
    shortened(if node.name.is_empty() { first() } else { &node.name })
}

/// Returns a message of somebody else's as one line of bounded length.
pub(crate) fn on_a_line(message: &str) -> String {
    const MOST: usize = 600;
    let line = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MOST).collect()
}

/// Returns a text that fits a line, without what moves a terminal's cursor.
pub(crate) fn shortened(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut short: String = visible.take(MAX_NAME + 1).collect();
    if short.chars().count() > MAX_NAME {
        short.pop();
        short.push('…');
    }
    short
}

/// Returns how many values such sides hold; none if they are no sides, or hold more than [`MAX_VALUES`].
pub(crate) fn values(sides: impl IntoIterator<Item = i64>) -> Option<i64> {
    let all = sides.into_iter().try_fold(1_i64, |all, side| all.checked_mul((side >= 0).then_some(side)?));
    all.filter(|all| *all <= MAX_VALUES)
}

/// ONNX asks for the order of computation and for names used once.
pub(crate) fn check_order(graph: &GraphProto) -> Result<(), String> {
    let constants = graph.initializer.iter().map(|tensor| &tensor.name);
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| Some(&sparse.values.as_ref()?.name));
    let given = graph.input.iter().map(|input| &input.name).chain(constants).chain(sparse);
    let mut made: BTreeSet<&str> = given.map(String::as_str).collect();
    for node in &graph.node {
        let absent = node.input.iter().find(|name| !name.is_empty() && !made.contains(name.as_str()));
        if let Some(name) = absent {
            let (node, name) = (label(node), shortened(name));
            return Err(format!("node {node:?} reads {name:?}, which nothing before it makes"));
        }
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if !made.insert(output) {
                return Err(format!("two nodes make {:?}", shortened(output)));
            }
        }
    }
    match graph.output.iter().find(|output| !made.contains(output.name.as_str())) {
        Some(output) => Err(format!("nothing makes its output {:?}", shortened(&output.name))),
        None => Ok(()),
    }
}

/// Constants by name, wherever a graph keeps them.
fn constants(graph: &GraphProto) -> BTreeMap<&str, &TensorProto> {
    let listed = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant");
    let made =
        nodes.filter_map(|node| Some((node.output.first()?.as_str(), node.attribute.first()?.t.as_ref()?)));
    listed.chain(made).collect()
}

/// Constants by name, also behind their dequantisation, which leaves their shapes as they are.
fn with_dequantised<'a>(
    graph: &'a GraphProto,
    constants: &BTreeMap<&'a str, &'a TensorProto>,
) -> BTreeMap<&'a str, &'a TensorProto> {
    let mut all = constants.clone();
    for node in graph.node.iter().filter(|node| node.op_type == "DequantizeLinear") {
        let constant = node.input.first().and_then(|name| constants.get(name.as_str()));
        if let (Some(constant), Some(output)) = (constant, node.output.first()) {
            all.insert(output, constant);
        }
    }
    all
}

/// The numbers of a small constant input.
fn numbers(node: &NodeProto, at: usize, constants: &BTreeMap<&str, &TensorProto>) -> Option<Vec<f64>> {
    let tensor = constants.get(node.input.get(at)?.as_str())?;
    let tensor: Tensor = load_tensor(&MmapDataResolver, tensor, None).ok()?;
    let numbers = tensor.cast_to::<f64>().ok()?;
    Some(numbers.try_as_plain_ram().ok()?.as_slice::<f64>().ok()?.to_vec())
}
