//! One accelerator's queue: who is next.
//!
//! The order: a question before a frame, then the higher priority, then the earlier deadline, then who came first.
//! **No starvation**: a job that was passed over [`MOST_PASSED_OVER`] times goes before all that came after it,
//! whatever they are. So at most `MOST_PASSED_OVER` batches plus one for each job that waited when it came run
//! before it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::batch::{Batching, Company, Member};

/// After so many batches that were not its own a job's turn has come: eight runs of a detector of 20 ms keep a frame
/// under questions younger than 200 ms.
pub const MOST_PASSED_OVER: u32 = 8;

/// What a job is to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Somebody waits for it: never replaced, run before frames.
    Question,
    /// A look at a stream: a newer one for the same stream and target takes its place.
    Frame,
}

/// What goes first within a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The wearer just did something.
    High,
    /// Everything else.
    Normal,
}

/// Work for an accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<J> {
    /// Where it comes from; frames of one stream replace each other.
    pub stream: String,
    /// The model or ensemble that is to run; jobs for the same one can share a batch.
    pub target: String,
    /// Frame or question.
    pub class: Class,
    /// What goes first within the class.
    pub priority: Priority,
    /// When its result is of no use any more.
    pub deadline: Option<Instant>,
    /// The work itself.
    pub job: J,
}

/// A question that the queue could not take.
#[derive(Debug, thiserror::Error)]
#[error("{most} questions wait for the accelerator already; ask again when some are answered")]
pub struct Full<J> {
    /// Most questions that wait.
    pub most: usize,
    /// The job, as it came.
    pub job: J,
}

/// What an accelerator that is free does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<J> {
    /// Run these, all for the same target, the most urgent first.
    Run(Vec<Request<J>>),
    /// Nothing before this moment, unless something is submitted: jobs wait for company.
    WaitUntil(Instant),
    /// Nothing waits.
    Idle,
}

/// Jobs that wait for one accelerator.
#[derive(Debug)]
pub struct Queue<J> {
    /// By order of arrival; a frame that takes another's place takes its turn too.
    waiting: BTreeMap<u64, Waiting<J>>,
    arrivals: u64,
    most_questions: usize,
    batching: BTreeMap<String, Batching>,
    fastest: BTreeMap<String, Duration>,
}

#[derive(Debug)]
struct Waiting<J> {
    request: Request<J>,
    since: Instant,
    passed_over: u32,
}

