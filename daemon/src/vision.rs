//! The vision thread: decode, probe, perceive, shrink. The only thread that runs the detector.
//!
//! Full-queue rule: of probes and of perceptions it holds one for each pair of glasses, and a newer
//! frame takes the older one's place (freshness). Images for queries are never dropped
//! (completeness): the core has at most `MAX_OPEN_QUERIES` of them open.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use glassd_core::gateway::{Frame, FrameFailure, Probe};
use glassd_core::link::Orientation;
use glassd_core::{BoundingBox, FrameId, GlassesId, Object, QueryId, Scene, Vocabulary};
use glassd_inference::Detector;
use glassd_media::{Image, JpegError, Prober, Turn};
use glassd_policies::Compression;
use tokio::sync::mpsc;

use crate::event_loop::Event;

/// A job that runs longer than this counts as hung, and the watchdog is no longer fed.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// Work for the thread.
#[derive(Debug)]
pub enum Job {
    /// Look at a frame cheaply.
    Probe(Frame),
    /// Run the detector on it.
    Perceive(Frame),
    /// Shrink it for the cloud.
    Prepare {
        /// For which query.
        query: QueryId,
        /// From which frame.
        frame: Frame,
        /// To what.
        compression: Compression,
    },
}

/// What the thread did, and how long each stage took.
#[derive(Debug)]
pub struct Done {
    /// The result.
    pub result: JobResult,
    /// Stages and their durations.
    pub stages: Vec<(&'static str, Duration)>,
}

/// The result of a [`Job`].
#[derive(Debug)]
pub enum JobResult {
    /// Of [`Job::Probe`].
    Probed(FrameId, Result<Probe, FrameFailure>),
    /// Of [`Job::Perceive`].
    Perceived(FrameId, Result<Scene, FrameFailure>),
    /// Of [`Job::Prepare`].
    Prepared(QueryId, Result<Vec<u8>, FrameFailure>),
}

#[derive(Default)]
struct Queue {
    probes: BTreeMap<GlassesId, Frame>,
    perceptions: BTreeMap<GlassesId, Frame>,
    images: VecDeque<Job>,
    busy_since: Option<Instant>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change to the queue is one statement: a panic elsewhere leaves it whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handle of the thread; dropping it ends the thread after the job at hand.
pub struct Vision {
    shared: Arc<Shared>,
}

impl Vision {
    /// Starts the thread `vision`, which owns the detector.
    pub fn spawn(detector: Detector, events: mpsc::Sender<Event>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread_shared = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("vision".to_owned())
            .spawn(move || {
                Worker { detector, probers: BTreeMap::new(), decoded: BTreeMap::new() }
                    .run(&thread_shared, &events);
            })
            .context("cannot start the vision thread")?;
        Ok(Self { shared })
    }

    /// Queues a job; returns the result of the older one whose place it took.
    pub fn submit(&self, job: Job) -> Option<JobResult> {
        let mut queue = self.shared.lock();
        let superseded = match job {
            Job::Probe(frame) => queue
                .probes
                .insert(frame.glasses.clone(), frame)
                .map(|old| JobResult::Probed(old.id, Err(FrameFailure::Superseded))),
            Job::Perceive(frame) => queue
                .perceptions
                .insert(frame.glasses.clone(), frame)
                .map(|old| JobResult::Perceived(old.id, Err(FrameFailure::Superseded))),
            job @ Job::Prepare { .. } => {
                queue.images.push_back(job);
                None
            }
        };
        self.shared.wake.notify_one();
        superseded
    }

    /// Returns how many jobs wait.
    pub fn depth(&self) -> usize {
        let queue = self.shared.lock();
        queue.probes.len() + queue.perceptions.len() + queue.images.len()
    }

    /// Tells whether the job at hand runs for too long.
    pub fn is_hung(&self) -> bool {
        self.shared.lock().busy_since.is_some_and(|since| since.elapsed() > HUNG_AFTER)
    }
}

impl Drop for Vision {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

/// Translates a model's words for the skills.
pub fn vocabulary(detector: &Detector) -> Vocabulary {
    Vocabulary { labels: detector.labels().to_vec(), colours: detector.colours().to_vec() }
}

struct Worker {
    detector: Detector,
    probers: BTreeMap<GlassesId, Prober>,
    /// The last decoded frame of each pair of glasses: probe, perception and shrinking share it.
    decoded: BTreeMap<GlassesId, (FrameId, Image)>,
}

impl Worker {
    fn run(mut self, shared: &Shared, events: &mpsc::Sender<Event>) {
        while let Some(job) = next(shared) {
            let name = match &job {
                Job::Probe(frame) => JobResult::Probed(frame.id, Err(panicked())),
                Job::Perceive(frame) => JobResult::Perceived(frame.id, Err(panicked())),
                Job::Prepare { query, .. } => JobResult::Prepared(*query, Err(panicked())),
            };
            // A model or a decoder that panics costs its frame, not the thread.
            let done = catch_unwind(AssertUnwindSafe(|| self.perform(job))).unwrap_or_else(|_| {
                self.decoded.clear();
                Done { result: name, stages: Vec::new() }
            });
            shared.lock().busy_since = None;
            if events.blocking_send(Event::Vision(done)).is_err() {
                return;
            }
        }
    }

