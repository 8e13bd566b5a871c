//! Running models whose inner tensors are looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::{
    DatumType, InferenceFact, InferenceModelExt, IntoRunnable, IntoTensor, Tensor, TractResult,
    TypedRunnableModel,
};

use super::QuantiseError;
use crate::exact_softmax;

/// A model compiled to give out chosen tensors.
pub(super) struct Runner {
    plan: Arc<TypedRunnableModel>,
}

impl Runner {
    /// Compiles a model for inputs like those of `sample`, to give out the tensors `wanted`, each named once.
    pub(super) fn new(
        mut model: ModelProto,
        wanted: &[String],
        sample: &[Tensor],
    ) -> Result<Self, QuantiseError> {
        if let Some(graph) = &mut model.graph {
            let output = |name: &String| ValueInfoProto { name: name.clone(), ..Default::default() };
            graph.output = wanted.iter().map(output).collect();
        }
        let plan = caught("compiling it", || compile(&model, sample))?;
        Ok(Self { plan })
    }

    /// Runs the model; returns the wanted tensors in their order.
    pub(super) fn run(&self, sample: &[Tensor]) -> Result<Vec<Tensor>, QuantiseError> {
        caught("running it", || {
            let outputs = self.plan.run(sample.iter().cloned().map(Into::into).collect())?;
            Ok(outputs.into_iter().map(IntoTensor::into_tensor).collect())
        })
    }
}

/// tract indexes and unwraps on what a hostile file controls.
fn caught<T>(what: &str, run: impl FnOnce() -> TractResult<T>) -> Result<T, QuantiseError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| QuantiseError::Fails(format!("{error:#}"))),
        Err(_) => Err(QuantiseError::Fails(format!("{what} was given up"))),
    }
}

fn compile(model: &ModelProto, sample: &[Tensor]) -> TractResult<Arc<TypedRunnableModel>> {
    let mut parsed = tract_onnx::onnx().parse(model, None)?.model;
    for (input, tensor) in sample.iter().enumerate() {
        let fact = InferenceFact::dt_shape(tensor.datum_type(), tensor.shape());
        parsed.set_input_fact(input, fact)?;
    }
    exact_softmax::spelled_out(parsed.into_typed()?)?.into_optimized()?.into_runnable()
}

/// Returns the values of an f32 tensor; nothing of another type.
pub(super) fn values(tensor: &Tensor) -> Option<&[f32]> {
    if tensor.datum_type() != DatumType::F32 {
        return None;
    }
    tensor.try_as_plain_ram().and_then(|plain| plain.as_slice()).ok()
}
