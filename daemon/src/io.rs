//! Every side effect of the daemon, in one struct: what the core's outputs become.

mod glasses;
mod recording;
mod requests;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use glassd_core::gateway::{Frame, Gateway, Input, Notice, Output, Sound};
use glassd_core::link::Write;
use glassd_core::query::{Answered, Ending, Source};
use glassd_core::{GlassesId, QueryId, Timestamp};
use glassd_policies::Privacy;
use tokio::sync::{mpsc, oneshot};

use self::recording::Recording;
use crate::control::Reply;
use crate::event_loop::Event;
use crate::links::{LinkStatus, Pause};
use crate::mqtt::{Publication, Uplink, UplinkEvent};
use crate::outbox::{Explanation, NotTaken, Operation, Outbox, OutboxEvent};
use crate::recordings::Recordings;
use crate::telemetry::Metrics;
use crate::vision::{Done, Job, JobResult, Vision};

/// Something that an observer (the demo, replay) sees happen.
#[derive(Clone, Debug)]
pub enum Observation {
    /// The core noticed something.
    Notice(Notice),
    /// A whole frame came.
    Frame(Frame),
    /// A query ended.
    Ended(Box<Answered>),
    /// Glasses heard something.
    Sound(Box<Sound>),
    /// A stage took so long.
    Stage(&'static str, std::time::Duration),
}

/// All that the loop can act on.
pub struct Io {
    /// Where writes to the glasses go. Full-queue rule: the link is stuck, the write is dropped and counted.
    pub links: BTreeMap<GlassesId, mpsc::Sender<Write>>,
    /// Has each link leave its glasses alone.
    pub pauses: BTreeMap<GlassesId, mpsc::Sender<Pause>>,
    /// The threads that look at frames.
    pub vision: Vision,
    /// The outbox thread.
    pub outbox: Outbox,
    /// The thread that keeps recordings, where some are wanted.
    pub recordings: Option<Recordings>,
    /// The MQTT task.
    pub uplink: Uplink,
    /// Durations.
    pub metrics: Arc<Metrics>,
    /// Whoever watches. Full-queue rule: the observation is dropped and counted.
    pub observer: Option<mpsc::Sender<Observation>>,
    /// What the broker is to local-only mode.
    pub broker: BrokerReach,
    /// The core's privacy mode, as of the turn at hand.
    pub privacy: Privacy,
    /// When the turn at hand began.
    pub now: Timestamp,
    /// Folder of what must outlive a restart.
    pub state_dir: PathBuf,
    /// What Home Assistant is told, where it is.
    pub discovery: Vec<Publication>,
    /// State of the loop's own.
    pub state: IoState,
}

/// Where the broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerReach {
    /// On this device: what is published stays here.
    Local,
    /// Somewhere else.
    Remote,
}

/// What the loop remembers between turns.
#[derive(Debug, Default)]
pub struct IoState {
    waiting: BTreeMap<QueryId, mpsc::Sender<Reply>>,
    ending: BTreeMap<QueryId, (mpsc::Sender<Reply>, Box<Answered>)>,
    link_status: BTreeMap<GlassesId, LinkStatus>,
    recording: Recording,
    connected: bool,
    writes_dropped: u64,
    publishes_dropped: u64,
    observations_dropped: u64,
    /// The retained topic `state` no longer tells the truth.
    state_changed: bool,
    /// Charge of the glasses' batteries, as the topic `state` has it.
    batteries: Vec<Option<u8>>,
    /// Home Assistant does not know, or may have forgotten.
    discovery_due: bool,
}

/// How long glasses are left alone that send nonsense.
const HANG_UP: Duration = Duration::from_secs(60);

