//! How the camera of a pair of glasses is set, where it can be, and what their link was measured to carry.

use glassd_policies::{CameraFacts, CameraSettings, Decision};

use super::{Session, Surroundings};
use crate::gateway::effects::Effects;
use crate::gateway::io::Notice;
use crate::link::LinkCommand;
use crate::time::Timestamp;

/// Weight of the newest photo in the link's mean goodput.
const WEIGHT: f32 = 0.3;
/// A photo of fewer notifications says too little of the link.
const FEWEST: usize = 5;
/// The goodput is told in steps of so many bytes a second: not every photo is worth a decision.
const STEP: f32 = 500.0;

/// What a camera was told last, and why.
#[derive(Debug, Default)]
pub(super) struct Camera {
    facts: Option<CameraFacts>,
    decision: Option<Decision<CameraSettings>>,
}

/// What a link carries while a photo comes over it.
///
/// Measured from a photo's first piece on, not from when it was asked for: exposure takes up to a second, whatever the
/// size, and counted as the link's would make photos smaller and smaller. Pieces of photos are the longest values of
/// each protocol, which tells them from audio between them.
#[derive(Debug, Default)]
pub(super) struct Goodput {
    longest: usize,
    began: Option<Timestamp>,
    mean: Option<f32>,
}

impl Goodput {
    /// A photo was asked for.
    pub(super) fn begin(&mut self) {
        self.began = None;
    }

    pub(super) fn handle_notification(&mut self, bytes: usize, now: Timestamp) {
        if bytes * 3 > self.longest * 4 {
            // What seemed to be a piece of a photo was not.
            self.began = None;
        }
        self.longest = self.longest.max(bytes);
        if self.began.is_none() && bytes * 4 >= self.longest * 3 {
            self.began = Some(now);
        }
    }

    pub(super) fn handle_photo(&mut self, bytes: usize, now: Timestamp) {
        let Some(began) = self.began.take() else { return };
        let seconds = now.since(began).as_secs_f32();
        if seconds > 0.0 && bytes >= FEWEST * self.longest {
            let newest = bytes as f32 / seconds;
            self.mean = Some(self.mean.map_or(newest, |mean| mean + WEIGHT * (newest - mean)));
        }
    }

    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.mean.map(|mean| ((mean / STEP).round().max(1.0) * STEP) as u64)
    }
}

impl Session {
    /// Decides how photos are taken, when a fact has changed, and tells the camera.
    pub(super) fn decide_camera(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        let facts = CameraFacts {
            battery: self.known_battery(),
            user_active: self.is_active(around.now),
            link_bytes_per_second: self.connection.as_ref().and_then(|c| c.goodput.bytes_per_second()),
        };
        let is_adjustable = self.camera().is_some_and(|camera| camera.is_adjustable);
        let Some(connection) = self.connection.as_mut().filter(|_| is_adjustable) else { return };
        if connection.camera.facts.replace(facts) == Some(facts) {
            return;
        }
        let previous = connection.camera.decision.as_ref().map(|decision| decision.value);
        let decision = around.policies.camera.decide(&facts, previous);
        connection.camera.decision = Some(decision.clone());
        let CameraSettings { longest_side, quality, .. } = decision.value;
        if previous
            .is_some_and(|previous| (previous.longest_side, previous.quality) == (longest_side, quality))
        {
            return;
        }
        effects.notice(Notice::Camera { glasses: self.id.clone(), decision });
        self.command(&LinkCommand::Camera { longest_side, quality }, around, effects);
    }

    /// Returns how photos are taken and why; `None` where the camera cannot be told.
    pub(in crate::gateway) fn camera_settings(&self) -> Option<&Decision<CameraSettings>> {
        self.connection.as_ref()?.camera.decision.as_ref()
    }
}
