//! The cases of a policy file: run, and told apart from what was expected.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::camera::{CameraFacts, CameraPolicy};
use crate::compression::{CompressionFacts, CompressionPolicy};
use crate::decision::{Decision, Reason};
use crate::escalation::{EscalationFacts, EscalationPolicy, Route};
use crate::file::{self, Case, PolicyFile, PolicyFileError};
use crate::frame_keep::{FrameKeepFacts, FrameKeepPolicy};
use crate::frame_rate::{FrameRateFacts, FrameRateMode, FrameRatePolicy};

/// What became of the cases of one policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReport {
    /// Which policy.
    pub policy: &'static str,
    /// How many cases came out as expected.
    pub passed: usize,
    /// The others.
    pub failures: Vec<CaseFailure>,
}

/// A case that came out otherwise than expected. Facts and values are written as in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFailure {
    /// What the case was to show.
    pub name: String,
    /// What was given.
    pub facts: String,
    /// What was expected.
    pub expected: String,
    /// What came out.
    pub actual: String,
    /// Why that came out.
    pub reasons: Vec<Reason>,
}

/// Runs the cases of a policy file on its parameters.
pub fn test_file(text: &str) -> Result<CaseReport, PolicyFileError> {
    let file = PolicyFile::parse(text)?;
    let (passed, failures) = match &file {
        PolicyFile::FrameRate(policy) => run(policy, text)?,
        PolicyFile::FrameKeep(policy) => run(policy, text)?,
        PolicyFile::Camera(policy) => run(policy, text)?,
        PolicyFile::Compression(policy) => run(policy, text)?,
        PolicyFile::Escalation(policy) => run(policy, text)?,
    };
    Ok(CaseReport { policy: file.name(), passed, failures })
}

impl CaseReport {
    /// Tells whether every case came out as expected.
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} passed, {} failed", self.policy, self.passed, self.failures.len())?;
        for failure in &self.failures {
            write!(f, "\n{failure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "failed: {}", self.name)?;
        writeln!(f, "  given    {}", self.facts)?;
        writeln!(f, "  expected {}", self.expected)?;
        write!(f, "  actual   {}", self.actual)?;
        for reason in &self.reasons {
            write!(f, "\n  because  {reason}")?;
        }
        Ok(())
    }
}

/// A policy whose decisions a file's cases can state.
trait Tested: Default + DeserializeOwned {
    /// What it decides on.
    type Facts: Serialize + DeserializeOwned;
    /// What a case may say about the decision: only what it names is compared.
    type Expected: Serialize + DeserializeOwned;

    /// Decides, after an earlier decision where there was one, and states the outcome in the case's terms.
    fn outcome(&self, facts: &Self::Facts, after: Option<&Self::Facts>) -> Decision<Self::Expected>;

    /// Tells whether an outcome is as expected.
    fn agrees(expected: &Self::Expected, actual: &Self::Expected) -> bool;
}

fn run<P: Tested>(policy: &P, text: &str) -> Result<(usize, Vec<CaseFailure>), PolicyFileError> {
    let cases = file::cases::<P, Case<P::Facts, P::Expected>>(text)?;
    let total = cases.len();
    let failures: Vec<_> = cases.iter().filter_map(|case| failure(policy, case)).collect();
    Ok((total - failures.len(), failures))
}

fn failure<P: Tested>(policy: &P, case: &Case<P::Facts, P::Expected>) -> Option<CaseFailure> {
    let decision = policy.outcome(&case.given, case.after.as_ref());
    let explained = case.because.as_ref().is_none_or(|rule| decision.is_because(rule));
    if explained && P::agrees(&case.expect, &decision.value) {
        return None;
    }
    let because = case.because.as_ref().map(|rule| format!(" because {rule}")).unwrap_or_default();
    Some(CaseFailure {
        name: case.name.clone(),
        facts: inline(&case.given),
        expected: inline(&case.expect) + &because,
        actual: inline(&decision.value),
        reasons: decision.reasons,
    })
}

/// Writes a value as it would stand in the file.
fn inline(value: &impl Serialize) -> String {
    toml::Value::try_from(value).map_or_else(|error| error.to_string(), |value| shortened(value).to_string())
}

