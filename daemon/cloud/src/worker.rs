//! The worker: takes queries, asks, answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use glassd_core::wire::{AnswerMessage, Outcome, VERSION};
use glassd_policies::Backoff;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backend::{Backend, BackendError, Question};
use crate::inquiry::{Inquiry, Key, ReplyTo, failed};
use crate::link::{Link, LinkEvent, Sharing};
use glassd_core::broker::BrokerAddress;
use glassd_mqtt::{AccessFiles, Failure, FailureKind, Negotiation, Protocol, Version};

/// Waits between connections to the broker.
const RECONNECT: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(30) };
/// A connection that stood for so long starts the waits anew.
const STABLE: Duration = Duration::from_secs(10);
/// Waits between attempts at the model server.
const RETRY: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(20) };
/// Queries that may wait for a free place; a query that finds them all taken is told so.
const WAITING: usize = 32;
/// Answers remembered: a gateway that missed one asks again, and the model need not.
const REMEMBERED: usize = 128;
/// How long queries at work may take to finish once the worker is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What a worker does.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Which broker.
    pub broker: BrokerAddress,
    /// Secrets and certificates for it.
    pub access: AccessFiles,
    /// Which MQTT.
    pub version: Version,
    /// First part of the gateways' topics.
    pub topic_prefix: String,
    /// Who answers.
    pub backend: Backend,
    /// Longest wait for one attempt at the backend.
    pub timeout: Duration,
    /// Further attempts after one that found the backend not available.
    pub retries: u32,
    /// Queries at the backend at once.
    pub concurrency: usize,
}

impl WorkerConfig {
    /// Takes what has no default: 60 s for an attempt, 3 retries, 4 queries at once.
    pub fn new(broker: BrokerAddress, backend: Backend) -> Self {
        Self {
            broker,
            access: AccessFiles::default(),
            version: Version::Auto,
            topic_prefix: "glassd".to_owned(),
            backend,
            timeout: Duration::from_secs(60),
            retries: 3,
            concurrency: 4,
        }
    }
}

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers from the backend.
    pub answered: u64,
    /// Queries that the backend did not answer; their gateways were told.
    pub failed: u64,
    /// Messages that are no query; their senders were told.
    pub refused: u64,
    /// Messages that are no query and say not whom to tell.
    pub dropped: u64,
    /// Queries that expired here.
    pub expired: u64,
    /// Queries asked again: answered from memory, or already at work.
    pub repeated: u64,
    /// Queries that found every place taken; their gateways were told.
    pub busy: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, failed, refused, dropped, expired, repeated, busy } = self;
        write!(
            f,
            "{answered} answered, {failed} failed, {refused} refused, {dropped} dropped, {expired} expired, \
             {repeated} repeated, {busy} turned away"
        )
    }
}

/// A query that is done with: its answer goes out, then its acknowledgement.
struct Finished {
    /// Which arrival on which connection.
    ticket: u64,
    key: Option<Key>,
    reply: Option<(ReplyTo, AnswerMessage)>,
}

/// The worker.
pub struct Worker {
    config: Arc<WorkerConfig>,
    places: Arc<Semaphore>,
    jobs: JoinSet<Finished>,
    at_work: BTreeSet<Key>,
    /// Finished, not yet handed to a connection.
    finished: VecDeque<Finished>,
    answered: BTreeMap<Key, AnswerMessage>,
    answered_order: VecDeque<Key>,
    tickets: u64,
    counts: Counts,
}

enum Ended {
    Stopped,
    Lost(Failure),
}

