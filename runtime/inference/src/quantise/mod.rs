//! From an FP32 ONNX model to INT8: u8 activations with steps a tensor, s8 weights with steps a channel, in QDQ
//! form (opset 13).
//!
//! The graph is prepared, run on samples to see what its activations are, and written with
//! `QuantizeLinear → DequantizeLinear` on every tensor between two operations that can work on integers. What
//! follows the last weighted layer stays in floats: a score after a sigmoid and a box's size do not share
//! 256 levels. Ranges, equalisation of layers and correction of biases are chosen by what brings the outputs
//! nearest to FP32 on the samples; then the most harmful layers are left in floats, until the model is within
//! its error budget.
//!
//! Invariants:
//! - the FP32 function of the prepared graph is that of the model, which is checked on a sample;
//! - nothing in a file makes it panic: what tract panics on is caught.

mod emit;
mod equalise;
mod error;
mod functions;
mod graph;
mod histogram;
mod importance;
mod kinds;
mod measure;
mod observe;
mod opset;
mod placement;
mod prepare;
mod proto;
mod range;
mod report;
mod response;
mod runner;
mod samples;
mod search;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use tract_onnx::prelude::Tensor;

pub use self::error::QuantiseError;
pub use self::measure::Agreement;
pub use self::range::{Affine, Method};
pub use self::report::{Layer, Report, Trial};

use self::graph::Graph;
use self::kinds::{Kind, kind};
use self::runner::{Runner, values};
use self::search::Search;

/// Whether something is done to a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// If the outputs come nearer to FP32 by it.
    #[default]
    Auto,
    /// In any case.
    On,
    /// Not at all.
    Off,
}

/// How an activation function that is several operations is quantised, as SiLU is: x times the sigmoid of x.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Composite {
    /// As one function of x: nothing is rounded within, and 256 values are all there is to it.
    #[default]
    Whole,
    /// Operation by operation, as `onnxruntime.quantization` does and its runtime has kernels for.
    Split,
}

/// How a model is quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How the ranges of activations are chosen; without one, whatever fares best.
    pub method: Option<Method>,
    /// Cutting off a channel's greatest weights, where that lowers its squared error.
    pub clip_weights: Choice,
    /// Activation functions of several operations.
    pub composite: Composite,
    /// Cross-layer equalisation.
    pub equalise: Choice,
    /// Bias correction.
    pub correct_bias: Choice,
    /// The signal to noise ratio that the last weighted layers must reach, as [`Agreement::heads_db`].
    pub budget_db: f64,
    /// Layers that may be left in floats at most to reach it.
    pub most_left: usize,
    /// Share of the multiply-adds that may be left in floats at most, 0 to 1.
    pub most_work: f64,
    /// Samples that every layer is measured alone on; 0 leaves that out, and then no layer is left in floats.
    pub probes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: None,
            clip_weights: Choice::Auto,
            composite: Composite::Whole,
            equalise: Choice::Auto,
            correct_bias: Choice::Auto,
            budget_db: 25.0,
            most_left: 8,
            most_work: 0.04,
            probes: 2,
        }
    }
}

/// What a quantisation is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Running the FP32 model on the samples.
    Calibrating,
    /// Trying methods for the ranges.
    Ranges,
    /// Measuring the layers' own errors.
    Biases,
    /// Quantising one layer alone after the other.
    Layers,
    /// Leaving layers in floats.
    Leaving,
}

/// How far a quantisation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Steps of it that are done.
    pub done: usize,
    /// Steps of it at most.
    pub of: usize,
}

/// Quantises an FP32 ONNX model, calibrated on samples of one tensor for each of its inputs; returns the INT8
/// model as an ONNX file.
pub fn quantise(
    onnx: &[u8],
    samples: &[Vec<Tensor>],
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<u8>, Report), QuantiseError> {
    let graph = prepared(onnx, samples)?;
    let heads = heads(&graph);
    let work = work(&graph, &samples[0])?;
    let mut search = Search::new(graph, (&heads, work), samples, settings, progress)?;
    if !search.fit.plan.quantised.iter().any(|at| is_weighted(&search.fit.graph, *at)) {
        return Err(QuantiseError::Nothing);
    }
    search.try_methods(progress)?;
    search.try_equalisation(progress)?;
    search.try_clipping()?;
    search.leave_harmful(progress)?;
    let mut written = search.fit.integers();
    written.shell.producer_name = "glassd".to_owned();
    search.confirm(&written)?;
    let file = written.model().encode_to_vec();
    let report = reported(&search, settings, samples, (onnx.len(), file.len()))?;
    Ok((file, report))
}

/// Reads and prepares a model, and checks on a sample that it still computes what it did.
fn prepared(onnx: &[u8], samples: &[Vec<Tensor>]) -> Result<Graph, QuantiseError> {
    let mut graph = Graph::read(onnx)?;
    samples::check(&graph, samples)?;
    prepare::lift_constants(&mut graph)?;
    let outputs: Vec<String> = graph.outputs.iter().map(|output| output.name.clone()).collect();
    let mut names: BTreeSet<String> = outputs.iter().cloned().collect();
    names.extend(shaped(&graph));
    let names: Vec<String> = names.into_iter().collect();
    let before = Runner::new(graph.model(), &names, &samples[0])?.run(&samples[0])?;
    let shapes: BTreeMap<String, Vec<usize>> =
        names.iter().cloned().zip(before.iter().map(|tensor| tensor.shape().to_vec())).collect();
    prepare::prepare(&mut graph, &shapes)?;
    let after = Runner::new(graph.model(), &outputs, &samples[0])?.run(&samples[0])?;
    for (name, after) in outputs.iter().zip(&after) {
        let before = names.iter().position(|other| other == name).map(|at| &before[at]);
        if !before.is_some_and(|before| is_same(before, after)) {
            let why = format!("preparing it changed its output {name:?}");
            return Err(QuantiseError::Fails(why));
        }
    }
    Ok(graph)
}

