//! Escalation: who answers a query.

use serde::{Deserialize, Serialize};

use crate::calibration::Risk;
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
    /// Battery of the gateway in percent; `None` on mains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery: Option<u8>,
    /// How long the cloud took lately, in milliseconds; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_ms: Option<u32>,
    /// Calibrated bounds, in the place of the policy's own.
    #[serde(default, skip_serializing_if = "Bounds::is_empty")]
    pub bounds: Bounds,
    /// By how much the bound is raised, 0 to 1, because answers were wrong lately; NaN counts as 0.
    #[serde(default)]
    pub raise: f32,
}

/// Bounds on the probability that keep the promised risk; `None` where none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Where asking costs little.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordinary: Option<f32>,
    /// Where asking is costly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub costly: Option<f32>,
}

impl Bounds {
    const fn is_empty(&self) -> bool {
        self.ordinary.is_none() && self.costly.is_none()
    }
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
    /// Enough for this query and some more.
    Enough,
    /// Enough for this query, and for few more.
    Scarce,
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

/// The policy's parameters: probabilities, 0 to 1, where nothing else stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EscalationPolicy {
    /// From it a candidate is the answer, while nothing is calibrated.
    pub local_probability: f32,
    /// The same where asking is costly.
    pub costly_probability: f32,
    /// From it a candidate is a tentative answer, where the cloud must not be asked.
    pub tentative_probability: f32,
    /// From it a candidate is told while the cloud is asked.
    pub speculative_probability: f32,
    /// Share of wrong answers among the local ones that calibration aims at.
    pub risk: f32,
    /// The same where asking is costly.
    pub costly_risk: f32,
    /// Probability with which calibration keeps its promise.
    pub confidence: f32,
    /// Below it asking is costly, in percent of the gateway's battery.
    pub low_battery: u8,
    /// Above it asking is costly, in milliseconds that the cloud took lately.
    pub slow_cloud_ms: u32,
    /// Share of local answers that the cloud checks.
    pub audit_share: f32,
    /// Share of questions that go to the cloud anyway whose answer checks the local candidate: these go without a hint.
    pub cloud_audit_share: f32,
}

impl Default for EscalationPolicy {
    fn default() -> Self {
        Self {
            local_probability: 0.8,
            costly_probability: 0.8,
            tentative_probability: 0.1,
            speculative_probability: 0.5,
            risk: 0.05,
            costly_risk: 0.1,
            confidence: 0.95,
            low_battery: 15,
            slow_cloud_ms: 6000,
            audit_share: 0.02,
            cloud_audit_share: 0.2,
        }
    }
}

impl EscalationPolicy {
    /// Decides on the route. In [`Privacy::LocalOnly`] it is never [`Route::Cloud`] or [`Route::Defer`].
    pub fn decide(&self, facts: &EscalationFacts) -> Decision<Route> {
        let candidate =
            facts.candidate_probability.filter(|probability| facts.understood && !probability.is_nan());
        let cost = self.cost(facts);
        let (rule, bound) = match cost {
            None => ("confident", facts.bounds.ordinary.unwrap_or(self.local_probability)),
            Some(_) => ("confident-costly", facts.bounds.costly.unwrap_or(self.costly_probability)),
        };
        let raise = if facts.raise > 0.0 { facts.raise } else { 0.0 };
        // What is certain by itself (the clock) stays local however much is wrong elsewhere.
        let bound = (bound + raise).min(1.0);
        let drift = (raise > 0.0).then(|| Reason::new("drift", "bound", format!("raised by {raise:.3}"), ""));
        let about = cost.into_iter().chain(drift);
        if let Some(probability) = candidate.filter(|probability| *probability >= bound) {
            let reasons = std::iter::once(at_least(rule, probability, bound)).chain(about).collect();
            return decision(Route::Local, reasons);
        }
        let unsure = match candidate {
            Some(probability) => under("unsure", probability, bound),
            None if facts.understood => Reason::new("no-candidate", "candidate", "none", ""),
            None => Reason::new("not-understood", "question", "for no local skill", ""),
        };
        let mut decision = match facts.privacy {
            Privacy::LocalOnly => self.without_cloud(candidate, unsure),
            Privacy::Open => decision_by_cloud(facts, unsure),
        };
        decision.reasons.extend(about);
        decision
    }

    /// Tells whether a candidate is told while the cloud is asked.
    pub fn speculates(&self, candidate_probability: f32) -> bool {
        candidate_probability >= self.speculative_probability
    }

    /// Returns what calibration promises where asking costs little, and where it is costly.
    pub fn risks(&self) -> [Risk; 2] {
        [self.risk, self.costly_risk].map(|share| Risk { share, confidence: self.confidence })
    }

    /// Returns with which probability the cloud checks a candidate, 0 to 1, and never where that is costly.
    pub fn audits(&self, facts: &EscalationFacts, route: Route) -> f32 {
        match route {
            Route::Cloud => self.cloud_audit_share,
            Route::Local
                if facts.privacy == Privacy::Open
                    && facts.uplink == Uplink::Up
                    && facts.budget == Budget::Enough
                    && self.cost(facts).is_none() =>
            {
                self.audit_share
            }
            Route::Local | Route::Defer | Route::Refuse => 0.0,
        }
    }

    /// Returns the parameters that are out of range.
    pub fn problems(&self) -> Vec<OutOfRange> {
        let mut ranges = Ranges::default();
        ranges.number("local_probability", self.local_probability, 0.0..=1.0);
        ranges.number("costly_probability", self.costly_probability, 0.0..=self.local_probability.max(0.0));
        ranges.number(
            "tentative_probability",
            self.tentative_probability,
            0.0..=self.costly_probability.max(0.0),
        );
        ranges.number("speculative_probability", self.speculative_probability, 0.0..=1.0);
        ranges.number("risk", self.risk, 0.001..=0.5);
        ranges.number("costly_risk", self.costly_risk, self.risk.max(0.001)..=0.5);
        ranges.number("confidence", self.confidence, 0.5..=0.999);
        ranges.number("audit_share", self.audit_share, 0.0..=1.0);
        ranges.number("cloud_audit_share", self.cloud_audit_share, 0.0..=1.0);
        ranges.into_problems()
    }

    /// Returns what makes asking costly.
    fn cost(&self, facts: &EscalationFacts) -> Option<Reason> {
        let low = facts.battery.filter(|battery| *battery < self.low_battery);
        let slow = facts.cloud_ms.filter(|took| *took > self.slow_cloud_ms);
        if facts.metered && facts.needs_image {
            return Some(Reason::new("metered", "uplink", "costs money", ""));
        }
        if facts.budget == Budget::Scarce {
            return Some(Reason::new("budget-scarce", "uplink budget", "scarce", ""));
        }
        if let Some(battery) = low {
            let bound = format!("< {} %", self.low_battery);
            return Some(Reason::new("battery-low", "battery", format!("{battery} %"), bound));
        }
        slow.map(|took| {
            Reason::new("cloud-slow", "cloud", format!("{took} ms"), format!("> {} ms", self.slow_cloud_ms))
        })
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
        (Uplink::Up, Budget::Enough | Budget::Scarce) => decision(Route::Cloud, vec![unsure]),
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
