//! Where models come from: the configuration's manifest and folder.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use glassd_core::Vocabulary;
use glassd_inference::serving::{Models, ResultCacheSettings};
use glassd_inference::{CompilationCache, EMBEDDED, Manifest, ModelStore, Named, Task, embedded_candidate};

use crate::accelerators;
use crate::config::Config;
use crate::vision::Perception;

/// Results of a moment ago that are kept, of all glasses together: at 30 frames a second and a lifetime of 2 s, 8 pairs
/// that always see something new make 480, and each is a few objects.
const MOST_RESULTS: usize = 512;

/// Returns what the configuration wants to see with, and the models for it, on the accelerator that it names or that
/// measuring found best; none is loaded yet. Without a cache nothing is written.
pub fn perception(config: &Config, cache: Option<&CompilationCache>) -> anyhow::Result<(Perception, Models)> {
    let models = &config.models;
    let store = if models.detector == EMBEDDED { None } else { Some(store(config)?) };
    let task = store.as_ref().and_then(|store| store.manifest().task(&models.detector));
    anyhow::ensure!(
        task.is_none_or(|task| matches!(task, Task::Detect { .. })),
        "models.detector = {:?}: it is no detector",
        models.detector
    );
    let perception = Perception {
        target: models.detector.clone(),
        manifest: store.as_ref().map(|store| store.manifest().clone()).unwrap_or_default(),
        gateway: config.gateway.name.clone(),
        cache: ResultCacheSettings {
            lifetime: Duration::from_millis(models.cache_lifetime_ms),
            distance: models.cache_distance,
            most: MOST_RESULTS,
        },
    };
    let candidate = || {
        let Some(store) = &store else { return Ok(embedded_candidate()?) };
        let model = first_model(store.manifest(), &models.detector);
        store.candidate(model).with_context(|| format!("models.detector = {:?}", models.detector))
    };
    let site = accelerators::site(config, cache, candidate)?;
    Ok((perception, Models::new(store, models.memory_mb * 1_000_000).on(site)))
}

/// Returns the model that stands for all behind a name when accelerators are measured.
fn first_model<'a>(manifest: &'a Manifest, name: &'a str) -> &'a str {
    let first = match manifest.named(name) {
        Some(Named::Ensemble(ensemble)) => ensemble.members.first().map(|member| &member.model),
        // An arm is a model or an ensemble, never a variant.
        Some(Named::Variant(variant)) => {
            return variant.arms.first().map_or(name, |arm| first_model(manifest, &arm.model));
        }
        Some(Named::Model(_)) | None => None,
    };
    first.map_or(name, String::as_str)
}

/// Loads every model behind `models.detector` once: each is trusted and fits, or the daemon does not start. Returns the
/// words for the skills.
pub fn admitted(models: &mut Models, detector: &str) -> anyhow::Result<Vocabulary> {
    let words = models.admit(detector).with_context(|| format!("models.detector = {detector:?}"))?;
    Ok(Vocabulary { labels: words.labels, colours: words.colours })
}

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
