//! The detector that is built in, so that everything works with no download.

use crate::detect::Detector;
use crate::manifest::ModelEntry;
use crate::memory::Loaded;
use crate::store::{VerifyError, trusted_embedded};

/// The name under which it serves; no model of a manifest can take it.
pub const EMBEDDED: &str = "embedded";

/// Prepares the embedded detector, trained by `glassd-train`: shapes and colours of the simulator's world. It is
/// verified like any other, and refused only in a build that was tampered with.
pub fn embedded() -> Result<Detector, VerifyError> {
    Ok(loaded()?.model)
}

/// Prepares it, and reckons its memory.
pub(crate) fn loaded() -> Result<Loaded<Detector>, VerifyError> {
    let entry =
        ModelEntry::parse(include_str!("../models/scene.toml")).expect("a test parses the embedded entry");
    trusted_embedded(&entry, ONNX)
}

/// The model itself.
pub(crate) const ONNX: &[u8] = include_bytes!("../models/scene.onnx");
