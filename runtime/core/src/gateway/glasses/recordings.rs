//! What glasses recorded while nobody was connected: fetched in batches, each let go only when it is kept on disk.
//!
//! One batch at a time is with whoever keeps it, over all links: while it is there nothing more is fetched, so nothing
//! comes twice; and the glasses are told where to go on from only by [`LinkCommand::FetchRecordings`], so nothing that
//! is not kept is lost.

use std::time::Duration;

use super::{Session, Surroundings};
use crate::gateway::audio::{RecordedFrame, Recording};
use crate::gateway::counters::Counter;
use crate::gateway::effects::Effects;
use crate::gateway::io::Output;
use crate::link::{AudioCodec, LinkCommand, Record};
use crate::time::Timestamp;

/// Glasses stamp a record with whole seconds.
const STAMP: Duration = Duration::from_secs(1);

/// How far the recordings of a pair of glasses are fetched.
#[derive(Debug)]
pub(super) struct Recordings {
    /// The record after the last that is kept.
    next: u64,
    /// When what is kept ends.
    ends_at: Option<Timestamp>,
    keeping: Option<Batch>,
}

/// A batch that is on its way to the disk.
#[derive(Debug)]
struct Batch {
    next: u64,
    ends_at: Option<Timestamp>,
    frames: usize,
}

impl Recordings {
    /// Takes the record after the last that is on disk.
    pub(super) fn new(next: u64) -> Self {
        Self { next, ends_at: None, keeping: None }
    }
}

impl Session {
    /// Lets the glasses send what is not kept yet, if that is wanted and nothing is on its way to the disk.
    pub(super) fn fetch_recordings(&mut self, around: &Surroundings<'_>, effects: &mut Effects) {
        let Some(recordings) = self.recordings.as_ref().filter(|one| one.keeping.is_none()) else { return };
        self.command(&LinkCommand::FetchRecordings { from: recordings.next }, around, effects);
    }

    /// Has a batch kept.
    pub(super) fn handle_recorded(&mut self, first: u64, records: Vec<Record>, effects: &mut Effects) {
        let codec = self.connection.as_ref().and_then(|connection| connection.codec);
        let Some(recordings) = &mut self.recordings else { return };
        let next = first.saturating_add(records.len() as u64);
        let mut ends_at = recordings.ends_at;
        let frames: Vec<_> =
            records.into_iter().flat_map(|record| placed(record, codec, &mut ends_at)).collect();
        recordings.keeping = Some(Batch { next, ends_at, frames: frames.len() });
        let glasses = self.id.clone();
        effects.output(Output::KeepRecording(Recording { glasses, codec, first, next, frames }));
    }

    /// A batch is on disk, or could not be written: then it is fetched again.
    pub(in crate::gateway) fn handle_kept(
        &mut self,
        up_to: u64,
        is_kept: bool,
        around: &Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let recordings = self.recordings.as_mut();
        let batch = recordings.and_then(|one| one.keeping.take_if(|batch| batch.next == up_to));
        let (Some(recordings), Some(batch)) = (&mut self.recordings, batch) else {
            return effects.count(Counter::Stray);
        };
        if is_kept {
            recordings.next = batch.next;
            recordings.ends_at = batch.ends_at;
            effects.counters.add(Counter::RecordedFrames, batch.frames as u64);
        } else {
            effects.count(Counter::RecordingFailures);
        }
        self.fetch_recordings(around, effects);
    }
}

/// Returns a record's frames with their times. Within the second of its stamp a record follows the one before it, whose
/// end the samples tell better.
fn placed(record: Record, codec: Option<AudioCodec>, ends_at: &mut Option<Timestamp>) -> Vec<RecordedFrame> {
    let begins_at = record.at.map(|at| ends_at.map_or(at, |ends_at| ends_at.clamp(at, at + STAMP)));
    *ends_at = begins_at;
    let place = |frame: Vec<u8>| {
        let at = *ends_at;
        let length = codec.map_or(Duration::ZERO, |codec| codec.length_of(frame.len()));
        *ends_at = at.map(|at| at + length);
        RecordedFrame { at, frame }
    };
    record.frames.into_iter().map(place).collect()
}
