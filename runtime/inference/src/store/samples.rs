//! What a model of the store is calibrated on: the inputs that it gets where it is used.

use glassd_media::Image;
use tract_onnx::prelude::Tensor;

use super::{ModelStore, Problem, VerifyError, refused};
use crate::accelerators::LoadError;
use crate::manifest::{ModelEntry, Task};

/// Inputs of one file at most: the networks for windows and lines get hundreds from a picture.
const MOST: usize = 256;

impl ModelStore {
    /// Returns the inputs that the file of this SHA-256 gets when its task looks at pictures: the picture itself,
    /// or the lines and windows that the task's other models find in it. Nothing if the manifest does not name the
    /// file, or if its task looks at no pictures.
    pub fn samples(&self, sha256: &str, pictures: &[Image]) -> Result<Option<Vec<Vec<Tensor>>>, VerifyError> {
        let is_it = |hash: &str| hash.eq_ignore_ascii_case(sha256);
        for entry in &self.manifest.models {
            let parts = entry.task.parts();
            let part = parts.iter().find(|(_, part)| is_it(&part.sha256)).map(|(key, _)| *key);
            if part.is_none() && !is_it(&entry.sha256) {
                continue;
            }
            return self.inputs(entry, part, pictures).map_err(|problem| refused(entry, problem));
        }
        Ok(None)
    }

    /// Returns the inputs of an entry's own file, or of the part of that key.
    fn inputs(
        &self,
        entry: &ModelEntry,
        part: Option<&str>,
        pictures: &[Image],
    ) -> Result<Option<Vec<Vec<Tensor>>>, Problem> {
        let failed = |error: crate::accelerators::InferenceError| LoadError::Unusable(error.to_string());
        let mut inputs = Vec::new();
        match (&entry.task, part) {
            (Task::Read { .. }, part) => {
                let at = part.map_or(0, |part| if part == "direction" { 1 } else { 2 });
                let mut reader = self.trusted_reader(entry)?;
                for picture in pictures {
                    inputs.append(&mut reader.samples(picture).map_err(failed)?[at]);
                }
            }
            (Task::Faces { .. }, part) => {
                let at = part.map_or(0, |part| if part == "refine" { 1 } else { 2 });
                let mut finder = self.trusted_face_finder(entry)?;
                for picture in pictures {
                    inputs.append(&mut finder.samples(picture).map_err(failed)?[at]);
                }
            }
            (_, None) => match entry.input {
                Some(input) => inputs.extend(pictures.iter().map(|picture| input.sample(picture))),
                None => return Ok(None),
            },
            (_, Some(_)) => return Ok(None),
        }
        let step = inputs.len().div_ceil(MOST).max(1);
        Ok(Some(inputs.into_iter().step_by(step).map(|input| vec![input]).collect()))
    }
}
