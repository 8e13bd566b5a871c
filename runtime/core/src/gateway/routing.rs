//! Answer or ask: from an accepted query to a route.

use glassd_policies::calibration::{Calibration, RiskBound};
use glassd_policies::{Bounds, CompressionFacts, EscalationFacts, Reason, Route, Uplink};

use super::Gateway;
use super::io::{Frame, FrameFailure, Output};
use super::lifecycle::{Query, State};
use crate::ids::{GlassesId, QueryId};
use crate::link::answer_text::Kind;
use crate::query::{Ending, Stage};
use crate::skills::{self, Context};
use crate::time::Timestamp;
use crate::wire::{QueryMessage, VERSION};

impl Gateway {
    /// Begins work on a query that is on disk (or that cannot be, and is answered unsaved).
    pub(super) fn begin(&mut self, mut query: Query) {
        let until = self.now + self.settings.frame_wait;
        query.state = State::AwaitingFrame { until };
        self.queries.insert(query.id, query);
    }

    /// Returns until when queries wait for a frame of these glasses, the most patient one; none where no query does.
    pub(super) fn frame_awaited(&self, glasses: &GlassesId) -> Option<Timestamp> {
        let of_glasses = self.queries.values().filter(|query| query.glasses.as_ref() == Some(glasses));
        let waiting = of_glasses.filter_map(|query| {
            let State::AwaitingFrame { until } = query.state else { return None };
            Some(until)
        });
        waiting.max()
    }

    /// Routes what need not wait any longer, expires what is too old.
    pub(super) fn handle_due_queries(&mut self) {
        let ids: Vec<QueryId> = self.queries.keys().copied().collect();
        for id in ids {
            let Some(query) = self.queries.remove(&id) else { continue };
            let expired = self.now >= query.expires_at;
            match query.state {
                State::Recording { .. } => {
                    self.queries.insert(id, query);
                }
                _ if expired => {
                    let beginning: String = query.text.chars().take(80).collect();
                    let notice = format!("I could not answer in time: {beginning}");
                    self.end(query, notice, Ending::Expired);
                }
                State::AwaitingFrame { until } if self.now >= until || self.can_route(&query) => {
                    self.route(query);
                }
                State::InFlight { ref message, until } if self.now >= until => {
                    let message = message.clone();
                    self.requeue(query, message, "timed-out");
                }
                State::Accepting
                | State::AwaitingFrame { .. }
                | State::Preparing
                | State::Saving { .. }
                | State::Queued { .. }
                | State::InFlight { .. } => {
                    self.queries.insert(id, query);
                }
            }
        }
    }

    /// A query can be routed when what it may need to look at is there.
    fn can_route(&self, query: &Query) -> bool {
        use crate::skills::Intent;
        let Some(session) = query.glasses.as_ref().and_then(|id| self.glasses.get(id)) else { return true };
        let since = query.asked_at - self.settings.frame_freshness;
        match query.intent {
            Intent::See | Intent::IsThere(_) | Intent::HowMany(_) => session.scene_since(since).is_some(),
            Intent::Other => session.frame_since(since).is_some() || !session.is_connected(),
            Intent::Time | Intent::Date | Intent::Battery | Intent::Repeat => true,
        }
    }

    fn route(&mut self, mut query: Query) {
        query.step("looked", self.now);
        let since = query.asked_at - self.settings.frame_freshness;
        let session = query.glasses.as_ref().and_then(|id| self.glasses.get(id));
        let scene = session.and_then(|session| session.scene_since(since));
        let frame = session.and_then(|session| session.frame_since(since)).cloned();
        let how = scene.map(|scene| scene.how.clone()).unwrap_or_default();
        let context = Context {
            now: self.now,
            utc_offset_minutes: self.settings.utc_offset_minutes,
            scene,
            vocabulary: &self.settings.vocabulary,
            glasses_battery: session.and_then(|session| session.battery),
            gateway_battery: self.facts.battery,
            last_answer: session.and_then(|session| session.last_answer.as_deref()),
        };
        query.candidate = skills::answer(&query.intent, &context);
        query.probability = self.calibrated(&query);
        if query.intent.needs_scene() && scene.is_none() && frame.is_none() {
            let waited = format!("{} ms", self.settings.frame_wait.as_millis());
            query.reasons.push(Reason::new("blind", "frame", "none", waited));
            query.route = Some(Route::Refuse);
            let text = "I cannot see: no picture came from the glasses.".to_owned();
            return self.record(query, text, Ending::Refused);
        }
        let understood = query.intent != skills::Intent::Other;
        let needs_image = query.intent.needs_scene();
        let facts = EscalationFacts {
            candidate_probability: query.probability,
            understood,
            needs_image,
            uplink: if self.uplink_connected { Uplink::Up } else { Uplink::Down },
            privacy: self.privacy,
            metered: self.facts.metered,
            budget: self.budget_left(),
            battery: self.facts.battery,
            cloud_ms: self.cloud_took.map(|took| u32::try_from(took.as_millis()).unwrap_or(u32::MAX)),
            bounds: if needs_image { self.bounds() } else { Bounds::default() },
            raise: if needs_image { self.drift.raise() } else { 0.0 },
        };
        let decision = self.settings.policies.escalation.decide(&facts);
        self.sample(&mut query, &facts, decision.value);
        query.route = Some(decision.value);
        let is_tentative = decision.is_because("tentative");
        query.reasons.extend(decision.reasons);
        if query.intent.needs_scene() {
            query.reasons.extend(how);
        }
        query.step("decided", self.now);
        match decision.value {
            Route::Local => {
                self.audit(&query, frame);
                self.answer_locally(query, is_tentative);
            }
            Route::Refuse => {
                let text = "I cannot answer that here, and I may not ask the cloud.".to_owned();
                self.record(query, text, Ending::Refused);
            }
            Route::Cloud | Route::Defer if !query.saved => {
                let text = "I cannot ask the cloud: the question could not be kept on disk.".to_owned();
                self.record(query, text, Ending::Refused);
            }
            Route::Cloud => {
                self.speculate(&mut query);
                self.forward(query, frame);
            }
            Route::Defer => {
                self.effects.notice(super::io::Notice::Deferred { query: query.id });
                self.tell_notice(&query, "I cannot reach the cloud now. I will answer when I can.");
                self.forward(query, frame);
            }
        }
    }

