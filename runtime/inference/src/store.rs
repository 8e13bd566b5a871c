//! The model folder: what lies in it, and what of it can be trusted.

use std::io::ErrorKind;
use std::path::PathBuf;

use glassd_media::Image;
use sha2::{Digest, Sha256};
use tract_onnx::prelude::Tensor;

use crate::accelerators::{Accelerator, FileError, InferenceError, LoadError, PreparedModel, Site, Source};
use crate::classify::Classifier;
use crate::detect::Detector;
use crate::manifest::{Labels, Manifest, ModelEntry, Task};

/// The models of a manifest, in one folder.
#[derive(Clone, Debug)]
pub struct ModelStore {
    manifest: Manifest,
    folder: PathBuf,
    site: Site,
}

/// What an accelerator is tried on: a model's bytes, whose hash is the manifest's, and its check sample.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// The inputs that its check sample becomes.
    pub sample: Vec<Tensor>,
}

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
}

impl ModelStore {
    /// Takes the models of `manifest` from `folder`; nothing is read yet.
    pub fn open(manifest: Manifest, folder: impl Into<PathBuf>) -> Self {
        Self { manifest, folder: folder.into(), site: Site::default() }
    }

    /// Has the models run elsewhere than on the processor.
    #[must_use]
    pub fn on(self, site: Site) -> Self {
        Self { site, ..self }
    }

