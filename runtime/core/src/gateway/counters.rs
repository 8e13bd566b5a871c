//! Counters: every drop has one, with a reason.

use std::collections::BTreeMap;

use crate::link::DropReason;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// GATT notifications taken in.
    Notifications,
    /// Bytes of GATT notifications taken in.
    NotificationBytes,
    /// Notifications or what they carried, dropped by the link decoder.
    LinkDropped(DropReason),
    /// Inputs for glasses or frames that are not there.
    Stray,
    /// Frames that arrived whole.
    Frames,
    /// Frames given to perception.
    FramesPerceived,
    /// Frames not worth a look by the model.
    FramesSkipped(&'static str),
    /// Frames dropped with a reason.
    FramesDropped(&'static str),
    /// Audio frames taken in.
    AudioFrames,
    /// Audio frames dropped with a reason.
    AudioDropped(&'static str),
    /// Places where audio frames were lost on the air.
    AudioGaps,
    /// Audio frames lost on the air.
    AudioLost,
    /// Milliseconds of audio lost on the air, to be concealed.
    AudioLostMillis,
    /// Audio frames that glasses had recorded, kept on disk.
    RecordedFrames,
    /// Batches of recorded audio that could not be written.
    RecordingFailures,
    /// Queries accepted.
    QueriesAccepted,
    /// Queries refused at the door.
    QueriesRejected(&'static str),
    /// Queries ended, by route and ending.
    QueriesEnded(&'static str),
    /// Checks of local answers ended, by what the cloud said of them.
    AuditsEnded(&'static str),
    /// Queries published, repetitions included.
    Published,
    /// Bytes of published queries, repetitions included.
    PublishedBytes,
    /// Answers from the cloud that were dropped.
    AnswersDropped(&'static str),
    /// Writes to the outbox that failed.
    StoreFailures,
}

impl Counter {
    /// Returns the metric's name and its label, if it has one.
    pub const fn metric(self) -> (&'static str, Option<(&'static str, &'static str)>) {
        match self {
            Self::Notifications => ("link_notifications", None),
            Self::NotificationBytes => ("link_bytes", None),
            Self::LinkDropped(reason) => ("link_dropped", Some(("reason", reason.label()))),
            Self::Stray => ("stray_inputs", None),
            Self::Frames => ("frames", None),
            Self::FramesPerceived => ("frames_perceived", None),
            Self::FramesSkipped(reason) => ("frames_skipped", Some(("reason", reason))),
            Self::FramesDropped(reason) => ("frames_dropped", Some(("reason", reason))),
            Self::AudioFrames => ("audio_frames", None),
            Self::AudioDropped(reason) => ("audio_dropped", Some(("reason", reason))),
            Self::AudioGaps => ("audio_gaps", None),
            Self::AudioLostMillis => ("audio_lost_milliseconds", None),
            Self::AudioLost => ("audio_lost", None),
            Self::RecordedFrames => ("recorded_frames", None),
            Self::RecordingFailures => ("recording_failures", None),
            Self::QueriesAccepted => ("queries_accepted", None),
            Self::QueriesRejected(reason) => ("queries_rejected", Some(("reason", reason))),
            Self::QueriesEnded(how) => ("queries_ended", Some(("how", how))),
            Self::AuditsEnded(how) => ("audits_ended", Some(("how", how))),
            Self::Published => ("uplink_queries", None),
            Self::PublishedBytes => ("uplink_bytes", None),
            Self::AnswersDropped(reason) => ("answers_dropped", Some(("reason", reason))),
            Self::StoreFailures => ("outbox_failures", None),
        }
    }
}

/// All counters of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<Counter, u64>);

impl Counters {
    /// Counts one.
    pub(super) fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts many.
    pub(super) fn add(&mut self, counter: Counter, amount: u64) {
        let value = self.0.entry(counter).or_default();
        *value = value.saturating_add(amount);
    }

    /// Returns one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(&counter).copied().unwrap_or_default()
    }

    /// Returns all counters that are not zero, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        self.0.iter().map(|(counter, value)| (*counter, *value))
    }
}
