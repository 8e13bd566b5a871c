//! Home Assistant: what it is told so that it finds the gateway and its glasses by itself.
//!
//! Device-based discovery ("MQTT Discovery", Home Assistant's documentation): one retained message for each device, which names its
//! entities (`components`). The gateway is a device, and so is each pair of glasses, reached `via_device`.
//!
//! | topic | device | entities |
//! |---|---|---|
//! | `<prefix>/device/<gateway>/config` | the gateway | privacy (select), open questions (sensor) |
//! | `<prefix>/device/<gateway>/<glasses>/config` | a pair of glasses | connected (binary sensor), battery, frame rate, last answer (sensors), ask (text and notify) |
//!
//! What they show comes from the topics `state` and `answered`, what they command goes to `command/…`; all of it is there without
//! Home Assistant, too. An entity is available while `status` says `online`: last will and goodbye are the deaths. Home Assistant
//! tells of its own birth on `<prefix>/status`, and everything is said again then.

use glassd_core::GlassesId;
use serde_json::{Value, json};

use super::Topics;

/// What Home Assistant says on `<prefix>/status` when it has started.
pub(super) const BIRTH: &[u8] = b"online";
/// Longest state of an entity, in characters.
const MAX_STATE: usize = 255;

/// One device: the last parts of its topic, and its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// `<gateway>` or `<gateway>/<glasses>`.
    pub path: String,
    /// The payload.
    pub config: Value,
}

/// Describes the gateway and its glasses.
pub fn devices<'a>(
    topics: &Topics,
    gateway: &str,
    glasses: impl IntoIterator<Item = &'a GlassesId>,
) -> Vec<Device> {
    let pairs = glasses.into_iter().map(|glasses| Device {
        path: format!("{gateway}/{glasses}"),
        config: describe(
            topics,
            &json!({
                "identifiers": [format!("glassd_{gateway}_{glasses}")],
                "manufacturer": "glassd",
                "name": format!("Glasses {glasses}"),
                "via_device": format!("glassd_{gateway}"),
            }),
            &pair(topics, gateway, glasses),
        ),
    });
    let own = Device {
        path: gateway.to_owned(),
        config: describe(
            topics,
            &json!({
                "identifiers": [format!("glassd_{gateway}")],
                "manufacturer": "glassd",
                "name": format!("Gateway {gateway}"),
                "sw_version": env!("CARGO_PKG_VERSION"),
            }),
            &gateway_entities(topics, gateway),
        ),
    };
    std::iter::once(own).chain(pairs).collect()
}

fn describe(topics: &Topics, device: &Value, components: &Value) -> Value {
    json!({
        "device": device,
        "origin": {"name": "glassd", "sw_version": env!("CARGO_PKG_VERSION")},
        "availability": [{
            "topic": topics.status(),
            "payload_available": "online",
            "payload_not_available": "offline",
        }],
        "qos": 1,
        "components": components,
    })
}

fn gateway_entities(topics: &Topics, gateway: &str) -> Value {
    let unique = |entity: &str| format!("glassd_{gateway}_{entity}");
    json!({
        unique("privacy"): {
            "platform": "select",
            "unique_id": unique("privacy"),
            "name": "Privacy",
            "icon": "mdi:incognito",
            "options": ["open", "local-only"],
            "state_topic": topics.state(),
            "value_template": "{{ value_json.privacy }}",
            "command_topic": topics.command("privacy"),
        },
        unique("open_queries"): {
            "platform": "sensor",
            "unique_id": unique("open_queries"),
            "name": "Open questions",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "state_topic": topics.state(),
            "value_template": "{{ value_json.open_queries }}",
        },
    })
}

fn pair(topics: &Topics, gateway: &str, glasses: &GlassesId) -> Value {
    let unique = |entity: &str| format!("glassd_{gateway}_{glasses}_{entity}");
    // Names of glasses have no character that a template would not take in quotes. Glasses that were never there have no entry.
    let field = |name: &str| format!("value_json.glasses.get('{glasses}', {{}}).get('{name}')");
    let value = |name: &str| format!("{{{{ {} }}}}", field(name));
    let question = format!("{{{{ {{'text': value, 'glasses': '{glasses}'}} | tojson }}}}");
    let answer = format!(
        "{{{{ value_json.answer[:{MAX_STATE}] if value_json.glasses == '{glasses}' else this.state }}}}"
    );
    json!({
        unique("connected"): {
            "platform": "binary_sensor",
            "unique_id": unique("connected"),
            "name": "Connected",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.state(),
            "value_template": format!("{{{{ 'ON' if {} else 'OFF' }}}}", field("connected")),
        },
        unique("battery"): {
            "platform": "sensor",
            "unique_id": unique("battery"),
            "name": "Battery",
            "device_class": "battery",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "unit_of_measurement": "%",
            "state_topic": topics.state(),
            "value_template": value("battery"),
        },
        unique("fps"): {
            "platform": "sensor",
            "unique_id": unique("fps"),
            "name": "Frame rate",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "unit_of_measurement": "fps",
            "state_topic": topics.state(),
            "value_template": value("fps"),
        },
        unique("answer"): {
            "platform": "sensor",
            "unique_id": unique("answer"),
            "name": "Last answer",
            "icon": "mdi:message-text",
            "state_topic": topics.answered(),
            "value_template": answer,
        },
        unique("ask"): {
            "platform": "text",
            "unique_id": unique("ask"),
            "name": "Ask",
            "icon": "mdi:chat-question",
            "command_topic": topics.command("ask"),
            "command_template": question,
        },
        unique("notify"): {
            "platform": "notify",
            "unique_id": unique("notify"),
            "name": "Ask",
            "command_topic": topics.command("ask"),
            "command_template": question,
        },
    })
}
