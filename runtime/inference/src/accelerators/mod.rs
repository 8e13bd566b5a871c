//! Accelerator → prepared model → session.

pub(crate) mod cache;
mod choice;
mod cpu;
mod dynamic;
mod error;
mod gate;
#[cfg(feature = "litert")]
mod litert;
mod name;
mod onnx_file;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod open_sides;
mod placement;
mod survey;
#[cfg(feature = "vulkan")]
mod vulkan;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{DatumType, Tensor, TypedRunnableModel, TypedSimpleState};

use crate::int8::Threads;
use crate::soundness;
use crate::store::other_hash;

pub use self::cache::{CacheCounts, CacheKey, CompilationCache};
pub use self::choice::{Choice, Measurement, Preference, choose};
pub(crate) use self::dynamic::DynamicModel;
pub(crate) use self::error::failed;
pub use self::error::{FileError, InferenceError, LoadError};
pub use self::gate::{Agreement, Precision};
pub use self::name::{Accelerator, Delegate, InvalidAccelerator, Provider};
pub(crate) use self::open_sides::settled_for;
pub use self::open_sides::{InputShape, InvalidShape, OpenInput, settled};
pub use self::placement::{Placement, Site, Source};
pub use self::survey::{Absence, Capability, ModelForm, Power, Survey, ignored_variables, survey};

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
enum Compiled {
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

/// The state of one stream through a model.
#[derive(Debug)]
pub struct Session {
    state: State,
    threads: Option<Threads>,
    is_large: bool,
    inputs: Vec<Signature>,
    placement: Placement,
    fallback: Option<Arc<[u8]>>,
}

/// The state of one stream on each accelerator.
#[derive(Debug)]
enum State {
    Cpu(TypedSimpleState),
    #[cfg(feature = "vulkan")]
    Vulkan(Box<vulkan::Stream>),
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime(Arc<onnxruntime::Model>),
    #[cfg(feature = "litert")]
    LiteRt(Arc<litert::Model>),
}

impl Accelerator {
    /// Lists the accelerators of this machine, the processor first.
    pub fn available() -> Vec<Self> {
        survey().present.iter().map(|one| one.accelerator).collect()
    }

    /// Compiles a model (ONNX: FP32, or INT8 as QDQ or integer operators; for LiteRT a `.tflite` file); a batch
    /// dimension left open becomes 1.
    pub fn prepare(self, model: &[u8]) -> Result<PreparedModel, LoadError> {
        self.prepare_cached(model, None)
    }

    /// Compiles a model as [`Accelerator::prepare`] does, or takes what the cache holds of it.
    pub fn prepare_cached(
        self,
        model: &[u8],
        cache: Option<&CompilationCache>,
    ) -> Result<PreparedModel, LoadError> {
        match self {
            Self::Cpu => self.prepare_for(model, &[]),
            other => caught(|| other.compiled(model, cache)),
        }
    }

    /// Compiles an ONNX model for inputs of these shapes, which settle the sides that it leaves open; with no
    /// shapes at all it is [`Accelerator::prepare`]. The processor alone does it.
    pub fn prepare_for(self, onnx: &[u8], shapes: &[Vec<usize>]) -> Result<PreparedModel, LoadError> {
        match self {
            Self::Cpu => {
                let decoded = || {
                    ModelProto::decode(onnx)
                        .map_err(|error| LoadError::Unusable(soundness::undecoded(&error)))
                };
                caught(|| cpu::compiled(decoded, shapes))
            }
            other if shapes.is_empty() => other.prepare(onnx),
            other => Err(LoadError::Unusable(format!("{other} takes no models with open sides"))),
        }
    }

