//! One query from the asking to its end.
//!
//! ```text
//! Accepting ─stored→ AwaitingFrame ─scene or time→ route ─┬→ Recording ─stored→ ended (local, refused)
//!                                                         └→ Preparing → Saving ─stored→ Queued ⇄ InFlight
//!                                                                                          │ answer
//!                                                                                       Recording → ended
//! ```
//! Every state has a latest moment: its own, or the query's expiry.

use std::sync::Arc;
use std::time::Duration;

use glassd_policies::{Reason, Route};

use super::Gateway;
use super::counters::Counter;
use super::io::{Notice, Output};
use crate::ids::{GlassesId, QueryId};
use crate::link::answer_text::Kind;
use crate::query::{Answered, Ending, MAX_QUESTION, Source, Stage, Step, StoredQuery};
use crate::skills::{Candidate, Intent};
use crate::time::Timestamp;

/// How a remembered query ended, as far as late answers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Answer,
    Expiry,
}

/// Where a query stands.
#[derive(Debug)]
pub(super) enum State {
    /// Its row is being written for the first time.
    Accepting,
    /// Waits for a frame fresh enough.
    AwaitingFrame { until: Timestamp },
    /// Its frame is being shrunk.
    Preparing,
    /// Its message is being written to the row.
    Saving { message: Arc<[u8]> },
    /// On disk, waits for the uplink, the budget, a place in flight, or `not_before`.
    Queued { message: Arc<[u8]>, not_before: Timestamp },
    /// Published, waits for the answer.
    InFlight { message: Arc<[u8]>, until: Timestamp },
    /// The answer is being written to the row.
    Recording { text: String, ending: Ending },
}

/// A query on its way.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) id: QueryId,
    pub(super) glasses: Option<GlassesId>,
    pub(super) text: String,
    pub(super) source: Source,
    pub(super) asked_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) intent: Intent,
    pub(super) state: State,
    /// Its row is on disk.
    pub(super) saved: bool,
    pub(super) route: Option<Route>,
    pub(super) candidate: Option<Candidate>,
    /// Calibrated probability of the candidate.
    pub(super) probability: Option<f32>,
    /// The candidate is checked with the cloud, with this probability of being chosen for that.
    pub(super) sampled: Option<f32>,
    /// The cloud's answer said the same as the candidate.
    pub(super) agreed: Option<bool>,
    /// It checks an answer that the wearer has: nobody waits for it, and nothing of it is kept.
    pub(super) is_audit: bool,
    pub(super) reasons: Vec<Reason>,
    pub(super) model: Option<String>,
    /// Publishes so far.
    pub(super) attempts: u32,
    pub(super) steps: Vec<Step>,
}

impl Query {
    pub(super) fn step(&mut self, what: &str, now: Timestamp) {
        let at_ms = now.since(self.asked_at).as_secs_f64() * 1e3;
        self.steps.push(Step { what: what.to_owned(), at_ms });
    }

    pub(super) fn row(&self, stage: Stage) -> StoredQuery {
        StoredQuery {
            query: self.id,
            glasses: self.glasses.clone(),
            text: self.text.clone(),
            source: self.source,
            asked_at: self.asked_at,
            expires_at: self.expires_at,
            stage,
        }
    }

    /// The next moment at which this query needs attention even if nothing happens.
    pub(super) fn poll_timeout(&self, now: Timestamp) -> Timestamp {
        match &self.state {
            State::AwaitingFrame { until } => (*until).min(self.expires_at),
            State::InFlight { until, .. } => (*until).min(self.expires_at),
            // A wait that is over ends by what it waits for then: uplink, budget, or a place in flight.
            State::Queued { not_before, .. } if *not_before > now => (*not_before).min(self.expires_at),
            State::Queued { .. } | State::Accepting | State::Preparing | State::Saving { .. } => {
                self.expires_at
            }
            // The outbox always answers; a query with its answer does not expire.
            State::Recording { .. } => self.expires_at + Duration::from_secs(u64::from(u32::MAX)),
        }
    }
}

