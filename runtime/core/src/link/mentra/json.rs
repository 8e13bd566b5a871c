//! The control messages, of those in the document that the gateway sends or understands.

use serde::{Deserialize, Serialize};

use super::super::{ButtonEvent, DropReason, Motion};

/// What the glasses are told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Command<'a> {
    Ping,
    RequestBatteryState,
    RequestGlassesInfo,
    SetMicState {
        enabled: bool,
    },
    DisplayText {
        text: &'a str,
        color: &'a str,
        font_code: &'a str,
        x: u16,
        y: u16,
        size: u8,
    },
    ImageTransferComplete {
        stream_id: String,
        status: Status,
        #[serde(skip_serializing_if = "<[u16]>::is_empty")]
        missing_chunks: &'a [u16],
    },
}

/// How far an image came.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    Incomplete,
}

impl Command<'_> {
    /// Puts the message into a value; `message` names it.
    pub(super) fn encode(&self, message: u32) -> Vec<u8> {
        #[derive(Serialize)]
        struct Named<'a> {
            #[serde(flatten)]
            command: &'a Command<'a>,
            msg_id: String,
        }
        let named = Named { command: self, msg_id: message.to_string() };
        let mut value = vec![0x01];
        serde_json::to_writer(&mut value, &named).expect("numbers, texts and a vector to write to");
        value
    }
}

/// What the glasses say. Messages without fields here mean nothing to the gateway.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    BatteryStatus {
        level: u8,
    },
    ButtonEvent {
        state: ButtonState,
    },
    DeviceInfo {
        features: Features,
    },
    ImuData {
        accel: Axes,
        gyro: Option<Axes>,
    },
    DisplayImage {
        stream_id: String,
        total_chunks: u16,
        encoding: Option<String>,
    },
    ChargingState,
    HeadGesture,
    HeadPosition,
    HeadUpAngleSet,
    Pong,
    VadEvent,
    VadStatus,
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ButtonState {
    Down,
    Up,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Features {
    pub(super) display: bool,
    /// Audio from the glasses.
    pub(super) audio_tx: bool,
}

/// As in the document's example: m/s² of acceleration. The unit of rotation is not told; taken as rad/s, which
/// Android and Zephyr have.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Axes {
    x: f32,
    y: f32,
    z: f32,
}

impl Said {
    /// Reads what follows the `01`. Its depth is bounded by the parser, its size by the value.
    pub(super) fn read(json: &[u8]) -> Result<Self, DropReason> {
        serde_json::from_slice(json)
            .map_err(|error| if error.is_data() { DropReason::UnknownValue } else { DropReason::Malformed })
    }
}

impl ButtonState {
    pub(super) fn event(self) -> ButtonEvent {
        match self {
            Self::Down => ButtonEvent::Press,
            Self::Up => ButtonEvent::Release,
        }
    }
}

pub(super) fn motion(accel: Axes, gyro: Option<Axes>) -> Result<Motion, DropReason> {
    let motion = Motion::from_si(accel.xyz(), gyro.map(Axes::xyz));
    let mut axes = motion.acceleration.iter().chain(motion.rotation.iter().flatten());
    if axes.all(|axis| axis.is_finite()) { Ok(motion) } else { Err(DropReason::UnknownValue) }
}

impl Axes {
    fn xyz(self) -> [f32; 3] {
        [self.x, self.y, self.z]
    }
}
