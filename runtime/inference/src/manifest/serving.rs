//! How models serve together: ensembles, variants, batches.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Manifest, ModelEntry, Task, Thresholds};
use crate::calibration::Calibration;
use crate::serving::Batching;

/// Several models whose words are weighed: weighted boxes fusion for detectors, weighted voting for classifiers.
///
/// ```toml
/// [[ensemble]]
/// name = "both"
/// members = [{ model = "yolox-nano" }, { model = "yolov8n-int8-320", weight = 2.0 }]
/// thresholds = { floor = 0.05, decision = 0.3, overlap = 0.55 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleEntry {
    /// Unique name, as models have.
    pub name: String,
    /// Two models at least, all detectors or all classifiers.
    pub members: Vec<EnsembleMember>,
    /// Which fused probabilities count, and from which overlap on boxes are one object (0.55 in Solovyev et al. 2021).
    pub thresholds: Thresholds,
    /// From fused probabilities to probabilities: members that agree are surer than their mean.
    #[serde(default)]
    pub calibration: Calibration,
    /// How frames for it are gathered; what its members say on this counts only where they look alone.
    #[serde(default)]
    pub batch: Batch,
}

/// One model of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleMember {
    /// Name of a model of the manifest.
    pub model: String,
    /// What its word weighs against the others', above 0.
    #[serde(default = "one")]
    pub weight: f32,
}

/// Several models of which each session gets one, always the same: an A/B test, or a slow introduction.
///
/// ```toml
/// [[variant]]
/// name = "seeing"
/// arms = [{ model = "yolox-nano", weight = 0.9 }, { model = "both", weight = 0.1 }]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantEntry {
    /// Unique name, as models have.
    pub name: String,
    /// Two at least.
    pub arms: Vec<VariantArm>,
}

/// One choice of a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantArm {
    /// Name of a model or an ensemble of the manifest.
    pub model: String,
    /// Its share of the sessions is its share of the weights; 0 for none.
    #[serde(default = "one")]
    pub weight: f32,
}

/// Sums of more would lose what small weights say.
const MAX_WEIGHT: f32 = 1e6;

fn one() -> f32 {
    1.0
}

/// How frames for a model or an ensemble are gathered into one turn of an accelerator.
///
/// On the processor the frames of a turn run one after another: a batch of 4 or 8 does not pay there (MobileNetV2 INT8 on one
/// thread in onnxruntime 1.31.1, 2026-11-21: 8.3 ms alone, 8.4 and 8.5 ms a picture in a batch). What a turn saves is loading:
/// members of an ensemble that do not fit in memory together are each loaded once a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Most frames in one turn, 1 to 64.
    pub largest: u32,
    /// How long a frame waits for others, 0 to 1000 ms.
    pub wait_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { largest: 1, wait_ms: 0 }
    }
}

impl From<Batch> for Batching {
    fn from(batch: Batch) -> Self {
        Self { largest: batch.largest as usize, wait: Duration::from_millis(batch.wait_ms) }
    }
}

