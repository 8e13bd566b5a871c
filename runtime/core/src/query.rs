//! A query from the outside: who asks, what is kept on disk, how it ended and why.

use glassd_policies::{Reason, Route};
use serde::{Deserialize, Serialize};

use crate::ids::{GlassesId, QueryId};
use crate::time::Timestamp;

/// Longest question, in bytes: what no one says in one breath is no question.
pub const MAX_QUESTION: usize = 2048;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The command line.
    Cli,
    /// An MQTT command.
    Mqtt,
    /// The button of the glasses.
    Button,
}

/// How far a stored query is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Accepted, not yet routed: routed anew after a restart.
    Accepted,
    /// Routed to the cloud: the message, ready to publish.
    Ready(Vec<u8>),
    /// The answer is known, and may not have reached the wearer.
    Answered(String),
}

/// A query as the outbox keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredQuery {
    /// Which.
    pub query: QueryId,
    /// Whose glasses.
    pub glasses: Option<GlassesId>,
    /// The question.
    pub text: String,
    /// Who asked.
    pub source: Source,
    /// When.
    pub asked_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// How far it is.
    pub stage: Stage,
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// With an answer.
    Answered,
    /// With a refusal that says why.
    Refused,
    /// The cloud failed for good.
    Failed,
    /// Its time ran out.
    Expired,
}

/// One step in the life of a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What happened.
    pub what: String,
    /// When, in milliseconds after the asking.
    pub at_ms: f64,
}

/// A query that ended: the answer, and the whole explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Which.
    pub query: QueryId,
    /// Whose glasses.
    pub glasses: Option<GlassesId>,
    /// Who asked.
    pub source: Source,
    /// The question.
    pub question: String,
    /// What it was understood as.
    pub intent: String,
    /// The answer, or the notice why there is none.
    pub answer: String,
    /// Where it was answered.
    pub route: Option<Route>,
    /// How it ended.
    pub ending: Ending,
    /// What the skill gave the local candidate, before calibration.
    #[serde(default)]
    pub score: Option<f32>,
    /// Probability that the local candidate is right.
    pub probability: Option<f32>,
    /// Whether the cloud's answer said the same as the local candidate, where that can be told.
    #[serde(default)]
    pub agreed: Option<bool>,
    /// The local candidate, where the answer came from elsewhere.
    pub candidate: Option<String>,
    /// What the local candidate rests on.
    pub evidence: Vec<String>,
    /// Why this route.
    pub reasons: Vec<Reason>,
    /// Which cloud model answered.
    pub model: Option<String>,
    /// When it was asked, Unix milliseconds.
    pub asked_at_ms: u64,
    /// What happened when.
    pub steps: Vec<Step>,
}

impl Answered {
    /// Returns how long the query took, in milliseconds.
    pub fn total_ms(&self) -> f64 {
        self.steps.last().map_or(0.0, |step| step.at_ms)
    }

    /// Returns when a step happened first, in milliseconds after the asking.
    pub fn at_ms(&self, what: &str) -> Option<f64> {
        self.steps.iter().find(|step| step.what == what).map(|step| step.at_ms)
    }
}
