//! Accelerator ([`name`]) → [`prepared`] model → [`session`]; [`placement`] holds one against the processor.

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
mod prepared;
mod session;
mod survey;
#[cfg(feature = "vulkan")]
mod vulkan;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
#[cfg(any(feature = "vulkan", feature = "onnxruntime", feature = "litert"))]
use std::sync::Arc;

use prost::Message as _;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::Tensor;

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
use self::prepared::Compiled;
pub use self::prepared::{PreparedModel, Signature};
pub use self::session::Session;
pub(crate) use self::session::taken;
pub use self::survey::{Absence, Capability, ModelForm, Power, Survey, ignored_variables, survey};

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