/// What a name of the manifest stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Named<'a> {
    /// One model.
    Model(&'a ModelEntry),
    /// Several, weighed.
    Ensemble(&'a EnsembleEntry),
    /// Several, of which a session gets one.
    Variant(&'a VariantEntry),
}

impl Manifest {
    /// Returns what the name stands for.
    pub fn named(&self, name: &str) -> Option<Named<'_>> {
        let model = || self.model(name).map(Named::Model);
        let ensemble = || self.ensemble(name).map(Named::Ensemble);
        let variant = || self.variants.iter().find(|entry| entry.name == name).map(Named::Variant);
        model().or_else(ensemble).or_else(variant)
    }

    /// Returns what a name does: a variant what its first arm does, an ensemble what its first member does.
    pub fn task(&self, name: &str) -> Option<&Task> {
        let variant = self.variants.iter().find(|entry| entry.name == name);
        let name = variant.and_then(|entry| entry.arms.first()).map_or(name, |arm| &arm.model);
        let name = self.ensemble(name).and_then(|entry| entry.members.first()).map_or(name, |one| &one.model);
        self.model(name).map(|model| &model.task)
    }

    /// Returns how frames are gathered for each model and ensemble.
    pub fn batches(&self) -> impl Iterator<Item = (&str, Batch)> {
        let models = self.models.iter().map(|entry| (entry.name.as_str(), entry.batch));
        models.chain(self.ensembles.iter().map(|entry| (entry.name.as_str(), entry.batch)))
    }

    fn ensemble(&self, name: &str) -> Option<&EnsembleEntry> {
        self.ensembles.iter().find(|entry| entry.name == name)
    }

    /// Lists what is wrong with ensembles and variants.
    pub(super) fn serving_problems(&self) -> Vec<String> {
        let ensembles = self.ensembles.iter().flat_map(|entry| {
            let told = entry.problems(self).into_iter();
            told.map(|problem| format!("ensemble {:?}: {problem}", entry.name))
        });
        let variants = self.variants.iter().flat_map(|entry| {
            let told = entry.problems(self).into_iter();
            told.map(|problem| format!("variant {:?}: {problem}", entry.name))
        });
        ensembles.chain(variants).collect()
    }
}

impl EnsembleEntry {
    fn problems(&self, manifest: &Manifest) -> Vec<String> {
        let mut problems = Vec::new();
        let calibration = &self.calibration;
        let rules = [
            (!super::is_name(&self.name), super::NAME_RULE),
            (self.members.len() < 2, "members: two at least"),
            (is_repeated(self.members.iter().map(|member| &member.model)), "members: each model once"),
            (
                !self.members.iter().all(|member| member.weight > 0.0 && member.weight <= MAX_WEIGHT),
                "members.weight: above 0, at most 1000000",
            ),
            (!(calibration.slope.is_finite() && calibration.slope > 0.0), "calibration.slope: above 0"),
            (!calibration.intercept.is_finite(), "calibration.intercept: finite"),
        ];
        problems.extend(rules.iter().filter(|(broken, _)| *broken).map(|(_, rule)| (*rule).to_owned()));
        problems.extend(self.thresholds.problems().chain(self.batch.problem()).map(str::to_owned));
        let mut kinds = BTreeSet::new();
        for member in &self.members {
            match manifest.model(&member.model) {
                Some(model) => drop(kinds.insert(kind(&model.task))),
                None => problems.push(format!("members: {:?} is no model of this manifest", member.model)),
            }
        }
        if kinds.len() > 1 || kinds.contains(&None) {
            problems.push("members: all detectors, or all classifiers".to_owned());
        }
        problems
    }
}

impl VariantEntry {
    fn problems(&self, manifest: &Manifest) -> Vec<String> {
        let is_weight = |weight: f32| (0.0..=MAX_WEIGHT).contains(&weight);
        let rules = [
            (!super::is_name(&self.name), super::NAME_RULE),
            (self.arms.len() < 2, "arms: two at least"),
            (is_repeated(self.arms.iter().map(|arm| &arm.model)), "arms: each model once"),
            (!self.arms.iter().all(|arm| is_weight(arm.weight)), "arms.weight: 0 to 1000000"),
            (!self.arms.iter().any(|arm| arm.weight > 0.0), "arms.weight: one above 0"),
        ];
        let broken = rules.iter().filter(|(broken, _)| *broken).map(|(_, rule)| (*rule).to_owned());
        let mut problems: Vec<String> = broken.collect();
        let mut kinds = BTreeSet::new();
        for arm in &self.arms {
            if manifest.model(&arm.model).is_none() && manifest.ensemble(&arm.model).is_none() {
                problems.push(format!("arms: {:?} is no model or ensemble of this manifest", arm.model));
            } else if let Some(task) = manifest.task(&arm.model) {
                kinds.insert(kind(task));
            }
        }
        if kinds.len() > 1 || kinds.contains(&None) {
            problems.push("arms: all detectors, or all classifiers".to_owned());
        }
        problems
    }
}

impl Batch {
    pub(super) fn problem(self) -> Option<&'static str> {
        let fits = (1..=64).contains(&self.largest) && self.wait_ms <= 1000;
        (!fits).then_some("batch.largest, batch.wait_ms: 1 to 64, 0 to 1000")
    }
}

/// What can be weighed against each other; none for what no name serves yet.
fn kind(task: &Task) -> Option<&'static str> {
    match task {
        Task::Detect { .. } => Some("detect"),
        Task::Classify { .. } => Some("classify"),
        Task::Read { .. }
        | Task::Presence { .. }
        | Task::Faces { .. }
        | Task::ZeroShot { .. }
        | Task::Embed { .. } => None,
    }
}

fn is_repeated<'a>(mut names: impl Iterator<Item = &'a String>) -> bool {
    let mut known = BTreeSet::new();
    !names.all(|name| known.insert(name))
}
