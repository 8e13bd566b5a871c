//! What the FP32 model's activations are on the samples.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::prelude::Tensor;

use super::QuantiseError;
use super::graph::Graph;
use super::histogram::Histogram;
use super::importance::importances;
use super::kinds::{Kind, data_inputs, kind};
use super::runner::{Runner, values};
use super::{Progress, Stage};

/// The activations that can be quantised: their distributions over all samples.
pub(super) type Activations = BTreeMap<String, Histogram>;

/// Takes the number of a sample, that of a tensor, its shape and its values.
type Look<'a> = dyn FnMut(usize, usize, &[usize], &[f32]) -> Result<(), QuantiseError> + 'a;

/// Runs the model on every sample, twice: for the extremes, then for the counts between them.
pub(super) fn observe(
    graph: &Graph,
    samples: &[Vec<Tensor>],
    progress: &mut dyn FnMut(Progress),
) -> Result<Activations, QuantiseError> {
    let names = candidates(graph);
    let runner = Runner::new(graph.model(), &names, &samples[0])?;
    let mut extremes: Vec<Option<(f32, f32)>> = vec![None; names.len()];
    let mut pass = 0;
    let mut each = |look: &mut Look<'_>| {
        for (index, sample) in samples.iter().enumerate() {
            progress(Progress { stage: Stage::Calibrating, done: pass, of: 2 * samples.len() });
            for (at, tensor) in runner.run(sample)?.iter().enumerate() {
                // Only floats are quantised; a shape that is computed with is none.
                if let Some(values) = values(tensor) {
                    look(index, at, tensor.shape(), values)?;
                }
            }
            pass += 1;
        }
        Ok(())
    };
    let mut channels = BTreeMap::new();
    each(&mut |index, at, shape, values| {
        if !values.iter().all(|value| value.is_finite()) {
            return Err(QuantiseError::ActivationsNotFinite { tensor: names[at].clone(), index });
        }
        if let Some(&count) = shape.get(1) {
            channels.insert(names[at].clone(), count);
        }
        let (low, high) = extremes[at].unwrap_or((0.0, 0.0));
        let low = values.iter().fold(low, |low, &value| low.min(value));
        extremes[at] = Some((low, values.iter().fold(high, |high, &value| high.max(value))));
        Ok(())
    })?;
    let empty = |extremes: &Option<(f32, f32)>| extremes.map(|(low, high)| Histogram::new(low, high));
    let mut histograms: Vec<Option<Histogram>> = extremes.iter().map(empty).collect();
    let importances = importances(graph, &channels);
    each(&mut |_, at, shape, values| {
        let Some(histogram) = &mut histograms[at] else { return Ok(()) };
        match importances.get(&names[at]) {
            Some(factors) if shape.get(1) == Some(&factors.len()) && !values.is_empty() => {
                let inner = shape[2..].iter().product::<usize>().max(1);
                let channels = values.chunks(inner).zip(factors.iter().cycle());
                channels.for_each(|(channel, factor)| histogram.add(channel, *factor));
            }
            _ => histogram.add(values, 1.0),
        }
        Ok(())
    })?;
    let named = names.iter().cloned().zip(histograms);
    Ok(named.filter_map(|(name, histogram)| Some((name, histogram?))).collect())
}

/// Returns what goes into and comes out of the operations that work on integers.
fn candidates(graph: &Graph) -> Vec<String> {
    let mut names = BTreeSet::new();
    for node in &graph.nodes {
        let kind = kind(graph, node);
        if kind != Kind::Float {
            names.extend(data_inputs(node, kind).map(|at| node.input[at].clone()));
            names.extend(node.output.iter().cloned());
        }
    }
    names.retain(|name| !name.is_empty() && !graph.constants.contains_key(name));
    names.into_iter().collect()
}
