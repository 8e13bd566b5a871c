//! What a model is and how to feed it: the manifest file.
//!
//! ```toml
//! [[model]]
//! name = "yolox-nano"
//! file = "yolox_nano_fp32.onnx"        # beside the others in the model folder
//! sha256 = "e8af…"
//! licence = "Apache-2.0"
//! source = "where it comes from"
//! task = { kind = "detect", head = "yolox", labels = "coco" }
//! input = { width = 416, height = 416, layout = "nchw", type = "f32", order = "bgr", fit = "letterbox-corner", pad = 114 }
//! thresholds = { floor = 0.05, decision = 0.3 }
//! calibration = { slope = 1.0, intercept = 0.0 }
//! batch = { largest = 4, wait_ms = 5 }  # without it each frame runs alone, at once
//! memory_mb = 20                        # only where somebody measured it
//! ```
//!
//! [`EnsembleEntry`] and [`VariantEntry`] have their own tables, `[[ensemble]]` and `[[variant]]`.

mod coco;
mod input;
mod serving;
mod task;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;
use crate::embedded::EMBEDDED;

pub use self::coco::COCO_LABELS;
pub use self::input::{Fit, InputContract, Layout, Level, Order};
pub use self::serving::{Batch, EnsembleEntry, EnsembleMember, Named, VariantArm, VariantEntry};
pub use self::task::{BuiltinLabels, Classes, ClassifyHead, DetectHead, Labels, Part, Task};

/// A list of models, and how they serve together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models, in the order of preference.
    #[serde(rename = "model", default)]
    pub models: Vec<ModelEntry>,
    /// Models whose words are weighed against each other.
    #[serde(rename = "ensemble", default)]
    pub ensembles: Vec<EnsembleEntry>,
    /// Models of which each session gets one.
    #[serde(rename = "variant", default)]
    pub variants: Vec<VariantEntry>,
}

/// One model: its file, where it comes from, what it does and how it is fed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Unique name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Name of the ONNX file in the model folder, without a folder.
    pub file: String,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// SPDX expression or words for the licence of the weights.
    pub licence: String,
    /// Where the file comes from.
    pub source: String,
    /// What it does.
    pub task: Task,
    /// How an image becomes its input; for every task that looks at images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputContract>,
    /// Which scores count.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// From scores to probabilities.
    #[serde(default)]
    pub calibration: Calibration,
    /// The sample it is checked on before it is trusted.
    #[serde(default)]
    pub check: Check,
    /// How frames for it are gathered.
    #[serde(default)]
    pub batch: Batch,
    /// Its memory in millions of bytes, where somebody measured it; else it is reckoned from the compiled model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
}

/// Which scores count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Scores under this are not reported at all, 0 to 1.
    pub floor: f32,
    /// Scores from here on are taken for real by those who must decide, `floor` to 1.
    pub decision: f32,
    /// Boxes of one label that overlap by more than this (intersection over union) are one object.
    #[serde(default = "half")]
    pub overlap: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { floor: 0.0, decision: half(), overlap: half() }
    }
}

fn half() -> f32 {
    0.5
}

/// The sample a model is checked on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// A JPEG in the model folder, without a folder; else a picture is painted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The words a model can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// The labels in the order of the classes.
    pub labels: Vec<String>,
    /// The colours; empty where the model tells none.
    pub colours: Vec<String>,
}

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// Values out of range: all of them, each with its key.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl Manifest {
    /// Reads a manifest and checks every value.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            toml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let mut problems: Vec<String> = manifest.models.iter().flat_map(ModelEntry::problems).collect();
        problems.extend(manifest.serving_problems());
        let mut names = BTreeSet::from([EMBEDDED]);
        let models = manifest.models.iter().map(|entry| ("model", &entry.name));
        let ensembles = manifest.ensembles.iter().map(|entry| ("ensemble", &entry.name));
        let variants = manifest.variants.iter().map(|entry| ("variant", &entry.name));
        let twice = models.chain(ensembles).chain(variants).filter(|(_, name)| !names.insert(name));
        problems.extend(twice.map(|(what, name)| format!("{what} {name:?}: the name is taken")));
        if problems.is_empty() { Ok(manifest) } else { Err(ManifestError::Invalid(problems)) }
    }

    /// Returns the model of that name.
    pub fn model(&self, name: &str) -> Option<&ModelEntry> {
        self.models.iter().find(|model| model.name == name)
    }
}

impl ModelEntry {
    /// Reads a single entry, written as a document of its own, and checks every value.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let entry: Self = toml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let problems = entry.problems();
        if problems.is_empty() { Ok(entry) } else { Err(ManifestError::Invalid(problems)) }
    }

    /// Lists what is wrong with the values, each with its key.
    fn problems(&self) -> Vec<String> {
        let Self { input, thresholds, calibration, .. } = self;
        let rules = [
            (!is_name(&self.name), NAME_RULE),
            (!is_file_name(&self.file), "file: a file name without a folder"),
            (!is_sha256(&self.sha256), "sha256: 64 hexadecimal digits"),
            (input.is_none() && self.task.is_visual(), "input: how an image becomes the input"),
            (!(calibration.slope.is_finite() && calibration.slope > 0.0), "calibration.slope: above 0"),
            (!calibration.intercept.is_finite(), "calibration.intercept: finite"),
            (
                self.check.image.as_ref().is_some_and(|image| !is_file_name(image)),
                "check.image: a file name without a folder",
            ),
        ];
        let broken = rules.iter().filter(|(broken, _)| *broken).map(|(_, rule)| (*rule).to_owned());
        let input = input.iter().flat_map(InputContract::problems);
        let rules = thresholds.problems().chain(input).chain(self.batch.problem()).map(str::to_owned);
        let broken = broken.chain(rules).chain(self.task.problems());
        broken.map(|rule| format!("model {:?}: {rule}", self.name)).collect()
    }
}

impl Thresholds {
    /// Lists what is wrong with the values, each with its key.
    fn problems(&self) -> impl Iterator<Item = &'static str> {
        let share = |value: f32| (0.0..=1.0).contains(&value);
        let rules = [
            (!share(self.floor), "thresholds.floor: 0 to 1"),
            (!(self.floor..=1.0).contains(&self.decision), "thresholds.decision: floor to 1"),
            (!share(self.overlap), "thresholds.overlap: 0 to 1"),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule)
    }
}

const NAME_RULE: &str = "name: lower-case letters, digits, hyphens";

fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(legal)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// No separators of any system and no dot names: the file lies in the model folder itself.
fn is_file_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\', ':', '\0'])
}
