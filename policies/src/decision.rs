//! What every policy gives: a value and why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A decision with its reasons, the weightiest first; never without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision<T> {
    /// What was decided.
    pub value: T,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl<T> Decision<T> {
    /// Tells whether a rule took part in the decision.
    pub fn is_because(&self, rule: &str) -> bool {
        self.reasons.iter().any(|reason| reason.rule == rule)
    }
}

/// One reason: a rule that applied, because of a fact and its bound.
///
/// Reads as `battery 42 % ≤ 60 %: active-low`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Name of the rule: kebab-case, from a fixed set, fit to be a metric label.
    pub rule: String,
    /// Which fact.
    pub fact: String,
    /// The value of the fact, with its unit.
    pub value: String,
    /// The bound with its comparison, as `≤ 60 %`; empty where the fact is no number.
    pub threshold: String,
}

impl Reason {
    /// Makes a reason; the threshold is empty where the fact is no number.
    pub fn new(rule: &str, fact: &str, value: impl Into<String>, threshold: impl Into<String>) -> Self {
        Self {
            rule: rule.to_owned(),
            fact: fact.to_owned(),
            value: value.into(),
            threshold: threshold.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fact, self.value)?;
        if !self.threshold.is_empty() {
            write!(f, " {}", self.threshold)?;
        }
        write!(f, ": {}", self.rule)
    }
}