    fn perform(&mut self, job: Job) -> Done {
        let mut stages = Vec::new();
        let result = match job {
            Job::Probe(frame) => JobResult::Probed(frame.id, self.probe(&frame, &mut stages)),
            Job::Perceive(frame) => JobResult::Perceived(frame.id, self.perceive(&frame, &mut stages)),
            Job::Prepare { query, frame, compression } => {
                JobResult::Prepared(query, self.prepare(&frame, compression, &mut stages))
            }
        };
        Done { result, stages }
    }

    fn decode(&mut self, frame: &Frame, stages: &mut Stages) -> Result<&Image, FrameFailure> {
        let known = self.decoded.get(&frame.glasses).is_some_and(|(id, _)| *id == frame.id);
        if !known {
            let image = timed(stages, "decode", || glassd_media::decode(&frame.jpeg))
                .map_err(|error| undecodable(&error))?;
            self.decoded.insert(frame.glasses.clone(), (frame.id, image.turned(upright(frame.orientation))));
        }
        let (_, image) = &self.decoded[&frame.glasses];
        Ok(image)
    }

    fn probe(&mut self, frame: &Frame, stages: &mut Stages) -> Result<Probe, FrameFailure> {
        self.decode(frame, stages)?;
        let (_, image) = &self.decoded[&frame.glasses];
        let prober = self.probers.entry(frame.glasses.clone()).or_default();
        let probe = timed(stages, "probe", || prober.probe(image));
        Ok(Probe { motion: probe.motion, sharpness: probe.sharpness, light: probe.light })
    }

    fn perceive(&mut self, frame: &Frame, stages: &mut Stages) -> Result<Scene, FrameFailure> {
        self.decode(frame, stages)?;
        let (_, image) = &self.decoded[&frame.glasses];
        let detections = timed(stages, "perceive", || self.detector.detect(image))
            .map_err(|error| FrameFailure::Inference(error.to_string()))?;
        let objects = detections.iter().map(|detection| {
            let [left, top, right, bottom] = detection.bounds;
            Object {
                label: self.detector.labels()[detection.label].clone(),
                colour: detection.colour.map(|(colour, _)| self.detector.colours()[colour].clone()),
                present: detection.score >= self.detector.thresholds().decision,
                probability: detection.probability,
                colour_probability: detection.colour.map_or(1.0, |(_, probability)| probability),
                bounds: BoundingBox { left, top, right, bottom },
            }
        });
        Ok(Scene { seen_at: frame.taken_at, objects: objects.collect() })
    }

    fn prepare(
        &mut self,
        frame: &Frame,
        compression: Compression,
        stages: &mut Stages,
    ) -> Result<Vec<u8>, FrameFailure> {
        self.decode(frame, stages)?;
        let (_, image) = &self.decoded[&frame.glasses];
        Ok(timed(stages, "shrink", || {
            glassd_media::encode(&image.clone().shrunk(compression.longest_side), compression.quality)
        }))
    }
}

type Stages = Vec<(&'static str, Duration)>;

fn next(shared: &Shared) -> Option<Job> {
    let mut queue = shared.lock();
    loop {
        if queue.closed {
            return None;
        }
        let job = queue
            .images
            .pop_front()
            .or_else(|| queue.perceptions.pop_first().map(|(_, frame)| Job::Perceive(frame)))
            .or_else(|| queue.probes.pop_first().map(|(_, frame)| Job::Probe(frame)));
        if let Some(job) = job {
            queue.busy_since = Some(Instant::now());
            return Some(job);
        }
        queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

fn timed<T>(stages: &mut Stages, stage: &'static str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    stages.push((stage, start.elapsed()));
    result
}

fn undecodable(error: &JpegError) -> FrameFailure {
    FrameFailure::Undecodable { reason: error.reason(), detail: error.to_string() }
}

fn panicked() -> FrameFailure {
    FrameFailure::Inference("panicked".to_owned())
}

/// How to turn a picture so that it stands upright.
const fn upright(orientation: Orientation) -> Turn {
    match orientation {
        Orientation::Upright => Turn::None,
        Orientation::Quarter => Turn::ThreeQuarters,
        Orientation::Half => Turn::Half,
        Orientation::ThreeQuarters => Turn::Quarter,
    }
}