impl<J> Queue<J> {
    /// Makes a queue that takes at most `most_questions` questions at once; frames are bounded by their streams.
    pub fn new(most_questions: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            arrivals: 0,
            most_questions,
            batching: BTreeMap::new(),
            fastest: BTreeMap::new(),
        }
    }

    /// Sets how jobs for `target` are gathered; without it each runs alone.
    pub fn set_batching(&mut self, target: &str, batching: Batching) {
        self.batching.insert(target.to_owned(), batching);
    }

    /// Takes a job in; returns the frame whose place it took.
    pub fn submit(&mut self, request: Request<J>, now: Instant) -> Result<Option<J>, Full<J>> {
        match request.class {
            Class::Frame => {
                let is_older = |waiting: &&mut Waiting<J>| {
                    let older = &waiting.request;
                    older.class == Class::Frame
                        && older.stream == request.stream
                        && older.target == request.target
                };
                if let Some(older) = self.waiting.values_mut().find(is_older) {
                    return Ok(Some(std::mem::replace(&mut older.request, request).job));
                }
            }
            Class::Question => {
                if self.questions() >= self.most_questions {
                    return Err(Full { most: self.most_questions, job: request.job });
                }
            }
        }
        self.waiting.insert(self.arrivals, Waiting { request, since: now, passed_over: 0 });
        self.arrivals += 1;
        Ok(None)
    }

    /// Notes how long one run of `target` took.
    pub fn ran(&mut self, target: &str, took: Duration) {
        let fastest = self.fastest.entry(target.to_owned()).or_insert(took);
        *fastest = took.min(*fastest);
    }

    /// Gives back the jobs whose results would come after their deadlines even if their targets ran as fast as
    /// they ever did.
    pub fn expired(&mut self, now: Instant) -> Vec<J> {
        let late: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| self.latest_start(&waiting.request).is_some_and(|latest| latest < now))
            .map(|(&arrival, _)| arrival)
            .collect();
        self.removed(&late).map(|request| request.job).collect()
    }

    /// Says what an accelerator that is free does now.
    pub fn next(&mut self, now: Instant) -> Next<J> {
        let mut order: Vec<u64> = self.waiting.keys().copied().collect();
        order.sort_by_key(|arrival| turn(*arrival, &self.waiting[arrival]));
        let mut due: BTreeMap<&str, Option<Instant>> = BTreeMap::new();
        for waiting in self.waiting.values() {
            let target = waiting.request.target.as_str();
            due.entry(target).or_insert_with(|| self.due(target));
        }
        let target_of = |arrival: &u64| self.waiting[arrival].request.target.as_str();
        let is_due = |arrival: &&u64| due[target_of(arrival)].is_some_and(|due| due <= now);
        let Some(first) = order.iter().find(is_due) else {
            return due.into_values().flatten().min().map_or(Next::Idle, Next::WaitUntil);
        };
        let target = target_of(first);
        let largest = self.batching_of(target).largest.max(1);
        let batch: Vec<u64> =
            order.iter().copied().filter(|arrival| target_of(arrival) == target).take(largest).collect();
        let jobs = self.removed(&batch).collect();
        for waiting in self.waiting.values_mut() {
            waiting.passed_over = waiting.passed_over.saturating_add(1);
        }
        Next::Run(jobs)
    }

    /// Returns how many jobs wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells whether no job waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns how many questions wait.
    pub fn questions(&self) -> usize {
        self.waiting.values().filter(|waiting| waiting.request.class == Class::Question).count()
    }

    /// Takes the requests of that order out.
    fn removed<'a>(&'a mut self, arrivals: &'a [u64]) -> impl Iterator<Item = Request<J>> + 'a {
        arrivals.iter().filter_map(|arrival| self.waiting.remove(arrival)).map(|waiting| waiting.request)
    }

    fn batching_of(&self, target: &str) -> Batching {
        self.batching.get(target).copied().unwrap_or_default()
    }

    /// When the jobs for `target` may run.
    fn due(&self, target: &str) -> Option<Instant> {
        let members: Vec<Member> = self
            .waiting
            .values()
            .filter(|waiting| waiting.request.target == target)
            .map(|waiting| Member {
                since: waiting.since,
                company: match waiting.request.class {
                    Class::Question => Company::Declined,
                    Class::Frame if waiting.is_overdue() => Company::Declined,
                    Class::Frame => Company::Awaited,
                },
                latest_start: self.latest_start(&waiting.request),
            })
            .collect();
        self.batching_of(target).due(&members)
    }

    /// The last moment at which it can start and still be in time; a deadline nearer than a run takes is its own.
    fn latest_start(&self, request: &Request<J>) -> Option<Instant> {
        let deadline = request.deadline?;
        let fastest = self.fastest.get(&request.target).copied().unwrap_or_default();
        Some(deadline.checked_sub(fastest).unwrap_or(deadline))
    }
}

impl<J> Waiting<J> {
    fn is_overdue(&self) -> bool {
        self.passed_over >= MOST_PASSED_OVER
    }
}

/// Place in the order, the smallest first: overdue jobs as they came, then the rest by urgency.
fn turn<J>(arrival: u64, waiting: &Waiting<J>) -> impl Ord + use<J> {
    let Request { class, priority, deadline, .. } = &waiting.request;
    let urgency = (*class, *priority, deadline.is_none(), *deadline);
    (!waiting.is_overdue(), (!waiting.is_overdue()).then_some(urgency), arrival)
}
