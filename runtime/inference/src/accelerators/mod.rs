//! Accelerator → prepared model → session.

mod cpu;
mod dynamic;
mod onnx_file;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{DatumType, Tensor, TypedRunnableModel, TypedSimpleState};

use crate::int8::Threads;

pub(crate) use self::dynamic::DynamicModel;

/// Something that runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accelerator {
    /// The processor, through tract, on the calling thread alone.
    Cpu,
}

/// Why bytes are not a model that can run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not ONNX, or an operation or shape that the accelerator cannot run.
    #[error("not a model that can run here: {0}")]
    Unusable(String),
    /// Weights in another file: the manifest's hash would not cover them.
    #[error("its weights lie in another file, {0:?}")]
    ExternalData(String),
    /// A tensor is not what the manifest says.
    #[error("its {what} is {actual}, and the manifest asks for {expected}")]
    Mismatch {
        /// "input" or "output".
        what: &'static str,
        /// Type and shape by the manifest.
        expected: String,
        /// Type and shape in the model.
        actual: String,
    },
    /// The manifest gives the model another task.
    #[error("it is no {0}")]
    Task(&'static str),
    /// The labels cannot be read.
    #[error("its labels: {0}")]
    Labels(String),
    /// The tokenizer cannot be read.
    #[error("its tokenizer: {0}")]
    Tokenizer(String),
}

/// Why a file is no model that can run here.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system cannot read it.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is not the file that is meant.
    #[error("its SHA-256 is {actual}, and {expected} is asked for")]
    Hash {
        /// The hash that was asked for.
        expected: String,
        /// The hash of the file.
        actual: String,
    },
    /// Its content cannot run.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Why one run of a prepared model failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model failed to run: {0}")]
pub struct InferenceError(String);

/// A model compiled for an accelerator: immutable, cheap to clone, shared between threads.
#[derive(Clone, Debug)]
pub struct PreparedModel {
    plan: Arc<TypedRunnableModel>,
    accelerator: Accelerator,
    inputs: Vec<Signature>,
    outputs: Vec<Signature>,
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
    state: TypedSimpleState,
    threads: Option<Threads>,
    is_large: bool,
}

impl Accelerator {
    /// Lists the accelerators of this machine, the preferred one first.
    pub fn available() -> Vec<Self> {
        vec![Self::Cpu]
    }

    /// Returns the name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }

    /// Compiles an ONNX model (FP32, or INT8 as QDQ or integer operators); a batch dimension left open
    /// becomes 1.
    pub fn prepare(self, onnx: &[u8]) -> Result<PreparedModel, LoadError> {
        self.prepare_for(onnx, &[])
    }

    /// Compiles an ONNX model for inputs of these shapes, which settle the sides that it leaves open; with no
    /// shapes at all it is [`Accelerator::prepare`].
    pub fn prepare_for(self, onnx: &[u8], shapes: &[Vec<usize>]) -> Result<PreparedModel, LoadError> {
        let decoded = || ModelProto::decode(onnx).map_err(|error| LoadError::Unusable(error.to_string()));
        caught(|| cpu::compiled(decoded, shapes))
    }

    /// Compiles the ONNX model in a file, whose bytes are never in memory as a whole. With a SHA-256 (64 hexadecimal
    /// digits), nothing of the model is used before the file was found to have that one.
    pub fn prepare_file(self, path: &Path, sha256: Option<&str>) -> Result<PreparedModel, FileError> {
        caught(|| cpu::compiled(|| onnx_file::read(path, sha256), &[]))
    }
}

/// tract indexes and unwraps on what a hostile file controls.
fn caught<T, E: From<LoadError>>(compile: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let compiled = catch_unwind(AssertUnwindSafe(compile));
    compiled.unwrap_or_else(|_| Err(LoadError::Unusable("the parser gave up on it".into()).into()))
}

/// Multiply-adds of a model from which on a second thread saves time: MobileNetV2's 300 million gain a quarter,
/// 10 million lose half.
const WORTH_THREADS: u64 = 50_000_000;

impl PreparedModel {
    /// Returns what the model was compiled for.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Opens a session: the state of one stream.
    pub fn open(&self) -> Result<Session, InferenceError> {
        let is_large = crate::explain::macs(self.plan.model()) >= WORTH_THREADS;
        Ok(Session { state: self.plan.spawn().map_err(failed)?, threads: None, is_large })
    }

    pub(crate) fn plan(&self) -> &Arc<TypedRunnableModel> {
        &self.plan
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
    /// the thread saves stays on the calling one.
    pub fn divide_between(&mut self, threads: &Threads) {
        self.threads = self.is_large.then(|| threads.clone());
    }

    /// Runs the model on its inputs, in the shapes, types and order that it was made for.
    pub fn run(&mut self, inputs: impl IntoIterator<Item = Tensor>) -> Result<Vec<Tensor>, InferenceError> {
        use tract_onnx::prelude::IntoTensor;
        let inputs: Vec<Tensor> = inputs.into_iter().collect();
        let Self { state, threads, .. } = self;
        // Values are made on the thread that runs: tract's are not for passing between threads.
        let run = || state.run(inputs.into_iter().map(Into::into).collect()).map_err(failed);
        let outputs = match threads {
            Some(threads) => threads.run(run),
            None => run(),
        }?;
        Ok(outputs.into_iter().map(IntoTensor::into_tensor).collect())
    }
}

/// Returns the values of the only output.
pub(crate) fn floats(outputs: &[Tensor]) -> Result<&[f32], InferenceError> {
    let [output] = outputs else {
        return Err(InferenceError(format!("{} outputs instead of 1", outputs.len())));
    };
    values(output)
}

/// Returns the values of an f32 tensor.
pub(crate) fn values(tensor: &Tensor) -> Result<&[f32], InferenceError> {
    tensor.try_as_plain_ram().and_then(|plain| plain.as_slice()).map_err(failed)
}

pub(crate) fn failed(error: impl std::fmt::Display) -> InferenceError {
    InferenceError(format!("{error:#}"))
}
