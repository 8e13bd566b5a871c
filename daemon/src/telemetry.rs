//! Logs and metrics.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use glassd_core::gateway::Counters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::links::status::Figures;
use crate::vision::ServingMetrics;

/// What is logged where `RUST_LOG` does not say otherwise. Without it tract's traces flood the journal; and rumqttd
/// calls every client that leaves an error.
const DEFAULT_FILTER: &str = "warn,glassd=info,rumqttd=off";
/// The same for commands that print for people.
const QUIET_FILTER: &str = "error,rumqttd=off";

/// Whether the console belongs to a command that prints for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Errors only.
    Yes,
    /// What a user of the service notices.
    No,
}

/// Starts logging: to the journal under systemd, to standard error otherwise.
pub fn init(quiet: Quiet) {
    let default = match quiet {
        Quiet::Yes => QUIET_FILTER,
        Quiet::No => DEFAULT_FILTER,
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    // systemd sets it when standard error is connected to the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    // A second initialisation (tests) keeps the first.
    let _ = match journal {
        Some(journal) => registry.with(journal.with_field_prefix(Some("GLASSD".to_owned()))).try_init(),
        None => {
            let ansi = std::io::stderr().is_terminal();
            registry
                .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi))
                .try_init()
        }
    };
}

/// Label of a counter: name and value.
type Label = Option<(&'static str, &'static str)>;

/// Label of a stage.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

/// Histograms of the stages, from 0.1 ms to 26 s, and what serving models costs.
pub struct Metrics {
    /// What the accelerators' threads count.
    pub serving: Arc<ServingMetrics>,
    registry: Mutex<Registry>,
    stages: Family<StageLabel, Histogram, fn() -> Histogram>,
}

/// What the event loop knows when metrics are scraped.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The core's counters.
    pub counters: Counters,
    /// Gauges by name.
    pub gauges: Vec<(&'static str, f64)>,
    /// Links by glasses.
    pub links: Vec<(String, Figures)>,
    /// The uplink is connected.
    pub uplink: bool,
}

impl Snapshot {
    /// One family for each thing that is known of links.
    fn encode_links(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        type Value = fn(&Figures) -> Option<f64>;
        let families: [(&str, &str, Value); 7] = [
            ("link_up", "whether the glasses are there", |link| Some(f64::from(u8::from(link.is_up)))),
            ("link_connections", "times that they were there", |link| Some(link.connections as f64)),
            ("link_notifications_by_glasses", "GATT notifications", |link| Some(link.notifications as f64)),
            ("link_bytes_by_glasses", "their bytes", |link| Some(link.bytes as f64)),
            ("link_goodput_bytes_per_second", "what the link carries", |link| Some(link.goodput)),
            ("link_rssi_dbm", "signal strength when last heard advertising", |link| link.rssi.map(f64::from)),
            ("link_first_frame_seconds", "to the first frame of the link", |link| {
                link.first_frame.map(|took| took.as_secs_f64())
            }),
        ];
        for (name, help, value) in families {
            let kind = prometheus_client::metrics::MetricType::Gauge;
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (glasses, link) in &self.links {
                if let Some(value) = value(link) {
                    let label = [("glasses", glasses.as_str())];
                    ConstGauge::new(value).encode(family.encode_family(&label)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let constructor: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0001, 2.0, 19));
        let stages = Family::new_with_constructor(constructor);
        let mut registry = Registry::with_prefix("glassd");
        registry.register("stage_seconds", "Duration of a stage", stages.clone());
        let serving = Arc::new(ServingMetrics::default());
        serving.register(&mut registry);
        Self { serving, registry: Mutex::new(registry), stages }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Notes how long a stage took.
    pub fn observe(&self, stage: &'static str, duration: Duration) {
        self.stages.get_or_create(&StageLabel { stage }).observe(duration.as_secs_f64());
    }

    /// Writes everything in the OpenMetrics text format.
    pub fn render(&self, snapshot: Snapshot) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode_registry(
            &mut page,
            &self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        )?;
        let mut now = Registry::with_prefix("glassd");
        now.register_collector(Box::new(snapshot));
        text::encode(&mut page, &now)?;
        Ok(page)
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut by_name: BTreeMap<&str, Vec<(Label, u64)>> = BTreeMap::new();
        for (counter, value) in self.counters.iter() {
            let (name, label) = counter.metric();
            by_name.entry(name).or_default().push((label, value));
        }
        for (name, values) in by_name {
            let help = name.replace('_', " ");
            let mut family = encoder.encode_descriptor(
                name,
                &help,
                None,
                prometheus_client::metrics::MetricType::Counter,
            )?;
            for (label, value) in values {
                let counter = ConstCounter::new(value);
                match label {
                    Some(label) => counter.encode(family.encode_family(&[label])?)?,
                    // A counter without a label is the only one of its name.
                    None => {
                        counter.encode(family)?;
                        break;
                    }
                }
            }
        }
        self.encode_links(&mut encoder)?;
        for (name, value) in &self.gauges {
            let gauge = ConstGauge::new(*value);
            let help = name.replace('_', " ");
            gauge.encode(encoder.encode_descriptor(name, &help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Returns the resident memory of this process in bytes, from `/proc/self/status`.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