    /// Returns what an accelerator is tried on before it may run the model of that name.
    pub fn candidate(&self, name: &str) -> Result<Candidate, VerifyError> {
        let entry = self.entry(name)?;
        let read = || {
            let onnx = self.read(&entry.file)?;
            check_hash(entry, &onnx)?;
            Ok(Candidate { onnx, sample: vec![entry.input.tensor(&self.sample(entry)?).0] })
        };
        read().map_err(|problem| refused(entry, problem))
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks that the model's file is there, is the one meant, loads, fits its manifest entry, and gives
    /// finite and telling scores on its check sample.
    pub fn verify(&self, entry: &ModelEntry) -> Result<(), VerifyError> {
        match &entry.task {
            Task::Detect { .. } => self.trusted_detector(entry).map(drop),
            Task::Classify { .. } => self.trusted_classifier(entry).map(drop),
        }
        .map_err(|problem| refused(entry, problem))
    }

    /// Returns the detector of that name, verified.
    pub fn detector(&self, name: &str) -> Result<Detector, VerifyError> {
        let entry = self.entry(name)?;
        self.trusted_detector(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns the classifier of that name, verified.
    pub fn classifier(&self, name: &str) -> Result<Classifier, VerifyError> {
        let entry = self.entry(name)?;
        self.trusted_classifier(entry).map_err(|problem| refused(entry, problem))
    }

    fn entry(&self, name: &str) -> Result<&ModelEntry, VerifyError> {
        let unknown = || VerifyError { name: name.into(), file: "no file".into(), problem: Problem::Unknown };
        self.manifest.model(name).ok_or_else(unknown)
    }

    fn trusted_detector(&self, entry: &ModelEntry) -> Result<Detector, Problem> {
        let mut detector = Detector::new(entry, &self.prepared(entry)?, self.labels(entry)?)?;
        detector.check(&self.sample(entry)?)?;
        Ok(detector)
    }

    fn trusted_classifier(&self, entry: &ModelEntry) -> Result<Classifier, Problem> {
        let mut classifier = Classifier::new(entry, &self.prepared(entry)?, self.labels(entry)?)?;
        classifier.check(&self.sample(entry)?)?;
        Ok(classifier)
    }

    /// Returns the compiled model of that name; its hash is the manifest's.
    pub fn prepare(&self, name: &str) -> Result<PreparedModel, VerifyError> {
        let entry = self.entry(name)?;
        self.prepared(entry).map_err(|problem| refused(entry, problem))
    }

    fn prepared(&self, entry: &ModelEntry) -> Result<PreparedModel, Problem> {
        if self.site.accelerator != Accelerator::Cpu {
            return placed(entry, &self.read(&entry.file)?, &self.site, &self.sample(entry)?);
        }
        let prepared = Accelerator::Cpu.prepare_file(&self.folder.join(&entry.file), Some(&entry.sha256));
        prepared.map_err(|error| match error {
            FileError::Unreadable(error) => self.unreadable(&entry.file, error),
            FileError::Hash { expected, actual } => Problem::Hash { expected, actual },
            FileError::Load(error) => error.into(),
        })
    }

    fn labels(&self, entry: &ModelEntry) -> Result<Vec<String>, Problem> {
        let Labels::File { file } = entry.task.labels() else {
            return Ok(entry.task.labels().words()?);
        };
        let bytes = self.read(file)?;
        let text = String::from_utf8(bytes).map_err(|_| LoadError::Labels(format!("{file} is not UTF-8")))?;
        Ok(text.lines().map(|line| line.trim().to_owned()).collect())
    }

    fn sample(&self, entry: &ModelEntry) -> Result<Image, Problem> {
        match &entry.check.image {
            Some(file) => Ok(glassd_media::decode(&self.read(file)?)?),
            None => Ok(painted_sample()),
        }
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, Problem> {
        std::fs::read(self.folder.join(file)).map_err(|error| self.unreadable(file, error))
    }

    fn unreadable(&self, file: &str, error: std::io::Error) -> Problem {
        match error.kind() {
            ErrorKind::NotFound => Problem::Missing(self.folder.clone()),
            _ => Problem::Unreadable { file: file.to_owned(), error },
        }
    }
}

/// Returns the SHA-256 of bytes that have another than `expected`.
pub(crate) fn other_hash(expected: &str, bytes: &[u8]) -> Option<String> {
    let actual = sha256(bytes);
    (!actual.eq_ignore_ascii_case(expected)).then_some(actual)
}

fn check_hash(entry: &ModelEntry, onnx: &[u8]) -> Result<(), Problem> {
    let other = other_hash(&entry.sha256, onnx);
    other.map_or(Ok(()), |actual| Err(Problem::Hash { expected: entry.sha256.clone(), actual }))
}

/// Prepares a model whose bytes are those that the manifest means, where its outputs on the sample are right.
fn placed(entry: &ModelEntry, onnx: &[u8], site: &Site, sample: &Image) -> Result<PreparedModel, Problem> {
    check_hash(entry, onnx)?;
    let samples = [vec![entry.input.tensor(sample).0]];
    let source = Source { onnx, tflite: None };
    Ok(site.accelerator.place(source, &samples, site.cache.as_ref())?)
}

/// Returns what an accelerator is tried on before it may run a model that needs no folder.
pub(crate) fn embedded_candidate(entry: &ModelEntry, onnx: &[u8]) -> Candidate {
    Candidate { onnx: onnx.to_vec(), sample: vec![entry.input.tensor(&painted_sample()).0] }
}

/// Returns a detector from bytes that need no folder, verified like one of a store.
pub(crate) fn trusted_embedded(
    entry: &ModelEntry,
    onnx: &[u8],
    site: &Site,
) -> Result<Detector, VerifyError> {
    let trusted = || {
        let model = placed(entry, onnx, site, &painted_sample())?;
        let mut detector = Detector::new(entry, &model, entry.task.labels().words()?)?;
        detector.check(&painted_sample())?;
        Ok(detector)
    };
    trusted().map_err(|problem| refused(entry, problem))
}

fn refused(entry: &ModelEntry, problem: Problem) -> VerifyError {
    VerifyError { name: entry.name.clone(), file: entry.file.clone(), problem }
}

/// Returns the SHA-256 of a file's bytes as a manifest writes it: 64 lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A sky, a wall, a person-like and some box-like figures: enough of a scene that no trained model is
/// indifferent to it.
fn painted_sample() -> Image {
    Image::from_fn(640, 480, |x, y| {
        let (u, v) = (x as f32 / 640.0, y as f32 / 480.0);
        let within = |left: f32, top: f32, right: f32, bottom: f32| {
            (left..right).contains(&u) && (top..bottom).contains(&v)
        };
        let disc =
            |cx: f32, cy: f32, radius: f32| (u - cx).powi(2) + (0.75 * (v - cy)).powi(2) < radius * radius;
        let grain = ((x * 7 + y * 13) % 11) as u8;
        if disc(0.3, 0.3, 0.05) {
            [222, 180, 150]
        } else if within(0.25, 0.37, 0.35, 0.62) {
            [40, 60, 150 + grain]
        } else if within(0.26, 0.62, 0.295, 0.9) || within(0.305, 0.62, 0.34, 0.9) {
            [50, 45, 40 + grain]
        } else if disc(0.72, 0.66, 0.1) {
            [210, 40 + grain, 35]
        } else if within(0.55, 0.2, 0.85, 0.42) {
            [235, 220, 60 + grain]
        } else if v < 0.55 {
            [170 + grain, 190, (220.0 - 60.0 * v) as u8]
        } else {
            [(120.0 * v) as u8 + grain, 100, 80]
        }
    })
    .expect("a size of 640 by 480 is an image")
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