/// Returns the tensors whose shapes decide how an operation is written in a later opset.
fn shaped(graph: &Graph) -> impl Iterator<Item = String> {
    let is_shaped = |op: &str| ["Softmax", "LogSoftmax", "Hardmax"].contains(&op);
    let nodes = graph.nodes.iter().filter(move |node| is_shaped(&node.op_type));
    nodes.filter_map(|node| node.input.first()).filter(|name| !graph.constants.contains_key(*name)).cloned()
}

fn is_same(before: &Tensor, after: &Tensor) -> bool {
    let (Some(a), Some(b)) = (values(before), values(after)) else { return before == after };
    let reach = a.iter().fold(1e-3_f32, |reach, value| reach.max(value.abs()));
    let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-3 * reach || a == b || a.is_nan() && b.is_nan();
    before.shape() == after.shape() && a.iter().zip(b).all(is_near)
}

fn is_weighted(graph: &Graph, at: usize) -> bool {
    matches!(kind(graph, &graph.nodes[at]), Kind::Weighted { .. })
}

/// Returns what the last weighted nodes make: those whose result reaches no other.
fn heads(graph: &Graph) -> Vec<String> {
    let readers = graph.readers();
    let mut leads_on = vec![false; graph.nodes.len()];
    let mut heads = Vec::new();
    for (at, node) in graph.nodes.iter().enumerate().rev() {
        let mut next = node.output.iter().filter_map(|output| readers.get(output)).flatten();
        leads_on[at] = next.any(|&reader| leads_on[reader] || is_weighted(graph, reader));
        if is_weighted(graph, at) && !leads_on[at] {
            heads.push(node.output[0].clone());
        }
    }
    heads
}

fn reported(
    search: &Search<'_>,
    settings: &Settings,
    samples: &[Vec<Tensor>],
    (bytes_before, bytes_after): (usize, usize),
) -> Result<Report, QuantiseError> {
    let graph = &search.fit.graph;
    let layer = |(unit, nodes): (usize, &Vec<usize>)| {
        let node = &graph.nodes[nodes[0]];
        let model_db = search.alone.get(&unit).map(|alone| alone.heads_db);
        let left = match (search.left.get(&unit), search.fit.plan.quantised.contains(&nodes[0])) {
            (Some(gain), _) => Some(format!("among the most harmful, brings {gain:.1} dB")),
            (None, false) => Some("no layer behind it reads integers".to_owned()),
            (None, true) => None,
        };
        let output_db = search.fit.locals.get(&nodes[0]).map(|local| local.sqnr_db);
        Layer { name: crate::soundness::label(node), op: node.op_type.clone(), output_db, model_db, left }
    };
    Ok(Report {
        bytes_before,
        bytes_after,
        samples: samples.len(),
        method: search.fit.method,
        methods: search.fit.plan.methods.clone(),
        equalised: search.fit.equalised,
        corrected: search.fit.weighting.corrections.len(),
        trials: search.trials.clone(),
        layers: search.units.iter().enumerate().map(layer).collect(),
        int8_share: int8_share(search),
        budget_db: settings.budget_db,
        agreement: search.agreement,
    })
}

/// Returns the share of the multiply-adds with constant weights that are done on integers.
fn int8_share(search: &Search<'_>) -> f64 {
    let all: f64 = search.work.values().sum();
    let integers = search.work.iter().filter(|(node, _)| search.fit.plan.quantised.contains(node));
    if all > 0.0 { integers.map(|(_, work)| work).sum::<f64>() / all } else { 0.0 }
}

/// Returns the multiply-adds of each node with constant weights.
fn work(graph: &Graph, sample: &[Tensor]) -> Result<BTreeMap<usize, f64>, QuantiseError> {
    let multiplies = |at: &usize| {
        let node = &graph.nodes[*at];
        ["Conv", "ConvTranspose", "Gemm", "MatMul"].contains(&node.op_type.as_str())
            && node.input.get(1).is_some_and(|name| graph.floats(name).is_some())
    };
    let nodes: Vec<usize> = (0..graph.nodes.len()).filter(multiplies).collect();
    let names: Vec<String> = nodes.iter().map(|at| graph.nodes[*at].output[0].clone()).collect();
    let outputs = Runner::new(graph.model(), &names, sample)?.run(sample)?;
    let work = nodes.iter().zip(&outputs).filter_map(|(&at, output)| {
        let (shape, weights) = graph.floats(&graph.nodes[at].input[1])?;
        let channels = match kind(graph, &graph.nodes[at]) {
            Kind::Weighted { axis } => shape[axis],
            _ => *shape.get(1)?,
        };
        Some((at, output.len() as f64 * weights.len() as f64 / channels.max(1) as f64))
    });
    Ok(work.collect())
}
