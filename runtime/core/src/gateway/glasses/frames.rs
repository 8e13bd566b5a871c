//! The frames of a pair of glasses: taken in, probed, looked at or left.

use std::sync::Arc;
use std::time::Duration;

use glassd_policies::FrameKeepFacts;

use super::{Session, Surroundings};
use crate::gateway::counters::Counter;
use crate::gateway::effects::Effects;
use crate::gateway::io::{Frame, FrameFailure, Notice, Output, Probe, Urgency};
use crate::ids::FrameId;
use crate::link::Orientation;
use crate::scene::Scene;
use crate::time::Timestamp;

/// A trigger makes the wearer count as active for so long (DESIGN: "a trigger in the last 10 s").
const ACTIVE_AFTER_TRIGGER: Duration = Duration::from_secs(10);
/// Frames with the compute threads at once; older ones are given up.
const MAX_PENDING_FRAMES: usize = 4;
/// Weight of the newest transfer in the link's mean frame time.
const TRANSFER_WEIGHT: f32 = 0.3;

impl Session {
    pub(super) fn handle_photo(
        &mut self,
        jpeg: Vec<u8>,
        orientation: Orientation,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let requested_at = self.connection.as_mut().and_then(|c| c.requested_at.take());
        let transfer = requested_at.map_or(Duration::ZERO, |at| around.now.since(at));
        if let (Some(connection), Some(_)) = (&mut self.connection, requested_at) {
            connection.goodput.handle_photo(jpeg.len(), around.now);
            let newest = transfer.as_secs_f32();
            let mean =
                connection.transfer_seconds.map_or(newest, |mean| mean + TRANSFER_WEIGHT * (newest - mean));
            connection.transfer_seconds = Some(mean);
        }
        let taken_at = requested_at.unwrap_or(around.now);
        self.handle_frame(jpeg, orientation, taken_at, transfer, effects);
    }

    /// Takes a frame in and has it probed.
    pub(in crate::gateway) fn handle_frame(
        &mut self,
        jpeg: Vec<u8>,
        orientation: Orientation,
        taken_at: Timestamp,
        transfer: Duration,
        effects: &mut Effects,
    ) {
        let frame = Frame {
            id: effects.next_frame_id(),
            glasses: self.id.clone(),
            jpeg: Arc::from(jpeg),
            orientation,
            taken_at,
            transfer,
        };
        effects.count(Counter::Frames);
        effects.notice(Notice::FrameArrived {
            glasses: self.id.clone(),
            frame: frame.id,
            bytes: frame.jpeg.len(),
            transfer,
        });
        self.pending.insert(frame.id, frame.clone());
        while self.pending.len() > MAX_PENDING_FRAMES {
            let oldest = self.pending.keys().find(|id| Some(**id) != self.promised).copied();
            let Some(oldest) = oldest else { break };
            self.pending.remove(&oldest);
            effects.count(Counter::FramesDropped("unanswered"));
        }
        effects.output(Output::Probe(frame));
    }

    /// Takes the result of a probe; `awaited` says until when a query waits for a frame, if one does.
    pub(in crate::gateway) fn handle_probed(
        &mut self,
        frame: FrameId,
        result: Result<Probe, FrameFailure>,
        awaited: Option<Timestamp>,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let Some(pending) = self.pending.get(&frame).cloned() else {
            effects.count(Counter::Stray);
            return;
        };
        let probe = match result {
            Ok(probe) => probe,
            Err(failure) => {
                self.pending.remove(&frame);
                effects.frame_failed(&failure);
                return;
            }
        };
        self.motion = probe.motion;
        self.decide_rate(around, effects);
        let keep = around.policies.frame_keep.decide(&FrameKeepFacts {
            motion: probe.motion,
            sharpness: probe.sharpness,
            light: probe.light,
            since_last_ms: self.perceived_at.map(|at| millis(pending.taken_at.since(at))),
            awaited: awaited.is_some(),
        });
        if keep.value {
            self.perceived_at = Some(pending.taken_at);
            self.latest = Some(pending.clone());
            effects.count(Counter::FramesPerceived);
            let urgency = self.urgency(frame, awaited, around.now);
            effects.output(Output::Perceive { frame: pending, urgency });
        } else {
            self.pending.remove(&frame);
            effects.count(Counter::FramesSkipped(keep.reasons.first().map_or("policy", |reason| {
                // Rules have fixed names, so the label set of the metric stays closed.
                match reason.rule.as_str() {
                    "dark" => "dark",
                    "blurred" => "blurred",
                    "unchanged" => "unchanged",
                    _ => "policy",
                }
            })));
            // Nothing moved: what was seen still holds.
            if let Some(scene) = &mut self.scene
                && keep.reasons.iter().any(|reason| reason.rule == "unchanged")
            {
                scene.seen_at = pending.taken_at;
                self.latest = Some(pending);
            }
        }
    }

    /// Says how much depends on a frame. One frame at a time is promised to the queries that wait: those behind it are
    /// as fresh, and replace each other.
    fn urgency(&mut self, frame: FrameId, awaited: Option<Timestamp>, now: Timestamp) -> Urgency {
        let is_promised = self.promised.is_some_and(|promised| self.pending.contains_key(&promised));
        match awaited {
            Some(until) if !is_promised => {
                self.promised = Some(frame);
                Urgency::Awaited { until }
            }
            Some(_) => Urgency::Active,
            None if self.is_active(now) => Urgency::Active,
            None => Urgency::Routine,
        }
    }

    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.last_trigger.is_some_and(|at| now.since(at) <= ACTIVE_AFTER_TRIGGER)
    }

    /// Takes what perception saw.
    pub(in crate::gateway) fn handle_perceived(
        &mut self,
        frame: FrameId,
        result: Result<Scene, FrameFailure>,
        effects: &mut Effects,
    ) {
        let Some(pending) = self.pending.remove(&frame) else {
            effects.count(Counter::Stray);
            return;
        };
        match result {
            Ok(mut scene) => {
                scene.seen_at = scene.seen_at.min(pending.taken_at);
                effects.notice(Notice::Scene { glasses: self.id.clone(), frame, scene: scene.clone() });
                if self.scene.as_ref().is_none_or(|known| known.seen_at <= scene.seen_at) {
                    self.scene = Some(scene);
                }
            }
            Err(failure) => effects.frame_failed(&failure),
        }
    }

    pub(in crate::gateway) fn has_pending(&self, frame: FrameId) -> bool {
        self.pending.contains_key(&frame)
    }

    /// Returns the scene, if it was seen at or after `since`.
    pub(in crate::gateway) fn scene_since(&self, since: Timestamp) -> Option<&Scene> {
        self.scene.as_ref().filter(|scene| scene.seen_at >= since)
    }

    /// Returns the newest useful frame, if it was taken at or after `since`.
    pub(in crate::gateway) fn frame_since(&self, since: Timestamp) -> Option<&Frame> {
        self.latest.as_ref().filter(|frame| frame.taken_at >= since)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
