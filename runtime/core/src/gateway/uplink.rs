//! The way to the cloud and back: budget, places in flight, answers matched by correlation data.
//!
//! [`Gateway::publish_due`] is the only place that emits [`Output::Publish`], and local-only mode is
//! enforced in it.

use std::sync::Arc;
use std::time::Duration;

use glassd_policies::{Backoff, Budget, Privacy, Reason, Route, Wait};
use rand::Rng;

use super::Gateway;
use super::counters::Counter;
use super::io::{Notice, Output};
use super::lifecycle::{EndedBy, Query, State};
use crate::ids::QueryId;
use crate::query::Ending;
use crate::time::Timestamp;
use crate::wire::{AnswerMessage, Encoding, Outcome};

/// Waits between publishes of the same query.
const RETRY: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(60) };
/// Bytes of a question with a picture of 512 px at quality 75.
const TYPICAL_MESSAGE: u64 = 40 * 1024;
/// With less than this part of the budget left it is scarce.
const SCARCE: u64 = 4;
/// An answer that came with `retry` more often than this is final.
const MAX_ATTEMPTS: u32 = 8;

impl Gateway {
    pub(super) fn handle_uplink(&mut self, connected: bool) {
        self.uplink_connected = connected;
        if connected {
            return;
        }
        // What was in flight may never have left: it is published again when the broker is back.
        // The worker's answer carries the query's name, so a second answer is dropped.
        for query in self.queries.values_mut() {
            if let State::InFlight { message, .. } = &query.state {
                query.state = State::Queued { message: message.clone(), not_before: self.now };
            }
        }
    }

    /// In local-only mode no query waits for the cloud: it ends, and the wearer knows why.
    pub(super) fn withdraw_queries(&mut self) {
        if self.privacy != Privacy::LocalOnly {
            return;
        }
        let waits = |query: &&Query| matches!(query.state, State::Queued { .. } | State::InFlight { .. });
        let ids: Vec<QueryId> = self.queries.values().filter(waits).map(|query| query.id).collect();
        for id in ids {
            let Some(mut query) = self.queries.remove(&id) else { continue };
            query.reasons.push(Reason::new("local-only", "privacy", "local-only", ""));
            query.route = Some(Route::Refuse);
            let text = "You chose local-only mode: the cloud is no longer asked.";
            self.record(query, text.to_owned(), Ending::Refused);
        }
    }

    /// Publishes what may be published now, in the order of asking; checks come last.
    pub(super) fn publish_due(&mut self) {
        self.budget_at = None;
        if !self.uplink_connected || self.privacy == Privacy::LocalOnly {
            return;
        }
        let in_flight = self.queries.values().filter(|q| matches!(q.state, State::InFlight { .. })).count();
        let mut due: Vec<(bool, Timestamp, QueryId)> = self
            .queries
            .values()
            .filter(|q| matches!(q.state, State::Queued { not_before, .. } if not_before <= self.now))
            .map(|query| (query.is_audit, query.asked_at, query.id))
            .collect();
        due.sort_unstable();
        for (.., id) in due.into_iter().take(self.settings.in_flight.saturating_sub(in_flight)) {
            let Some(query) = self.queries.get_mut(&id) else { continue };
            let State::Queued { message, .. } = &query.state else { continue };
            let message = message.clone();
            let bytes = message.len() as u64;
            match self.budget.take(bytes, self.now.as_micros()) {
                Ok(()) => {}
                Err(Wait::Until(at)) => {
                    self.budget_at = Some(Timestamp::from_micros(at));
                    return;
                }
                Err(Wait::Never) => {
                    let Some(mut query) = self.queries.remove(&id) else { continue };
                    let capacity = format!("≤ {} bytes", self.budget.capacity());
                    query.reasons.push(Reason::new(
                        "over-budget",
                        "message",
                        format!("{bytes} bytes"),
                        capacity,
                    ));
                    query.route = Some(Route::Refuse);
                    let text =
                        "I cannot ask the cloud: the question is larger than the uplink budget allows.";
                    self.record(query, text.to_owned(), Ending::Refused);
                    continue;
                }
            }
            query.attempts += 1;
            query.step("published", self.now);
            query.state =
                State::InFlight { message: message.clone(), until: self.now + self.settings.answer_timeout };
            let expires_in = query.expires_at.since(self.now);
            self.effects.count(Counter::Published);
            self.effects.counters.add(Counter::PublishedBytes, bytes);
            self.effects.notice(Notice::Forwarded { query: id, bytes: message.len() });
            self.effects.output(Output::Publish { query: id, message, expires_in });
        }
    }

