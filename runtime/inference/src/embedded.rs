//! The detector that is built in, so that everything works with no download.

use crate::detect::Detector;
use crate::manifest::ModelEntry;
use crate::store::{VerifyError, trusted_embedded};

/// Prepares the embedded detector, trained by `glassd-train`: shapes and colours of the simulator's world. It is
/// verified like any other, and refused only in a build that was tampered with.
pub fn embedded() -> Result<Detector, VerifyError> {
    let entry =
        ModelEntry::parse(include_str!("../models/scene.toml")).expect("a test parses the embedded entry");
    trusted_embedded(&entry, include_bytes!("../models/scene.onnx"))
}
