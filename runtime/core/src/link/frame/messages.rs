//! What either set of messages says, once it is read.

use super::super::Motion;

/// A notification.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message<'a> {
    /// What the app says to a chunk of a message: whether it took it.
    Acknowledgement(bool),
    /// What Lua printed.
    Text(&'a str),
    /// Some of a photo.
    Photo(&'a [u8]),
    /// The end of a photo: the last of it, and how many packets it had where that is told.
    PhotoEnd {
        jpeg: &'a [u8],
        packets: Option<u32>,
    },
    /// Samples.
    Audio(&'a [u8]),
    /// The last samples.
    AudioEnd(&'a [u8]),
    /// One tap.
    Tap,
    /// Percent, 0 to 100.
    Battery(u8),
    Motion(Motion),
}
