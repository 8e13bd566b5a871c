//! Whether local candidates are right: the cloud is asked about a few of them, and what it says is kept and raises the
//! bound while it is worse than promised.
//!
//! A question that goes to the cloud anyway checks its candidate for nothing; then it goes without the candidate as a hint,
//! with which the cloud would agree too often. An answer that was given here is checked by a question of its own that
//! nobody waits for, is not kept on disk and dies with the link.

use std::time::Duration;

use glassd_policies::calibration::Outcome;
use glassd_policies::{EscalationFacts, Route};
use rand::{Rng, RngCore};

use super::Gateway;
use super::io::{Frame, Output};
use super::lifecycle::Query;
use crate::ids::QueryId;
use crate::skills;

/// How long a check may wait for the cloud.
const LIFETIME: Duration = Duration::from_secs(60);
/// Weight of the last answer in how long the cloud takes.
const LATEST: f64 = 0.2;

impl Gateway {
    /// Returns the probability that a candidate is right.
    pub(super) fn calibrated(&self, query: &Query) -> Option<f32> {
        let candidate = query.candidate.as_ref()?;
        // What needs no look is known, whatever perception is worth.
        let calibration = self.settings.calibration.as_ref().filter(|_| query.intent.needs_scene());
        Some(calibration.map_or(candidate.score, |calibration| {
            calibration.probability(query.intent.name(), candidate.score)
        }))
    }

    /// Chooses whether the cloud checks a candidate.
    pub(super) fn sample(&mut self, query: &mut Query, facts: &EscalationFacts, route: Route) {
        let can_be_checked = query.candidate.is_some() && query.intent.needs_scene();
        let share = self.settings.policies.escalation.audits(facts, route);
        if can_be_checked && self.rng.random::<f32>() < share {
            query.sampled = Some(share);
        }
    }

    /// Asks the cloud what was answered here.
    pub(super) fn audit(&mut self, answered: &Query, frame: Option<Frame>) {
        let (Some(share), Some(frame)) = (answered.sampled, frame) else { return };
        if self.queries.len() >= super::MAX_OPEN_QUERIES / 2 {
            return;
        }
        let id = QueryId(self.rng.next_u64());
        let text = answered.text.clone();
        let mut audit = self.new_query(id, answered.glasses.clone(), text, answered.source, self.now);
        audit.is_audit = true;
        audit.expires_at = self.now + LIFETIME;
        audit.candidate.clone_from(&answered.candidate);
        audit.sampled = Some(share);
        audit.route = Some(Route::Local);
        self.forward(audit, Some(frame));
    }

    /// Holds the cloud's answer against the candidate.
    pub(super) fn judge(&mut self, query: &mut Query, answer: &str) {
        let Some(candidate) = &query.candidate else { return };
        query.agreed = skills::agree(&query.intent, &candidate.text, answer, &self.settings.vocabulary);
        let (Some(share), Some(right)) = (query.sampled, query.agreed) else { return };
        if query.is_audit {
            self.drift.handle_outcome(right, self.settings.policies.escalation.risk);
        }
        let kind = query.intent.name().to_owned();
        let outcome = Outcome { kind, score: candidate.score, right, share };
        self.effects.output(Output::KeepOutcome { outcome, drift: self.drift });
    }

    /// Notes how long the cloud took from the publishing to the answer.
    pub(super) fn handle_cloud_took(&mut self, query: &Query) {
        let Some(published) = query.steps.iter().rev().find(|step| step.what == "published") else { return };
        let since_asked = self.now.since(query.asked_at).as_secs_f64();
        let took = (since_asked - published.at_ms / 1e3).max(0.0);
        let before = self.cloud_took.map_or(took, |before| before.as_secs_f64());
        self.cloud_took = Some(Duration::from_secs_f64(before + LATEST * (took - before)));
    }
}
