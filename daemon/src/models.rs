//! Where models come from: the configuration's manifest and folder.

use std::path::Path;

use anyhow::Context as _;
use glassd_inference::{Manifest, ModelStore};

use crate::config::Config;

/// Opens the store that the configuration names.
pub fn store(config: &Config) -> anyhow::Result<ModelStore> {
    let path = &config.models.manifest;
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read models.manifest = {}", path.display()))?;
    let manifest = Manifest::parse(&text).with_context(|| format!("in the manifest {}", path.display()))?;
    let folder = if config.models.directory.as_os_str().is_empty() {
        path.parent().unwrap_or(Path::new("."))
    } else {
        &config.models.directory
    };
    Ok(ModelStore::open(manifest, folder))
}
