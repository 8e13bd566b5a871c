//! What a graph must be before anything is made of it: tract believes its file.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::Tensor;
use tract_onnx::tensor::load_tensor;

use crate::attributes::Attributes;

/// Values of the largest tensor: what lies about its shapes must not take the machine's memory. The largest that is
/// known here, the words of a speech recogniser, has 20 million.
pub(crate) const MAX_VALUES: i64 = 1 << 26;
/// tract's analysis is slower than linear in the nodes; the deepest network known here has 1,500.
const MAX_NODES: usize = 10_000;
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
    graph.initializer.iter().try_for_each(check_values)?;
    graph.input.iter().try_for_each(check_input)?;
    check_order(graph)?;
    let constants = constants(graph);
    graph.node.iter().try_for_each(|node| {
        let told = |why: String| format!("node {:?}: {why}", label(node));
        check_window(node, &constants).map_err(told)?;
        check_permutation(node).map_err(told)?;
        check_scale(node, &constants).map_err(told)?;
        check_size(node, &constants).map_err(told)
    })
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

fn check_values(tensor: &TensorProto) -> Result<(), String> {
    let name = shortened(&tensor.name);
    if values(tensor.dims.iter().copied()).is_none() {
        return Err(format!("tensor {name:?} has the shape {:?}", tensor.dims));
    }
    let is_float = tensor.data_type == DataType::Float as i32;
    let is_nan = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_nan();
    let raw = is_float && tensor.raw_data.as_chunks().0.iter().any(is_nan);
    if raw || tensor.float_data.iter().any(|value| value.is_nan()) {
        return Err(format!("tensor {name:?} holds values that are no numbers"));
    }
    Ok(())
}

fn check_input(input: &ValueInfoProto) -> Result<(), String> {
    let Some(Kind::TensorType(tensor)) = input.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Ok(());
    };
    let sides = tensor.shape.iter().flat_map(|shape| &shape.dim).filter_map(|side| match side.value {
        // 0 and -1 are what some exporters write for an open side.
        Some(Side::DimValue(side)) if ![0, -1].contains(&side) => Some(side),
        _ => None,
    });
    let sides: Vec<i64> = sides.collect();
    match values(sides.iter().copied()) {
        Some(_) => Ok(()),
        None => Err(format!("its input {:?} has the sides {sides:?}", shortened(&input.name))),
    }
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

/// The numbers of a small constant input.
fn numbers(node: &NodeProto, at: usize, constants: &BTreeMap<&str, &TensorProto>) -> Option<Vec<f64>> {
    let tensor = constants.get(node.input.get(at)?.as_str())?;
    let tensor: Tensor = load_tensor(&MmapDataResolver, tensor, None).ok()?;
    let numbers = tensor.cast_to::<f64>().ok()?;
    Some(numbers.try_as_plain_ram().ok()?.as_slice::<f64>().ok()?.to_vec())
}

/// Kernels, strides, dilations and margins: as many as there are sides, and none absurd.
fn check_window(node: &NodeProto, constants: &BTreeMap<&str, &TensorProto>) -> Result<(), String> {
    let weights = match node.op_type.as_str() {
        "Conv" | "ConvInteger" | "ConvTranspose" => Some(1),
        "QLinearConv" => Some(3),
        "MaxPool" | "AveragePool" | "LpPool" => None,
        _ => return Ok(()),
    };
    let kernel = weights.and_then(|at| constants.get(node.input.get(at)?.as_str())?.dims.get(2..));
    let attributes = Attributes(node);
    let kernel = attributes.integers("kernel_shape").or_else(|| Some(kernel?.to_vec()));
    let check = |name: &str, given: Option<Vec<i64>>, count: Option<usize>, least: i64, most: i64| {
        let Some(given) = given else { return Ok(()) };
        let count = count.unwrap_or(given.len());
        if given.len() == count && given.iter().all(|value| (least..=most).contains(value)) {
            return Ok(());
        }
        Err(format!("its {name} {given:?} are not {count} numbers from {least} to {most}"))
    };
    let sides = kernel.as_ref().map(Vec::len);
    check("kernel sides", kernel, None, 1, MAX_STEP)?;
    check("strides", attributes.integers("strides"), sides, 1, MAX_STEP)?;
    check("dilations", attributes.integers("dilations"), sides, 1, MAX_STEP)?;
    check("pads", attributes.integers("pads"), sides.map(|sides| 2 * sides), 0, MAX_MARGIN)
}

