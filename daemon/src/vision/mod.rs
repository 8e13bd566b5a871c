//! What becomes of frames: the thread `vision` decodes, probes and shrinks, and each accelerator has a thread that runs
//! models.
//!
//! Full-queue rules: of probes the first holds one for each pair of glasses, and a newer frame takes the older one's place
//! (freshness). Images for queries are never dropped (completeness): the core has at most `MAX_OPEN_QUERIES` of them
//! open. An accelerator's queue ([`glassd_inference::serving::Queue`]) holds one frame for each pair of glasses and
//! target; what a query waits for is never replaced, and is refused where too many wait.

mod accelerator;
mod metrics;
mod pictures;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use glassd_core::gateway::{Frame, FrameFailure, Probe, Urgency};
use glassd_core::{FrameId, QueryId, Scene};
use glassd_inference::serving::{Models, ResultCacheSettings, arm_of};
use glassd_inference::{Accelerator, Manifest, Named};
use glassd_policies::{Compression, Reason};
use tokio::sync::mpsc;

use self::accelerator::{AcceleratorThread, Look};
pub use self::metrics::ServingMetrics;
use self::pictures::Pictures;
use crate::clock::Clock;
use crate::event_loop::Event;

/// A job that runs longer than this counts as hung, and the watchdog is no longer fed.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// Work for the threads.
#[derive(Debug)]
pub enum Job {
    /// Look at a frame cheaply.
    Probe(Frame),
    /// Run the model on it.
    Perceive {
        /// Which.
        frame: Frame,
        /// How much depends on it.
        urgency: Urgency,
    },
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

/// What a thread did, and how long each stage took.
#[derive(Debug)]
pub struct Done {
    /// The result.
    pub result: JobResult,
    /// Stages and their durations.
    pub stages: Stages,
}

/// Stages and their durations.
pub type Stages = Vec<(&'static str, Duration)>;

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

/// What perceives, and how.
#[derive(Clone, Debug)]
pub struct Perception {
    /// `models.detector`: a model, an ensemble or a variant.
    pub target: String,
    /// Where the target is described; an empty one for the embedded detector alone.
    pub manifest: Manifest,
    /// Name of the gateway: a session is a pair of glasses at a gateway.
    pub gateway: String,
    /// When a picture counts as seen before.
    pub cache: ResultCacheSettings,
}

/// Handle of the threads; dropping it ends each after the job at hand.
pub struct Vision {
    perception: Perception,
    pictures: Pictures,
    /// What runs the detector.
    chosen: Accelerator,
    accelerators: BTreeMap<Accelerator, AcceleratorThread>,
}

impl Vision {
    /// Starts the threads; `models` are those of the accelerator that was chosen for them.
    pub fn spawn(
        perception: Perception,
        models: Models,
        clock: Clock,
        metrics: Arc<ServingMetrics>,
        events: mpsc::Sender<Event>,
    ) -> anyhow::Result<Self> {
        let pictures = Pictures::spawn(events.clone())?;
        let chosen = models.accelerator();
        let thread = AcceleratorThread::spawn(chosen, &perception, models, clock, metrics, events)?;
        let accelerators = BTreeMap::from([(chosen, thread)]);
        Ok(Self { perception, pictures, chosen, accelerators })
    }

    /// Queues a job; returns a result that is there at once: of the older frame whose place it took, or its own, where the
    /// picture was seen before or there is no room.
    pub fn submit(&self, job: Job) -> Option<JobResult> {
        match job {
            Job::Probe(frame) => self.pictures.probe(frame),
            Job::Prepare { query, frame, compression } => {
                self.pictures.shrink(query, frame, compression);
                None
            }
            Job::Perceive { frame, urgency } => {
                let picture = self.pictures.decoded(&frame);
                let session = format!("{}/{}", self.perception.gateway, frame.glasses);
                let (target, how) = self.perception.chosen(&session);
                let look = Look { frame, picture, urgency, how };
                self.accelerators[&self.chosen].submit(look, target)
            }
        }
    }

    /// Returns how many jobs wait.
    pub fn depth(&self) -> usize {
        let waiting = self.accelerators.values().map(AcceleratorThread::depth).sum::<usize>();
        self.pictures.depth() + waiting
    }

    /// Tells whether a job runs for too long, or a thread ended that should not.
    pub fn is_hung(&self) -> bool {
        self.pictures.is_hung() || self.accelerators.values().any(AcceleratorThread::is_hung)
    }
}

impl Perception {
    /// Returns the model or ensemble that looks for a session, and what is worth telling about it.
    fn chosen(&self, session: &str) -> (&str, Vec<Reason>) {
        let mut how = Vec::new();
        let mut target = self.target.as_str();
        if let Some(Named::Variant(variant)) = self.manifest.named(target)
            && let Some(arm) = arm_of(variant, session)
        {
            target = &arm.model;
            how.push(Reason::new("variant", "model", format!("{target} of {}", variant.name), ""));
        }
        if let Some(Named::Ensemble(ensemble)) = self.manifest.named(target) {
            let members: Vec<&str> = ensemble.members.iter().map(|member| member.model.as_str()).collect();
            how.push(Reason::new("ensemble", "models", members.join(", "), ""));
        }
        (target, how)
    }
}

fn timed<T>(stages: &mut Stages, stage: &'static str, work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = work();
    stages.push((stage, start.elapsed()));
    result
}

fn panicked() -> FrameFailure {
    FrameFailure::Inference("panicked".to_owned())
}