impl Io {
    /// Turns an event into inputs for the core.
    pub fn handle_event(&mut self, event: Event, gateway: &Gateway) -> Vec<Input> {
        match event {
            Event::Input(input) => {
                self.watch_link(&input);
                self.state.recording.handle_input(&input, self.now);
                vec![input]
            }
            Event::Link { glasses, stage } => {
                self.state.link_status.entry(glasses).or_default().handle_stage(stage);
                Vec::new()
            }
            Event::Vision(done) => vec![self.handle_vision(done)],
            Event::Outbox(event) => self.handle_outbox(event).into_iter().collect(),
            Event::Uplink(event) => self.handle_uplink(event),
            Event::Control { request, replies } => {
                self.handle_request(request, Source::Cli, Some(replies), gateway)
            }
            // The loop itself takes these.
            Event::Snapshot(_) | Event::Shutdown => Vec::new(),
        }
    }

    /// Counts what a link carries.
    fn watch_link(&mut self, input: &Input) {
        let links = &mut self.state.link_status;
        match input {
            Input::GlassesConnected { glasses, .. } => {
                links.entry(glasses.clone()).or_default().handle_connected(self.now);
            }
            Input::GlassesDisconnected { glasses } => {
                links.entry(glasses.clone()).or_default().handle_disconnected(self.now);
            }
            Input::Notification { glasses, value, .. } => {
                if let Some(link) = links.get_mut(glasses) {
                    link.handle_notification(value.len(), self.now);
                }
            }
            _ => {}
        }
    }

    /// Has a link leave its glasses alone for so long; what is returned ends when it does. `None` where no link can.
    fn pause(
        &self,
        glasses: &GlassesId,
        duration: Duration,
        reason: &'static str,
    ) -> Option<oneshot::Receiver<()>> {
        let (begun, begins) = oneshot::channel();
        let pause = Pause { until: tokio::time::Instant::now() + duration, reason, begun };
        self.pauses.get(glasses)?.try_send(pause).ok().map(|()| begins)
    }

    fn handle_outbox(&mut self, event: OutboxEvent) -> Option<Input> {
        let OutboxEvent { query, operation, result } = event;
        match (operation, result) {
            (Operation::Store | Operation::RecordAnswer, Ok(())) => Some(Input::Stored { query }),
            (Operation::Store | Operation::RecordAnswer, Err(error)) => {
                tracing::error!(%query, ?operation, %error, "the outbox could not write");
                Some(Input::StoreFailed { query, reason: error.to_string() })
            }
            (Operation::End, result) => {
                if let Err(error) = result {
                    tracing::error!(%query, %error, "the end of a query is not in the history");
                }
                if let Some((replies, answered)) = self.state.ending.remove(&query) {
                    reply(Some(&replies), Reply::Ended(answered));
                }
                None
            }
        }
    }

    fn handle_vision(&mut self, done: Done) -> Input {
        for (stage, duration) in done.stages {
            self.metrics.observe(stage, duration);
            self.observe(|| Observation::Stage(stage, duration));
        }
        into_input(done.result)
    }

    fn handle_uplink(&mut self, event: UplinkEvent) -> Vec<Input> {
        match event {
            UplinkEvent::Connected => {
                tracing::info!("the broker is connected");
                self.state.connected = true;
                self.state.state_changed = true;
                self.state.discovery_due = true;
                vec![Input::UplinkConnected]
            }
            UplinkEvent::Disconnected { reason } => {
                tracing::warn!(%reason, "the broker is not connected");
                self.state.connected = false;
                vec![Input::UplinkDisconnected]
            }
            UplinkEvent::Answer { correlation, content_type, payload } => {
                vec![Input::CloudMessage { correlation, content_type, payload }]
            }
            UplinkEvent::HomeAssistantBorn => {
                self.state.discovery_due = true;
                Vec::new()
            }
            UplinkEvent::Command { name, payload } => self.handle_command(&name, &payload),
        }
    }