    /// Compiles the model in a file. The processor never has its bytes in memory as a whole. With a SHA-256 (64
    /// hexadecimal digits), nothing of the model is used before the file was found to have that one.
    pub fn prepare_file(self, path: &Path, sha256: Option<&str>) -> Result<PreparedModel, FileError> {
        if self == Self::Cpu {
            return caught(|| cpu::compiled(|| onnx_file::read(path, sha256), &[]));
        }
        let model = std::fs::read(path)?;
        let other = sha256.and_then(|expected| Some((expected, other_hash(expected, &model)?)));
        if let Some((expected, actual)) = other {
            return Err(FileError::Hash { expected: expected.to_owned(), actual });
        }
        Ok(self.prepare(&model)?)
    }

    /// Compiles a model for another accelerator than the processor.
    #[cfg_attr(
        not(any(feature = "vulkan", feature = "onnxruntime", feature = "litert")),
        expect(unused_variables, reason = "the processor is the only accelerator of this build")
    )]
    fn compiled(self, model: &[u8], cache: Option<&CompilationCache>) -> Result<PreparedModel, LoadError> {
        match self {
            Self::Cpu => self.prepare(model),
            #[cfg(feature = "vulkan")]
            Self::Vulkan { adapter } => {
                let model = vulkan::compiled(model, adapter, cache)?;
                let (inputs, outputs) = (model.inputs.clone(), model.outputs.clone());
                Ok(PreparedModel::new(self, Compiled::Vulkan(Arc::new(model)), inputs, outputs))
            }
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime { provider } => {
                let model = onnxruntime::compiled(model, provider, cache)?;
                let (inputs, outputs) = (model.inputs.clone(), model.outputs.clone());
                Ok(PreparedModel::new(self, Compiled::OnnxRuntime(Arc::new(model)), inputs, outputs))
            }
            #[cfg(feature = "litert")]
            Self::LiteRt { delegate } => {
                let model = litert::compiled(model, delegate)?;
                let (inputs, outputs) = (model.inputs.clone(), model.outputs.clone());
                Ok(PreparedModel::new(self, Compiled::LiteRt(Arc::new(model)), inputs, outputs))
            }
            #[cfg(not(all(feature = "vulkan", feature = "onnxruntime", feature = "litert")))]
            absent => Err(LoadError::Absent { accelerator: absent, why: survey::without(absent) }),
        }
    }
}

/// tract indexes and unwraps on what a hostile file controls.
fn caught<T, E: From<LoadError>>(compile: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let given_up = |_| Err(LoadError::Unusable("the parser gave up on it".into()).into());
    unpanicked(compile).unwrap_or_else(given_up)
}

thread_local! {
    static EXPECTING: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether a panic of this thread will be caught and told as an error: a panic hook need not say a word.
pub fn is_panic_expected() -> bool {
    EXPECTING.get()
}

/// Runs what may panic on foreign bytes.
fn unpanicked<T>(run: impl FnOnce() -> T) -> std::thread::Result<T> {
    let before = EXPECTING.replace(true);
    let ran = catch_unwind(AssertUnwindSafe(run));
    EXPECTING.set(before);
    ran
}

/// Multiply-adds of a model from which on a second thread saves time: MobileNetV2's 300 million gain a quarter,
/// 10 million lose half.
const WORTH_THREADS: u64 = 50_000_000;

impl PreparedModel {
    fn new(
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

    fn placed(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }

    fn with_fallback(self, onnx: &[u8], fallback_activation_bytes: u64) -> Self {
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
    fn open_strictly(&self) -> Result<Session, InferenceError> {
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

/// Returns the values of the only output.
pub(crate) fn floats(outputs: &[Tensor]) -> Result<&[f32], InferenceError> {
    let [output] = outputs else {
        return Err(failed(format!("{} outputs instead of 1", outputs.len())));
    };
    values(output)
}

/// Returns the values of an f32 tensor.
pub(crate) fn values(tensor: &Tensor) -> Result<&[f32], InferenceError> {
    tensor.try_as_plain_ram().and_then(|plain| plain.as_slice()).map_err(failed)
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
