//! How things stand: for people, for the topic `state`, for metrics and for systemd.

use glassd_core::gateway::{Counter, Gateway};
use serde_json::json;

use super::{Io, Recordings, glasses};
use crate::mqtt::Publication;
use crate::telemetry::{Snapshot, resident_bytes};

impl Io {
    /// State for people: that of the topic, and how the links stand. Their addresses name whoever wears the glasses, and
    /// do not leave the device.
    pub(super) fn describe_with_links(&self, gateway: &Gateway) -> serde_json::Value {
        let mut state = self.describe(gateway);
        for (id, link) in &self.state.link_status {
            let glasses = &mut state["glasses"][id.as_str()];
            // Those that were never there have a link that looks for them.
            if glasses.is_null() {
                *glasses =
                    json!({ "connected": false, "battery": null, "fps": null, "mode": null, "why": null });
            }
            glasses["link"] = link.describe(self.now);
        }
        state
    }

    /// State for the topic `state`.
    fn describe(&self, gateway: &Gateway) -> serde_json::Value {
        let glasses: serde_json::Map<_, _> =
            gateway.glasses().map(|glasses| (glasses.id.to_string(), glasses::describe(&glasses))).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "privacy": gateway.privacy(),
            "broker": if self.state.connected { "connected" } else { "disconnected" },
            "mqtt": self.uplink.protocol().map(|protocol| protocol.to_string()),
            "open_queries": gateway.open_queries(),
            "glasses": glasses,
        })
    }

    /// What metrics and health need.
    pub fn snapshot(&self, gateway: &Gateway) -> Snapshot {
        Snapshot {
            counters: gateway.counters().clone(),
            gauges: vec![
                ("open_queries", gateway.open_queries() as f64),
                ("vision_queue_depth", self.vision.depth() as f64),
                ("uplink_connected", f64::from(u8::from(self.state.connected))),
                ("resident_bytes", resident_bytes().unwrap_or_default() as f64),
                ("link_writes_dropped", self.state.writes_dropped as f64),
                ("publishes_dropped", self.state.publishes_dropped as f64),
                ("uplink_unexpected", self.uplink.unexpected_total() as f64),
                ("uplink_unheard", self.uplink.unheard_total() as f64),
                ("recordings_given_up", self.recordings.as_ref().map_or(0, Recordings::given_up) as f64),
                ("observations_dropped", self.state.observations_dropped as f64),
            ],
            links: self
                .state
                .link_status
                .iter()
                .map(|(glasses, link)| (glasses.to_string(), link.figures(self.now)))
                .collect(),
            uplink: self.state.connected,
        }
    }

    /// Publishes the retained state, when it changed, and before it what Home Assistant needs to understand it.
    pub fn publish_state(&mut self, gateway: &Gateway) {
        if !self.state.connected {
            return;
        }
        if !self.is_silent() && std::mem::take(&mut self.state.discovery_due) {
            for device in self.discovery.clone() {
                self.publish(device);
            }
        }
        let batteries: Vec<Option<u8>> = gateway.glasses().map(|glasses| glasses.battery).collect();
        if self.state.batteries != batteries {
            self.state.batteries = batteries;
            self.state.state_changed = true;
        }
        if std::mem::take(&mut self.state.state_changed) {
            self.publish(Publication::State(self.describe(gateway)));
        }
    }

    /// One line for `systemctl status`.
    pub fn status_line(&self, gateway: &Gateway) -> String {
        let connected = gateway.glasses().filter(|glasses| glasses.connected).count();
        let answered: u64 =
            ["local", "cloud"].map(|how| gateway.counters().get(Counter::QueriesEnded(how))).iter().sum();
        format!(
            "{connected} glasses, broker {}, {} open, {answered} answered",
            if self.state.connected { "connected" } else { "disconnected" },
            gateway.open_queries(),
        )
    }
}
