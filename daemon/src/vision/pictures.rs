//! The thread `vision`: decode, probe, shrink. It never waits for a model.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use glassd_core::gateway::{Frame, FrameFailure, Probe};
use glassd_core::link::Orientation;
use glassd_core::{FrameId, GlassesId, QueryId};
use glassd_media::{Image, JpegError, Prober, Turn};
use glassd_policies::Compression;
use tokio::sync::mpsc;

use super::{Done, HUNG_AFTER, JobResult, Stages, panicked, timed};
use crate::event_loop::Event;

/// Handle of the thread; dropping it ends the thread after the job at hand.
pub(super) struct Pictures {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// A frame, decoded and turned upright.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) image: Arc<Image>,
    /// Its perceptual hash, where it was probed.
    pub(super) fingerprint: Option<u64>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// The last decoded frame of each pair of glasses: probe, perception and shrinking share it.
    decoded: Mutex<BTreeMap<GlassesId, (FrameId, Picture)>>,
}

#[derive(Default)]
struct Queue {
    probes: BTreeMap<GlassesId, Frame>,
    images: VecDeque<(QueryId, Frame, Compression)>,
    busy_since: Option<Instant>,
    closed: bool,
}

enum Work {
    Probe(Frame),
    Shrink(QueryId, Frame, Compression),
}

/// Every change under these locks is one statement: a panic elsewhere leaves what they guard whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pictures {
    pub(super) fn spawn(events: mpsc::Sender<Event>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Worker { shared: Arc::clone(&shared), probers: BTreeMap::new() };
        let thread = std::thread::Builder::new()
            .name("vision".to_owned())
            .spawn(move || worker.run(&events))
            .context("cannot start the vision thread")?;
        Ok(Self { shared, thread })
    }

    /// Queues a probe; returns the result of the older frame whose place it took.
    pub(super) fn probe(&self, frame: Frame) -> Option<JobResult> {
        let older = lock(&self.shared.queue).probes.insert(frame.glasses.clone(), frame);
        self.shared.wake.notify_one();
        older.map(|older| JobResult::Probed(older.id, Err(FrameFailure::Superseded)))
    }

    /// Queues an image for a query; it goes before every probe.
    pub(super) fn shrink(&self, query: QueryId, frame: Frame, compression: Compression) {
        lock(&self.shared.queue).images.push_back((query, frame, compression));
        self.shared.wake.notify_one();
    }

    /// Returns a frame decoded, if it is the last one of its glasses that was.
    pub(super) fn decoded(&self, frame: &Frame) -> Option<Picture> {
        self.shared.decoded(frame)
    }

    pub(super) fn depth(&self) -> usize {
        let queue = lock(&self.shared.queue);
        queue.probes.len() + queue.images.len()
    }

    pub(super) fn is_hung(&self) -> bool {
        self.thread.is_finished()
            || lock(&self.shared.queue).busy_since.is_some_and(|since| since.elapsed() > HUNG_AFTER)
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn decoded(&self, frame: &Frame) -> Option<Picture> {
        let decoded = lock(&self.decoded);
        decoded.get(&frame.glasses).filter(|(id, _)| *id == frame.id).map(|(_, picture)| picture.clone())
    }

    fn next(&self) -> Option<Work> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            let image = queue.images.pop_front().map(|(query, frame, to)| Work::Shrink(query, frame, to));
            let work = image.or_else(|| queue.probes.pop_first().map(|(_, frame)| Work::Probe(frame)));
            if work.is_some() {
                queue.busy_since = Some(Instant::now());
                return work;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    probers: BTreeMap<GlassesId, Prober>,
}

impl Worker {
    fn run(mut self, events: &mpsc::Sender<Event>) {
        while let Some(work) = self.shared.next() {
            let mut stages = Stages::new();
            // A decoder that panics costs its frame, not the thread.
            let result = match &work {
                Work::Probe(frame) => {
                    let probed = catch_unwind(AssertUnwindSafe(|| self.probe(frame, &mut stages)));
                    JobResult::Probed(frame.id, probed.unwrap_or_else(|_| Err(panicked())))
                }
                Work::Shrink(query, frame, to) => {
                    let shrunk = catch_unwind(AssertUnwindSafe(|| self.shrink(frame, *to, &mut stages)));
                    JobResult::Prepared(*query, shrunk.unwrap_or_else(|_| Err(panicked())))
                }
            };
            lock(&self.shared.queue).busy_since = None;
            if events.blocking_send(Event::Vision(Done { result, stages })).is_err() {
                return;
            }
        }
    }

    fn probe(&mut self, frame: &Frame, stages: &mut Stages) -> Result<Probe, FrameFailure> {
        let image = self.image(frame, stages)?;
        let prober = self.probers.entry(frame.glasses.clone()).or_default();
        let probe = timed(stages, "probe", || prober.probe(&image));
        let picture = Picture { image, fingerprint: Some(probe.fingerprint) };
        lock(&self.shared.decoded).insert(frame.glasses.clone(), (frame.id, picture));
        Ok(Probe { motion: probe.motion, sharpness: probe.sharpness, light: probe.light })
    }

    fn shrink(&self, frame: &Frame, to: Compression, stages: &mut Stages) -> Result<Vec<u8>, FrameFailure> {
        let image = self.image(frame, stages)?;
        Ok(timed(stages, "shrink", || {
            glassd_media::encode(&Image::clone(&image).shrunk(to.longest_side), to.quality)
        }))
    }

    fn image(&self, frame: &Frame, stages: &mut Stages) -> Result<Arc<Image>, FrameFailure> {
        match self.shared.decoded(frame) {
            Some(picture) => Ok(picture.image),
            None => decode(frame, stages),
        }
    }
}

/// Decodes a frame and turns it upright.
pub(super) fn decode(frame: &Frame, stages: &mut Stages) -> Result<Arc<Image>, FrameFailure> {
    let image = timed(stages, "decode", || glassd_media::decode(&frame.jpeg));
    let image = image.map_err(|error| undecodable(&error))?;
    Ok(Arc::new(image.turned(upright(frame.orientation))))
}

fn undecodable(error: &JpegError) -> FrameFailure {
    FrameFailure::Undecodable { reason: error.reason(), detail: error.to_string() }
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
