//! Events that a protocol has made and nobody has polled yet.

use std::collections::VecDeque;

use super::{DropReason, LinkEvent};

/// Events that wait to be polled; when more come, the oldest goes.
pub const MAX_EVENTS: usize = 16;

/// Events not yet polled, at most [`MAX_EVENTS`].
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<LinkEvent>,
}

impl Events {
    /// Freshness over completeness: the oldest makes room, and leaves the news that something was lost.
    pub(super) fn push(&mut self, event: LinkEvent) {
        if self.queue.len() == MAX_EVENTS {
            self.queue.drain(..2);
            self.queue.push_front(LinkEvent::Dropped(DropReason::Overflow));
        }
        self.queue.push_back(event);
    }

    pub(super) fn push_result(&mut self, result: Result<LinkEvent, DropReason>) {
        self.push(result.unwrap_or_else(LinkEvent::Dropped));
    }

    pub(super) fn drop_because(&mut self, reason: DropReason) {
        self.push(LinkEvent::Dropped(reason));
    }

    pub(super) fn pop(&mut self) -> Option<LinkEvent> {
        self.queue.pop_front()
    }
}
