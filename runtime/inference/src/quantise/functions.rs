//! Activation functions that exporters spell out, as the single operation that they are.

use tract_onnx::pb::NodeProto;

use super::graph::Graph;
use super::proto::f32_tensor;

/// The first opset with `HardSwish`; what else is written means the same in it as in 13.
const OPSET: i64 = 14;
/// How far constants may be from those of the function.
const NEAR: f32 = 1e-4;

/// Divisions by a number become products, which work on integers; x · clip(x + 3, 0, 6) / 6 becomes `HardSwish`.
pub(super) fn name_functions(graph: &mut Graph) {
    multiply(graph);
    while let Some((mut inner, last, input)) = hard_swish(graph) {
        let node = &mut graph.nodes[last];
        node.op_type = "HardSwish".to_owned();
        node.input = vec![input];
        inner.sort_unstable();
        inner.into_iter().rev().for_each(|at| drop(graph.nodes.remove(at)));
        let standard = |domain: &str| ["", "ai.onnx"].contains(&domain);
        let sets = graph.shell.opset_import.iter_mut().filter(|set| standard(&set.domain));
        sets.for_each(|set| set.version = set.version.max(OPSET));
    }
}

/// Returns the only value of a constant.
fn scalar(graph: &Graph, name: &str) -> Option<f32> {
    match graph.floats(name)?.1[..] {
        [only] => Some(only),
        _ => None,
    }
}

fn multiply(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        let divisor = node.input.get(1).filter(|_| node.op_type == "Div");
        let Some(divisor) = divisor.and_then(|name| scalar(graph, name)).filter(|value| *value != 0.0) else {
            continue;
        };
        let shape: Vec<usize> = graph.floats(&node.input[1]).map_or_else(Vec::new, |(shape, _)| shape);
        let factor = graph.free_name(&format!("{}_factor", node.output[0]));
        graph.constants.insert(factor.clone(), f32_tensor(&factor, &shape, &[1.0 / divisor]));
        let node = &mut graph.nodes[at];
        node.op_type = "Mul".to_owned();
        node.input[1] = factor;
    }
}

/// Finds a hard swish; returns its inner nodes, its last one and its input.
fn hard_swish(graph: &Graph) -> Option<(Vec<usize>, usize, String)> {
    let makers = graph.makers();
    let readers = graph.readers();
    // A tensor that this alone reads, with the node that makes it.
    let made = |name: &str, op: &str| {
        let &at = makers.get(name)?;
        let is_inner = readers.get(name).is_some_and(|readers| readers.len() == 1) && !graph.is_output(name);
        (is_inner && graph.nodes[at].op_type == op).then_some(at)
    };
    let near = |value: Option<f32>, expected: f32| value.is_some_and(|it| (it - expected).abs() < NEAR);
    (0..graph.nodes.len()).find_map(|last| {
        let (product, sixth) = parted(graph, last, "Mul")?;
        let product = made(product, "Mul").filter(|_| near(Some(sixth), 1.0 / 6.0))?;
        let [a, b] = &graph.nodes[product].input[..] else { return None };
        let (input, clip) = made(b, "Clip").map(|clip| (a, clip)).or_else(|| Some((b, made(a, "Clip")?)))?;
        let bounds = &graph.nodes[clip].input;
        let bound = |at: usize| bounds.get(at).and_then(|name| scalar(graph, name));
        let shift = made(bounds.first()?, "Add").filter(|_| near(bound(1), 0.0) && near(bound(2), 6.0))?;
        let (shifted, three) = parted(graph, shift, "Add")?;
        let is_it = shifted == input && near(Some(three), 3.0);
        is_it.then(|| (vec![product, clip, shift], last, input.clone()))
    })
}

/// Parts the inputs of an operation into its activation and its number.
fn parted<'a>(graph: &'a Graph, at: usize, op: &str) -> Option<(&'a String, f32)> {
    let node = &graph.nodes[at];
    let [a, b] = &node.input[..] else { return None };
    let number = |name: &str| scalar(graph, name);
    if node.op_type != op {
        return None;
    }
    number(b).map(|number| (a, number)).or_else(|| Some((b, number(a)?)))
}

/// Tells whether a node adds a number to its input or multiplies it by one: a function of each value alone.
pub(super) fn is_affine(graph: &Graph, node: &NodeProto) -> bool {
    ["Add", "Mul"].contains(&node.op_type.as_str())
        && node.input.len() == 2
        && node.input.iter().filter(|name| scalar(graph, name).is_some()).count() == 1
}