/// Takes out what a terminal or a journal would obey instead of show: control characters and the marks that
/// turn the direction of writing.
fn plain(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(obeyed, " ").trim().to_owned()
}

impl Gateway {
    pub(super) fn handle_ask(&mut self, id: QueryId, glasses: Option<GlassesId>, text: &str, source: Source) {
        if self.queries.contains_key(&id) || self.ended.iter().any(|(ended, _)| *ended == id) {
            self.effects.count(Counter::QueriesRejected("repeated"));
            return;
        }
        let glasses = glasses.or_else(|| self.only_glasses());
        let mut query = self.new_query(id, glasses, plain(text), source, self.now);
        let refusal = if query.text.is_empty() {
            Some(("empty", "The question is empty."))
        } else if query.text.len() > MAX_QUESTION {
            Some(("too_long", "The question is too long."))
        } else if self.queries.len() >= super::MAX_OPEN_QUERIES {
            Some(("too_many", "Too many questions are open; ask again when some are answered."))
        } else {
            None
        };
        if let Some((reason, answer)) = refusal {
            self.effects.count(Counter::QueriesRejected(reason));
            query.text.truncate(
                (0..=120.min(query.text.len())).rev().find(|i| query.text.is_char_boundary(*i)).unwrap_or(0),
            );
            self.end(query, answer.to_owned(), Ending::Refused);
            return;
        }
        if let Some(glasses) = query.glasses.clone() {
            self.with_glasses(&glasses, super::Missing::Count, |session, around, effects| {
                session.handle_trigger(around, effects);
            });
        }
        self.effects.output(Output::Store(query.row(Stage::Accepted)));
        self.queries.insert(id, query);
    }

    /// Takes up what outlived the last run.
    pub(super) fn handle_restored(&mut self, row: StoredQuery) {
        let StoredQuery { query: id, glasses, text, source, asked_at, expires_at, stage } = row;
        let mut query = self.new_query(id, glasses, text, source, asked_at);
        query.expires_at = expires_at;
        query.saved = true;
        query.step("restored", self.now);
        match stage {
            Stage::Accepted => self.begin(query),
            Stage::Ready(message) => {
                query.route = Some(Route::Cloud);
                query.state = State::Queued { message: message.into(), not_before: self.now };
                self.queries.insert(id, query);
                self.withdraw_queries();
            }
            // Written before it was told: tell it now. The glasses show an answer once.
            Stage::Answered(text) => {
                query.route = Some(Route::Cloud);
                self.end(query, text, Ending::Answered);
            }
        }
    }

    pub(super) fn new_query(
        &self,
        id: QueryId,
        glasses: Option<GlassesId>,
        text: String,
        source: Source,
        asked_at: Timestamp,
    ) -> Query {
        Query {
            id,
            glasses,
            intent: crate::skills::understand(&text, &self.settings.vocabulary),
            text,
            source,
            asked_at,
            expires_at: asked_at + self.settings.query_lifetime,
            state: State::Accepting,
            saved: false,
            route: None,
            candidate: None,
            probability: None,
            sampled: None,
            agreed: None,
            is_audit: false,
            reasons: Vec::new(),
            model: None,
            attempts: 0,
            steps: Vec::new(),
        }
    }

    fn only_glasses(&self) -> Option<GlassesId> {
        let mut connected = self.glasses.iter().filter(|(_, session)| session.is_connected());
        let mut known = self.glasses.keys();
        let single = connected.next().filter(|_| connected.next().is_none()).map(|(id, _)| id);
        single.or_else(|| known.next().filter(|_| known.next().is_none())).cloned()
    }

