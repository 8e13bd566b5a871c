//! Trusting a model: its files are those that are meant, it fits its entry, and it tells something on its check sample.

use crate::accelerators::{Accelerator, FileError, LoadError, PreparedModel};
use crate::manifest::{Labels, ModelEntry, Part, Task};
use crate::memory::{Loaded, memory};
use crate::store::{Flaw, ModelStore, Problem, is_meant, placed, sample};
use crate::tasks::classify::Classifier;
use crate::tasks::detect::Detector;
use crate::tasks::faces::{FaceFinder, FaceModels};
use crate::tasks::presence::PresenceDetector;
use crate::tasks::read::{ReadModels, Reader};
use crate::tasks::text_encoder::TextEncoder;
use crate::tasks::zero_shot::{ZeroShot, ZeroShotModels};

impl ModelStore {
    pub(super) fn trusted_detector(&self, entry: &ModelEntry) -> Result<Loaded<Detector>, Problem> {
        let prepared = self.prepared(entry)?;
        let detector = Detector::new(entry, &prepared, self.labels(entry)?);
        let mut detector = detector.map_err(|error| of_labels(entry, error))?;
        detector.check(&self.sample(entry, sample::scene)?)?;
        Ok(Loaded {
            model: detector,
            bytes: memory(entry, self.size(entry)?, &prepared).map_err(Flaw::from)?,
        })
    }

    pub(super) fn trusted_classifier(&self, entry: &ModelEntry) -> Result<Loaded<Classifier>, Problem> {
        let prepared = self.prepared(entry)?;
        let classifier = Classifier::new(entry, &prepared, self.labels(entry)?);
        let mut classifier = classifier.map_err(|error| of_labels(entry, error))?;
        classifier.check(&self.sample(entry, sample::scene)?)?;
        Ok(Loaded {
            model: classifier,
            bytes: memory(entry, self.size(entry)?, &prepared).map_err(Flaw::from)?,
        })
    }

    pub(super) fn trusted_reader(&self, entry: &ModelEntry) -> Result<Reader, Problem> {
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

    pub(super) fn trusted_presence_detector(&self, entry: &ModelEntry) -> Result<PresenceDetector, Problem> {
        let mut detector = PresenceDetector::new(entry, &self.prepared(entry)?)?;
        detector.check(&self.sample(entry, sample::scene)?)?;
        Ok(detector)
    }

    pub(super) fn trusted_face_finder(&self, entry: &ModelEntry) -> Result<FaceFinder, Problem> {
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

    pub(super) fn trusted_zero_shot(&self, entry: &ModelEntry) -> Result<ZeroShot, Problem> {
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

    pub(super) fn trusted_text_encoder(&self, entry: &ModelEntry) -> Result<TextEncoder, Problem> {
        let Task::Embed { tokenizer, .. } = &entry.task else {
            return Err(LoadError::Task("text encoder").into());
        };
        let mut encoder =
            TextEncoder::from_bytes(entry, &self.trusted_bytes(entry)?, &self.part(tokenizer)?)?;
        encoder.check()?;
        Ok(encoder)
    }

    pub(super) fn prepared(&self, entry: &ModelEntry) -> Result<PreparedModel, Problem> {
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

    pub(super) fn trusted_bytes(&self, entry: &ModelEntry) -> Result<Vec<u8>, Problem> {
        let bytes = self.read(&entry.file)?;
        is_meant(&bytes, &entry.sha256)?;
        Ok(bytes)
    }

    pub(super) fn part(&self, part: &Part) -> Result<Vec<u8>, Problem> {
        let bytes = self.read(&part.file).and_then(|bytes| is_meant(&bytes, &part.sha256).map(|()| bytes));
        bytes.map_err(|problem| Problem::Part { file: part.file.clone(), problem: Box::new(problem) })
    }

    pub(super) fn labels(&self, entry: &ModelEntry) -> Result<Vec<String>, Problem> {
        let Some(Labels::File { file, sha256 }) = entry.task.labels() else {
            return Ok(Labels::listed(&entry.task)?);
        };
        let of_part = |problem| Problem::Part { file: file.clone(), problem: Box::new(problem) };
        let bytes = self.read(file).map_err(of_part)?;
        sha256.iter().try_for_each(|sha256| is_meant(&bytes, sha256)).map_err(of_part)?;
        let text = String::from_utf8(bytes).map_err(|_| LoadError::Labels(format!("{file} is not UTF-8")))?;
        Ok(text.lines().map(|line| line.trim().to_owned()).collect())
    }
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