    /// Does what the core wants; some things have their result at once.
    pub fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Write { glasses, write } => {
                self.state.recording.handle_write(&glasses, &write, self.now);
                let sent = self.links.get(&glasses).is_some_and(|link| link.try_send(write).is_ok());
                self.state.writes_dropped += u64::from(!sent);
                None
            }
            Output::Sound(sound) => {
                // Nothing listens yet: it is decoded and understood elsewhere.
                self.observe(|| Observation::Sound(Box::new(sound)));
                None
            }
            Output::KeepOutcome { outcome, drift } => {
                if let Err(error) = self.outbox.keep_outcome(outcome, drift) {
                    tracing::warn!(%error, "what became known of a candidate is lost");
                }
                None
            }
            Output::KeepRecording(recording) => match &self.recordings {
                Some(recordings) => recordings.keep(recording),
                None => Some(Input::RecordingFailed { glasses: recording.glasses, up_to: recording.next }),
            },
            Output::HangUp { glasses, reason } => {
                tracing::warn!(%glasses, reason = reason.label(), "what the glasses send is nothing of their protocol");
                self.pause(&glasses, HANG_UP, "what they send is nothing of their protocol");
                None
            }
            Output::Probe(frame) => {
                self.observe(|| Observation::Frame(frame.clone()));
                self.vision.submit(Job::Probe(frame)).map(into_input)
            }
            Output::Perceive { frame, urgency } => {
                self.vision.submit(Job::Perceive { frame, urgency }).map(into_input)
            }
            Output::PrepareImage { query, frame, compression } => {
                self.vision.submit(Job::Prepare { query, frame, compression }).map(into_input)
            }
            Output::Store(row) => {
                let query = row.query;
                not_taken(query, self.outbox.store(row))
            }
            Output::RecordAnswer { query, text } => not_taken(query, self.outbox.record_answer(query, text)),
            Output::Publish { query, message, expires_in } => {
                self.publish(Publication::Query { query, message: message.to_vec(), expires_in });
                None
            }
            Output::Ended(answered) => {
                self.handle_ended(*answered);
                None
            }
            Output::Notice(notice) => {
                self.handle_notice(notice);
                None
            }
        }
    }

    fn handle_ended(&mut self, answered: Answered) {
        // The question and the answer are a person's words: the journal gets their shape only.
        tracing::info!(
            query = %answered.query,
            route = ?answered.route,
            ending = ?answered.ending,
            intent = answered.intent,
            total_ms = answered.total_ms(),
            "a query ended"
        );
        for (stage, from, to) in [
            ("store", None, "accepted"),
            ("look", Some("accepted"), "looked"),
            ("cloud", Some("published"), "answered"),
        ] {
            let start = from.map_or(Some(0.0), |from| answered.at_ms(from));
            if let (Some(start), Some(end)) = (start, answered.at_ms(to)) {
                self.observe_ms(stage, end - start);
            }
        }
        let total = match answered.route {
            Some(glassd_policies::Route::Local) => "answer_local",
            _ => "answer_other",
        };
        self.observe_ms(total, answered.total_ms());
        let noted = match self.outbox.end(explanation(&answered)) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(query = %answered.query, %error, "the outbox could not note the end of a query");
                false
            }
        };
        self.publish(Publication::Answered(Box::new(answered.clone())));
        // Whoever asked is told when the history has it, so that `glassd why` knows what they know.
        if let Some(replies) = self.state.waiting.remove(&answered.query) {
            if noted {
                self.state.ending.insert(answered.query, (replies, Box::new(answered.clone())));
            } else {
                reply(Some(&replies), Reply::Ended(Box::new(answered.clone())));
            }
        }
        self.observe(|| Observation::Ended(Box::new(answered)));
    }

    fn observe_ms(&mut self, stage: &'static str, ms: f64) {
        let duration = std::time::Duration::from_secs_f64(ms.max(0.0) / 1e3);
        self.metrics.observe(stage, duration);
        self.observe(|| Observation::Stage(stage, duration));
    }

    fn handle_notice(&mut self, notice: Notice) {
        match &notice {
            Notice::Connected(glasses) => {
                self.state.state_changed = true;
                tracing::info!(%glasses, "glasses are connected");
            }
            Notice::Disconnected(glasses) => {
                self.state.state_changed = true;
                tracing::info!(%glasses, "glasses are gone");
            }
            Notice::FrameRate { glasses, decision } => {
                self.state.state_changed = true;
                let why = decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                tracing::debug!(%glasses, fps = decision.value.fps, why, "the frame rate changed");
            }
            Notice::Camera { glasses, decision } => {
                self.state.state_changed = true;
                let why = decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let value = decision.value;
                tracing::debug!(%glasses, longest_side = value.longest_side, quality = value.quality, why, "the camera is set");
            }
            Notice::FrameArrived { glasses, frame, bytes, transfer } => {
                tracing::trace!(%glasses, frame = frame.0, bytes, ?transfer, "a frame arrived");
                let first =
                    self.state.link_status.get_mut(glasses).and_then(|link| link.handle_frame(self.now));
                if let Some(first) = first {
                    self.metrics.observe("first_frame", first.since_connected);
                    if let Some(lost) = first.since_lost {
                        self.metrics.observe("recovery", lost);
                    }
                }
                if !transfer.is_zero() {
                    let transfer = *transfer;
                    self.metrics.observe("transfer", transfer);
                    self.observe(|| Observation::Stage("transfer", transfer));
                }
            }
            Notice::Scene { .. } | Notice::Button(_) => {}
            Notice::Accepted { query, .. } => {
                tracing::debug!(%query, "a query was accepted");
                reply(self.state.waiting.get(query), Reply::Accepted(*query));
            }
            Notice::Forwarded { query, bytes } => tracing::info!(%query, bytes, "a query goes to the cloud"),
            Notice::Deferred { query } => {
                tracing::info!(%query, "a query waits for the uplink");
                reply(self.state.waiting.get(query), Reply::Deferred(*query));
            }
        }
        if let Some((glasses, event)) = crate::mqtt::event_of(&notice) {
            self.publish(Publication::Event { glasses, event });
        }
        self.observe(|| Observation::Notice(notice));
    }

    /// The one place where anything is handed to the broker. In local-only mode a broker elsewhere
    /// learns that the gateway is there, and nothing else.
    fn publish(&mut self, publication: Publication) {
        if self.is_silent() {
            return;
        }
        self.state.publishes_dropped += u64::from(self.uplink.publish(publication).is_err());
    }

    fn is_silent(&self) -> bool {
        self.privacy == Privacy::LocalOnly && self.broker == BrokerReach::Remote
    }

    fn observe(&mut self, observation: impl FnOnce() -> Observation) {
        if let Some(observer) = &self.observer {
            self.state.observations_dropped += u64::from(observer.try_send(observation()).is_err());
        }
    }

    /// Tells whether a thread is stuck.
    pub fn is_hung(&self) -> bool {
        self.vision.is_hung()
    }

    /// Lets the uplink say goodbye and the outbox finish.
    pub async fn shutdown(self) {
        self.uplink.shutdown().await;
        // It waits for the disk; the runtime has nothing else to do by now.
        if let Err(error) = self.outbox.close() {
            tracing::error!(%error, "the outbox did not end well");
        }
    }
}

