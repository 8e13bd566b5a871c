//! Where outputs and counts gather while an input is handled.

use std::collections::VecDeque;

use super::counters::{Counter, Counters};
use super::io::{FrameFailure, Notice, Output};
use crate::ids::FrameId;

/// Outputs not yet drained, and the counters.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) outputs: VecDeque<Output>,
    pub(super) counters: Counters,
    frames: u64,
}

impl Effects {
    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.output(Output::Notice(notice));
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.counters.count(counter);
    }

    pub(super) fn frame_failed(&mut self, failure: &FrameFailure) {
        self.count(Counter::FramesDropped(match failure {
            FrameFailure::Superseded => "superseded",
            FrameFailure::Undecodable { reason, .. } => reason,
            FrameFailure::Expired => "expired",
            FrameFailure::Refused(_) => "refused",
            FrameFailure::Inference(_) => "inference",
        }));
    }

    pub(super) fn next_frame_id(&mut self) -> FrameId {
        self.frames += 1;
        FrameId(self.frames)
    }
}
