//! How far a quantised model is from its FP32 form on the samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::Tensor;

use super::QuantiseError;
use super::emit::{Weighting, emit_local};
use super::graph::Graph;
use super::placement::Plan;
use super::runner::{Runner, values};

/// Agreement of the quantised model's outputs with those of FP32, on the calibration samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Signal to quantisation noise of all outputs together, in dB; the signal is what varies.
    pub sqnr_db: f64,
    /// The same before the tail of functions in floats, as the mean over the last weighted layers, in dB.
    pub heads_db: f64,
    /// Cosine of the angle between the outputs, −1 to 1; the mean over samples.
    pub cosine: f64,
    /// The largest difference of a value.
    pub max_error: f64,
    /// Share of samples with the same greatest value; of models whose only output has one row.
    pub top1: Option<f64>,
}

/// Sums for a ratio of signal to noise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noise {
    sum: f64,
    squares: f64,
    noise: f64,
    count: f64,
}

impl Noise {
    pub(super) fn add(&mut self, reference: &[f32], actual: &[f32]) {
        for (&reference, &actual) in reference.iter().zip(actual) {
            let (reference, actual) = (f64::from(reference), f64::from(actual));
            self.sum += reference;
            self.squares += reference * reference;
            self.noise += (reference - actual).powi(2);
            self.count += 1.0;
        }
    }

    /// Returns the ratio in dB, at most 200 where there is no noise.
    pub(super) fn decibels(&self) -> f64 {
        const MOST: f64 = 200.0;
        let signal = self.squares - self.sum * self.sum / self.count.max(1.0);
        if self.noise <= 0.0 {
            return MOST;
        }
        (10.0 * (signal.max(0.0) / self.noise).log10()).clamp(-MOST, MOST)
    }
}

/// The FP32 model's outputs and the heads before them, on every sample.
pub(super) struct Reference {
    names: Vec<String>,
    outputs: usize,
    results: Vec<Vec<Tensor>>,
}

impl Reference {
    /// Runs the FP32 model; `heads` are tensors to compare besides the outputs.
    pub(super) fn new(
        graph: &Graph,
        heads: &[String],
        samples: &[Vec<Tensor>],
    ) -> Result<Self, QuantiseError> {
        let mut names: Vec<String> = graph.outputs.iter().map(|output| output.name.clone()).collect();
        let outputs = names.len();
        names.extend(heads.iter().filter(|head| !graph.is_output(head)).cloned());
        let runner = Runner::new(graph.model(), &names, &samples[0])?;
        let results: Result<_, _> = samples.iter().map(|sample| runner.run(sample)).collect();
        Ok(Self { names, outputs, results: results? })
    }

    /// Compares a quantised graph, which has the same names, on the first `most` samples.
    pub(super) fn compare(
        &self,
        graph: &Graph,
        samples: &[Vec<Tensor>],
        most: usize,
    ) -> Result<Agreement, QuantiseError> {
        let runner = Runner::new(graph.model(), &self.names, &samples[0])?;
        let mut noises = vec![Noise::default(); self.names.len()];
        let mut whole = Noise::default();
        let (mut cosines, mut max_error, mut same, mut ranked) = (Vec::new(), 0.0_f64, 0.0, 0.0);
        for (sample, expected) in samples.iter().zip(&self.results).take(most) {
            let actual = runner.run(sample)?;
            for (at, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
                let (Some(expected_values), Some(actual)) = (values(expected), values(actual)) else {
                    continue;
                };
                noises[at].add(expected_values, actual);
                if at >= self.outputs {
                    continue;
                }
                whole.add(expected_values, actual);
                cosines.push(cosine(expected_values, actual));
                let errors = expected_values.iter().zip(actual).map(|(a, b)| f64::from((a - b).abs()));
                max_error = errors.fold(max_error, f64::max);
                if self.outputs == 1 && is_row(expected) {
                    ranked += 1.0;
                    same += f64::from(u8::from(peak(expected_values) == peak(actual)));
                }
            }
        }
        let heads = if noises.len() > self.outputs { &noises[self.outputs..] } else { &noises[..] };
        Ok(Agreement {
            sqnr_db: whole.decibels(),
            heads_db: heads.iter().map(Noise::decibels).sum::<f64>() / heads.len().max(1) as f64,
            cosine: cosines.iter().sum::<f64>() / cosines.len().max(1) as f64,
            max_error,
            top1: (ranked > 0.0).then(|| same / ranked),
        })
    }
}

/// A row of scores: more than one value, all on one side.
fn is_row(tensor: &Tensor) -> bool {
    tensor.len() > 1 && tensor.shape().contains(&tensor.len())
}

fn peak(values: &[f32]) -> Option<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { f64::from(u8::from(a == b)) }
}

/// What quantising one weighted node alone does to its own output.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// Signal to noise of its output, in dB.
    pub(super) sqnr_db: f64,
    /// Mean of FP32 minus quantised, a value an output channel.
    pub(super) shift: Vec<f32>,
}

/// Measures every planned weighted node with quantised input and weights, on FP32 inputs.
pub(super) fn local(
    graph: &Graph,
    plan: &Plan,
    weighting: &Weighting,
    samples: &[Vec<Tensor>],
) -> Result<BTreeMap<usize, Local>, QuantiseError> {
    let (twins, pairs) = emit_local(graph, plan, weighting);
    let names: Vec<String> = pairs.iter().flat_map(|(_, a, b)| [a.clone(), b.clone()]).collect();
    let runner = Runner::new(twins.model(), &names, &samples[0])?;
    let mut noises = vec![Noise::default(); pairs.len()];
    let mut sums: Vec<(Vec<f64>, f64)> = vec![(Vec::new(), 0.0); pairs.len()];
    for sample in samples {
        let results = runner.run(sample)?;
        for (at, pair) in results.chunks_exact(2).enumerate() {
            let (Some(expected), Some(actual)) = (values(&pair[0]), values(&pair[1])) else { continue };
            noises[at].add(expected, actual);
            // The channels of a convolution's output are its second side, those of a product its last.
            let shape = pair[0].shape();
            let axis = if graph.nodes[pairs[at].0].op_type == "Conv" { 1 } else { shape.len() - 1 };
            let inner: usize = shape[axis + 1..].iter().product();
            let (sums, count) = &mut sums[at];
            sums.resize(shape[axis], 0.0);
            *count += expected.len() as f64 / shape[axis] as f64;
            for (place, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                sums[place / inner % shape[axis]] += f64::from(*expected) - f64::from(*actual);
            }
        }
    }
    let measured = pairs.iter().zip(noises).zip(sums).map(|(((node, _, _), noise), (sums, count))| {
        let shift = sums.iter().map(|sum| (sum / count.max(1.0)) as f32).collect();
        (*node, Local { sqnr_db: noise.decibels(), shift })
    });
    Ok(measured.collect())
}
