//! The model files behind a name, each with the inputs that its task gives it.

use tract_onnx::prelude::Tensor;

use super::{Candidate, ModelStore, Problem, VerifyError, refused, sample};
use crate::accelerators::settled_for;
use crate::manifest::{ModelEntry, Task};
use crate::store::Flaw;

/// One file of a model.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// What it is called: as the model, or for a part with the part's key behind a colon, as in `ocr:recognition`.
    pub name: String,
    /// The file.
    pub file: String,
    /// Its bytes, with the shapes of the sample in the place of open sides, and the inputs of one run on the model's
    /// check sample.
    pub candidate: Candidate,
}

impl ModelStore {
    /// Returns all files of a model that run, its own first; only one for the name of a part (`ocr:recognition`).
    pub fn files(&self, name: &str) -> Result<Vec<ModelFile>, VerifyError> {
        let (model, part) = name.split_once(':').map_or((name, None), |(model, part)| (model, Some(part)));
        let entry = self.entry(model)?;
        let mut files = self.files_of(entry).map_err(|problem| refused(entry, problem))?;
        if part.is_some() {
            let names = files.iter().map(|file| file.name.clone()).collect::<Vec<_>>().join(", ");
            files.retain(|file| file.name == name);
            if files.is_empty() {
                return Err(refused(entry, Problem::NoPart { name: name.to_owned(), names }));
            }
        }
        Ok(files)
    }

    fn files_of(&self, entry: &ModelEntry) -> Result<Vec<ModelFile>, Problem> {
        let parts = entry.task.parts();
        let mut files = Vec::new();
        for (key, inputs) in self.check_inputs(entry)? {
            let part = key.and_then(|key| parts.iter().find(|(known, _)| *known == key));
            let (file, onnx) = match part {
                Some((_, part)) => (&part.file, self.part(part)?),
                None => (&entry.file, self.trusted_bytes(entry)?),
            };
            let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
            let name = key.map_or_else(|| entry.name.clone(), |key| format!("{}:{key}", entry.name));
            let onnx = settled_for(onnx, &shapes)?;
            files.push(ModelFile { name, file: file.clone(), candidate: Candidate { onnx, sample: inputs } });
        }
        Ok(files)
    }

    /// Returns the inputs that the check sample becomes for each file: its key among the parts, none for the entry's
    /// own. What takes what another one finds needs that one to be trusted.
    #[expect(clippy::type_complexity, reason = "a list of two things")]
    fn check_inputs(&self, entry: &ModelEntry) -> Result<Vec<(Option<&'static str>, Vec<Tensor>)>, Problem> {
        match &entry.task {
            Task::Detect { .. } | Task::Classify { .. } | Task::Presence { .. } => {
                let input = super::pictures_of(entry)?;
                Ok(vec![(None, vec![input.sample(&self.sample(entry, sample::scene)?)])])
            }
            Task::Read { direction, .. } => {
                let mut reader = self.trusted_reader(entry)?;
                let sign = self.sample(entry, sample::sign)?;
                let [frames, directions, lines] = reader.samples(&sign).map_err(Flaw::from)?;
                let directions = if direction.is_some() { directions } else { Vec::new() };
                let first = |key, inputs: Vec<Tensor>| Some((key, vec![inputs.into_iter().next()?]));
                let files = [
                    first(None, frames),
                    first(Some("direction"), directions),
                    first(Some("recognition"), lines),
                ];
                Ok(files.into_iter().flatten().collect())
            }
            Task::Faces { .. } => {
                let wholes = self.trusted_face_finder(entry)?.wholes(&self.sample(entry, sample::scene)?);
                let keys = [None, Some("refine"), Some("output")];
                Ok(keys.into_iter().zip(wholes.map(|whole| vec![whole])).collect())
            }
            Task::ZeroShot { .. } => {
                let classifier = self.trusted_zero_shot(entry)?;
                let [image, text] = classifier.sample(&self.sample(entry, sample::scene)?);
                Ok(vec![(None, image), (Some("text"), text)])
            }
            Task::Embed { .. } => Ok(vec![(None, self.trusted_text_encoder(entry)?.sample())]),
        }
    }
}
