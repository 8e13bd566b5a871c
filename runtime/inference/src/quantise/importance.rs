//! How much an error in each channel of a tensor matters for what comes out in the end.
//!
//! Behind a depthwise convolution, a channel that reaches to 1 can matter as much as one that reaches to 100, because
//! its weights are a hundred times larger. Errors are followed from the outputs back: a convolution multiplies the
//! square of an error by the square of its weights, everything between passes it on.

use std::collections::BTreeMap;

use super::graph::Graph;
use super::kinds::{Kind, kind};
use super::proto::integer_of;

/// From a tensor to a factor on the squared error of each of its channels, with a mean of 1. The channels are the
/// second side. Tensors that are not among them have channels of equal importance.
pub(super) type Importances = BTreeMap<String, Vec<f64>>;

/// No channel counts less than this, so that none is lost for being small.
const LEAST: f64 = 1e-3;

/// Returns the importance of the channels of every tensor that leads to a convolution; `channels` is how many each
/// tensor has.
pub(super) fn importances(graph: &Graph, channels: &BTreeMap<String, usize>) -> Importances {
    let mut found = Importances::new();
    for (at, node) in graph.nodes.iter().enumerate().rev() {
        let Some(output) = node.output.first() else { continue };
        let behind = found.get(output).cloned();
        match (node.op_type.as_str(), kind(graph, node), behind) {
            ("Conv", Kind::Weighted { .. }, behind) => {
                if let Some(before) = through_convolution(graph, at, behind) {
                    add(&mut found, &node.input[0], &before);
                }
            }
            ("Concat", _, Some(behind)) if integer_of(node, "axis", 0) == 1 => {
                let mut rest = behind.as_slice();
                for input in &node.input {
                    let Some((own, others)) =
                        channels.get(input).and_then(|&count| rest.split_at_checked(count))
                    else {
                        break;
                    };
                    add(&mut found, input, own);
                    rest = others;
                }
            }
            ("MaxPool" | "Resize", _, Some(behind)) => add(&mut found, &node.input[0], &behind),
            (_, Kind::Rescaling, Some(behind)) => {
                for input in node.input.iter().filter(|input| channels.get(*input) == Some(&behind.len())) {
                    add(&mut found, input, &behind);
                }
            }
            _ => {}
        }
    }
    found.retain(|_, factors| normalised(factors));
    found
}

fn add(found: &mut Importances, tensor: &str, more: &[f64]) {
    match found.get_mut(tensor) {
        Some(factors) if factors.len() == more.len() => {
            factors.iter_mut().zip(more).for_each(|(factor, more)| *factor += more);
        }
        Some(_) => {}
        None => drop(found.insert(tensor.to_owned(), more.to_vec())),
    }
}

fn through_convolution(graph: &Graph, at: usize, behind: Option<Vec<f64>>) -> Option<Vec<f64>> {
    let node = &graph.nodes[at];
    let (shape, weights) = graph.floats(&node.input[1])?;
    let groups = usize::try_from(integer_of(node, "group", 1)).ok().filter(|&groups| groups > 0)?;
    let inner: usize = shape[2..].iter().product();
    if weights.is_empty() || !shape[0].is_multiple_of(groups) {
        return None;
    }
    let behind = behind.filter(|behind| behind.len() == shape[0]).unwrap_or_else(|| vec![1.0; shape[0]]);
    let mut before = vec![0.0; shape[1].checked_mul(groups)?];
    for (place, weight) in weights.iter().enumerate() {
        let (output, within) = (place / inner / shape[1], place / inner % shape[1]);
        let input = output / (shape[0] / groups) * shape[1] + within;
        before[input] += f64::from(*weight).powi(2) * behind[output];
    }
    // Depth after depth, the numbers would leave what an f64 holds.
    normalised(&mut before).then_some(before)
}

/// Brings factors to a mean of 1; tells whether they can be.
fn normalised(factors: &mut [f64]) -> bool {
    let mean = factors.iter().sum::<f64>() / factors.len().max(1) as f64;
    factors.iter_mut().for_each(|factor| *factor = (*factor / mean).max(LEAST));
    mean.is_normal()
}
