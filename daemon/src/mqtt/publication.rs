//! What the gateway says over MQTT, and how.

use std::time::Duration;

use glassd_core::gateway::Notice;
use glassd_core::query::Answered;
use glassd_core::wire::Encoding;
use glassd_core::{GlassesId, QueryId};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use serde_json::{Value, json};

use super::topics::Topics;

/// Something to publish.
#[derive(Clone, Debug)]
pub enum Publication {
    /// A hard query for the cloud: at least once, never retained.
    Query {
        /// Which; its correlation data.
        query: QueryId,
        /// The encoded message.
        message: Vec<u8>,
        /// How long the broker may keep it, rounded up to seconds.
        expires_in: Duration,
    },
    /// The state of the gateway: at least once, retained.
    State(Value),
    /// A query that ended: at least once.
    Answered(Box<Answered>),
    /// What happened at a pair of glasses: at most once.
    Event {
        /// Where.
        glasses: GlassesId,
        /// What; see [`event_of`].
        event: Value,
    },
    /// What Home Assistant needs to know of a device: at least once, retained.
    Discovery {
        /// Where.
        topic: String,
        /// What.
        config: Value,
    },
}

impl Publication {
    /// Returns the packet; its identifier is the client's to choose.
    pub(super) fn packet(self, topics: &Topics, encoding: Encoding) -> Publish {
        match self {
            Self::Query { query, message, expires_in } => {
                let seconds = expires_in.as_secs() + u64::from(expires_in.subsec_nanos() > 0);
                let properties = PublishProperties {
                    // Zero would mean "expired", not "for ever"; absent means "for ever".
                    message_expiry_interval: Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)),
                    response_topic: Some(topics.answer()),
                    correlation_data: Some(query.correlation().to_vec().into()),
                    content_type: Some(encoding.content_type().to_owned()),
                    ..PublishProperties::default()
                };
                Publish::new(topics.query(), QoS::AtLeastOnce, message, Some(properties))
            }
            Self::State(state) => {
                Publish { retain: true, ..json_packet(topics.state(), QoS::AtLeastOnce, &state) }
            }
            Self::Answered(answered) => {
                let value = serde_json::to_value(&answered).expect("an explanation is JSON");
                json_packet(topics.answered(), QoS::AtLeastOnce, &value)
            }
            Self::Discovery { topic, config } => {
                Publish { retain: true, ..json_packet(topic, QoS::AtLeastOnce, &config) }
            }
            Self::Event { glasses, event } => json_packet(topics.event(&glasses), QoS::AtMostOnce, &event),
        }
    }

    /// Returns the payload's size where it may be large: the rest is a few kilobytes.
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Query { message, .. } => message.len(),
            Self::State(_) | Self::Answered(_) | Self::Event { .. } | Self::Discovery { .. } => 0,
        }
    }
}

fn json_packet(topic: String, qos: QoS, value: &Value) -> Publish {
    let properties = PublishProperties {
        content_type: Some(Encoding::Json.content_type().to_owned()),
        ..PublishProperties::default()
    };
    Publish::new(topic, qos, value.to_string().into_bytes(), Some(properties))
}

/// Returns what a notice says on the topic `<glasses>/event`, where it belongs there.
///
/// | `event` | further fields |
/// |---|---|
/// | `link` | `connected`: bool |
/// | `frame_rate` | `fps`, `mode`, `why`: list of reasons |
/// | `detection` | `frame`: number, `objects`: list of `label`, `colour`, `probability`, `bounds`; `how`: list of reasons |
/// | `button` | |
pub fn event_of(notice: &Notice) -> Option<(GlassesId, Value)> {
    let (glasses, event) = match notice {
        Notice::Connected(glasses) => (glasses, json!({"event": "link", "connected": true})),
        Notice::Disconnected(glasses) => (glasses, json!({"event": "link", "connected": false})),
        Notice::FrameRate { glasses, decision } => {
            let why: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
            let rate = decision.value;
            (glasses, json!({"event": "frame_rate", "fps": rate.fps, "mode": rate.mode, "why": why}))
        }
        Notice::Scene { glasses, frame, scene } => {
            let how: Vec<String> = scene.how.iter().map(ToString::to_string).collect();
            (glasses, json!({"event": "detection", "frame": frame.0, "objects": scene.objects, "how": how}))
        }
        Notice::Button(glasses) => (glasses, json!({"event": "button"})),
        Notice::Camera { .. }
        | Notice::FrameArrived { .. }
        | Notice::Accepted { .. }
        | Notice::Forwarded { .. }
        | Notice::Deferred { .. } => return None,
    };
    Some((glasses.clone(), event))
}
