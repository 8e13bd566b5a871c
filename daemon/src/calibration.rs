//! The calibration in `state_dir/calibration.json`: written by `glassd calibrate`, read at the start.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use glassd_policies::calibration::Calibration;
use serde::{Deserialize, Serialize};

/// A calibration and how far it knows the outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Number of the newest outcome in it.
    pub newest_outcome: i64,
    /// Curves and bounds.
    pub calibration: Calibration,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("calibration.json")
}

/// Reads the calibration, where there is one.
pub fn read(state_dir: &Path) -> anyhow::Result<Option<Calibrated>> {
    let path = path(state_dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let advice =
        || format!("{}: `glassd calibrate` makes a new one; without the file there is none", path.display());
    let calibrated: Calibrated = serde_json::from_str(&text).with_context(advice)?;
    let problems = calibrated.calibration.problems();
    anyhow::ensure!(problems.is_empty(), "{}: {}", advice(), problems.join("; "));
    Ok(Some(calibrated))
}

/// Writes the calibration in the place of the one before, whole or not at all; returns where.
pub fn write(state_dir: &Path, calibrated: &Calibrated) -> anyhow::Result<PathBuf> {
    let path = path(state_dir);
    let text = serde_json::to_string_pretty(calibrated).context("a calibration is JSON")?;
    let mut file = tempfile::NamedTempFile::new_in(state_dir)
        .with_context(|| format!("cannot write in {}", state_dir.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
