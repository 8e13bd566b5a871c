//! Where a model's time goes, node by node.

use std::time::{Duration, Instant};

use tract_onnx::prelude::{DatumType, Tensor, TypedFact, TypedModel, TypedNode};
use tract_onnx::tract_core::internal::Cost;
use tract_onnx::tract_core::plan::eval;

use crate::accelerators::{InferenceError, PreparedModel, Signature, failed, taken};

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

    /// Returns inputs from the bytes of their values, one input after another, as [`Tensor::as_bytes`] gives them.
    pub fn inputs_of(&self, bytes: &[u8]) -> Result<Vec<Tensor>, InferenceError> {
        let mut rest = bytes;
        let input = |signature: &Signature| {
            let count: usize = signature.shape.iter().product();
            let given = rest.split_off(..count * signature.datum.size_of());
            tensor_of(signature, given.ok_or_else(|| failed("there are too few values for the inputs"))?)
        };
        let inputs = self.inputs().iter().map(input).collect::<Result<_, _>>()?;
        if rest.is_empty() { Ok(inputs) } else { Err(failed("there are too many values for the inputs")) }
    }

    /// Runs the model for at least `duration` on made-up inputs and reports every node, in the order in which
    /// they run.
    pub fn explain(&self, duration: Duration) -> Result<Vec<NodeReport>, InferenceError> {
        self.explain_on(&self.made_up_inputs()?, duration)
    }

    /// Runs the model for at least `duration` on these inputs and reports every node, in the order in which they run.
    pub fn explain_on(
        &self,
        inputs: &[Tensor],
        duration: Duration,
    ) -> Result<Vec<NodeReport>, InferenceError> {
        taken(inputs, self.inputs())?;
        let plan = self.plan().ok_or_else(|| failed("only the processor tells what its nodes cost"))?;
        let model = plan.model();
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

/// An input of the types that models are given here, from its bytes.
fn tensor_of(signature: &Signature, bytes: &[u8]) -> Result<Tensor, InferenceError> {
    let shape = &signature.shape;
    let (fours, eights) = (bytes.as_chunks().0, bytes.as_chunks().0);
    let tensor = match signature.datum.unquantized() {
        DatumType::U8 => Tensor::from_shape(shape, bytes),
        DatumType::I8 => Tensor::from_shape(shape, &values(bytes, |byte| byte.cast_signed())),
        DatumType::F32 => Tensor::from_shape(shape, &values(fours, |bytes| f32::from_ne_bytes(*bytes))),
        DatumType::I32 => Tensor::from_shape(shape, &values(fours, |bytes| i32::from_ne_bytes(*bytes))),
        DatumType::I64 => Tensor::from_shape(shape, &values(eights, |bytes| i64::from_ne_bytes(*bytes))),
        other => return Err(failed(format!("no input of {other:?} is made from bytes"))),
    };
    tensor.map_err(failed)
}

fn values<B, T>(bytes: &[B], value: impl Fn(&B) -> T) -> Vec<T> {
    bytes.iter().map(value).collect()
}

/// Values that no operation finds special.
fn made_up(signature: &Signature) -> Result<Tensor, InferenceError> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use crate::Accelerator;

    #[test]
    fn inputs_are_made_from_their_bytes() {
        let prepared = Accelerator::Cpu.prepare(crate::embedded::ONNX).unwrap();
        let inputs = prepared.made_up_inputs().unwrap();
        let bytes = inputs[0].as_bytes();
        assert_eq!(prepared.inputs_of(bytes).unwrap(), inputs);
        let refused = |bytes: &[u8]| prepared.inputs_of(bytes).unwrap_err().to_string();
        assert!(refused(&bytes[1..]).contains("too few values"));
        assert!(refused(&[bytes, &[0]].concat()).contains("too many values"));
    }
}
