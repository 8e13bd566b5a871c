//! Each step by itself: ranges, equalisation, correction, preparation.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tract_onnx::prelude::Tensor;

use super::super::Composite;
use super::super::emit::{Form, Weighting, emit};
use super::super::equalise::equalise;
use super::super::graph::Graph;
use super::super::histogram::Histogram;
use super::super::importance::importances;
use super::super::measure::local;
use super::super::observe::observe;
use super::super::placement::{Plan, Ranges, chosen};
use super::super::prepare::prepare;
use super::super::proto::{float_of, integer};
use super::super::range::{Affine, Method, best, by_method};
use super::super::response::Response;
use super::super::runner::{Runner, values};
use super::net::{Net, Noise, integers, mixed};

fn counted(values: &[f32]) -> Histogram {
    let fold = |(low, high): (f32, f32), value: &f32| (low.min(*value), high.max(*value));
    let (low, high) = values.iter().fold((0.0, 0.0), fold);
    let mut histogram = Histogram::new(low, high);
    histogram.add(values, 1.0);
    histogram
}

/// About normal, of deviation 1, with one value far out.
fn bell_with_outlier() -> Histogram {
    let mut noise = Noise::new(3);
    let mut values: Vec<f32> = (0..100_000).map(|_| noise.values(12).iter().sum::<f32>() / 2.0).collect();
    values.push(40.0);
    counted(&values)
}

#[test]
fn methods_cut_an_outlier_off_and_keep_the_bell() {
    let histogram = bell_with_outlier();
    let reach = |method| {
        let Affine { scale, zero } = by_method(&histogram, Response::Identity, method);
        (255.0 - f32::from(zero)) * scale
    };
    assert!((reach(Method::MinMax) - 40.0).abs() < 0.2);
    // A bell of this deviation ends between 3 and 5. By squares one value so far out counts for much.
    for method in [Method::Percentile, Method::Entropy] {
        assert!((2.0..8.0).contains(&reach(method)), "{}: {}", method.name(), reach(method));
    }
    assert!(reach(Method::Percentile) > 3.0);
}

#[test]
fn what_a_silu_makes_nothing_of_gets_no_levels() {
    let mut noise = Noise::new(5);
    let histogram = counted(&noise.values(50_000).iter().map(|value| value * 60.0).collect::<Vec<_>>());
    let low = |response| {
        let Affine { scale, zero } = best(&histogram, response).1;
        -f32::from(zero) * scale
    };
    assert!(low(Response::Identity) < -55.0);
    assert!((-15.0..-1.0).contains(&low(Response::Silu)), "{}", low(Response::Silu));
}

proptest! {
    /// Padding is 0, and so 0 must be exact, whatever the range.
    #[test]
    fn zero_is_exact(low in -1e30_f32..1e30, high in -1e30_f32..1e30) {
        let Affine { scale, zero } = Affine::of_range(low, high);
        prop_assert!(scale.is_normal() && scale > 0.0);
        // Both ends are within half a step of a level.
        let reach = |level: f32| (level - f32::from(zero)) * scale;
        prop_assert!(reach(0.0) <= low.min(0.0) + 0.51 * scale);
        prop_assert!(reach(255.0) >= high.max(0.0) - 0.51 * scale);
    }

    /// The best method errs no more than any.
    #[test]
    fn the_best_is_best(values in prop::collection::vec(-10.0_f32..10.0, 1..200)) {
        let histogram = counted(&values);
        let error = |steps: Affine| steps.squared_error(&histogram, Response::Identity);
        let least = error(best(&histogram, Response::Identity).1);
        for method in Method::ALL {
            prop_assert!(least <= error(by_method(&histogram, Response::Identity, method)));
        }
    }
}

fn run(graph: &Graph, output: &str, sample: &[Tensor]) -> Vec<f32> {
    let outputs = Runner::new(graph.model(), &[output.to_owned()], sample).unwrap().run(sample).unwrap();
    values(&outputs[0]).unwrap().to_vec()
}

fn assert_near(a: &[f32], b: &[f32], within: f32) {
    assert_eq!(a.len(), b.len());
    let reach = a.iter().fold(1.0_f32, |reach, value| reach.max(value.abs()));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= within * reach, "{a} became {b}");
    }
}

/// Three convolutions, one of them depthwise, with what `function` is between them.
fn chain(function: &str) -> Net {
    let mut net = Net::new(&[1, 3, 8, 8]);
    net.conv("x", "c1", [6, 3], 1);
    net.node(function, &["c1"], "a1");
    net.conv("a1", "c2", [6, 6], 6);
    net.node(function, &["c2"], "a2");
    net.conv("a2", "y", [4, 6], 2);
    net
}

#[test]
fn equalisation_leaves_the_function_and_evens_the_channels() {
    for function in ["Relu", "LeakyRelu"] {
        let net = chain(function);
        let samples = net.samples(3);
        let before = Graph::read(&net.model("y")).unwrap();
        let mut after = before.clone();
        assert_eq!(equalise(&mut after), 2);
        for sample in &samples {
            assert_near(&run(&before, "y", sample), &run(&after, "y", sample), 1e-4);
        }
        // The second convolution is depthwise: both have a reach for each channel between them.
        let reaches = |graph: &Graph, at: usize| -> Vec<f32> {
            let (shape, weights) = graph.floats(&graph.nodes[at].input[1]).unwrap();
            let channels = weights.chunks(weights.len() / shape[0]);
            channels.map(|channel| channel.iter().fold(0.0_f32, |reach, w| reach.max(w.abs()))).collect()
        };
        let mismatch = |graph: &Graph| {
            let pairs = reaches(graph, 0).into_iter().zip(reaches(graph, 2));
            pairs.map(|(a, b)| (a / b).ln().abs()).fold(0.0, f32::max)
        };
        assert!(mismatch(&before) > 0.2 && mismatch(&after) < 0.05, "{}", mismatch(&after));
    }
}

