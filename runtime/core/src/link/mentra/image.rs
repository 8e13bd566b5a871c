//! Images in chunks, with the document's negative acknowledgement.
//!
//! A `display_image` with `stream_id` (4 hex digits), `total_chunks` (1 to 256) and `encoding` announces one; then come
//! `B0 [stream u16 BE][index u8][bytes]`. The receiver answers with `image_transfer_complete`: `ok`, or
//! `incomplete` with `missing_chunks`, which are sent again. The document says neither when nor how often: here after the
//! last chunk or a silence, and for a bounded time, see [`super::super::transfer`]. There is no checksum.

use super::super::transfer::{Halt, Transfer};
use super::super::{DropReason, LinkEvent, Orientation};
use super::json::{Command, Status};
use crate::time::Timestamp;

/// Most chunks of an image: their index is one byte.
pub const MAX_CHUNKS: u16 = 256;
/// As many missing chunks as surely fit into one message; the others are asked for next.
const MAX_ASKED: usize = 30;

#[derive(Debug, Default)]
pub(super) struct Receiver {
    current: Option<Image>,
}

#[derive(Debug)]
struct Image {
    stream: u16,
    transfer: Transfer,
}

/// What came of a message: an event, an answer, both or neither.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) event: Option<LinkEvent>,
    pub(super) answer: Option<Answer>,
}

/// The receiver's word on an image.
#[derive(Debug)]
pub(super) struct Answer {
    stream: u16,
    missing: Vec<u16>,
}

impl Answer {
    pub(super) fn command(&self) -> Command<'_> {
        let status = if self.missing.is_empty() { Status::Ok } else { Status::Incomplete };
        let stream_id = format!("{:04X}", self.stream);
        Command::ImageTransferComplete { stream_id, status, missing_chunks: &self.missing }
    }
}

impl Receiver {
    pub(super) fn begin(
        &mut self,
        stream_id: &str,
        total: u16,
        encoding: Option<&str>,
        now: Timestamp,
    ) -> Option<LinkEvent> {
        let stream = u16::from_str_radix(stream_id, 16);
        let (Ok(stream), 1..=MAX_CHUNKS, None | Some("jpeg" | "jpg")) = (stream, total, encoding) else {
            return Some(LinkEvent::Dropped(DropReason::UnknownValue));
        };
        let replaced = self.current.replace(Image { stream, transfer: Transfer::begin(total, now) });
        replaced.map(|_| LinkEvent::Dropped(DropReason::PhotoGap))
    }

    /// Reads what follows the `B0`.
    pub(super) fn handle_chunk(&mut self, value: &[u8], now: Timestamp) -> Progress {
        let &[high, low, index, ref chunk @ ..] = value else { return dropped(DropReason::Malformed) };
        let stream = u16::from_be_bytes([high, low]);
        let Some(image) = self.current.as_mut().filter(|image| image.stream == stream) else {
            return dropped(DropReason::PhotoWithoutStart);
        };
        if chunk.is_empty() {
            return dropped(DropReason::Malformed);
        }
        let index = u16::from(index);
        if let Err(reason) = image.transfer.take(index, chunk, now) {
            return dropped(reason);
        }
        if image.transfer.is_last(index) {
            image.transfer.handle_end(now);
        }
        if image.transfer.is_whole() { self.complete() } else { Progress::default() }
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|image| image.transfer.due())
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Progress {
        let Some(image) = &mut self.current else { return Progress::default() };
        match image.transfer.handle_timeout(now) {
            None => Progress::default(),
            Some(Halt::Ask) => {
                let missing = image.transfer.missing().take(MAX_ASKED).collect();
                Progress { event: None, answer: Some(Answer { stream: image.stream, missing }) }
            }
            Some(Halt::GiveUp) => {
                self.current = None;
                dropped(DropReason::PhotoIncomplete)
            }
        }
    }

    fn complete(&mut self) -> Progress {
        let Some(Image { stream, transfer }) = self.current.take() else { return Progress::default() };
        let photo = LinkEvent::Photo { jpeg: transfer.into_bytes(), orientation: Orientation::Upright };
        Progress { event: Some(photo), answer: Some(Answer { stream, missing: Vec::new() }) }
    }
}

fn dropped(reason: DropReason) -> Progress {
    Progress { event: Some(LinkEvent::Dropped(reason)), answer: None }
}
