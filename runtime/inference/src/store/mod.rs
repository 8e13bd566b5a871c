//! The model folder: what lies in it, and what of it can be trusted.

mod files;
mod problem;
mod sample;
mod samples;
mod trusted;

use std::io::ErrorKind;
use std::path::PathBuf;

use glassd_media::Image;
use sha2::{Digest, Sha256};
use tract_onnx::prelude::Tensor;

pub use self::files::ModelFile;
pub(crate) use self::problem::judged;
use self::problem::refused;
pub use self::problem::{Flaw, Problem, VerifyError};
use crate::accelerators::{LoadError, PreparedModel, Site, Source};
use crate::manifest::{InputContract, Labels, Manifest, ModelEntry, Task};
use crate::memory::{Loaded, memory};
use crate::tasks::classify::Classifier;
use crate::tasks::detect::Detector;
use crate::tasks::faces::FaceFinder;
use crate::tasks::presence::PresenceDetector;
use crate::tasks::read::Reader;
use crate::tasks::text_encoder::TextEncoder;
use crate::tasks::zero_shot::ZeroShot;

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
        self.candidate_of(entry).map_err(|problem| refused(entry, problem))
    }

    fn candidate_of(&self, entry: &ModelEntry) -> Result<Candidate, Problem> {
        candidate(entry, self.read(&entry.file)?, &self.sample(entry, sample::scene)?)
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
            Task::Read { .. } => self.trusted_reader(entry).map(drop),
            Task::Presence { .. } => self.trusted_presence_detector(entry).map(drop),
            Task::Faces { .. } => self.trusted_face_finder(entry).map(drop),
            Task::ZeroShot { .. } => self.trusted_zero_shot(entry).map(drop),
            Task::Embed { .. } => self.trusted_text_encoder(entry).map(drop),
        }
        .map_err(|problem| refused(entry, problem))
    }

    /// Returns the size of a model's file in bytes: what it needs at least.
    pub(crate) fn file_bytes(&self, name: &str) -> Result<u64, VerifyError> {
        let entry = self.entry(name)?;
        self.size(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns the detector of that name, verified.
    pub fn detector(&self, name: &str) -> Result<Detector, VerifyError> {
        let entry = self.entry(name)?;
        Ok(self.load_detector(entry)?.model)
    }

    /// Returns the classifier of that name, verified.
    pub fn classifier(&self, name: &str) -> Result<Classifier, VerifyError> {
        let entry = self.entry(name)?;
        Ok(self.load_classifier(entry)?.model)
    }

    /// Returns a detector, verified, and its memory.
    pub(crate) fn load_detector(&self, entry: &ModelEntry) -> Result<Loaded<Detector>, VerifyError> {
        self.trusted_detector(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns a classifier, verified, and its memory.
    pub(crate) fn load_classifier(&self, entry: &ModelEntry) -> Result<Loaded<Classifier>, VerifyError> {
        self.trusted_classifier(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns the reader of that name, verified.
    pub fn reader(&self, name: &str) -> Result<Reader, VerifyError> {
        let entry = self.entry(name)?;
        self.trusted_reader(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns the presence detector of that name, verified.
    pub fn presence_detector(&self, name: &str) -> Result<PresenceDetector, VerifyError> {
        let entry = self.entry(name)?;
        self.trusted_presence_detector(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns the face finder of that name, verified.
    pub fn face_finder(&self, name: &str) -> Result<FaceFinder, VerifyError> {
        let entry = self.entry(name)?;
        self.trusted_face_finder(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns the zero-shot classifier of that name, verified.
    pub fn zero_shot(&self, name: &str) -> Result<ZeroShot, VerifyError> {
        let entry = self.entry(name)?;
        self.trusted_zero_shot(entry).map_err(|problem| refused(entry, problem))
    }

    /// Returns the text encoder of that name, verified.
    pub fn text_encoder(&self, name: &str) -> Result<TextEncoder, VerifyError> {
        let entry = self.entry(name)?;
        self.trusted_text_encoder(entry).map_err(|problem| refused(entry, problem))
    }

    fn entry(&self, name: &str) -> Result<&ModelEntry, VerifyError> {
        let unknown = || VerifyError { name: name.into(), file: "no file".into(), problem: Problem::Unknown };
        self.manifest.model(name).ok_or_else(unknown)
    }

    /// Returns the compiled model of that name; its hash is the manifest's.
    pub fn prepare(&self, name: &str) -> Result<PreparedModel, VerifyError> {
        let entry = self.entry(name)?;
        self.prepared(entry).map_err(|problem| refused(entry, problem))
    }

    fn sample(&self, entry: &ModelEntry, painted: fn() -> Image) -> Result<Image, Problem> {
        match &entry.check.image {
            Some(file) => Ok(glassd_media::decode(&self.read(file)?)?),
            None => Ok(painted()),
        }
    }

    fn size(&self, entry: &ModelEntry) -> Result<u64, Problem> {
        let file = std::fs::metadata(self.folder.join(&entry.file));
        file.map(|file| file.len()).map_err(|error| self.unreadable(&entry.file, error))
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

/// Refuses bytes that are not those that the manifest means.
fn is_meant(bytes: &[u8], sha256_of_it: &str) -> Result<(), Problem> {
    let other = other_hash(sha256_of_it, bytes);
    other.map_or(Ok(()), |actual| Err(Problem::Hash { expected: sha256_of_it.to_owned(), actual }))
}

/// Returns what an accelerator is tried on before it may run a model that looks at pictures.
fn candidate(entry: &ModelEntry, onnx: Vec<u8>, sample: &Image) -> Result<Candidate, Problem> {
    is_meant(&onnx, &entry.sha256)?;
    let input = pictures_of(entry)?;
    Ok(Candidate { onnx, sample: vec![input.sample(sample)] })
}

/// Returns how a model takes pictures, which it must.
fn pictures_of(entry: &ModelEntry) -> Result<InputContract, LoadError> {
    entry.input.ok_or_else(|| LoadError::Unusable("it looks at no pictures".to_owned()))
}

/// Prepares a model where its outputs on its sample are right.
fn placed(candidate: &Candidate, site: &Site) -> Result<PreparedModel, LoadError> {
    let source = Source { onnx: &candidate.onnx, tflite: None };
    site.accelerator.place(source, std::slice::from_ref(&candidate.sample), site.cache.as_ref())
}

/// Returns what an accelerator is tried on before it may run a model that needs no folder.
pub(crate) fn embedded_candidate(entry: &ModelEntry, onnx: &[u8]) -> Result<Candidate, VerifyError> {
    candidate(entry, onnx.to_vec(), &sample::scene()).map_err(|problem| refused(entry, problem))
}

/// Returns a detector from bytes that need no folder, verified like one of a store.
pub(crate) fn trusted_embedded(
    entry: &ModelEntry,
    onnx: &[u8],
    site: &Site,
) -> Result<Loaded<Detector>, VerifyError> {
    let trusted = || {
        let prepared = placed(&candidate(entry, onnx.to_vec(), &sample::scene())?, site)?;
        let mut detector = Detector::new(entry, &prepared, Labels::listed(&entry.task)?)?;
        detector.check(&sample::scene())?;
        Ok(Loaded {
            model: detector,
            bytes: memory(entry, onnx.len() as u64, &prepared).map_err(Flaw::from)?,
        })
    };
    trusted().map_err(|problem| refused(entry, problem))
}

/// Returns the SHA-256 of a file's bytes as a manifest writes it: 64 lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
