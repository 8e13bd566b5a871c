//! The model folder: what lies in it, and what of it can be trusted.

mod files;
mod sample;
mod samples;

use std::io::ErrorKind;
use std::path::PathBuf;

use glassd_media::Image;
use sha2::{Digest, Sha256};
use tract_onnx::prelude::Tensor;

pub use self::files::ModelFile;
use crate::accelerators::{Accelerator, FileError, InferenceError, LoadError, PreparedModel, Site, Source};
use crate::manifest::{InputContract, Labels, Manifest, ModelEntry, Part, Task};
use crate::memory::{Loaded, memory};
use crate::tasks::classify::Classifier;
use crate::tasks::detect::Detector;
use crate::tasks::faces::{FaceFinder, FaceModels};
use crate::tasks::presence::PresenceDetector;
use crate::tasks::read::{ReadModels, Reader};
use crate::tasks::text_encoder::TextEncoder;
use crate::tasks::zero_shot::{ZeroShot, ZeroShotModels};

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

    fn trusted_detector(&self, entry: &ModelEntry) -> Result<Loaded<Detector>, Problem> {
        let prepared = self.prepared(entry)?;
        let detector = Detector::new(entry, &prepared, self.labels(entry)?);
        let mut detector = detector.map_err(|error| of_labels(entry, error))?;
        detector.check(&self.sample(entry, sample::scene)?)?;
        Ok(Loaded {
            model: detector,
            bytes: memory(entry, self.size(entry)?, &prepared).map_err(Flaw::from)?,
        })
    }

    fn trusted_classifier(&self, entry: &ModelEntry) -> Result<Loaded<Classifier>, Problem> {
        let prepared = self.prepared(entry)?;
        let classifier = Classifier::new(entry, &prepared, self.labels(entry)?);
        let mut classifier = classifier.map_err(|error| of_labels(entry, error))?;
        classifier.check(&self.sample(entry, sample::scene)?)?;
        Ok(Loaded {
            model: classifier,
            bytes: memory(entry, self.size(entry)?, &prepared).map_err(Flaw::from)?,
        })
    }

    fn trusted_reader(&self, entry: &ModelEntry) -> Result<Reader, Problem> {
        let Task::Read { direction, recognition } = &entry.task else {
            return Err(LoadError::Task("reader").into());
        };
        let detection = self.trusted_bytes(entry)?;
        let direction = direction.as_ref().map(|part| self.part(part)).transpose()?;
        let recognition = self.part(recognition)?;
        let models =
            ReadModels { detection: &detection, direction: direction.as_deref(), recognition: &recognition };
        let mut reader = Reader::from_bytes(entry, models)?;
        reader.check(&self.sample(entry, sample::sign)?)?;
        Ok(reader)
    }

    fn trusted_presence_detector(&self, entry: &ModelEntry) -> Result<PresenceDetector, Problem> {
        let mut detector = PresenceDetector::new(entry, &self.prepared(entry)?)?;
        detector.check(&self.sample(entry, sample::scene)?)?;
        Ok(detector)
    }

    fn trusted_face_finder(&self, entry: &ModelEntry) -> Result<FaceFinder, Problem> {
        let Task::Faces { refine, output, .. } = &entry.task else {
            return Err(LoadError::Task("face finder").into());
        };
        let propose = self.trusted_bytes(entry)?;
        let (refine, output) = (self.part(refine)?, self.part(output)?);
        let models = FaceModels { propose: &propose, refine: &refine, output: &output };
        let mut finder = FaceFinder::from_bytes(entry, models)?;
        finder.check(&self.sample(entry, sample::scene)?)?;
        Ok(finder)
    }

    fn trusted_zero_shot(&self, entry: &ModelEntry) -> Result<ZeroShot, Problem> {
        let Task::ZeroShot { text, tokenizer, .. } = &entry.task else {
            return Err(LoadError::Task("zero-shot classifier").into());
        };
        let image = self.trusted_bytes(entry)?;
        let (text, tokenizer) = (self.part(text)?, self.part(tokenizer)?);
        let models = ZeroShotModels { image: &image, text: &text, tokenizer: &tokenizer };
        let mut classifier = ZeroShot::from_bytes(entry, models)?;
        classifier.check(&self.sample(entry, sample::scene)?)?;
        Ok(classifier)
    }

    fn trusted_text_encoder(&self, entry: &ModelEntry) -> Result<TextEncoder, Problem> {
        let Task::Embed { tokenizer, .. } = &entry.task else {
            return Err(LoadError::Task("text encoder").into());
        };
        let mut encoder =
            TextEncoder::from_bytes(entry, &self.trusted_bytes(entry)?, &self.part(tokenizer)?)?;
        encoder.check()?;
        Ok(encoder)
    }

    /// Returns the compiled model of that name; its hash is the manifest's.
    pub fn prepare(&self, name: &str) -> Result<PreparedModel, VerifyError> {
        let entry = self.entry(name)?;
        self.prepared(entry).map_err(|problem| refused(entry, problem))
    }

    fn prepared(&self, entry: &ModelEntry) -> Result<PreparedModel, Problem> {
        if self.site.accelerator != Accelerator::Cpu {
            return Ok(placed(&self.candidate_of(entry)?, &self.site)?);
        }
        let prepared = Accelerator::Cpu.prepare_file(&self.folder.join(&entry.file), Some(&entry.sha256));
        prepared.map_err(|error| match error {
            FileError::Unreadable(error) => self.unreadable(&entry.file, error),
            FileError::Hash { expected, actual } => Problem::Hash { expected, actual },
            FileError::Load(error) => error.into(),
        })
    }

    fn trusted_bytes(&self, entry: &ModelEntry) -> Result<Vec<u8>, Problem> {
        let bytes = self.read(&entry.file)?;
        is_meant(&bytes, &entry.sha256)?;
        Ok(bytes)
    }

    fn part(&self, part: &Part) -> Result<Vec<u8>, Problem> {
        let bytes = self.read(&part.file).and_then(|bytes| is_meant(&bytes, &part.sha256).map(|()| bytes));
        bytes.map_err(|problem| Problem::Part { file: part.file.clone(), problem: Box::new(problem) })
    }

    fn labels(&self, entry: &ModelEntry) -> Result<Vec<String>, Problem> {
        let Some(Labels::File { file, sha256 }) = entry.task.labels() else {
            return Ok(Labels::listed(&entry.task)?);
        };
        let of_part = |problem| Problem::Part { file: file.clone(), problem: Box::new(problem) };
        let bytes = self.read(file).map_err(of_part)?;
        sha256.iter().try_for_each(|sha256| is_meant(&bytes, sha256)).map_err(of_part)?;
        let text = String::from_utf8(bytes).map_err(|_| LoadError::Labels(format!("{file} is not UTF-8")))?;
        Ok(text.lines().map(|line| line.trim().to_owned()).collect())
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

/// Names the file of labels where these are too many or too few.
fn of_labels(entry: &ModelEntry, error: LoadError) -> LoadError {
    match (error, entry.task.labels()) {
        (LoadError::Classes { classes, labels }, Some(Labels::File { file, .. })) => {
            LoadError::Labels(format!("{file} has {labels} lines, and the model has {classes} classes"))
        }
        (error, _) => error,
    }
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