impl Worker {
    /// Works until `shutdown` resolves and what is at work is done (at most 10 s), and says what it
    /// did. A broker out of reach is tried again for ever.
    pub async fn run(config: WorkerConfig, shutdown: impl Future<Output = ()>) -> Counts {
        let mut worker = Self {
            places: Arc::new(Semaphore::new(config.concurrency.max(1))),
            config: Arc::new(config),
            jobs: JoinSet::new(),
            at_work: BTreeSet::new(),
            finished: VecDeque::new(),
            answered: BTreeMap::new(),
            answered_order: VecDeque::new(),
            tickets: 0,
            counts: Counts::default(),
        };
        let mut shutdown = pin!(shutdown);
        let mut attempt = 0;
        let mut negotiation = Negotiation::new(worker.config.version);
        loop {
            let started = Instant::now();
            let protocol = negotiation.protocol();
            let mut stood = false;
            let lost = match Box::pin(worker.connection(protocol, &mut stood, shutdown.as_mut())).await {
                Ended::Stopped => return worker.counts,
                Ended::Lost(lost) => lost,
            };
            if stood {
                negotiation.handle_accepted(protocol);
            } else if negotiation.handle_failed(protocol, lost.kind) {
                tracing::info!(broker = %worker.config.broker, %lost, "MQTT 3.1.1 is tried");
                continue;
            }
            tracing::warn!(broker = %worker.config.broker, %lost, "the broker is not connected");
            if started.elapsed() >= STABLE {
                attempt = 0;
            }
            let wait = RECONNECT.delay(attempt, random_share());
            attempt = attempt.saturating_add(1);
            tokio::select! {
                () = &mut shutdown => return worker.counts,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One connection, from its start to its end.
    async fn connection(
        &mut self,
        protocol: Protocol,
        stood: &mut bool,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Ended {
        let places = self.config.concurrency.saturating_add(WAITING);
        let client_id = format!("glassd-cloud-{:016x}", random_bits());
        let access = match self.config.access.read(&self.config.broker) {
            Ok(access) => access,
            Err(error) => {
                return Ended::Lost(Failure { kind: FailureKind::Other, reason: error.to_string() });
            }
        };
        let (mut link, mut eventloop) = Link::open(&self.config, access, protocol, &client_id, places);
        let mut drained_by = None;
        loop {
            self.settle(&mut link, drained_by);
            let deadline = drained_by.map_or(link.deadline(), |by| link.deadline().min(by));
            // Not dropped before it is done: dropped in the middle of a write it would lose the packet.
            let mut polled = pin!(tokio::time::timeout_at(deadline, eventloop.poll()));
            let polled = loop {
                tokio::select! {
                    polled = &mut polled => break polled,
                    Some(job) = self.jobs.join_next() => {
                        self.finish(job);
                        self.settle(&mut link, drained_by);
                    }
                    () = &mut shutdown, if drained_by.is_none() => {
                        drained_by = Some(Instant::now() + DRAIN);
                        link.unsubscribe();
                        self.settle(&mut link, drained_by);
                    }
                }
            };
            match link.handle(polled) {
                Ok(LinkEvent::Publish(publish)) => self.take(&publish, &mut link),
                Ok(LinkEvent::Up(sharing)) => {
                    *stood = true;
                    tracing::info!(broker = %self.config.broker, client_id, mqtt = %protocol, "waiting for queries");
                    if sharing == Sharing::Alone {
                        tracing::warn!(
                            "this broker shares no subscriptions: of several workers each would ask the model"
                        );
                    }
                }
                Ok(LinkEvent::Closed) => return Ended::Stopped,
                Ok(LinkEvent::Other) => {}
                Err(_) if drained_by.is_some() => return Ended::Stopped,
                Err(lost) => return Ended::Lost(lost),
            }
        }
    }

    /// Hands over what is finished, and says goodbye when nothing is left of a worker told to stop.
    fn settle(&mut self, link: &mut Link, drained_by: Option<Instant>) {
        self.flush(link);
        if drained_by.is_some() && self.jobs.is_empty() && self.finished.is_empty() {
            link.close_when_settled();
        }
    }

    /// Takes a message from a gateway.
    fn take(&mut self, publish: &Publish, link: &mut Link) {
        self.tickets += 1;
        let ticket = self.tickets;
        link.note(publish, ticket);
        let inquiry = match Inquiry::read(publish, &self.config.topic_prefix, Instant::now()) {
            Ok(inquiry) => inquiry,
            Err(rejection) => {
                tracing::debug!(reason = rejection.reason, "a message is no query");
                match rejection.answer {
                    Some(_) => self.counts.refused += 1,
                    None => self.counts.dropped += 1,
                }
                self.finished.push_back(Finished {
                    ticket,
                    key: None,
                    reply: rejection.answer.map(|answer| *answer),
                });
                return;
            }
        };
        let query = inquiry.message.query;
        if let Some(answer) = self.answered.get(&inquiry.key) {
            self.counts.repeated += 1;
            let reply = Some((inquiry.reply_to, answer.clone()));
            self.finished.push_back(Finished { ticket, key: None, reply });
        } else if self.at_work.contains(&inquiry.key) {
            // The answer of the first goes to the same topic.
            self.counts.repeated += 1;
            self.finished.push_back(Finished { ticket, key: None, reply: None });
        } else if self.jobs.len() + self.finished.len() >= self.config.concurrency.saturating_add(WAITING) {
            self.counts.busy += 1;
            let reply = Some((inquiry.reply_to, failed(query, "the worker has too much to do", true)));
            self.finished.push_back(Finished { ticket, key: None, reply });
        } else {
            tracing::debug!(%query, image_bytes = inquiry.message.image.as_ref().map_or(0, Vec::len), "a query came");
            self.at_work.insert(inquiry.key.clone());
            self.jobs.spawn(work(Arc::clone(&self.config), Arc::clone(&self.places), inquiry, ticket));
        }
    }

    /// Takes the result of a job.
    fn finish(&mut self, job: Result<Finished, tokio::task::JoinError>) {
        // A job catches the backend's panics; one of its own would be a bug and must be seen.
        let finished = job.expect("a job does not panic");
        let key = finished.key.clone().expect("a job has a query");
        self.at_work.remove(&key);
        match &finished.reply {
            None => self.counts.expired += 1,
            Some((_, answer)) => match answer.outcome {
                Outcome::Failed => self.counts.failed += 1,
                Outcome::Answered => {
                    self.counts.answered += 1;
                    self.remember(key, answer.clone());
                }
            },
        }
        self.finished.push_back(finished);
    }

    fn remember(&mut self, key: Key, answer: AnswerMessage) {
        if self.answered_order.len() == REMEMBERED
            && let Some(oldest) = self.answered_order.pop_front()
        {
            self.answered.remove(&oldest);
        }
        self.answered_order.push_back(key.clone());
        self.answered.insert(key, answer);
    }

    /// Hands finished queries to the connection, as far as it takes them. What waits here outlives it.
    fn flush(&mut self, link: &mut Link) {
        while link.has_room()
            && let Some(finished) = self.finished.pop_front()
        {
            if let Some((reply_to, answer)) = &finished.reply {
                link.publish(reply_to.packet(answer));
            }
            link.done(finished.ticket);
        }
        link.acknowledge();
    }
}

/// Asks the backend until there is an answer, no hope, or no time.
async fn work(config: Arc<WorkerConfig>, places: Arc<Semaphore>, inquiry: Inquiry, ticket: u64) -> Finished {
    let Inquiry { key, message, reply_to, deadline } = inquiry;
    let query = message.query;
    let question = Arc::new(Question {
        text: message.text,
        language: message.language,
        image: message.image,
        hint: message.hint,
    });
    let place = places.acquire_owned().await.expect("the semaphore is never closed");
    let result = ask(&config, &question, deadline).await;
    drop(place);
    let answer = match result {
        Ok(_) | Err(_) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => None,
        Ok(reply) => Some(AnswerMessage {
            version: VERSION,
            query,
            outcome: Outcome::Answered,
            text: reply.text,
            retry: false,
            model: reply.model,
        }),
        Err(error) => {
            tracing::warn!(%query, %error, "a query failed");
            Some(failed(query, &error.to_string(), matches!(error, BackendError::Unavailable { .. })))
        }
    };
    Finished { ticket, key: Some(key), reply: answer.map(|answer| (reply_to, answer)) }
}

async fn ask(
    config: &Arc<WorkerConfig>,
    question: &Arc<Question>,
    deadline: Option<Instant>,
) -> Result<crate::Reply, BackendError> {
    let remaining = || deadline.map_or(Duration::MAX, |deadline| deadline.duration_since(Instant::now()));
    let mut attempt = 0;
    loop {
        let timeout = config.timeout.min(remaining());
        if timeout.is_zero() {
            return Err(BackendError::Unavailable {
                reason: "no time is left".to_owned(),
                retry_after: None,
            });
        }
        let error = match ask_once(config, question, timeout).await {
            Err(error @ BackendError::Unavailable { .. }) => error,
            result => return result,
        };
        let BackendError::Unavailable { retry_after, .. } = &error else { return Err(error) };
        let wait = RETRY.delay(attempt, random_share()).max(retry_after.unwrap_or_default());
        if attempt >= config.retries || wait >= remaining() {
            return Err(error);
        }
        attempt += 1;
        tracing::debug!(%error, attempt, ?wait, "the backend is asked again");
        tokio::time::sleep(wait).await;
    }
}

async fn ask_once(
    config: &Arc<WorkerConfig>,
    question: &Arc<Question>,
    timeout: Duration,
) -> Result<crate::Reply, BackendError> {
    let (config, question) = (Arc::clone(config), Arc::clone(question));
    let asked = tokio::task::spawn_blocking(move || config.backend.ask(&question, timeout)).await;
    asked.unwrap_or_else(|error| {
        let reason = format!("the worker itself failed: {error}");
        Err(BackendError::Unavailable { reason, retry_after: None })
    })
}

/// Draws 64 bits from the standard library's hash keys, which the system seeds.
fn random_bits() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(())
}

fn random_share() -> f64 {
    f64::from((random_bits() >> 32) as u32) / f64::from(u32::MAX)
}
