//! What goes wrong when a model is loaded or run.

use super::{Accelerator, OpenInput};

/// Why bytes are not a model that can run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not ONNX, or an operation or shape that the accelerator cannot run.
    #[error("not a model that can run here: {0}")]
    Unusable(String),
    /// Which inputs leave sides open that nobody settled.
    #[error("its inputs leave sides open: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    OpenSides(Vec<OpenInput>),
    /// Shapes that do not settle what the model leaves open.
    #[error("{0}")]
    Shape(String),
    /// Weights in another file: the manifest's hash would not cover them.
    #[error("its weights lie in another file, {0:?}; put them into the model first")]
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
    /// Other words than it has classes.
    #[error("it has {classes} classes, and {labels} labels are given")]
    Classes {
        /// Classes of the model.
        classes: usize,
        /// Labels that it was given.
        labels: usize,
    },
    /// Texts of the manifest's length are too long for it.
    #[error("it takes no texts of {0} tokens, which is the manifest's task.tokens: shorter ones only")]
    Tokens(usize),
    /// The tokenizer cannot be read.
    #[error("its tokenizer: {0}")]
    Tokenizer(String),
    /// The accelerator itself is missing, in this build or on this machine.
    #[error("{accelerator} cannot be had: {why}")]
    Absent {
        /// Which one.
        accelerator: Accelerator,
        /// What to do about it.
        why: String,
    },
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
pub enum InferenceError {
    /// The inputs are not those of the model: they would fail on every accelerator.
    #[error("the model does not take these inputs: {0}")]
    Input(String),
    /// The accelerator failed: another may succeed.
    #[error("the model failed to run: {0}")]
    Failed(String),
}

pub(crate) fn failed(error: impl std::fmt::Display) -> InferenceError {
    InferenceError::Failed(format!("{error:#}"))
}
