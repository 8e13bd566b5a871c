//! Why a model is not trusted.

use std::path::PathBuf;

use crate::accelerators::{InferenceError, LoadError};
use crate::manifest::ModelEntry;

/// Why a model is not trusted: one sentence with its name and file.
#[derive(Debug, thiserror::Error)]
#[error("model {name} ({file}): {problem}")]
pub struct VerifyError {
    /// The model's name in the manifest.
    pub name: String,
    /// Its file.
    pub file: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The manifest does not name it.
    #[error("not in the manifest")]
    Unknown,
    /// The file is not there.
    #[error("no such file in {}", .0.display())]
    Missing(PathBuf),
    /// A file of the model cannot be read.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not the one that the manifest means.
    #[error("its SHA-256 is {actual}, and the manifest asks for {expected}")]
    Hash {
        /// The hash by the manifest.
        expected: String,
        /// The hash of the file.
        actual: String,
    },
    /// It does not fit this machine or its manifest entry.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A further file of the model is not as it must be.
    #[error("its part {file}: {problem}")]
    Part {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// It has no part of that name.
    #[error("there is no {name}: it has {names}")]
    NoPart {
        /// Which was asked for.
        name: String,
        /// Which there are.
        names: String,
    },
    /// Its check image is no picture.
    #[error("its check image: {0}")]
    CheckImage(#[from] glassd_media::JpegError),
    /// It fails on its check sample.
    #[error("on its check sample {0}")]
    Check(#[from] Flaw),
}

/// What is wrong with a model's outputs on its check sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It does not run.
    #[error("{0}")]
    Failed(#[from] InferenceError),
    /// Infinities, or values that are no numbers.
    #[error("its outputs are not finite")]
    NotFinite,
    /// It scores everything 0: badly quantised, as a rule.
    #[error("all its scores are zero")]
    AllZero,
    /// It gives every place or class the same score.
    #[error("all its scores are the same")]
    Constant,
    /// It finds nothing where there is something.
    #[error("it finds nothing")]
    Nothing,
    /// What means the same is not nearer to each other than what does not.
    #[error("it does not tell meanings apart")]
    Meaningless,
}

pub(super) fn refused(entry: &ModelEntry, problem: Problem) -> VerifyError {
    VerifyError { name: entry.name.clone(), file: entry.file.clone(), problem }
}

/// Judges outputs on a check sample: every value, and the scores among them.
pub(crate) fn judged(values: &[f32], scores: &[f32]) -> Result<(), Flaw> {
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Flaw::NotFinite);
    }
    if scores.iter().all(|&score| score == 0.0) {
        return Err(Flaw::AllZero);
    }
    if scores.windows(2).all(|pair| pair[0] == pair[1]) {
        return Err(Flaw::Constant);
    }
    Ok(())
}
