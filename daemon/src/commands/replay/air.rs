//! Playing what `glassd record` wrote: every notification again, bit for bit, in its order.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use glassd_core::capture::{self, Captured, What};
use glassd_core::gateway::{Counter, Frame};
use glassd_inference::sha256;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{Report, drain};
use crate::daemon::Daemon;
use crate::event_loop::Event;
use crate::io::Observation;

/// What came over the air.
#[derive(Debug, Default, Serialize)]
pub(super) struct Air {
    /// Values that were notified or read.
    notifications: u64,
    /// Their bytes.
    bytes: u64,
    /// Whole photos.
    photos: Vec<Photo>,
    /// Whole audio frames.
    audio_frames: u64,
    /// Audio notifications that were lost on the air.
    audio_lost: u64,
    /// What the decoders dropped, all reasons together.
    dropped: u64,
}

#[derive(Debug, Serialize)]
struct Photo {
    bytes: usize,
    sha256: String,
}

impl Air {
    pub(super) fn handle_frame(&mut self, frame: &Frame) {
        self.photos.push(Photo { bytes: frame.jpeg.len(), sha256: sha256(&frame.jpeg) });
    }
}

impl fmt::Display for Air {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { notifications, bytes, photos, audio_frames, audio_lost, dropped } = self;
        let photos = photos.len();
        write!(
            f,
            "over the air: {notifications} notifications, {bytes} bytes, {photos} photos, \
             {audio_frames} audio frames, {audio_lost} lost, {dropped} dropped"
        )
    }
}

/// Reads the first line of a capture.
pub(super) fn open(
    path: &Path,
) -> anyhow::Result<impl Iterator<Item = Result<Captured, capture::BadCapture>> + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(capture::read(BufReader::new(file))?)
}

/// Plays a capture: at its pace, or without its pauses.
pub(super) async fn play(
    daemon: &Daemon,
    lines: impl Iterator<Item = Result<Captured, capture::BadCapture>>,
    is_fast: bool,
    observations: &mut mpsc::Receiver<Observation>,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.air = Some(Air::default());
    let (mut notifications, mut bytes) = (0, 0);
    let started = tokio::time::Instant::now();
    let mut first = None;
    for line in lines {
        let line = line?;
        let offset = line.at_us.saturating_sub(*first.get_or_insert(line.at_us));
        if !is_fast {
            tokio::time::sleep_until(started + Duration::from_micros(offset)).await;
        }
        if let What::Notified(_, value) = &line.what {
            notifications += 1;
            bytes += value.0.len() as u64;
        }
        if let Some(input) = line.into_input() {
            daemon.events.send(Event::Input(input)).await.ok().context("the daemon has ended")?;
        }
        drain(observations, report);
    }
    // Its answer comes after all that was sent before.
    let (reply, answer) = oneshot::channel();
    daemon.events.send(Event::Snapshot(reply)).await.ok().context("the daemon has ended")?;
    let snapshot = answer.await.context("the daemon has ended")?;
    drain(observations, report);
    let count = |is_it: fn(&Counter) -> bool| -> u64 {
        snapshot.counters.iter().filter(|(counter, _)| is_it(counter)).map(|(_, count)| count).sum()
    };
    if let Some(air) = &mut report.air {
        (air.notifications, air.bytes) = (notifications, bytes);
        air.audio_frames = count(|counter| matches!(counter, Counter::AudioFrames));
        air.audio_lost = count(|counter| matches!(counter, Counter::AudioLost));
        air.dropped = count(|counter| matches!(counter, Counter::LinkDropped(_)));
    }
    Ok(())
}
