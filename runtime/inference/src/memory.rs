//! How much a compiled model holds while it runs.

use tract_onnx::prelude::TypedModel;

use crate::accelerators::{InferenceError, PreparedModel, failed};
use crate::manifest::ModelEntry;

/// A trusted model and its memory.
#[derive(Debug)]
pub(crate) struct Loaded<M> {
    pub(crate) model: M,
    /// What it holds while it runs, in bytes.
    pub(crate) bytes: u64,
}

/// Returns what a model holds while it runs, in bytes: its weights, about as large as its file, and its activations; or
/// what the manifest says.
pub(crate) fn memory(
    entry: &ModelEntry,
    file_bytes: u64,
    model: &PreparedModel,
) -> Result<u64, InferenceError> {
    match entry.memory_mb {
        Some(megabytes) => Ok(u64::from(megabytes) * 1_000_000),
        None => Ok(file_bytes + model.activation_bytes()?),
    }
}

impl PreparedModel {
    /// Returns the most bytes that its activations take at one moment of a run: every tensor lives from the node that
    /// makes it to the last that reads it.
    ///
    /// What another accelerator takes is reckoned to be what the processor would.
    pub fn activation_bytes(&self) -> Result<u64, InferenceError> {
        match self.plan() {
            Some(plan) => peak(plan.model()).map_err(failed),
            None => Ok(self.fallback_activation_bytes()),
        }
    }
}

fn peak(model: &TypedModel) -> tract_onnx::prelude::TractResult<u64> {
    let order = model.eval_order()?;
    let mut last_use = vec![0; model.nodes.len()];
    for (moment, &node) in order.iter().enumerate() {
        last_use[node] = last_use[node].max(moment);
        for input in &model.nodes[node].inputs {
            last_use[input.node] = moment;
        }
    }
    for output in &model.outputs {
        last_use[output.node] = order.len();
    }
    let mut freed_at: Vec<Vec<usize>> = vec![Vec::new(); order.len() + 1];
    for &node in &order {
        freed_at[last_use[node]].push(node);
    }
    let (mut alive, mut most) = (0_u64, 0_u64);
    for (moment, &node) in order.iter().enumerate() {
        alive += bytes(model, node);
        most = most.max(alive);
        alive -= freed_at[moment].iter().map(|&node| bytes(model, node)).sum::<u64>();
    }
    Ok(most)
}

/// What a node makes in a run; a constant is there before.
fn bytes(model: &TypedModel, node: usize) -> u64 {
    let made = model.nodes[node].outputs.iter().filter(|output| output.fact.konst.is_none());
    let sizes = made.map(|output| {
        let shape = output.fact.shape.as_concrete().unwrap_or_default();
        shape.iter().product::<usize>() * output.fact.datum_type.size_of()
    });
    sizes.sum::<usize>() as u64
}
