//! The detector that is built in, so that everything works with no download.

use crate::accelerator::LoadError;
use crate::detect::Detector;
use crate::manifest::ModelEntry;

/// Prepares the embedded detector, trained by `glassd-train`: shapes and colours of the simulator's world.
pub fn embedded() -> Result<Detector, LoadError> {
    let entry =
        ModelEntry::parse(include_str!("../models/scene.toml")).expect("a test parses the embedded entry");
    Detector::from_bytes(&entry, include_bytes!("../models/scene.onnx"))
}
