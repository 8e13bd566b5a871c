//! `glassd-inference`: which models there are, whether they can be trusted, and what they see.
//!
//! Three types carry a model: an [`Accelerator`] prepares it, the [`PreparedModel`] is compiled, immutable
//! and shared, a [`Session`] is the state of one stream. On them stand the tasks: [`Detector`], [`Classifier`],
//! [`PresenceDetector`], [`Reader`], [`FaceFinder`], [`ZeroShot`] and [`TextEncoder`]. Models are described by a
//! [`Manifest`] and trusted only after [`ModelStore::verify`]; [`serving`] shares an accelerator between them.
//!
//! [`quantise`] brings a model from FP32 to INT8; [`serving`] decides which of many runs next, and which are in memory.
//!
//! It leaves out threads, queues and clocks (the daemon has them), and knows no glasses.
//!
//! Invariants:
//! - nothing of a model file is used before its SHA-256 was found to be the manifest's: it is decoded while it is
//!   hashed, and what was decoded is thrown away if the hash is another;
//! - a model whose tensors do not fit its manifest entry is refused when it is prepared, not when it runs;
//! - what an image cannot change is computed once, when the model is prepared.

mod accelerators;
mod attributes;
mod calibration;
mod embedded;
mod exact_softmax;
mod explain;
mod int8;
mod manifest;
mod memory;
pub mod quantise;
pub mod serving;
mod soundness;
mod store;
mod tasks;

pub use accelerators::{
    Absence, Accelerator, Agreement, CacheCounts, CacheKey, Capability, Choice, CompilationCache, Delegate,
    FileError, InferenceError, InputShape, InvalidAccelerator, InvalidShape, LoadError, Measurement,
    ModelForm, OpenInput, Placement, Power, Precision, Preference, PreparedModel, Provider, Session,
    Signature, Site, Source, Survey, choose, ignored_variables, is_panic_expected, settled, survey,
};
pub use calibration::Calibration;
pub use embedded::{EMBEDDED, embedded, embedded_candidate};
pub use explain::NodeReport;
#[doc(hidden)]
pub use int8::bench;
pub use int8::{Isa, Threads, ThreadsError};
pub use manifest::COCO_LABELS;
pub use manifest::{
    Batch, BuiltinLabels, Check, Classes, ClassifyHead, DetectHead, EnsembleEntry, EnsembleMember, Fit,
    InputContract, Labels, Layout, Level, Manifest, ManifestError, ModelEntry, Named, Order, Part, Task,
    Thresholds, VariantArm, VariantEntry, Vocabulary,
};
pub use store::{Candidate, Flaw, ModelFile, ModelStore, Problem, VerifyError, sha256};
pub use tasks::classify::Classifier;
pub use tasks::detect::{Detection, Detector};
pub use tasks::embedding::Embedding;
pub use tasks::faces::{Face, FaceFinder, FaceModels};
pub use tasks::presence::{Presence, PresenceDetector};
pub use tasks::read::{Line, ReadModels, Reader};
pub use tasks::text_encoder::TextEncoder;
pub use tasks::tokenizer::Tokenizer;
pub use tasks::zero_shot::{ZeroShot, ZeroShotModels};
pub use tract_onnx::prelude::{DatumType, Tensor};