/// Returns the value with numbers as short as they were before they became 64-bit ones.
fn shortened(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::Float(number) => {
            toml::Value::Float((number as f32).to_string().parse().unwrap_or(number))
        }
        toml::Value::Table(table) => {
            toml::Value::Table(table.into_iter().map(|(key, value)| (key, shortened(value))).collect())
        }
        other => other,
    }
}

/// Tells whether an expectation is met, or was not stated.
fn met<T>(expected: Option<&T>, actual: Option<&T>, same: impl Fn(&T, &T) -> bool) -> bool {
    expected.is_none_or(|expected| actual.is_some_and(|actual| same(expected, actual)))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedRate {
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<FrameRateMode>,
}

impl Tested for FrameRatePolicy {
    type Facts = FrameRateFacts;
    type Expected = ExpectedRate;

    fn outcome(&self, facts: &FrameRateFacts, after: Option<&FrameRateFacts>) -> Decision<ExpectedRate> {
        let previous = after.map(|facts| self.decide(facts, None).value);
        let decision = self.decide(facts, previous);
        let value = ExpectedRate { fps: Some(decision.value.fps), mode: Some(decision.value.mode) };
        Decision { value, reasons: decision.reasons }
    }

    fn agrees(expected: &ExpectedRate, actual: &ExpectedRate) -> bool {
        met(expected.fps.as_ref(), actual.fps.as_ref(), |a, b| (a - b).abs() < 0.005)
            && met(expected.mode.as_ref(), actual.mode.as_ref(), PartialEq::eq)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedKeep {
    keep: bool,
}

impl Tested for FrameKeepPolicy {
    type Facts = FrameKeepFacts;
    type Expected = ExpectedKeep;

    fn outcome(&self, facts: &FrameKeepFacts, _: Option<&FrameKeepFacts>) -> Decision<ExpectedKeep> {
        let decision = self.decide(facts);
        Decision { value: ExpectedKeep { keep: decision.value }, reasons: decision.reasons }
    }

    fn agrees(expected: &ExpectedKeep, actual: &ExpectedKeep) -> bool {
        expected.keep == actual.keep
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedCamera {
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_side: Option<u16>,
}

impl Tested for CameraPolicy {
    type Facts = CameraFacts;
    type Expected = ExpectedCamera;

    fn outcome(&self, facts: &CameraFacts, after: Option<&CameraFacts>) -> Decision<ExpectedCamera> {
        let previous = after.map(|facts| self.decide(facts, None).value);
        let decision = self.decide(facts, previous);
        let value = ExpectedCamera {
            quality: Some(decision.value.quality),
            longest_side: Some(decision.value.longest_side),
        };
        Decision { value, reasons: decision.reasons }
    }

    fn agrees(expected: &ExpectedCamera, actual: &ExpectedCamera) -> bool {
        met(expected.quality.as_ref(), actual.quality.as_ref(), PartialEq::eq)
            && met(expected.longest_side.as_ref(), actual.longest_side.as_ref(), PartialEq::eq)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedCompression {
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_side: Option<u32>,
}

impl Tested for CompressionPolicy {
    type Facts = CompressionFacts;
    type Expected = ExpectedCompression;

    fn outcome(
        &self,
        facts: &CompressionFacts,
        _: Option<&CompressionFacts>,
    ) -> Decision<ExpectedCompression> {
        let decision = self.decide(facts);
        let value = ExpectedCompression {
            quality: Some(decision.value.quality),
            longest_side: Some(decision.value.longest_side),
        };
        Decision { value, reasons: decision.reasons }
    }

    fn agrees(expected: &ExpectedCompression, actual: &ExpectedCompression) -> bool {
        met(expected.quality.as_ref(), actual.quality.as_ref(), PartialEq::eq)
            && met(expected.longest_side.as_ref(), actual.longest_side.as_ref(), PartialEq::eq)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedRoute {
    route: Route,
}

impl Tested for EscalationPolicy {
    type Facts = EscalationFacts;
    type Expected = ExpectedRoute;

    fn outcome(&self, facts: &EscalationFacts, _: Option<&EscalationFacts>) -> Decision<ExpectedRoute> {
        let decision = self.decide(facts);
        Decision { value: ExpectedRoute { route: decision.value }, reasons: decision.reasons }
    }

    fn agrees(expected: &ExpectedRoute, actual: &ExpectedRoute) -> bool {
        expected.route == actual.route
    }
}
