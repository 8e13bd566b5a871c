//! Cross-layer equalisation (Nagel et al. 2019, "Data-Free Quantization", §4.1): between two convolutions,
//! what is divided out of a channel's weights on one side is multiplied into them on the other, so that all
//! channels of the activation between them reach equally far.

use super::graph::Graph;
use super::kinds::is_homogeneous;
use super::proto::integer_of;

/// Rounds over chains of convolutions; the method converges within a few.
const ROUNDS: usize = 20;
/// A channel's factor, over all rounds, is held within these: the bias of a nearly dead channel would grow with it.
const FACTORS: std::ops::RangeInclusive<f32> = 0.1..=10.0;

/// Two convolutions with nothing between them but an activation function that scales with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    first: usize,
    second: usize,
}

/// Equalises all pairs of convolutions; returns how many there are. The function stays the same.
pub(super) fn equalise(graph: &mut Graph) -> usize {
    let pairs = pairs(graph);
    for Pair { first, second } in pairs.iter().copied() {
        for (node, input) in [(first, 1), (first, 2), (second, 1)] {
            graph.own_constant(node, input);
        }
    }
    let mut totals = vec![Vec::new(); pairs.len()];
    for _ in 0..ROUNDS {
        let each = pairs.iter().zip(&mut totals).map(|(pair, total)| equalised(graph, *pair, total));
        let moved = each.fold(0.0, f32::max);
        if moved < 1e-3 {
            break;
        }
    }
    pairs.len()
}

fn pairs(graph: &Graph) -> Vec<Pair> {
    let readers = graph.readers();
    let only_reader = |at: usize| {
        let output = &graph.nodes[at].output[0];
        match readers.get(output).map(Vec::as_slice) {
            Some([only]) if !graph.is_output(output) && graph.nodes[*only].input[0] == *output => Some(*only),
            _ => None,
        }
    };
    let second = |first: usize| {
        let next = only_reader(first)?;
        let second = if is_homogeneous(&graph.nodes[next]) { only_reader(next)? } else { next };
        (fits(graph, first) && fits(graph, second) && channels(graph, first)? == inputs(graph, second)?)
            .then_some(Pair { first, second })
    };
    (0..graph.nodes.len()).filter_map(second).collect()
}

fn fits(graph: &Graph, at: usize) -> bool {
    let node = &graph.nodes[at];
    let bias = node.input.get(2).filter(|name| !name.is_empty());
    let bias_fits = bias.is_none_or(|name| {
        graph.floats(name).is_some_and(|(_, bias)| Some(bias.len()) == channels(graph, at))
    });
    node.op_type == "Conv" && bias_fits && channels(graph, at).is_some() && inputs(graph, at).is_some()
}

fn channels(graph: &Graph, at: usize) -> Option<usize> {
    let (shape, weights) = graph.floats(graph.nodes[at].input.get(1)?)?;
    (shape.len() >= 3 && !weights.is_empty()).then(|| shape[0])
}

fn inputs(graph: &Graph, at: usize) -> Option<usize> {
    let (shape, weights) = graph.floats(graph.nodes[at].input.get(1)?)?;
    let groups = groups(graph, at)?;
    let fits = shape.len() >= 3 && !weights.is_empty() && shape[0].is_multiple_of(groups);
    fits.then(|| shape[1].checked_mul(groups))?
}

fn groups(graph: &Graph, at: usize) -> Option<usize> {
    usize::try_from(integer_of(&graph.nodes[at], "group", 1)).ok().filter(|&groups| groups > 0)
}

/// Returns which input channel a weight of a grouped convolution multiplies.
fn input_of(at: usize, shape: &[usize], groups: usize) -> usize {
    let inner: usize = shape[2..].iter().product();
    let (output, within) = (at / inner / shape[1], at / inner % shape[1]);
    output / (shape[0] / groups) * shape[1] + within
}

/// Equalises one pair, whose channels have these factors so far; returns the largest change of a channel, as the
/// distance of its factor from 1.
fn equalised(graph: &mut Graph, Pair { first, second }: Pair, totals: &mut Vec<f32>) -> f32 {
    let weights = |at: usize| graph.floats(&graph.nodes[at].input[1]);
    let (Some((first_shape, mut before)), Some((second_shape, mut after)), Some(groups)) =
        (weights(first), weights(second), groups(graph, second))
    else {
        return 0.0;
    };
    let channels = first_shape[0];
    let inner = before.len() / channels;
    let (mut made, mut read) = (vec![0.0_f32; channels], vec![0.0_f32; channels]);
    for (at, weight) in before.iter().enumerate() {
        made[at / inner] = made[at / inner].max(weight.abs());
    }
    for (at, weight) in after.iter().enumerate() {
        let channel = input_of(at, &second_shape, groups);
        read[channel] = read[channel].max(weight.abs());
    }
    totals.resize(channels, 1.0);
    let factor = |((made, read), total): ((&f32, &f32), &mut f32)| {
        let factor = (made / read).sqrt();
        let wanted = if factor.is_normal() { *total * factor } else { *total };
        let before = std::mem::replace(total, wanted.clamp(*FACTORS.start(), *FACTORS.end()));
        *total / before
    };
    let factors: Vec<f32> = made.iter().zip(&read).zip(totals).map(factor).collect();
    before.iter_mut().enumerate().for_each(|(at, weight)| *weight /= factors[at / inner]);
    for (at, weight) in after.iter_mut().enumerate() {
        *weight *= factors[input_of(at, &second_shape, groups)];
    }
    let (first_name, second_name) =
        (graph.nodes[first].input[1].clone(), graph.nodes[second].input[1].clone());
    graph.set_floats(&first_name, &first_shape, &before);
    graph.set_floats(&second_name, &second_shape, &after);
    if let Some(name) = graph.nodes[first].input.get(2).filter(|name| !name.is_empty()).cloned()
        && let Some((shape, mut bias)) = graph.floats(&name)
    {
        bias.iter_mut().zip(&factors).for_each(|(bias, factor)| *bias /= factor);
        graph.set_floats(&name, &shape, &bias);
    }
    factors.iter().map(|factor| (factor - 1.0).abs()).fold(0.0, f32::max)
}
