//! Ranges of parameters, all checked before any is complained about.

use std::fmt;
use std::ops::RangeInclusive;

/// A parameter outside its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Path of the key within the policy, as `motion.high_above`.
    pub key: String,
    /// What it was.
    pub value: String,
    /// What it may be.
    pub expected: String,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}, expected {}", self.key, self.value, self.expected)
    }
}

/// Gathers the parameters that are out of range.
#[derive(Default)]
pub(crate) struct Ranges(Vec<OutOfRange>);

impl Ranges {
    /// Checks a number; NaN is in no range.
    pub(crate) fn number(&mut self, key: &str, value: f32, range: RangeInclusive<f32>) {
        self.demand(range.contains(&value), key, &value, format!("{} to {}", range.start(), range.end()));
    }

    /// Checks a whole number.
    pub(crate) fn whole(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) {
        self.demand(range.contains(&value), key, &value, format!("{} to {}", range.start(), range.end()));
    }

    /// Notes a problem unless a relation holds.
    pub(crate) fn demand(
        &mut self,
        holds: bool,
        key: &str,
        value: &dyn fmt::Display,
        expected: impl Into<String>,
    ) {
        if !holds {
            self.0.push(OutOfRange {
                key: key.to_owned(),
                value: value.to_string(),
                expected: expected.into(),
            });
        }
    }

    pub(crate) fn into_problems(self) -> Vec<OutOfRange> {
        self.0
    }
}
