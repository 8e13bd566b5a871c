//! `glassd-policies`: facts in, decision out, with the reasons.
//!
//! Each policy is a plain value whose parameters can stand in a policy file beside the cases that it must
//! decide rightly; `Default` gives the files of `config/policies/`. It leaves out where facts come from and
//! what is done about a decision.
//!
//! Invariants:
//! - a decision depends on its arguments alone: no clock, file, environment or randomness;
//! - every decision carries at least one [`Reason`];
//! - no fact panics: a number that is none (NaN) counts as not known.

mod backoff;
pub mod calibration;
mod camera;
mod cases;
mod compression;
mod decision;
mod escalation;
mod file;
mod frame_keep;
mod frame_rate;
mod keep_alive;
mod range;
mod token_bucket;

pub use backoff::Backoff;
pub use camera::{
    ArriveWithin, CameraFacts, CameraPolicy, CameraSettings, CameraTier, CameraTiers, PhotoSize,
};
pub use cases::{CaseFailure, CaseReport, test_file};
pub use compression::{
    Compression, CompressionFacts, CompressionPolicy, CompressionTier, CompressionTiers, ImageSize,
};
pub use decision::{Decision, Reason};
pub use escalation::{Bounds, Budget, EscalationFacts, EscalationPolicy, Privacy, Route, Uplink};
pub use file::{PolicyFile, PolicyFileError};
pub use frame_keep::{FrameKeepFacts, FrameKeepPolicy};
pub use frame_rate::{
    BatteryBand, BatteryBounds, FrameRate, FrameRateCell, FrameRateFacts, FrameRateMode, FrameRateModes,
    FrameRatePolicy, FrameRateTable, HighMotion, MotionBounds, MotionLevel,
};
pub use keep_alive::{Power, keep_alive};
pub use range::OutOfRange;
pub use token_bucket::{TokenBucket, Wait};

/// The policies of a gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// How many frames a second the glasses should send.
    pub frame_rate: FrameRatePolicy,
    /// Which frames are worth a look by the model.
    pub frame_keep: FrameKeepPolicy,
    /// How large and how fine the glasses take their photos.
    pub camera: CameraPolicy,
    /// How an image is shrunk for the cloud.
    pub compression: CompressionPolicy,
    /// Who answers a query.
    pub escalation: EscalationPolicy,
}

impl Policies {
    /// Takes the policy of a file in place of the one it had.
    pub fn replace(&mut self, file: PolicyFile) {
        match file {
            PolicyFile::FrameRate(policy) => self.frame_rate = policy,
            PolicyFile::FrameKeep(policy) => self.frame_keep = policy,
            PolicyFile::Camera(policy) => self.camera = policy,
            PolicyFile::Compression(policy) => self.compression = policy,
            PolicyFile::Escalation(policy) => self.escalation = policy,
        }
    }
}
