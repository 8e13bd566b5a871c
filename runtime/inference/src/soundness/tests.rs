#![allow(clippy::unwrap_used, reason = "tests")]

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, OperatorSetIdProto, ValueInfoProto};

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
    let strides = |values: &'static [i64]| refused(|graph| graph.node[2].attribute[0].ints = values.to_vec());
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

#[test]
fn operations_are_of_a_set_that_there_is() {
    let check = |domain: &str, version: i64| {
        let set = OperatorSetIdProto { domain: domain.into(), version };
        check_opset(&ModelProto { opset_import: vec![set], ..Default::default() })
    };
    for version in [1, 13, MAX_OPSET] {
        check("", version).unwrap();
    }
    check("com.microsoft", 999).unwrap();
    for version in [0, -1, 999] {
        let why = check("", version).unwrap_err();
        assert_eq!(why, format!("its operations are of opset {version}, known are 1 to 28"));
    }
}

#[test]
fn a_graph_without_operations_is_refused() {
    assert_eq!(refused(|graph| graph.node.clear()), "it has no operations");
}

#[test]
fn groups_kernels_and_padding_fit_the_weights() {
    let with = |attribute: AttributeProto| refused(|graph| graph.node[2].attribute.push(attribute.clone()));
    let group = |i: i64| AttributeProto { name: "group".into(), i, ..Default::default() };
    for count in [0, -1, 2] {
        let why = with(group(count));
        assert_eq!(why, format!("node \"y\": its group {count} does not divide its 1 filters"));
    }
    let why = with(ints("kernel_shape", &[5, 5]));
    assert_eq!(why, "node \"y\": its kernel_shape [5, 5] is not that of its weights, [3, 3]");
    let why = with(AttributeProto { name: "auto_pad".into(), s: b"LIES".to_vec(), ..Default::default() });
    assert_eq!(why, "node \"y\": its auto_pad \"LIES\" is no way to pad");
}

#[test]
fn the_window_of_weights_that_are_dequantised_is_known() {
    let why = refused(|graph| {
        graph.node.insert(0, node("DequantizeLinear", &["w", "s"], "v"));
        graph.node[3].input[1] = "v".into();
        graph.node[3].attribute = vec![ints("pads", &[1])];
    });
    assert_eq!(why, "node \"y\": its pads [1] are not 4 numbers from 0 to 1024");
}

#[test]
fn tensors_hold_as_many_values_as_their_shapes() {
    let why = refused(|graph| graph.initializer[1].dims = vec![1, 1, 3, 4]);
    assert_eq!(why, "tensor \"w\" has 9 values, and its shape [1, 1, 3, 4] holds 12");
    let why = refused(|graph| {
        graph.initializer[1].float_data.clear();
        graph.initializer[1].raw_data = vec![0; 35];
    });
    assert_eq!(why, "tensor \"w\" has 8 values, and its shape [1, 1, 3, 3] holds 9");
    let why = refused(|graph| graph.initializer[1].data_type = 99);
    assert_eq!(why, "tensor \"w\" has values of a type that there is not, 99");
}

#[test]
fn nothing_is_padded_by_less_than_nothing() {
    let why = refused(|graph| {
        graph.initializer.push(constant("n", &[2], &[0.0, -9.0]));
        graph.node.push(node("Pad", &["x", "n"], "z"));
    });
    assert_eq!(why, "node \"z\": it pads by -9, 0 to 1024 are taken");
}

/// Checks one node on an input "x" of 2×4 with a constant "n".
fn on_two_by_four(op: &str, attribute: Option<AttributeProto>, constants: &[f32]) -> Result<(), String> {
    let mut node = node(op, &["x", "n"], "y");
    node.attribute.extend(attribute);
    let graph = GraphProto {
        initializer: vec![constant("n", &[constants.len() as i64], constants)],
        node: vec![node],
        ..Default::default()
    };
    let count = constants.len() as i64;
    check_shapes(&graph, |name| match name {
        "x" => Some(vec![Some(2), Some(4)]),
        "n" => Some(vec![Some(count)]),
        _ => None,
    })
}

#[test]
fn axes_are_those_of_the_input() {
    let axis = |op: &str, i: i64| {
        on_two_by_four(op, Some(AttributeProto { name: "axis".into(), i, ..Default::default() }), &[1.0])
    };
    for op in ["Softmax", "LogSoftmax", "Concat", "ArgMax", "TopK", "LayerNormalization"] {
        for good in [-2, 0, 1] {
            axis(op, good).unwrap();
        }
        for bad in [-3, 2, 42] {
            let why = axis(op, bad).unwrap_err();
            assert_eq!(why, format!("node \"y\": its axis {bad} is not one from -2 to 1"), "{op}");
        }
    }
    axis("Flatten", 2).unwrap();
    axis("Flatten", 3).unwrap_err();
    for op in ["ReduceMean", "Squeeze"] {
        on_two_by_four(op, Some(ints("axes", &[1, -2])), &[]).unwrap();
        on_two_by_four(op, Some(ints("axes", &[1, 2])), &[]).unwrap_err();
    }
    on_two_by_four("ReduceSum", None, &[-1.0]).unwrap();
    on_two_by_four("ReduceSum", None, &[5.0]).unwrap_err();
    on_two_by_four("Unsqueeze", None, &[0.0, 3.0]).unwrap();
    on_two_by_four("Unsqueeze", None, &[0.0, 4.0]).unwrap_err();
}

#[test]
fn what_is_gathered_or_cut_is_there() {
    let axis = || Some(AttributeProto { name: "axis".into(), i: 1, ..Default::default() });
    on_two_by_four("Gather", axis(), &[3.0, -4.0]).unwrap();
    let why = on_two_by_four("Gather", axis(), &[0.0, 99.0]).unwrap_err();
    assert_eq!(why, "node \"y\": it gathers the value at 99 of 4");
    on_two_by_four("Split", axis(), &[3.0, 1.0]).unwrap();
    let why = on_two_by_four("Split", axis(), &[3.0, 9.0]).unwrap_err();
    assert_eq!(why, "node \"y\": it cuts 4 into [3, 9]");
}

#[test]
fn there_is_a_step_for_each_channel() {
    on_two_by_four("DequantizeLinear", None, &[0.5]).unwrap();
    on_two_by_four("DequantizeLinear", None, &[0.5; 4]).unwrap();
    let why = on_two_by_four("DequantizeLinear", None, &[0.5; 3]).unwrap_err();
    assert_eq!(why, "node \"y\": it has 3 steps, and its input has 4 values along axis 1");
    let axis = AttributeProto { name: "axis".into(), i: 77, ..Default::default() };
    let why = on_two_by_four("DequantizeLinear", Some(axis), &[0.5; 4]).unwrap_err();
    assert_eq!(why, "node \"y\": its axis 77 is not one from -2 to 1");
}

#[test]
fn what_is_computed_value_by_value_has_the_same_sides() {
    for fitting in [1, 4] {
        on_two_by_four("Add", None, &vec![0.5; fitting]).unwrap();
    }
    let why = on_two_by_four("Mul", None, &[0.5; 3]).unwrap_err();
    assert_eq!(why, "node \"y\": its inputs 2x4 and 3 do not fit each other");
}
