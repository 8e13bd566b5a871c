//! The state of one stream through a model, and running it.

use std::sync::Arc;

use tract_onnx::prelude::{Tensor, TypedSimpleState};

#[cfg(feature = "litert")]
use super::litert;
#[cfg(feature = "onnxruntime")]
use super::onnxruntime;
#[cfg(feature = "vulkan")]
use super::vulkan;
use super::{Accelerator, InferenceError, Placement, Signature, failed, unpanicked};
use crate::int8::Threads;

/// The state of one stream through a model.
#[derive(Debug)]
pub struct Session {
    pub(super) state: State,
    pub(super) threads: Option<Threads>,
    pub(super) is_large: bool,
    pub(super) inputs: Vec<Signature>,
    pub(super) placement: Placement,
    pub(super) fallback: Option<Arc<[u8]>>,
}

/// The state of one stream on each accelerator.
#[derive(Debug)]
pub(super) enum State {
    Cpu(TypedSimpleState),
    #[cfg(feature = "vulkan")]
    Vulkan(Box<vulkan::Stream>),
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime(Arc<onnxruntime::Model>),
    #[cfg(feature = "litert")]
    LiteRt(Arc<litert::Model>),
}

impl Session {
    /// Divides large layers between threads from now on. A model so small that waking a thread costs more than
    /// the thread saves stays on the calling one, and so does one on another accelerator.
    pub fn divide_between(&mut self, threads: &Threads) {
        self.threads = self.is_large.then(|| threads.clone());
    }

    /// Returns where the model runs, and why there: after a failure, on the processor.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Runs the model on its inputs, in the shapes, types and order that it was made for. Where the accelerator
    /// fails and the processor can take over, it does, for this run and all later ones.
    pub fn run(&mut self, inputs: impl IntoIterator<Item = Tensor>) -> Result<Vec<Tensor>, InferenceError> {
        let inputs: Vec<Tensor> = inputs.into_iter().collect();
        self.check(&inputs)?;
        let Some(onnx) = &self.fallback else {
            return self.state.run(inputs, self.threads.as_ref());
        };
        match self.state.run(inputs.clone(), None) {
            Err(InferenceError::Failed(why)) => {
                let onnx = Arc::clone(onnx);
                self.fall_back(&onnx, why)?;
                self.state.run(inputs, None)
            }
            ran => ran,
        }
    }

    /// Has the processor take over; what failed is let go of.
    fn fall_back(&mut self, onnx: &[u8], why: String) -> Result<(), InferenceError> {
        let prepared = Accelerator::Cpu.prepare(onnx).map_err(failed)?;
        let placement = self.placement.fallen_back(why);
        *self = Self { placement, ..prepared.open()? };
        Ok(())
    }

    fn check(&self, inputs: &[Tensor]) -> Result<(), InferenceError> {
        taken(inputs, &self.inputs)
    }
}

/// Refuses inputs of other types and shapes, or of another number, than a model takes.
pub(crate) fn taken(inputs: &[Tensor], expected: &[Signature]) -> Result<(), InferenceError> {
    let fits = |(input, expected): (&Tensor, &Signature)| {
        input.shape() == expected.shape.as_slice()
            && input.datum_type().unquantized() == expected.datum.unquantized()
    };
    if inputs.len() == expected.len() && inputs.iter().zip(expected).all(fits) {
        return Ok(());
    }
    let list = |all: Vec<String>| all.join(" and ");
    let given = |input: &Tensor| Signature { datum: input.datum_type(), shape: input.shape().to_vec() };
    let given = list(inputs.iter().map(|input| given(input).to_string()).collect());
    let expected = list(expected.iter().map(Signature::to_string).collect());
    Err(InferenceError::Input(format!("{given}, and it asks for {expected}")))
}

impl State {
    fn run(&mut self, inputs: Vec<Tensor>, threads: Option<&Threads>) -> Result<Vec<Tensor>, InferenceError> {
        use tract_onnx::prelude::IntoTensor;
        match self {
            Self::Cpu(state) => {
                // Values are made on the thread that runs: tract's are not for passing between threads.
                let plan = Arc::clone(state.plan());
                let run = || state.run(inputs.into_iter().map(Into::into).collect()).map_err(failed);
                let ran = unpanicked(|| match threads {
                    Some(threads) => threads.run(run),
                    None => run(),
                });
                let Ok(outputs) = ran else {
                    // What was half done is not used again.
                    *state = plan.spawn().map_err(failed)?;
                    return Err(failed("an operation panicked on these inputs"));
                };
                let outputs = outputs?;
                Ok(outputs.into_iter().map(IntoTensor::into_tensor).collect())
            }
            #[cfg(feature = "vulkan")]
            Self::Vulkan(stream) => stream.run(&inputs),
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime(model) => model.run(&inputs),
            #[cfg(feature = "litert")]
            Self::LiteRt(model) => model.run(&inputs),
        }
    }
}
