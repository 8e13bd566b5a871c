//! Functions that are spelled out become one operation, and stay one function when they are quantised.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use tract_onnx::pb::ModelProto;

use super::super::graph::Graph;
use super::super::prepare::prepare;
use super::super::runner::{Runner, values};
use super::super::{Settings, quantise};
use super::net::Net;

/// A convolution, a hard swish spelled out by PaddlePaddle's exporter, a factor and a shift, a convolution.
fn spelled_out(three: f32) -> Net {
    let mut net = Net::new(&[1, 3, 12, 12]);
    for (name, value) in [("three", three), ("zero", 0.0), ("six", 6.0), ("factor", 1.3), ("shift", -0.4)] {
        net.constant(name, &[], &[value]);
    }
    net.conv("x", "c1", [6, 3], 1);
    net.node("Add", &["c1", "three"], "more");
    net.node("Clip", &["more", "zero", "six"], "within");
    net.node("Mul", &["c1", "within"], "times");
    net.node("Div", &["times", "six"], "swish");
    net.node("Mul", &["factor", "swish"], "scaled");
    net.node("Add", &["scaled", "shift"], "shifted");
    net.conv("shifted", "y", [4, 6], 1);
    net
}

fn ops(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.op_type.as_str()).collect()
}

#[test]
fn a_hard_swish_is_found_and_computes_the_same() {
    let check = |three: f32, expected: &[&str]| {
        let net = spelled_out(three);
        let before = Graph::read(&net.model("y")).unwrap();
        let mut after = before.clone();
        prepare(&mut after, &BTreeMap::new()).unwrap();
        assert_eq!(ops(&after), expected, "{three}");
        let sample = &net.samples(1)[0];
        let run =
            |graph: &Graph| Runner::new(graph.model(), &["y".into()], sample).unwrap().run(sample).unwrap();
        let (before, after) = (run(&before), run(&after));
        let pairs = values(&before[0]).unwrap().iter().zip(values(&after[0]).unwrap());
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-3 * a.abs().max(1.0)));
    };
    check(3.0, &["Conv", "HardSwish", "Mul", "Add", "Conv"]);
    check(2.0, &["Conv", "Add", "Clip", "Mul", "Mul", "Mul", "Add", "Conv"]);
}

#[test]
fn a_function_with_factor_and_shift_is_rounded_once() {
    let net = spelled_out(3.0);
    let (file, report) =
        quantise(&net.model("y"), &net.samples(8), &Settings::default(), &mut |_| {}).unwrap();
    assert!(report.agreement.cosine > 0.999, "{report}");
    let graph = ModelProto::decode(file.as_slice()).unwrap().graph.unwrap();
    let rounded: BTreeSet<&str> = graph
        .node
        .iter()
        .filter(|node| node.op_type == "QuantizeLinear")
        .map(|node| node.input[0].as_str())
        .collect();
    assert_eq!(rounded, BTreeSet::from(["x", "c1", "shifted"]));
}
