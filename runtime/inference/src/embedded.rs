//! The detector that is built in, so that everything works with no download.

use crate::accelerators::Site;
use crate::detect::Detector;
use crate::manifest::ModelEntry;
use crate::store::{self, Candidate, VerifyError};

const ONNX: &[u8] = include_bytes!("../models/scene.onnx");

/// Prepares the embedded detector, trained by `glassd-train`: shapes and colours of the simulator's world. It is
/// verified like any other, and refused only in a build that was tampered with.
pub fn embedded() -> Result<Detector, VerifyError> {
    embedded_on(&Site::default())
}

/// Prepares the embedded detector for another place than the processor.
pub fn embedded_on(site: &Site) -> Result<Detector, VerifyError> {
    store::trusted_embedded(&entry(), ONNX, site)
}

/// Returns what an accelerator is tried on before it may run the embedded detector.
pub fn embedded_candidate() -> Result<Candidate, VerifyError> {
    store::embedded_candidate(&entry(), ONNX)
}

fn entry() -> ModelEntry {
    ModelEntry::parse(include_str!("../models/scene.toml")).expect("a test parses the embedded entry")
}