    /// Returns what is left of the budget, for a question with its picture.
    pub(super) fn budget_left(&self) -> Budget {
        let (left, capacity) = (self.budget.available(self.now.as_micros()), self.budget.capacity());
        let typical = TYPICAL_MESSAGE.min(capacity);
        match left {
            left if left < typical => Budget::Spent,
            left if left < capacity / SCARCE => Budget::Scarce,
            _ => Budget::Enough,
        }
    }

    /// Puts a query back in the queue, to be published again after a wait.
    pub(super) fn requeue(&mut self, mut query: Query, message: Arc<[u8]>, why: &str) {
        let wait = RETRY.delay(query.attempts, self.rng.random());
        query.step(why, self.now);
        query.state = State::Queued { message, not_before: self.now + wait };
        self.queries.insert(query.id, query);
    }

    pub(super) fn handle_cloud_message(
        &mut self,
        correlation: &[u8],
        content_type: Option<&str>,
        payload: &[u8],
    ) {
        let drop = |gateway: &mut Self, reason| gateway.effects.count(Counter::AnswersDropped(reason));
        let correlated = QueryId::from_correlation(correlation);
        // MQTT 3.1.1 carries none: the message has to say it.
        if correlated.is_none() && !correlation.is_empty() {
            return drop(self, "no_correlation");
        }
        let Some(encoding) = Encoding::of(content_type, payload) else {
            return drop(self, "content_type");
        };
        let (id, answer) = match AnswerMessage::decode(payload, encoding) {
            Ok(answer) if correlated.is_none_or(|id| id == answer.query) => (answer.query, answer),
            Ok(_) => return drop(self, "other_query"),
            // The query stays in flight: a worker that answers well may still do so, else it times out.
            Err(_) => return drop(self, "malformed"),
        };
        let Some(query) = self.queries.remove(&id) else {
            let ended = self.ended.iter().rev().find(|(ended, _)| *ended == id).map(|(_, by)| *by);
            return drop(
                self,
                match ended {
                    Some(EndedBy::Answer) => "duplicate",
                    Some(EndedBy::Expiry) => "late",
                    None => "unknown",
                },
            );
        };
        // An answer to an earlier publish counts also while the query waits to be published again.
        let message = match &query.state {
            State::InFlight { message, .. } | State::Queued { message, .. } => message.clone(),
            State::Accepting | State::AwaitingFrame { .. } | State::Preparing | State::Saving { .. } => {
                self.queries.insert(id, query);
                return drop(self, "unexpected");
            }
            State::Recording { .. } => {
                self.queries.insert(id, query);
                return drop(self, "duplicate");
            }
        };
        self.handle_answer(query, message, answer);
    }

    fn handle_answer(&mut self, mut query: Query, message: Arc<[u8]>, answer: AnswerMessage) {
        match answer.outcome {
            Outcome::Answered => {
                self.handle_cloud_took(&query);
                query.step("answered", self.now);
                self.judge(&mut query, &answer.text);
                query.route = Some(Route::Cloud);
                query.model = Some(answer.model);
                self.record(query, answer.text, Ending::Answered);
            }
            Outcome::Failed if answer.retry && query.attempts < MAX_ATTEMPTS => {
                query.reasons.push(Reason::new("cloud-failed", "worker", answer.text.as_str(), "retry"));
                self.requeue(query, message, "failed");
            }
            Outcome::Failed => {
                query.step("failed", self.now);
                query.reasons.push(Reason::new("cloud-failed", "worker", answer.text.as_str(), "final"));
                let text = match &query.candidate {
                    Some(candidate) => {
                        format!("The cloud could not answer. I am not sure: {}", candidate.text)
                    }
                    None => "The cloud could not answer.".to_owned(),
                };
                self.record(query, text, Ending::Failed);
            }
        }
    }
}
