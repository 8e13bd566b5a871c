//! Escalation: who answers a query.

use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Reason};
use crate::range::{OutOfRange, Ranges};

/// What the route of a query depends on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscalationFacts {
    /// Calibrated probability that the local candidate is right, 0 to 1; `None` without a candidate,
    /// and NaN counts as none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_probability: Option<f32>,
    /// A local skill understood the question; else the candidate, if any, answers something else.
    pub understood: bool,
    /// The cloud would need an image.
    pub needs_image: bool,
    /// Whether the cloud can be reached.
    pub uplink: Uplink,
    /// What may leave the device.
    pub privacy: Privacy,
    /// The uplink costs money.
    pub metered: bool,
    /// What is left of the uplink's budget.
    pub budget: Budget,
}

/// Whether the cloud can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uplink {
    /// It can.
    Up,
    /// It cannot.
    Down,
}

/// What may leave the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privacy {
    /// Queries, with an image, as far as they need to.
    #[default]
    Open,
    /// Nothing.
    LocalOnly,
}

/// What is left of the uplink's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Enough for this query.
    Enough,
    /// Not enough now.
    Spent,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// The gateway; where the rule is `tentative` it says that it is not sure.
    Local,
    /// The cloud, now.
    Cloud,
    /// The cloud, later: the query is kept and the wearer told.
    Defer,
    /// Nobody: the wearer is told why.
    Refuse,
}

/// The policy's parameters: probabilities, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EscalationPolicy {
    /// From it a candidate is the answer.
    pub local_probability: f32,
    /// The same for queries that would send an image over an uplink that costs money.
    pub metered_probability: f32,
    /// From it a candidate is a tentative answer, where the cloud must not be asked.
    pub tentative_probability: f32,
}

impl Default for EscalationPolicy {
    fn default() -> Self {
        Self { local_probability: 0.8, metered_probability: 0.8, tentative_probability: 0.1 }
    }
}

impl EscalationPolicy {
    /// Decides on the route. In [`Privacy::LocalOnly`] it is never [`Route::Cloud`] or [`Route::Defer`].
    pub fn decide(&self, facts: &EscalationFacts) -> Decision<Route> {
        let candidate =
            facts.candidate_probability.filter(|probability| facts.understood && !probability.is_nan());
        let (rule, bound) = if facts.metered && facts.needs_image {
            ("confident-metered", self.metered_probability)
        } else {
            ("confident", self.local_probability)
        };
        if let Some(probability) = candidate.filter(|probability| *probability >= bound) {
            return decision(Route::Local, vec![at_least(rule, probability, bound)]);
        }
        let unsure = match candidate {
            Some(probability) => under("unsure", probability, bound),
            None if facts.understood => Reason::new("no-candidate", "candidate", "none", ""),
            None => Reason::new("not-understood", "question", "for no local skill", ""),
        };
        match facts.privacy {
            Privacy::LocalOnly => self.without_cloud(candidate, unsure),
            Privacy::Open => decision_by_cloud(facts, unsure),
        }
    }

    /// Returns the parameters that are out of range.
    pub fn problems(&self) -> Vec<OutOfRange> {
        let mut ranges = Ranges::default();
        ranges.number("local_probability", self.local_probability, 0.0..=1.0);
        ranges.number("metered_probability", self.metered_probability, 0.0..=self.local_probability.max(0.0));
        ranges.number(
            "tentative_probability",
            self.tentative_probability,
            0.0..=self.metered_probability.max(0.0),
        );
        ranges.into_problems()
    }

    fn without_cloud(&self, candidate: Option<f32>, unsure: Reason) -> Decision<Route> {
        let bound = self.tentative_probability;
        let privacy = Reason::new("local-only", "privacy", "local-only", "");
        match candidate {
            Some(probability) if probability >= bound => {
                decision(Route::Local, vec![at_least("tentative", probability, bound), privacy, unsure])
            }
            Some(probability) => {
                decision(Route::Refuse, vec![privacy, under("too-unsure", probability, bound)])
            }
            None => decision(Route::Refuse, vec![privacy, unsure]),
        }
    }
}

fn decision_by_cloud(facts: &EscalationFacts, unsure: Reason) -> Decision<Route> {
    match (facts.uplink, facts.budget) {
        (Uplink::Down, _) => {
            decision(Route::Defer, vec![Reason::new("offline", "uplink", "down", ""), unsure])
        }
        (Uplink::Up, Budget::Spent) => {
            decision(Route::Defer, vec![Reason::new("budget-spent", "uplink budget", "spent", ""), unsure])
        }
        (Uplink::Up, Budget::Enough) => decision(Route::Cloud, vec![unsure]),
    }
}

fn decision(value: Route, reasons: Vec<Reason>) -> Decision<Route> {
    Decision { value, reasons }
}

fn at_least(rule: &str, probability: f32, bound: f32) -> Reason {
    Reason::new(rule, "probability", format!("{probability:.3}"), format!("≥ {bound}"))
}

fn under(rule: &str, probability: f32, bound: f32) -> Reason {
    Reason::new(rule, "probability", format!("{probability:.3}"), format!("< {bound}"))
}
