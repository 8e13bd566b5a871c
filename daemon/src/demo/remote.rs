//! Somebody else on the broker, who asks by MQTT command.

use anyhow::Context as _;
use glassd_core::{GlassesId, QueryId};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::json;

use crate::mqtt::BrokerAddress;

/// An MQTT client that sends commands.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    client: AsyncClient,
    topic: String,
}

impl Remote {
    /// Connects to the broker of the gateway `name`.
    pub(super) fn connect(broker: &BrokerAddress, prefix: &str, name: &str) -> Self {
        let host = broker.host().trim_matches(['[', ']']);
        let options = MqttOptions::new(format!("remote-{name}"), host, broker.port());
        let (client, mut connection) = AsyncClient::new(options, 16);
        tokio::spawn(async move {
            loop {
                // rumqttc connects again by itself at the next poll.
                if connection.poll().await.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        });
        Self { client, topic: format!("{prefix}/{name}/command/ask") }
    }

    /// Asks by command. Under its name the question is asked once, however often it arrives.
    pub(crate) async fn ask(&self, glasses: &GlassesId, text: &str, query: QueryId) {
        let payload = json!({"text": text, "glasses": glasses, "query": query}).to_string();
        let sent = self.client.publish(&self.topic, QoS::AtLeastOnce, false, payload).await;
        if let Err(error) = sent.context("the command could not be sent") {
            tracing::error!(%error, "ask by MQTT");
        }
    }
}
