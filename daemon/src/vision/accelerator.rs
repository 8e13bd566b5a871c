//! An accelerator's thread: the only one that runs models on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use glassd_core::gateway::{Frame, FrameFailure, Urgency};
use glassd_core::{BoundingBox, Object, Scene, Timestamp};
use glassd_inference::Accelerator;
use glassd_inference::serving::{
    Class, Hit, Models, Next, Priority, Queue, Request, ResultCache, ResultCacheSettings, Sighting,
};
use glassd_media::Image;
use glassd_policies::Reason;
use tokio::sync::mpsc;

use super::pictures::{Picture, decode};
use super::{Done, HUNG_AFTER, JobResult, Perception, ServingMetrics, Stages, panicked};
use crate::clock::Clock;
use crate::event_loop::Event;

/// Most perceptions that queries wait for. The core promises one at a time to a pair of glasses, and knows 8 pairs.
const MOST_QUESTIONS: usize = 16;

/// Handle of the thread; dropping it ends the thread after the batch at hand.
pub(super) struct AcceleratorThread {
    accelerator: Accelerator,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    cache: ResultCacheSettings,
    clock: Clock,
    metrics: Arc<ServingMetrics>,
}

/// A frame that is to be perceived.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) frame: Frame,
    pub(super) picture: Option<Picture>,
    pub(super) urgency: Urgency,
    /// What is worth telling about who looks.
    pub(super) how: Vec<Reason>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    queue: Queue<Look>,
    cache: ResultCache,
    busy_since: Option<Instant>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AcceleratorThread {
    pub(super) fn spawn(
        accelerator: Accelerator,
        perception: &Perception,
        models: Models,
        clock: Clock,
        metrics: Arc<ServingMetrics>,
        events: mpsc::Sender<Event>,
    ) -> anyhow::Result<Self> {
        let mut queue = Queue::new(MOST_QUESTIONS);
        for (target, batch) in perception.manifest.batches() {
            queue.set_batching(target, batch.into());
        }
        let cache = ResultCache::new(perception.cache);
        let state = State { queue, cache, busy_since: None, closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let mut worker =
            Worker { accelerator, shared: Arc::clone(&shared), models, clock, metrics: Arc::clone(&metrics) };
        let thread = std::thread::Builder::new()
            .name(format!("infer-{}", accelerator.name()))
            .spawn(move || worker.run(&events))
            .with_context(|| format!("cannot start the thread of the accelerator {}", accelerator.name()))?;
        Ok(Self { accelerator, shared, thread, cache: perception.cache, clock, metrics })
    }

    /// Queues a look by `target`; returns a result that is there at once.
    pub(super) fn submit(&self, look: Look, target: &str) -> Option<JobResult> {
        let mut state = self.shared.lock();
        if let Some(fingerprint) = look.fingerprint_to_find()
            && state.cache.is_on()
        {
            let taken_at = self.clock.instant(look.frame.taken_at).into_std();
            let hit = state.cache.find(target, look.frame.glasses.as_str(), fingerprint, taken_at);
            self.metrics.count_cache(hit.is_some());
            if let Some(hit) = hit {
                return Some(JobResult::Perceived(look.frame.id, Ok(self.remembered(hit, look))));
            }
        }
        let request = request(look, target, self.clock);
        let submitted = state.queue.submit(request, Instant::now());
        self.metrics.set_depth(self.accelerator, state.queue.len());
        drop(state);
        self.shared.wake.notify_one();
        match submitted {
            Ok(older) => {
                older.map(|older| JobResult::Perceived(older.frame.id, Err(FrameFailure::Superseded)))
            }
            Err(full) => {
                let reason = full.to_string();
                Some(JobResult::Perceived(full.job.frame.id, Err(FrameFailure::Refused(reason))))
            }
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.shared.lock().queue.len()
    }

    pub(super) fn is_hung(&self) -> bool {
        self.thread.is_finished()
            || self.shared.lock().busy_since.is_some_and(|since| since.elapsed() > HUNG_AFTER)
    }

    fn remembered(&self, hit: Hit, look: Look) -> Scene {
        let seen = format!("{} ms ago, {} of 64 bits apart", hit.age.as_millis(), hit.distance);
        let bounds = format!("< {} ms, ≤ {} bits", self.cache.lifetime.as_millis(), self.cache.distance);
        let mut how = look.how;
        how.push(Reason::new("seen-before", "a picture like this", seen, bounds));
        // What stood there then: for a question it is as old as the picture that was looked at.
        scene(hit.sightings, look.frame.taken_at - hit.age, how)
    }
}

impl Drop for AcceleratorThread {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Look {
    /// The fingerprint by which a result of a moment ago may stand for this look. What a query waits for is looked at
    /// anew: an answer does not rest on resemblance.
    fn fingerprint_to_find(&self) -> Option<u64> {
        match self.urgency {
            Urgency::Awaited { .. } => None,
            Urgency::Routine | Urgency::Active => self.picture.as_ref()?.fingerprint,
        }
    }
}

fn request(look: Look, target: &str, clock: Clock) -> Request<Look> {
    let (class, priority, deadline) = match look.urgency {
        Urgency::Routine => (Class::Frame, Priority::Normal, None),
        Urgency::Active => (Class::Frame, Priority::High, None),
        Urgency::Awaited { until } => {
            (Class::Question, Priority::High, Some(clock.instant(until).into_std()))
        }
    };
    let stream = look.frame.glasses.as_str().to_owned();
    Request { stream, target: target.to_owned(), class, priority, deadline, job: look }
}

struct Worker {
    accelerator: Accelerator,
    shared: Arc<Shared>,
    models: Models,
    clock: Clock,
    metrics: Arc<ServingMetrics>,
}

/// What is next for the thread.
enum Turn {
    Expired(Vec<Look>),
    Run(Vec<Request<Look>>),
    End,
}

impl Worker {
    fn run(&mut self, events: &mpsc::Sender<Event>) {
        self.note_models();
        loop {
            let done = match self.next() {
                Turn::End => return,
                Turn::Expired(looks) => {
                    let expired = |look: Look| (look.frame.id, Err(FrameFailure::Expired));
                    looks.into_iter().map(expired).map(|(id, result)| done(id, result, Vec::new())).collect()
                }
                Turn::Run(batch) => {
                    let done = self.perform(batch);
                    self.shared.lock().busy_since = None;
                    self.note_models();
                    done
                }
            };
            for done in done {
                if events.blocking_send(Event::Vision(done)).is_err() {
                    return;
                }
            }
        }
    }

    fn next(&self) -> Turn {
        let mut state = self.shared.lock();
        loop {
            if state.closed {
                return Turn::End;
            }
            let now = Instant::now();
            let expired = state.queue.expired(now);
            let next = if expired.is_empty() { state.queue.next(now) } else { Next::Idle };
            self.metrics.set_depth(self.accelerator, state.queue.len());
            if !expired.is_empty() {
                return Turn::Expired(expired);
            }
            match next {
                Next::Run(batch) => {
                    state.busy_since = Some(now);
                    return Turn::Run(batch);
                }
                Next::WaitUntil(until) => {
                    let wait = until.saturating_duration_since(now);
                    let waited = self.shared.wake.wait_timeout(state, wait);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Next::Idle => {
                    state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn note_models(&mut self) {
        let events = self.models.take_events();
        self.metrics.note_models(self.accelerator, events, self.models.held_bytes());
    }

    /// Runs a batch, all for one target. One that panics is run again one by one, so that a picture costs only itself.
    fn perform(&mut self, batch: Vec<Request<Look>>) -> Vec<Done> {
        let Some(first) = batch.first() else { return Vec::new() };
        let target = first.target.clone();
        let mut finished = Vec::new();
        let mut looks: Vec<(Look, Arc<Image>, Stages)> = Vec::new();
        for Request { job: look, .. } in batch {
            let mut stages = Stages::new();
            let image = match &look.picture {
                Some(picture) => Ok(Arc::clone(&picture.image)),
                None => {
                    let decoded = catch_unwind(AssertUnwindSafe(|| decode(&look.frame, &mut stages)));
                    decoded.unwrap_or_else(|_| Err(panicked()))
                }
            };
            match image {
                Ok(image) => looks.push((look, image, stages)),
                Err(failure) => finished.push(done(look.frame.id, Err(failure), stages)),
            }
        }
        let images: Vec<&Image> = looks.iter().map(|(_, image, _)| image.as_ref()).collect();
        let started = Instant::now();
        let seen: Vec<Result<Vec<Sighting>, FrameFailure>> = match self.perceive(&target, &images) {
            Ok(seen) => seen.into_iter().map(Ok).collect(),
            Err(failure) if images.len() == 1 => vec![Err(failure)],
            Err(_) => images
                .iter()
                .map(|image| self.perceive(&target, &[image])?.pop().ok_or_else(panicked))
                .collect(),
        };
        let took = started.elapsed();
        if !images.is_empty() {
            self.metrics.observe_run(self.accelerator, &target, images.len(), took);
            self.shared.lock().queue.ran(&target, took);
        }
        for ((look, _, mut stages), seen) in looks.into_iter().zip(seen) {
            stages.push(("perceive", took));
            if let (Ok(sightings), Some(fingerprint)) =
                (&seen, look.picture.as_ref().and_then(|p| p.fingerprint))
            {
                let glasses = look.frame.glasses.as_str();
                let taken_at = self.clock.instant(look.frame.taken_at).into_std();
                let cache = &mut self.shared.lock().cache;
                cache.insert(&target, glasses, fingerprint, sightings.clone(), taken_at);
            }
            let result = seen.map(|sightings| scene(sightings, look.frame.taken_at, look.how));
            finished.push(done(look.frame.id, result, stages));
        }
        finished
    }

    /// A model that panics costs its batch, not the thread; its session may be half done and is not used again.
    fn perceive(&mut self, target: &str, images: &[&Image]) -> Result<Vec<Vec<Sighting>>, FrameFailure> {
        let seen = catch_unwind(AssertUnwindSafe(|| self.models.perceive(target, images)));
        let seen = seen.map_err(|_| {
            for model in self.models.members_of(target) {
                self.models.unload(&model);
            }
            panicked()
        })?;
        seen.map_err(|error| {
            tracing::warn!(target, %error, "a frame could not be perceived");
            FrameFailure::Inference(error.to_string())
        })
    }
}

fn done(frame: glassd_core::FrameId, result: Result<Scene, FrameFailure>, stages: Stages) -> Done {
    Done { result: JobResult::Perceived(frame, result), stages }
}

/// Translates for the skills.
fn scene(sightings: Vec<Sighting>, seen_at: Timestamp, how: Vec<Reason>) -> Scene {
    let object = |sighting: Sighting| {
        let [left, top, right, bottom] = sighting.bounds;
        let (colour, colour_probability) = sighting.colour.unzip();
        Object {
            label: sighting.label,
            colour,
            present: sighting.is_present,
            probability: sighting.probability,
            colour_probability: colour_probability.unwrap_or(1.0),
            bounds: BoundingBox { left, top, right, bottom },
        }
    };
    Scene { seen_at, objects: sightings.into_iter().map(object).collect(), how }
}