#[test]
fn nothing_is_equalised_across_what_does_not_scale() {
    for function in ["Sigmoid", "HardSigmoid"] {
        assert_eq!(equalise(&mut Graph::read(&chain(function).model("y")).unwrap()), 0);
    }
}

#[test]
fn correction_lowers_the_mean_error() {
    let net = chain("Relu");
    let samples = net.samples(6);
    let graph = Graph::read(&net.model("y")).unwrap();
    let activations = observe(&graph, &samples, &mut |_| {}).unwrap();
    let quantised = chosen(&graph, &activations, &BTreeSet::new());
    let plan =
        Plan::new(&graph, &activations, quantised, Some(Method::MinMax), Composite::Whole, &Ranges::new());
    let mean_shift = |weighting: &Weighting| -> f32 {
        let locals = local(&graph, &plan, weighting, &samples).unwrap();
        locals.values().flat_map(|local| &local.shift).map(|shift| shift.abs()).sum()
    };
    let plain = Weighting::default();
    let locals = local(&graph, &plan, &plain, &samples).unwrap();
    let corrections: BTreeMap<_, _> = locals.into_iter().map(|(node, local)| (node, local.shift)).collect();
    let corrected = Weighting { corrections, ..Weighting::default() };
    assert!(mean_shift(&corrected) < mean_shift(&plain) / 10.0);
}

#[test]
fn a_batch_normalisation_is_folded() {
    let mut net = Net::new(&[1, 3, 8, 8]);
    net.conv("x", "c1", [4, 3], 1);
    let mut noise = Noise::new(11);
    for name in ["scale", "shift", "mean"] {
        net.constant(name, &[4], &noise.values(4));
    }
    net.constant("variance", &[4], &[0.5, 1.0, 2.0, 4.0]);
    net.node("BatchNormalization", &["c1", "scale", "shift", "mean", "variance"], "n1");
    net.constant("more", &[4, 1, 1], &noise.values(4));
    net.node("Add", &["n1", "more"], "y");
    let before = Graph::read(&net.model("y")).unwrap();
    let mut after = before.clone();
    prepare(&mut after, &BTreeMap::new()).unwrap();
    assert_eq!(after.nodes.len(), 1);
    let sample = &net.samples(1)[0];
    assert_near(&run(&before, "y", sample), &run(&after, "y", sample), 1e-5);
}

#[test]
fn older_forms_are_raised_to_opset_13() {
    let mut net = Net::new(&[1, 3, 8, 8]);
    net.opset = 9;
    net.conv("x", "c1", [5, 3], 1);
    let clip = net.node("Clip", &["c1"], "a1");
    clip.attribute = vec![float("min", -0.5), float("max", 2.0)];
    net.node("Slice", &["a1"], "cut").attribute =
        vec![integers("starts", &[1, 2]), integers("ends", &[7, 8]), integers("axes", &[2, 3])];
    net.node("GlobalAveragePool", &["cut"], "mean");
    net.node("Softmax", &["mean"], "shares").attribute = vec![integer("axis", 1)];
    net.node("Squeeze", &["shares"], "y").attribute = vec![integers("axes", &[2, 3])];
    let before = Graph::read(&net.model("y")).unwrap();
    let mut after = before.clone();
    prepare(&mut after, &BTreeMap::from([("mean".to_owned(), vec![1, 5, 1, 1])])).unwrap();
    assert_eq!(after.opset(), 13);
    assert_eq!(float_of(&after.nodes[1], "min", 9.0), 9.0);
    let sample = &net.samples(1)[0];
    assert_near(&run(&before, "y", sample), &run(&after, "y", sample), 1e-6);
}

fn float(name: &str, f: f32) -> tract_onnx::pb::AttributeProto {
    use tract_onnx::pb::attribute_proto::AttributeType;
    let r#type = AttributeType::Float as i32;
    tract_onnx::pb::AttributeProto { name: name.to_owned(), r#type, f, ..Default::default() }
}

#[test]
fn integers_and_their_simulation_are_the_same_function() {
    let net = mixed();
    let samples = net.samples(4);
    let graph = Graph::read(&net.model("y")).unwrap();
    let activations = observe(&graph, &samples, &mut |_| {}).unwrap();
    let quantised = chosen(&graph, &activations, &BTreeSet::new());
    let plan = Plan::new(&graph, &activations, quantised, None, Composite::Whole, &Ranges::new());
    let both = [Form::Integers, Form::Simulated].map(|form| emit(&graph, &plan, &Weighting::default(), form));
    for sample in &samples {
        assert_near(&run(&both[0], "y", sample), &run(&both[1], "y", sample), 1e-4);
    }
}

#[test]
fn a_channel_counts_by_the_weights_behind_it() {
    let mut net = Net::new(&[1, 2, 8, 8]);
    net.node("Relu", &["x"], "a");
    let mut weights = vec![0.1; 9];
    weights.extend([1.0; 9]);
    net.constant("w", &[2, 1, 3, 3], &weights);
    net.node("Conv", &["a", "w"], "y").attribute = vec![integer("group", 2), integers("pads", &[1; 4])];
    let graph = Graph::read(&net.model("y")).unwrap();
    let channels = ["x", "a", "y"].map(|name| (name.to_owned(), 2)).into();
    let found = importances(&graph, &channels);
    for tensor in ["x", "a"] {
        let [small, large] = found[tensor][..] else { panic!("{found:?}") };
        assert!((large / small - 100.0).abs() < 0.1, "{tensor}: {small} and {large}");
    }
}
