//! Ranges of the configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use super::{Config, GlassesKind};
use crate::mqtt::BrokerAddress;

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `section.key`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Finds every value that is out of range.
pub fn validate(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut check = |ok: bool, key: &str, actual: &dyn fmt::Debug| {
        if !ok {
            let range = super::KEYS.iter().find(|known| known.path == key).map_or("", |known| known.range);
            problems.push(Problem { key: key.to_owned(), what: format!("{actual:?} is not {range}") });
        }
    };
    let c = config;
    check(c.gateway.name.parse::<glassd_core::GlassesId>().is_ok(), "gateway.name", &c.gateway.name);
    check(
        !c.gateway.button_question.trim().is_empty(),
        "gateway.button_question",
        &c.gateway.button_question,
    );
    check(!c.gateway.language.is_empty(), "gateway.language", &c.gateway.language);
    let broker = &c.mqtt.broker;
    check(broker.is_empty() || broker.parse::<BrokerAddress>().is_ok(), "mqtt.broker", broker);
    let keep_alive = c.mqtt.keep_alive_s;
    check(keep_alive == 0 || (5..=3600).contains(&keep_alive), "mqtt.keep_alive_s", &keep_alive);
    check(is_prefix(&c.mqtt.topic_prefix), "mqtt.topic_prefix", &c.mqtt.topic_prefix);
    let prefix = &c.mqtt.home_assistant_prefix;
    check(is_prefix(prefix), "mqtt.home_assistant_prefix", prefix);
    let budget = c.uplink.kilobytes_per_minute;
    check((1..=1_000_000).contains(&budget), "uplink.kilobytes_per_minute", &budget);
    check((1..=64).contains(&c.uplink.in_flight), "uplink.in_flight", &c.uplink.in_flight);
    check((1..=604_800).contains(&c.queries.lifetime_s), "queries.lifetime_s", &c.queries.lifetime_s);
    let timeout = c.queries.answer_timeout_s;
    check((1..=3600).contains(&timeout), "queries.answer_timeout_s", &timeout);
    check(c.queries.frame_wait_ms <= 60_000, "queries.frame_wait_ms", &c.queries.frame_wait_ms);
    let freshness = c.queries.frame_freshness_ms;
    check(freshness <= 60_000, "queries.frame_freshness_ms", &freshness);
    check(c.queries.history_days <= 36_500, "queries.history_days", &c.queries.history_days);
    let listen = &c.http.listen;
    check(listen.is_empty() || listen.parse::<SocketAddr>().is_ok(), "http.listen", listen);
    check(!c.models.detector.is_empty(), "models.detector", &c.models.detector);
    let embedded = c.models.detector == "embedded" || !c.models.manifest.as_os_str().is_empty();
    check(embedded, "models.manifest", &c.models.manifest);
    let models = &c.models;
    check((1..=1_000_000).contains(&models.memory_mb), "models.memory_mb", &models.memory_mb);
    let lifetime = models.cache_lifetime_ms;
    check(lifetime <= 60_000, "models.cache_lifetime_ms", &lifetime);
    check(models.cache_distance <= 64, "models.cache_distance", &models.cache_distance);
    let names: BTreeSet<_> = c.glasses.iter().map(|glasses| &glasses.name).collect();
    if names.len() < c.glasses.len() {
        problems.push(Problem { key: "glasses".to_owned(), what: "two pairs have the same name".to_owned() });
    }
    for glasses in &c.glasses {
        if !(1e3..=1e6).contains(&glasses.goodput_bytes_per_s) {
            let what = format!("{} of {} is not 1000 to 1000000", glasses.goodput_bytes_per_s, glasses.name);
            problems.push(Problem { key: "glasses.goodput_bytes_per_s".to_owned(), what });
        }
        if !(1..=1_000_000).contains(&glasses.offline_audio_mb) {
            let what = format!("{} of {} is not 1 to 1000000", glasses.offline_audio_mb, glasses.name);
            problems.push(Problem { key: "glasses.offline_audio_mb".to_owned(), what });
        }
        if glasses.offline_audio && glasses.address.is_empty() {
            // What is kept is known by the glasses' own count, and other glasses would be told to let go by it.
            let what = format!("{} needs an address, for other glasses count otherwise", glasses.name);
            problems.push(Problem { key: "glasses.offline_audio".to_owned(), what });
        }
        for (key, address) in [("address", &glasses.address), ("right_address", &glasses.right_address)] {
            if !(address.is_empty() || is_address(address)) {
                let what =
                    format!("{address:?} of {} is not six pairs of hex digits with colons", glasses.name);
                problems.push(Problem { key: format!("glasses.{key}"), what });
            }
        }
        if !(glasses.right_address.is_empty() || glasses.kind == GlassesKind::Even) {
            let what = format!("{} has one device, and so one address", glasses.name);
            problems.push(Problem { key: "glasses.right_address".to_owned(), what });
        }
    }
    if c.glasses.len() > glassd_core::gateway::MAX_GLASSES {
        let what = format!("{} pairs, at most {}", c.glasses.len(), glassd_core::gateway::MAX_GLASSES);
        problems.push(Problem { key: "glasses".to_owned(), what });
    }
    problems
}

/// What topics can begin with.
fn is_prefix(text: &str) -> bool {
    let illegal = text.contains(['#', '+', '\0']) || text.starts_with(['/', '$']) || text.ends_with('/');
    !text.is_empty() && !illegal
}

/// A Bluetooth address as `C0:11:22:33:44:55`.
fn is_address(text: &str) -> bool {
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(is_pair)
}
