//! Copies of what comes over the air, for whoever records it.

use std::collections::BTreeMap;

use glassd_core::capture::{Bytes, Captured, What};
use glassd_core::gateway::Input;
use glassd_core::link::{Characteristic, Profile, Write};
use glassd_core::{GlassesId, Timestamp};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::Io;
use crate::control::Reply;

/// Who records, and what a recording that begins now has missed.
#[derive(Debug, Default)]
pub(super) struct Recording {
    recorders: Vec<Recorder>,
    /// What glasses that are there speak, and the facts that were read of them.
    links: BTreeMap<GlassesId, (Profile, BTreeMap<Characteristic, Vec<u8>>)>,
}

#[derive(Debug)]
struct Recorder {
    /// `None` takes all.
    glasses: Option<GlassesId>,
    /// Full-queue rule: a recording with a hole is none, it ends.
    replies: mpsc::Sender<Reply>,
}

impl Recording {
    pub(super) fn handle_input(&mut self, input: &Input, now: Timestamp) {
        match input {
            Input::GlassesConnected { glasses, profile, .. } => {
                self.links.insert(glasses.clone(), (*profile, BTreeMap::new()));
            }
            Input::GlassesDisconnected { glasses } => {
                self.links.remove(glasses);
            }
            Input::Notification { glasses, characteristic, value } if characteristic.is_fact() => {
                if let Some((_, facts)) = self.links.get_mut(glasses) {
                    facts.insert(*characteristic, value.clone());
                }
            }
            _ => {}
        }
        if !self.recorders.is_empty()
            && let Some(captured) = Captured::of_input(input, now)
        {
            self.hand_out(&captured);
        }
    }

    pub(super) fn handle_write(&mut self, glasses: &GlassesId, write: &Write, now: Timestamp) {
        if !self.recorders.is_empty() {
            self.hand_out(&Captured::of_write(glasses, write, now));
        }
    }

    fn begin(&mut self, recorder: Recorder, now: Timestamp) {
        for (glasses, (profile, facts)) in &self.links {
            let line = |what| Captured { at_us: now.as_micros(), glasses: glasses.clone(), what };
            recorder.take(&line(What::Connected(*profile)));
            for (characteristic, value) in facts {
                recorder.take(&line(What::Notified(*characteristic, Bytes(value.clone()))));
            }
        }
        self.recorders.push(recorder);
    }

    fn hand_out(&mut self, captured: &Captured) {
        self.recorders.retain(|recorder| recorder.take(captured));
    }
}

impl Recorder {
    /// Tells whether the recording goes on.
    fn take(&self, captured: &Captured) -> bool {
        if self.glasses.as_ref().is_some_and(|glasses| *glasses != captured.glasses) {
            return true;
        }
        match self.replies.try_send(Reply::Captured(captured.clone())) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                tracing::warn!("a recording has ended: its client does not read");
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

impl Io {
    /// Begins to copy what comes over the air.
    pub(super) fn record(&mut self, glasses: Option<GlassesId>, replies: mpsc::Sender<Reply>) {
        tracing::info!(glasses = glasses.as_ref().map(GlassesId::as_str), "a recording begins");
        self.state.recording.begin(Recorder { glasses, replies }, self.now);
    }
}
