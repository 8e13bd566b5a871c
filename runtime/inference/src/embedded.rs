//! The detector that is built in, so that everything works with no download.

use crate::accelerators::Site;
use crate::manifest::ModelEntry;
use crate::memory::Loaded;
use crate::store::{self, Candidate, VerifyError};
use crate::tasks::detect::Detector;

/// The name under which it serves; no model of a manifest can take it.
pub const EMBEDDED: &str = "embedded";

/// Prepares the embedded detector, trained by `glassd-train`: shapes and colours of the simulator's world. It is
/// verified like any other, and refused only in a build that was tampered with.
pub fn embedded() -> Result<Detector, VerifyError> {
    Ok(loaded(&Site::default())?.model)
}

/// Prepares it for an accelerator, and reckons its memory.
pub(crate) fn loaded(site: &Site) -> Result<Loaded<Detector>, VerifyError> {
    store::trusted_embedded(&entry(), ONNX, site)
}

/// Returns what an accelerator is tried on before it may run the embedded detector.
pub fn embedded_candidate() -> Result<Candidate, VerifyError> {
    store::embedded_candidate(&entry(), ONNX)
}

fn entry() -> ModelEntry {
    ModelEntry::parse(include_str!("../models/scene.toml")).expect("a test parses the embedded entry")
}

/// The model itself.
pub(crate) const ONNX: &[u8] = include_bytes!("../models/scene.onnx");
