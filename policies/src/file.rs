//! Policy files: parameters beside the cases that they must decide rightly.
//!
//! ```toml
//! policy = "frame-rate"      # or frame-keep, camera, compression, escalation
//!
//! [parameters.battery]       # what is left out keeps its default
//! plenty_above = 70
//!
//! [[case]]
//! name = "plenty begins above 70"
//! given = { battery = 70, user_active = true, motion = 0.0 }
//! expect = { fps = 5.0 }
//! because = "active-low"     # a rule that must be among the reasons; may be left out
//! ```

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::camera::CameraPolicy;
use crate::compression::CompressionPolicy;
use crate::escalation::EscalationPolicy;
use crate::frame_keep::FrameKeepPolicy;
use crate::frame_rate::FrameRatePolicy;
use crate::range::OutOfRange;

/// A policy from a file, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyFile {
    /// `policy = "frame-rate"`.
    FrameRate(FrameRatePolicy),
    /// `policy = "frame-keep"`.
    FrameKeep(FrameKeepPolicy),
    /// `policy = "camera"`.
    Camera(CameraPolicy),
    /// `policy = "compression"`.
    Compression(CompressionPolicy),
    /// `policy = "escalation"`.
    Escalation(EscalationPolicy),
}

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// Not TOML, or not the keys and types of the policy.
    #[error("not a policy file: {0}")]
    Malformed(String),
    /// Parameters out of range: all of them.
    #[error("{}", list(.0))]
    OutOfRange(Vec<OutOfRange>),
}

impl PolicyFile {
    /// The files that come with the gateway and hold its defaults, with their names.
    pub const BUILT_IN: [(&str, &str); 5] = [
        ("frame-rate.toml", include_str!("../../config/policies/frame-rate.toml")),
        ("frame-keep.toml", include_str!("../../config/policies/frame-keep.toml")),
        ("camera.toml", include_str!("../../config/policies/camera.toml")),
        ("compression.toml", include_str!("../../config/policies/compression.toml")),
        ("escalation.toml", include_str!("../../config/policies/escalation.toml")),
    ];

    /// Reads a policy file and checks its parameters; its cases are run by [`crate::test_file`].
    pub fn parse(text: &str) -> Result<Self, PolicyFileError> {
        let parameters = match kind(text)? {
            Kind::FrameRate => Self::FrameRate(parameters(text)?),
            Kind::FrameKeep => Self::FrameKeep(parameters(text)?),
            Kind::Camera => Self::Camera(parameters(text)?),
            Kind::Compression => Self::Compression(parameters(text)?),
            Kind::Escalation => Self::Escalation(parameters(text)?),
        };
        let problems = match &parameters {
            Self::FrameRate(policy) => policy.problems(),
            Self::FrameKeep(policy) => policy.problems(),
            Self::Camera(policy) => policy.problems(),
            Self::Compression(policy) => policy.problems(),
            Self::Escalation(policy) => policy.problems(),
        };
        if problems.is_empty() { Ok(parameters) } else { Err(PolicyFileError::OutOfRange(problems)) }
    }

    /// Returns the policy's name, as the file's `policy` key has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FrameRate(_) => "frame-rate",
            Self::FrameKeep(_) => "frame-keep",
            Self::Camera(_) => "camera",
            Self::Compression(_) => "compression",
            Self::Escalation(_) => "escalation",
        }
    }
}

/// Which policy a file is about.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    FrameRate,
    FrameKeep,
    Camera,
    Compression,
    Escalation,
}

/// A whole file; `C` is one of its cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "P: Default + DeserializeOwned, C: DeserializeOwned")]
struct Sections<P, C> {
    #[serde(rename = "policy")]
    _kind: Kind,
    #[serde(default)]
    parameters: P,
    #[serde(default = "Vec::new", rename = "case")]
    cases: Vec<C>,
}

/// One case of a file: facts, and what they must lead to.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case<F, E> {
    /// What it shows.
    pub(crate) name: String,
    /// The facts before, where the decision leans on the last one.
    #[serde(default = "Option::default")]
    pub(crate) after: Option<F>,
    /// The facts.
    pub(crate) given: F,
    /// What must come out.
    pub(crate) expect: E,
    /// A rule that must be among the reasons.
    #[serde(default)]
    pub(crate) because: Option<String>,
}

fn kind(text: &str) -> Result<Kind, PolicyFileError> {
    #[derive(Deserialize)]
    struct Header {
        policy: Kind,
    }
    Ok(parse::<Header>(text)?.policy)
}

fn parameters<P: Default + DeserializeOwned>(text: &str) -> Result<P, PolicyFileError> {
    Ok(parse::<Sections<P, toml::Table>>(text)?.parameters)
}

/// Reads the cases of a file whose parameters are known to be right.
pub(crate) fn cases<P, C>(text: &str) -> Result<Vec<C>, PolicyFileError>
where
    P: Default + DeserializeOwned,
    C: DeserializeOwned,
{
    Ok(parse::<Sections<P, C>>(text)?.cases)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, PolicyFileError> {
    toml::from_str(text).map_err(|error| PolicyFileError::Malformed(error.to_string()))
}

fn list(problems: &[impl fmt::Display]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
