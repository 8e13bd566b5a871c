//! What serving models costs, and how often it is spared.

use std::time::Duration;

use glassd_inference::Accelerator;
use glassd_inference::serving::ModelEvent;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Label of an accelerator.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AcceleratorLabel {
    accelerator: &'static str,
}

/// Label of a model, an ensemble or an arm of a variant: a name of the manifest, so the set is closed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters, gauges and histograms of serving.
#[derive(Debug)]
pub struct ServingMetrics {
    queue_depth: Family<AcceleratorLabel, Gauge>,
    models_bytes: Family<AcceleratorLabel, Gauge>,
    batch_frames: Histograms<AcceleratorLabel>,
    perceive_seconds: Histograms<ModelLabel>,
    model_loads: Family<ModelLabel, Counter>,
    model_unloads: Family<ModelLabel, Counter>,
    cache_hits: Counter,
    cache_misses: Counter,
}

impl Default for ServingMetrics {
    fn default() -> Self {
        let frames: fn() -> Histogram = || Histogram::new(exponential_buckets(1.0, 2.0, 7));
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Self {
            queue_depth: Family::default(),
            models_bytes: Family::default(),
            batch_frames: Family::new_with_constructor(frames),
            perceive_seconds: Family::new_with_constructor(seconds),
            model_loads: Family::default(),
            model_unloads: Family::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
        }
    }
}

impl ServingMetrics {
    /// Gives every metric its name.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "accelerator_queue_depth",
            "Frames that wait for an accelerator",
            self.queue_depth.clone(),
        );
        registry.register("models_bytes", "Memory of the models that are loaded", self.models_bytes.clone());
        registry.register("batch_frames", "Frames in one turn of an accelerator", self.batch_frames.clone());
        registry.register(
            "perceive_seconds",
            "Duration of one look by a model, an ensemble or an arm of a variant, loading included",
            self.perceive_seconds.clone(),
        );
        registry.register("model_loads", "Models brought into memory", self.model_loads.clone());
        registry.register("model_unloads", "Models that made room", self.model_unloads.clone());
        registry.register(
            "result_cache_hits",
            "Frames that a result of a moment ago stands for",
            self.cache_hits.clone(),
        );
        registry.register(
            "result_cache_misses",
            "Frames that no result of a moment ago stands for",
            self.cache_misses.clone(),
        );
    }

    pub(super) fn set_depth(&self, accelerator: Accelerator, depth: usize) {
        let label = AcceleratorLabel { accelerator: accelerator.name() };
        self.queue_depth.get_or_create(&label).set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    pub(super) fn observe_run(&self, accelerator: Accelerator, target: &str, frames: usize, took: Duration) {
        let label = AcceleratorLabel { accelerator: accelerator.name() };
        self.batch_frames.get_or_create(&label).observe(frames as f64);
        let label = ModelLabel { model: target.to_owned() };
        self.perceive_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(super) fn note_models(&self, accelerator: Accelerator, events: Vec<ModelEvent>, held: u64) {
        for event in events {
            match event {
                ModelEvent::Loaded { name, bytes } => {
                    tracing::debug!(model = name, bytes, "a model is loaded");
                    self.model_loads.get_or_create(&ModelLabel { model: name }).inc();
                }
                ModelEvent::FellBack { name, why } => {
                    tracing::warn!(model = name, why, "the processor runs a model for another accelerator");
                }
                ModelEvent::Unloaded { name } => {
                    tracing::debug!(model = name, "a model is unloaded");
                    self.model_unloads.get_or_create(&ModelLabel { model: name }).inc();
                }
            }
        }
        let label = AcceleratorLabel { accelerator: accelerator.name() };
        self.models_bytes.get_or_create(&label).set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    pub(super) fn count_cache(&self, is_hit: bool) {
        if is_hit {
            self.cache_hits.inc()
        } else {
            self.cache_misses.inc()
        };
    }
}