/// A transposition names each axis once.
fn check_permutation(node: &NodeProto) -> Result<(), String> {
    let Some(order) = Attributes(node).integers("perm").filter(|_| node.op_type == "Transpose") else {
        return Ok(());
    };
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    match sorted.iter().zip(0..).all(|(axis, expected)| *axis == expected) {
        true => Ok(()),
        false => Err(format!("its perm {order:?} does not name each axis once")),
    }
}

/// A step of a quantisation is a number above 0; one of weights that are all 0 may be 0.
fn check_scale(node: &NodeProto, constants: &BTreeMap<&str, &TensorProto>) -> Result<(), String> {
    let may_be_zero = match node.op_type.as_str() {
        "QuantizeLinear" => false,
        "DequantizeLinear" => node.input.first().is_some_and(|name| constants.contains_key(name.as_str())),
        _ => return Ok(()),
    };
    let Some(scales) = numbers(node, 1, constants) else { return Ok(()) };
    let is_step = |scale: &f64| scale.is_finite() && (*scale > 0.0 || may_be_zero && *scale == 0.0);
    match scales.iter().find(|scale| !is_step(scale)) {
        Some(scale) => Err(format!("its scale is {scale}, which is no step between levels")),
        None => Ok(()),
    }
}

/// What makes tensors of any size from a few constant numbers.
fn check_size(node: &NodeProto, constants: &BTreeMap<&str, &TensorProto>) -> Result<(), String> {
    let product = |numbers: &[f64]| numbers.iter().product::<f64>();
    let count = match node.op_type.as_str() {
        "ConstantOfShape" => numbers(node, 0, constants).map(|sides| product(&sides)),
        "Expand" | "Tile" => numbers(node, 1, constants).map(|sides| product(&sides)),
        "Range" => {
            let ends = [0, 1, 2].map(|at| Some(*numbers(node, at, constants)?.first()?));
            let [Some(start), Some(limit), Some(step)] = ends else { return Ok(()) };
            Some((limit - start) / step)
        }
        "Pad" => {
            let widest = numbers(node, 1, constants).map(|pads| pads.into_iter().fold(0.0, f64::max));
            let widest = widest.filter(|widest| *widest > MAX_MARGIN as f64);
            return widest
                .map_or(Ok(()), |pad| Err(format!("it pads by {pad}, at most {MAX_MARGIN} are taken")));
        }
        "Resize" | "Upsample" => {
            let scales = numbers(node, if node.op_type == "Resize" { 2 } else { 1 }, constants);
            let absurd = scales.and_then(|scales| {
                scales.into_iter().find(|scale| !(*scale > 0.0 && *scale <= MAX_STEP as f64))
            });
            return absurd.map_or(Ok(()), |scale| Err(format!("it resizes by {scale}")));
        }
        _ => return Ok(()),
    };
    match count.filter(|count| count.is_nan() || *count > MAX_VALUES as f64) {
        Some(count) => Err(format!("it makes a tensor of {count} values, at most {MAX_VALUES} are taken")),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tract_onnx::pb::AttributeProto;

    use super::*;

    fn constant(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Float as i32,
            float_data: values.to_vec(),
            ..Default::default()
        }
    }

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            ..Default::default()
        }
    }

    fn ints(name: &str, ints: &[i64]) -> AttributeProto {
        AttributeProto { name: name.into(), ints: ints.to_vec(), ..Default::default() }
    }

    fn value(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: name.into(), ..Default::default() }
    }

    /// x → QuantizeLinear → DequantizeLinear → Conv → y
    fn graph() -> GraphProto {
        let mut conv = node("Conv", &["b", "w"], "y");
        conv.attribute = vec![ints("strides", &[1, 1]), ints("pads", &[1, 1, 1, 1])];
        GraphProto {
            input: vec![value("x")],
            output: vec![value("y")],
            initializer: vec![constant("s", &[], &[0.5]), constant("w", &[1, 1, 3, 3], &[0.1; 9])],
            node: vec![
                node("QuantizeLinear", &["x", "s"], "a"),
                node("DequantizeLinear", &["a", "s"], "b"),
                conv,
            ],
            ..Default::default()
        }
    }

    fn refused(change: impl Fn(&mut GraphProto)) -> String {
        let mut graph = graph();
        change(&mut graph);
        check(&graph).and_then(|()| check_operations(&graph)).unwrap_err()
    }

    #[test]
    fn a_sound_graph_passes() {
        check(&graph()).unwrap();
        check_operations(&graph()).unwrap();
    }

    #[test]
    fn scales_are_numbers_above_zero() {
        for scale in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
            let why = refused(|graph| graph.initializer[0].float_data = vec![scale]);
            assert!(why.contains("no numbers") || why.contains("node \"a\": its scale is"), "{why}");
        }
        let weights_of_zeros = |graph: &mut GraphProto| {
            graph.initializer.push(constant("z", &[], &[0.0]));
            graph.node.push(node("DequantizeLinear", &["w", "z"], "zeros"));
        };
        let mut zeros = graph();
        weights_of_zeros(&mut zeros);
        check(&zeros).unwrap();
    }

    #[test]
    fn windows_are_whole_and_bounded() {
        let strides =
            |values: &'static [i64]| refused(|graph| graph.node[2].attribute[0].ints = values.to_vec());
        for values in [&[0, 1][..], &[1], &[1, -1], &[1, 1 << 40]] {
            assert!(strides(values).starts_with("node \"y\": its strides ["), "{}", strides(values));
        }
        for pads in [&[1, 1][..], &[-1, 0, 0, 0], &[100_000, 0, 0, 0]] {
            let why = refused(|graph| graph.node[2].attribute[1].ints = pads.to_vec());
            assert!(why.starts_with("node \"y\": its pads ["), "{why}");
        }
    }

    #[test]
    fn a_transposition_names_each_axis_once() {
        let transposed = |perm: &[i64]| {
            let mut graph = graph();
            let mut node = node("Transpose", &["x"], "t");
            node.attribute = vec![ints("perm", perm)];
            graph.node.push(node);
            check(&graph)
        };
        transposed(&[0, 2, 1]).unwrap();
        for perm in [&[0, 0, 1][..], &[0, 1, 3], &[-1, 0, 1]] {
            let why = transposed(perm).unwrap_err();
            assert!(why.starts_with("node \"t\": its perm ["), "{why}");
        }
    }

    #[test]
    fn what_makes_endless_tensors_is_refused() {
        for (op, inputs, values) in [
            ("Expand", vec!["x", "n"], vec![1e5, 3e4]),
            ("ConstantOfShape", vec!["n"], vec![1e5, 3e4]),
            ("Pad", vec!["x", "n"], vec![0.0, 1e5]),
            ("Resize", vec!["x", "", "n"], vec![1.0, f32::INFINITY]),
        ] {
            let why = refused(|graph| {
                graph.initializer.push(constant("n", &[2], &values));
                graph.node.push(node(op, &inputs, "z"));
            });
            assert!(why.starts_with("node \"z\": it "), "{op}: {why}");
        }
        let why = refused(|graph| graph.initializer[1].dims = vec![i64::MAX, 2]);
        assert!(why.starts_with("tensor \"w\" has the shape"), "{why}");
        let many = refused(|graph| graph.node = vec![NodeProto::default(); MAX_NODES + 1]);
        assert!(many.contains("10001 nodes"), "{many}");
    }

    #[test]
    fn order_names_and_operations_are_told() {
        let why = refused(|graph| graph.node.swap(0, 1));
        assert_eq!(why, "node \"b\" reads \"a\", which nothing before it makes");
        assert_eq!(refused(|graph| graph.node[1].output = vec!["a".into()]), "two nodes make \"a\"");
        assert_eq!(refused(|graph| graph.output = vec![value("q")]), "nothing makes its output \"q\"");
        let why = refused(|graph| graph.node[2].op_type = "Teleport".into());
        assert_eq!(why, "node \"y\": no operation called Teleport is known here");
        let why = refused(|graph| graph.node[2].domain = "evil.corp".into());
        assert_eq!(why, "node \"y\": no operation called evil.corp.Conv is known here");
    }

    #[test]
    fn names_are_told_short_and_without_what_moves_a_cursor() {
        let name = format!("\u{1b}[2J{}", "long".repeat(100));
        let why = refused(|graph| {
            graph.node[2].name = name.clone();
            graph.node[2].op_type = "Teleport".into();
        });
        assert!(why.len() < 200 && !why.contains('\u{1b}'), "{why}");
    }
}
