//! Where a model's time goes, node by node.

use std::time::{Duration, Instant};

use tract_onnx::prelude::{DatumType, Tensor, TypedFact, TypedModel, TypedNode};
use tract_onnx::tract_core::internal::Cost;
use tract_onnx::tract_core::plan::eval;

use crate::accelerators::{InferenceError, PreparedModel, failed};

/// A node of a compiled model and its share of the work.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// Its name, after the ONNX tensor or node that it serves.
    pub name: String,
    /// The operation that runs.
    pub operation: String,
    /// Type and shape of what it gives.
    pub output: String,
    /// Whether it is one of the INT8 layers.
    pub is_int8: bool,
    /// Multiply-adds in one run, as far as its shape tells.
    pub macs: u64,
    /// Mean time of one run.
    pub time: Duration,
}

impl PreparedModel {
    /// Returns inputs that fit the model, of values that no operation finds special.
    pub fn made_up_inputs(&self) -> Result<Vec<Tensor>, InferenceError> {
        self.inputs().iter().map(made_up).collect()
    }

    /// Runs the model for at least `duration` on made-up inputs and reports every node, in the order in which
    /// they run.
    pub fn explain(&self, duration: Duration) -> Result<Vec<NodeReport>, InferenceError> {
        let plan = self.plan().ok_or_else(|| failed("only the processor tells what its nodes cost"))?;
        let model = plan.model();
        let inputs = self.made_up_inputs()?;
        let mut times = vec![Duration::ZERO; model.nodes.len()];
        let mut state = plan.spawn().map_err(failed)?;
        let mut runs = 0;
        let started = Instant::now();
        // The first run warms up and does not count.
        while runs < 2 || started.elapsed() < duration {
            let inputs = inputs.iter().cloned().map(Into::into).collect();
            let ran = state.run_plan_with_eval(inputs, |context, op_state, node: &TypedNode, values| {
                let started = Instant::now();
                let result = eval(context, op_state, node, values);
                if runs > 0 {
                    times[node.id] += started.elapsed();
                }
                result
            });
            ran.map_err(failed)?;
            runs += 1;
        }
        let order = model.eval_order().map_err(failed)?;
        Ok(order.into_iter().map(|node| report(model, node, times[node] / (runs - 1))).collect())
    }
}

/// Returns the multiply-adds of one run, as far as shapes tell.
pub(crate) fn macs(model: &TypedModel) -> u64 {
    model.nodes.iter().map(|node| node_macs(model, node)).sum()
}

fn node_macs(model: &TypedModel, node: &TypedNode) -> u64 {
    let facts: Option<Vec<&TypedFact>> =
        node.inputs.iter().map(|input| model.outlet_fact(*input).ok()).collect();
    let costs = facts.and_then(|facts| node.op.cost(&facts).ok()).unwrap_or_default();
    costs
        .iter()
        .filter(|(cost, _)| matches!(cost, Cost::FMA(_)))
        .map(|(_, count)| count.to_i64().map_or(0, i64::unsigned_abs))
        .sum()
}

fn report(model: &TypedModel, node: usize, time: Duration) -> NodeReport {
    let node = &model.nodes[node];
    let operation = node.op.name().into_owned();
    NodeReport {
        name: node.name.clone(),
        is_int8: operation.starts_with("Int8"),
        output: node.outputs.first().map_or_else(String::new, |output| format!("{:?}", output.fact)),
        operation,
        macs: node_macs(model, node),
        time,
    }
}

/// Values that no operation finds special.
fn made_up(signature: &crate::Signature) -> Result<Tensor, InferenceError> {
    let count: usize = signature.shape.iter().product();
    let wave: Vec<f32> = (0..count).map(|at| ((at * 7919) % 255) as f32 / 255.0).collect();
    let tensor = Tensor::from_shape(&signature.shape, &wave).map_err(failed)?;
    let tensor = match signature.datum {
        DatumType::F32 => return Ok(tensor),
        DatumType::U8 => scaled(&tensor, 255.0),
        DatumType::I8 => scaled(&tensor, 127.0),
        _ => scaled(&tensor, 8.0),
    }
    .map_err(failed)?;
    Ok(tensor.cast_to_dt(signature.datum).map_err(failed)?.into_owned())
}

fn scaled(tensor: &Tensor, by: f32) -> tract_onnx::prelude::TractResult<Tensor> {
    let values: Vec<f32> =
        tensor.try_as_plain_ram()?.as_slice::<f32>()?.iter().map(|v| (v * by).floor()).collect();
    Tensor::from_shape(tensor.shape(), &values)
}