fn reply(replies: Option<&mpsc::Sender<Reply>>, reply: Reply) {
    if let Some(replies) = replies {
        // A client that does not read its replies loses them.
        let _ = replies.try_send(reply);
    }
}

fn not_taken(query: QueryId, taken: Result<(), NotTaken>) -> Option<Input> {
    taken.err().map(|error| Input::StoreFailed { query, reason: error.to_string() })
}

fn explanation(answered: &Answered) -> Explanation {
    let asked_at = Timestamp::from_micros(answered.asked_at_ms.saturating_mul(1000));
    let route = match (answered.ending, answered.route) {
        (Ending::Answered, Some(route)) => format!("{route:?}"),
        (ending, _) => format!("{ending:?}"),
    };
    Explanation {
        query: answered.query,
        asked_at,
        ended_at: asked_at + std::time::Duration::from_secs_f64(answered.total_ms() / 1e3),
        question: answered.question.clone(),
        route: route.to_lowercase(),
        answer: answered.answer.clone(),
        json: serde_json::to_string(answered).expect("an explanation is JSON"),
    }
}

fn into_input(result: JobResult) -> Input {
    match result {
        JobResult::Probed(frame, result) => Input::Probed { frame, result },
        JobResult::Perceived(frame, result) => Input::Perceived { frame, result },
        JobResult::Prepared(query, result) => Input::ImagePrepared { query, result },
    }
}
