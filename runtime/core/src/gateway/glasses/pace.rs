//! How often the camera of a pair of glasses takes a photo, and when the next one is due.
//!
//! The gateway asks for each photo, of all glasses. The open profile could also be told an interval; but Frame has no
//! such command, OmiGlass heeds no number, and a photo that comes by itself is as old as the link made it. That of one
//! that was asked for is known, the next one waits until it has come, and a question gets one at once.

use std::time::Duration;

use glassd_policies::{Decision, FrameRate, FrameRateFacts};

use super::{Session, Surroundings};
use crate::gateway::Limits;
use crate::gateway::counters::Counter;
use crate::gateway::effects::Effects;
use crate::gateway::io::Notice;
use crate::link::{DropReason, LinkCommand};
use crate::time::Timestamp;

/// A photo that was asked for and has not begun to come within this time is asked for again. Three times the
/// slowest transfer measured over BlueZ with a VGA photo (2.4 s).
const CAPTURE_TIMEOUT: Duration = Duration::from_secs(7);

impl Session {
    pub(in crate::gateway) fn poll_timeout(&self) -> Option<Timestamp> {
        let connection = self.connection.as_ref()?;
        connection.protocol.poll_timeout().into_iter().chain(self.capture_due()).min()
    }

    /// Returns when the next photo is due, or the one that was asked for is overdue; `None` without a camera.
    fn capture_due(&self) -> Option<Timestamp> {
        let shortest = self.camera()?.shortest_interval;
        let connection = self.connection.as_ref()?;
        let wanted = match connection.requested_at {
            Some(requested_at) => {
                let given_up = connection.protocol.photo_due();
                given_up.into_iter().chain([requested_at + CAPTURE_TIMEOUT]).max()?
            }
            None => connection.next_capture,
        };
        // A trigger or a lost photo wants the next one at once; the camera may not.
        let allowed = connection.asked_at.map(|at| at + shortest);
        Some(allowed.map_or(wanted, |allowed| wanted.max(allowed)))
    }

    /// Asks for the next photo when it is due, and again when one got lost.
    pub(in crate::gateway) fn handle_timeout(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        self.handle_link_timeout(around, effects);
        // Before a photo is asked for, so that it is taken so.
        self.decide_camera(around, effects);
        let interval = self.interval();
        let due = self.capture_due();
        let Some(connection) = &mut self.connection else { return };
        let Some(due) = due else {
            // Nobody will send what was asked for before it was known that there is no camera.
            connection.requested_at = None;
            return;
        };
        if around.now < due {
            return;
        }
        if connection.requested_at.take().is_some() {
            effects.count(Counter::FramesDropped("never_arrived"));
            connection.next_capture = around.now;
        }
        // Paced from the moment it was due, so that the mean rate is the wanted one.
        let late = around.now.since(connection.next_capture);
        connection.next_capture = around.now + interval.saturating_sub(late.min(interval / 2));
        connection.requested_at = Some(around.now);
        connection.goodput.begin();
        connection.asked_at = Some(around.now);
        self.command(&LinkCommand::TakePhoto, around, effects);
    }

    fn interval(&self) -> Duration {
        let fps = self.rate.as_ref().map_or(1.0, |decision| decision.value.fps).max(0.01);
        Duration::from_secs_f32(1.0 / fps)
    }

    pub(super) fn decide_rate(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        let active = self.is_active(around.now);
        let facts = FrameRateFacts {
            battery: self.known_battery(),
            user_active: active,
            motion: self.motion,
            thermal_fps_limit: around.facts.thermal_fps_limit,
            device_fps_limit: self.device_fps_limit(),
            link_fps_limit: self.link_fps_limit(),
        };
        let previous = self.rate.as_ref().map(|decision| decision.value);
        let decision = around.policies.frame_rate.decide(&facts, previous);
        if previous.is_none_or(|previous| is_told(previous, decision.value)) {
            effects.notice(Notice::FrameRate { glasses: self.id.clone(), decision: decision.clone() });
        }
        self.rate = Some(decision);
    }

    /// Returns the photos a second that the device can take, or its protocol allows, whichever are fewer.
    fn device_fps_limit(&self) -> Option<f32> {
        let device = self.connection.as_ref().and_then(|c| c.device_fps_limit);
        device.into_iter().chain(self.protocol_fps_limit()).min_by(f32::total_cmp)
    }

    /// Returns the photos a second that the protocol allows; `None` where it does not say.
    fn protocol_fps_limit(&self) -> Option<f32> {
        let shortest = self.camera()?.shortest_interval;
        (!shortest.is_zero()).then(|| 1.0 / shortest.as_secs_f32())
    }

    /// Returns the photos a second that the link carried lately.
    fn link_fps_limit(&self) -> Option<f32> {
        let seconds = self.connection.as_ref()?.transfer_seconds?;
        Some(1.0 / seconds.max(0.01))
    }

    /// Glasses that do not tell their battery are taken as half full.
    pub(super) fn known_battery(&self) -> u8 {
        self.battery.unwrap_or(50)
    }

    /// Returns what limits the photos.
    pub(in crate::gateway) fn limits(&self) -> Limits {
        let connection = self.connection.as_ref();
        Limits {
            device_fps: connection.and_then(|c| c.device_fps_limit),
            protocol_fps: self.protocol_fps_limit(),
            link_fps: self.link_fps_limit(),
            link_bytes_per_second: connection.and_then(|c| c.goodput.bytes_per_second()),
        }
    }

    /// Returns the wanted frame rate with its reasons.
    pub(in crate::gateway) fn rate(&self) -> Option<&Decision<FrameRate>> {
        self.rate.as_ref()
    }

    /// A photo that was lost on the way need not be waited for.
    pub(super) fn recover_capture(&mut self, reason: DropReason, now: Timestamp) {
        use DropReason::{
            AudioGap, Duplicate, Malformed, NotKept, Overflow, PhotoChecksum, PhotoGap, PhotoIncomplete,
            PhotoTooLong, PhotoWithoutStart, RecordGap, Unanswered, Unexpected, UnknownCharacteristic,
            UnknownValue,
        };
        match reason {
            PhotoGap | PhotoTooLong | PhotoIncomplete | PhotoChecksum => {
                if let Some(connection) = &mut self.connection {
                    connection.requested_at = None;
                    connection.next_capture = now;
                }
            }
            Malformed
            | Overflow
            | UnknownValue
            | PhotoWithoutStart
            | Duplicate
            | AudioGap
            | RecordGap
            | Unanswered
            | UnknownCharacteristic
            | Unexpected
            | NotKept => {}
        }
    }
}

/// A change of rate is told when it is one in kind, or by more than a fifth: the link's limit wanders.
fn is_told(previous: FrameRate, now: FrameRate) -> bool {
    previous.mode != now.mode || (previous.fps - now.fps).abs() > previous.fps / 5.0
}
