//! A model that was compiled: what it takes and gives, and opening sessions on it.

use std::sync::Arc;

use tract_onnx::prelude::{DatumType, TypedRunnableModel};

#[cfg(feature = "litert")]
use super::litert;
#[cfg(feature = "onnxruntime")]
use super::onnxruntime;
use super::session::State;
#[cfg(feature = "vulkan")]
use super::vulkan;
use super::{Accelerator, InferenceError, LoadError, Placement, Session, failed};

/// A model compiled for an accelerator: immutable, cheap to clone, shared between threads.
#[derive(Clone, Debug)]
pub struct PreparedModel {
    compiled: Compiled,
    inputs: Vec<Signature>,
    outputs: Vec<Signature>,
    placement: Placement,
    /// What the processor compiles when the accelerator fails.
    fallback: Option<Arc<[u8]>>,
    /// What the processor's activations would take, in bytes.
    fallback_activation_bytes: u64,
}

/// What each accelerator makes of a model.
#[derive(Clone, Debug)]
pub(super) enum Compiled {
    Cpu(Arc<TypedRunnableModel>),
    #[cfg(feature = "vulkan")]
    Vulkan(Arc<vulkan::Model>),
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime(Arc<onnxruntime::Model>),
    #[cfg(feature = "litert")]
    LiteRt(Arc<litert::Model>),
}

/// Type and shape of one tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Type of an element.
    pub datum: DatumType,
    /// Sides, the outermost first.
    pub shape: Vec<usize>,
}

impl Signature {
    /// Refuses anything but exactly one tensor of this type and shape.
    pub(crate) fn expect_only(&self, tensors: &[Self], what: &'static str) -> Result<(), LoadError> {
        if tensors == std::slice::from_ref(self) {
            return Ok(());
        }
        let actual: Vec<String> = tensors.iter().map(Self::to_string).collect();
        Err(LoadError::Mismatch { what, expected: self.to_string(), actual: actual.join(" and ") })
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sides: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{:?} {}", self.datum, sides.join("x"))
    }
}

/// Multiply-adds of a model from which on a second thread saves time: MobileNetV2's 300 million gain a quarter,
/// 10 million lose half.
const WORTH_THREADS: u64 = 50_000_000;

impl PreparedModel {
    pub(super) fn new(
        accelerator: Accelerator,
        compiled: Compiled,
        inputs: Vec<Signature>,
        outputs: Vec<Signature>,
    ) -> Self {
        Self {
            compiled,
            inputs,
            outputs,
            placement: Placement::on(accelerator),
            fallback: None,
            fallback_activation_bytes: 0,
        }
    }

    pub(super) fn placed(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }

    pub(super) fn with_fallback(self, onnx: &[u8], fallback_activation_bytes: u64) -> Self {
        Self { fallback: Some(onnx.into()), fallback_activation_bytes, ..self }
    }

    pub(crate) fn fallback_activation_bytes(&self) -> u64 {
        self.fallback_activation_bytes
    }

    /// Returns what the model was compiled for.
    pub fn accelerator(&self) -> Accelerator {
        self.placement.serves
    }

    /// Returns where the model runs, and why there.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Opens a session: the state of one stream.
    pub fn open(&self) -> Result<Session, InferenceError> {
        Ok(Session { fallback: self.fallback.clone(), ..self.open_strictly()? })
    }

    /// Opens a session that fails where the accelerator fails.
    pub(super) fn open_strictly(&self) -> Result<Session, InferenceError> {
        let is_large = self.plan().is_some_and(|plan| crate::explain::macs(plan.model()) >= WORTH_THREADS);
        let state = match &self.compiled {
            Compiled::Cpu(plan) => State::Cpu(plan.spawn().map_err(failed)?),
            #[cfg(feature = "vulkan")]
            Compiled::Vulkan(model) => State::Vulkan(Box::new(vulkan::Stream::open(model)?)),
            #[cfg(feature = "onnxruntime")]
            Compiled::OnnxRuntime(model) => State::OnnxRuntime(Arc::clone(model)),
            #[cfg(feature = "litert")]
            Compiled::LiteRt(model) => State::LiteRt(Arc::clone(model)),
        };
        let (inputs, placement) = (self.inputs.clone(), self.placement.clone());
        Ok(Session { state, threads: None, is_large, inputs, placement, fallback: None })
    }

    /// Returns the processor's plan; nothing for another accelerator.
    pub(crate) fn plan(&self) -> Option<&Arc<TypedRunnableModel>> {
        match &self.compiled {
            Compiled::Cpu(plan) => Some(plan),
            #[cfg(any(feature = "vulkan", feature = "onnxruntime", feature = "litert"))]
            _ => None,
        }
    }

    /// Returns type and shape of every input, in order.
    pub fn inputs(&self) -> &[Signature] {
        &self.inputs
    }

    /// Returns type and shape of every output, in order.
    pub fn outputs(&self) -> &[Signature] {
        &self.outputs
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
    }

    /// Takes the inputs of the detector, and fails on them: what it compiled is another model.
    fn failing(detector: &[u8]) -> PreparedModel {
        let other = Accelerator::Cpu.prepare(&file("../../tests/fuzz/corpus/onnx/operators")).unwrap();
        let shown = Accelerator::Cpu.prepare(detector).unwrap();
        assert_ne!(other.inputs(), shown.inputs());
        let broken = Accelerator::Vulkan { adapter: 7 };
        PreparedModel { compiled: other.compiled, placement: Placement::on(broken), ..shown }
    }

    #[test]
    fn the_processor_takes_over_when_an_accelerator_fails_in_mid_run() {
        let detector = file("models/scene.onnx");
        let right = Accelerator::Cpu.prepare(&detector).unwrap();
        let inputs = right.made_up_inputs().unwrap();
        let expected = right.open().unwrap().run(inputs.clone()).unwrap();

        let mut session = failing(&detector).with_fallback(&detector, 0).open().unwrap();
        assert_eq!(session.placement().serves, Accelerator::Vulkan { adapter: 7 });
        for _ in 0..2 {
            assert_eq!(session.run(inputs.clone()).unwrap(), expected);
            let Placement { asked, serves, why, .. } = session.placement();
            assert_eq!((*asked, *serves), (Accelerator::Vulkan { adapter: 7 }, Accelerator::Cpu));
            assert!(why.is_some());
        }
    }

    #[test]
    fn without_a_fallback_the_failure_is_the_callers() {
        let detector = file("models/scene.onnx");
        let inputs = Accelerator::Cpu.prepare(&detector).unwrap().made_up_inputs().unwrap();
        let mut session = failing(&detector).open().unwrap();
        assert!(matches!(session.run(inputs), Err(InferenceError::Failed(_))));
    }
}