    /// Returns the bounds that calibration found.
    fn bounds(&self) -> Bounds {
        let bound = |of: fn(&Calibration) -> &Option<RiskBound>| {
            self.settings.calibration.as_ref().and_then(|found| of(found).map(|bound| bound.probability))
        };
        Bounds { ordinary: bound(|found| &found.ordinary), costly: bound(|found| &found.costly) }
    }

    /// Tells a candidate that is likely enough while the cloud is asked.
    fn speculate(&mut self, query: &mut Query) {
        let (Some(candidate), Some(probability)) = (&query.candidate, query.probability) else { return };
        if self.settings.policies.escalation.speculates(probability) {
            let text = format!("I think: {} I am asking.", candidate.text);
            query.step("speculated", self.now);
            self.tell_notice(query, &text);
        }
    }

    fn answer_locally(&mut self, query: Query, is_tentative: bool) {
        let (text, ending) = match &query.candidate {
            Some(candidate) if !is_tentative => (candidate.text.clone(), Ending::Answered),
            Some(candidate) => (format!("I am not sure: {}", candidate.text), Ending::Answered),
            None => ("I do not know.".to_owned(), Ending::Refused),
        };
        self.record(query, text, ending);
    }

    fn tell_notice(&mut self, query: &Query, text: &str) {
        if let Some(glasses) = &query.glasses {
            let id = query.id;
            self.with_glasses(glasses, super::Missing::Count, |session, around, effects| {
                session.tell(Kind::Notice, id, text, around, effects);
            });
        }
    }

    /// Sends a query on its way to the cloud: first the image, if there is one.
    pub(super) fn forward(&mut self, mut query: Query, frame: Option<Frame>) {
        let Some(frame) = frame else {
            return self.save(query, None);
        };
        let battery = query.glasses.as_ref().and_then(|id| self.glasses.get(id)).and_then(|s| s.battery);
        let compression = self.settings.policies.compression.decide(&CompressionFacts {
            battery: battery.unwrap_or(50),
            emergency: false,
            uplink_bytes_per_second: None,
            budget_left_bytes: Some(self.budget.available(self.now.as_micros())),
        });
        query.reasons.extend(compression.reasons);
        self.effects.output(Output::PrepareImage { query: query.id, frame, compression: compression.value });
        query.state = State::Preparing;
        self.queries.insert(query.id, query);
    }

    pub(super) fn handle_image_prepared(&mut self, id: QueryId, result: Result<Vec<u8>, FrameFailure>) {
        let Some(mut query) = self.queries.remove(&id) else {
            self.effects.count(super::Counter::Stray);
            return;
        };
        if !matches!(query.state, State::Preparing) {
            self.queries.insert(id, query);
            self.effects.count(super::Counter::Stray);
            return;
        }
        query.step("shrunk", self.now);
        match result {
            Ok(image) => self.save(query, Some(image)),
            Err(failure) => {
                // A question is better asked without its picture than not at all.
                self.effects.frame_failed(&failure);
                query.reasons.push(Reason::new("no-picture", "frame", format!("{failure:?}"), ""));
                self.save(query, None);
            }
        }
    }

    /// Writes the message to disk; it is published when it is there.
    fn save(&mut self, mut query: Query, image: Option<Vec<u8>>) {
        if query.is_audit && image.is_none() {
            return self.end(query, String::new(), Ending::Failed);
        }
        let message = QueryMessage {
            version: VERSION,
            query: query.id,
            glasses: query.glasses.clone(),
            text: query.text.clone(),
            language: self.settings.language.clone(),
            image,
            // Whoever is to check a candidate must not be told it.
            hint: query.candidate.as_ref().filter(|_| query.sampled.is_none()).map(|one| one.text.clone()),
            asked_at_ms: query.asked_at.as_micros() / 1000,
        }
        .encode(self.settings.encoding);
        query.state = if query.is_audit {
            State::Queued { message: message.into(), not_before: self.now }
        } else {
            self.effects.output(Output::Store(query.row(Stage::Ready(message.clone()))));
            State::Saving { message: message.into() }
        };
        self.queries.insert(query.id, query);
        self.withdraw_queries();
    }
}
