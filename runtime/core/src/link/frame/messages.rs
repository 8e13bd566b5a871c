//! The two sets of messages, and what either says once it is read.

use serde::{Deserialize, Serialize};

use super::super::Motion;
use super::super::pages::Page;
use super::settings::CaptureSettings;
use super::talk::Step;
use super::{DropReason, Sound, frame_msg, sdk};

/// Messages of the app on the Frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Messages {
    /// Those of `frame_msg`: our own app is sent to the Frame at each connection.
    #[default]
    FrameMsg,
    /// Those of `frame-sdk` 1.2.4, whose library must be on the Frame: the vendor's package leaves it there.
    FrameSdk,
}

impl Messages {
    /// Returns whether the Frame is told everything in Lua: then it takes no more while a function runs, and tells its
    /// battery only if it is asked.
    pub(super) fn are_lua(self) -> bool {
        self == Self::FrameSdk
    }

    /// Makes the Frame ready for all else.
    pub(super) fn start(self) -> Vec<Step> {
        match self {
            Self::FrameMsg => frame_msg::start(),
            Self::FrameSdk => sdk::start(),
        }
    }

    pub(super) fn take_photo(self, settings: CaptureSettings) -> Vec<Step> {
        match self {
            Self::FrameMsg => frame_msg::take_photo(settings),
            Self::FrameSdk => sdk::take_photo(settings),
        }
    }

    /// Starts the microphone, or stops it.
    pub(super) fn microphone(self, sound: Option<Sound>) -> Vec<Step> {
        match (self, sound) {
            (Self::FrameMsg, sound) => frame_msg::microphone(sound),
            (Self::FrameSdk, Some(sound)) => sdk::start_microphone(sound),
            (Self::FrameSdk, None) => sdk::stop_microphone(),
        }
    }

    pub(super) fn show(self, page: &Page) -> Vec<Step> {
        match self {
            Self::FrameMsg => frame_msg::show(page),
            Self::FrameSdk => sdk::show(page),
        }
    }

    pub(super) fn decode(self, value: &[u8]) -> Result<Message<'_>, DropReason> {
        match self {
            Self::FrameMsg => frame_msg::decode(value),
            Self::FrameSdk => sdk::decode(value),
        }
    }
}

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
