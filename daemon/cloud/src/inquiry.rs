//! A message on the query topic, read with care: anybody on the broker may have sent it.

use std::time::Duration;

use glassd_core::QueryId;
use glassd_core::wire::{AnswerMessage, Encoding, Outcome, QueryMessage, VERSION};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use tokio::time::Instant;

/// Tells a query from all others: the topic it came on, and its name.
pub(crate) type Key = (String, QueryId);

/// A query that can be answered.
#[derive(Debug)]
pub(crate) struct Inquiry {
    pub(crate) key: Key,
    pub(crate) message: QueryMessage,
    pub(crate) reply_to: ReplyTo,
    /// When it expires; MQTT counts whole seconds.
    pub(crate) deadline: Option<Instant>,
}

/// Where and how an answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    pub(crate) topic: String,
    pub(crate) correlation: Option<Vec<u8>>,
    pub(crate) encoding: Encoding,
}

/// A message that is no query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The error answer, if the message says where it should go.
    pub(crate) answer: Option<Box<(ReplyTo, AnswerMessage)>>,
    pub(crate) reason: String,
}

impl Inquiry {
    pub(crate) fn read(publish: &Publish, prefix: &str, now: Instant) -> Result<Self, Rejection> {
        let silent = |reason: &str| Rejection { answer: None, reason: reason.to_owned() };
        if publish.retain {
            return Err(silent("it is retained"));
        }
        let topic = std::str::from_utf8(&publish.topic).map_err(|_| silent("its topic is not UTF-8"))?;
        let gateway = gateway(topic, prefix).ok_or_else(|| silent("its topic is not a gateway's"))?;
        let default = PublishProperties::default();
        let properties = publish.properties.as_ref().unwrap_or(&default);
        let response_topic = match properties.response_topic.clone() {
            Some(response) if is_answer_topic(&response, prefix, gateway) => response,
            Some(_) => return Err(silent("its response topic is not below its gateway's answer topic")),
            // MQTT 3.1.1 has none.
            None => format!("{prefix}/{gateway}/answer"),
        };
        let correlation = properties.correlation_data.as_ref().map(|data| data.to_vec());
        let encoding = Encoding::of(properties.content_type.as_deref(), &publish.payload);
        let reply_to = ReplyTo { topic: response_topic, correlation, encoding: encoding.unwrap_or_default() };
        let message = match encoding {
            None => Err("its content type is not known".to_owned()),
            Some(encoding) => {
                QueryMessage::decode(&publish.payload, encoding).map_err(|error| error.to_string())
            }
        };
        let message = message.map_err(|reason| reject(&reply_to, reason))?;
        let expiry = properties.message_expiry_interval.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self {
            key: (topic.to_owned(), message.query),
            message,
            reply_to,
            deadline: expiry.and_then(|expiry| now.checked_add(expiry)),
        })
    }
}

impl ReplyTo {
    pub(crate) fn packet(&self, answer: &AnswerMessage) -> Publish {
        let properties = PublishProperties {
            correlation_data: self.correlation.clone().map(Into::into),
            content_type: Some(self.encoding.content_type().to_owned()),
            ..PublishProperties::default()
        };
        Publish::new(&self.topic, QoS::AtLeastOnce, answer.encode(self.encoding), Some(properties))
    }
}

/// Makes the answer of a query that failed.
pub(crate) fn failed(query: QueryId, reason: &str, retry: bool) -> AnswerMessage {
    let text = crate::chat::cut(reason, 500).to_owned();
    AnswerMessage { version: VERSION, query, outcome: Outcome::Failed, text, retry, model: String::new() }
}

/// Without correlation data nobody could tell to what an error belongs; where that is no name of a
/// query, the name in the answer is zero.
fn reject(reply_to: &ReplyTo, reason: String) -> Rejection {
    let answer = reply_to.correlation.as_ref().map(|correlation| {
        let query = QueryId::from_correlation(correlation).unwrap_or(QueryId(0));
        let text = format!("the query cannot be read: {reason}");
        Box::new((reply_to.clone(), failed(query, &text, false)))
    });
    Rejection { answer, reason }
}

fn gateway<'a>(topic: &'a str, prefix: &str) -> Option<&'a str> {
    let gateway = topic.strip_prefix(prefix)?.strip_prefix('/')?.strip_suffix("/query")?;
    (!gateway.is_empty() && !gateway.contains('/')).then_some(gateway)
}

/// A worker may publish more than a gateway may: it must not be talked into answering elsewhere.
fn is_answer_topic(topic: &str, prefix: &str, gateway: &str) -> bool {
    let Some(rest) = topic.strip_prefix(&format!("{prefix}/{gateway}/answer")) else { return false };
    (rest.is_empty() || rest.starts_with('/')) && topic.len() <= 512 && !topic.contains(['#', '+', '\0'])
}