    pub(super) fn handle_stored(&mut self, id: QueryId) {
        let Some(mut query) = self.queries.remove(&id) else {
            self.effects.count(Counter::Stray);
            return;
        };
        query.saved = true;
        match std::mem::replace(&mut query.state, State::Accepting) {
            State::Accepting => {
                query.step("accepted", self.now);
                self.effects.count(Counter::QueriesAccepted);
                self.effects.notice(Notice::Accepted {
                    query: id,
                    glasses: query.glasses.clone(),
                    text: query.text.clone(),
                });
                self.begin(query);
            }
            State::Saving { message } => {
                query.step("saved", self.now);
                query.state = State::Queued { message, not_before: self.now };
                self.queries.insert(id, query);
                self.withdraw_queries();
            }
            State::Recording { text, ending } => self.end(query, text, ending),
            state @ (State::AwaitingFrame { .. }
            | State::Preparing
            | State::Queued { .. }
            | State::InFlight { .. }) => {
                query.state = state;
                self.queries.insert(id, query);
                self.effects.count(Counter::Stray);
            }
        }
    }

    pub(super) fn handle_store_failed(&mut self, id: QueryId, reason: &str) {
        self.effects.count(Counter::StoreFailures);
        let Some(mut query) = self.queries.remove(&id) else {
            self.effects.count(Counter::Stray);
            return;
        };
        match std::mem::replace(&mut query.state, State::Accepting) {
            // Not accepted, so nothing is promised: it may still be answered on the spot.
            State::Accepting => {
                query.reasons.push(Reason::new("unsaved", "outbox", reason, ""));
                self.begin(query);
            }
            State::Saving { .. } => {
                self.end(
                    query,
                    format!("I could not keep the question to ask the cloud: {reason}."),
                    Ending::Refused,
                );
            }
            // Better told once too often than never.
            State::Recording { text, ending } => self.end(query, text, ending),
            state @ (State::AwaitingFrame { .. }
            | State::Preparing
            | State::Queued { .. }
            | State::InFlight { .. }) => {
                query.state = state;
                self.queries.insert(id, query);
            }
        }
    }

    /// Writes the answer to the row; it is told when it is on disk.
    pub(super) fn record(&mut self, mut query: Query, text: String, ending: Ending) {
        if query.is_audit || !query.saved {
            self.end(query, text, ending);
            return;
        }
        self.effects.output(Output::RecordAnswer { query: query.id, text: text.clone() });
        query.state = State::Recording { text, ending };
        self.queries.insert(query.id, query);
    }

    /// The one way out: tells the wearer and whoever asked, and forgets the row.
    pub(super) fn end(&mut self, mut query: Query, answer: String, ending: Ending) {
        query.step("ended", self.now);
        let by = match ending {
            Ending::Expired => EndedBy::Expiry,
            Ending::Answered | Ending::Refused | Ending::Failed => EndedBy::Answer,
        };
        if self.ended.len() == super::REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((query.id, by));
        if query.is_audit {
            self.effects.count(Counter::AuditsEnded(
                query.agreed.map_or("untold", |agreed| if agreed { "agreed" } else { "disagreed" }),
            ));
            return;
        }
        self.effects.count(Counter::QueriesEnded(match (ending, query.route) {
            (Ending::Answered, Some(Route::Local)) => "local",
            (Ending::Answered, _) => "cloud",
            (Ending::Refused, _) => "refused",
            (Ending::Failed, _) => "failed",
            (Ending::Expired, _) => "expired",
        }));
        if let Some(glasses) = query.glasses.clone() {
            self.with_glasses(&glasses, super::Missing::Add, |session, around, effects| {
                session.tell(Kind::Answer, query.id, &answer, around, effects);
            });
        }
        let local = query.route == Some(Route::Local);
        let (score, candidate, evidence) = match query.candidate {
            Some(c) => (Some(c.score), (!local).then_some(c.text), c.evidence),
            None => (None, None, Vec::new()),
        };
        self.effects.output(Output::Ended(Box::new(Answered {
            query: query.id,
            glasses: query.glasses,
            source: query.source,
            question: query.text,
            intent: query.intent.name().to_owned(),
            answer,
            route: query.route,
            ending,
            score,
            probability: query.probability,
            agreed: query.agreed,
            candidate,
            evidence,
            reasons: query.reasons,
            model: query.model,
            asked_at_ms: query.asked_at.as_micros() / 1000,
            steps: query.steps,
        })));
    }
}
