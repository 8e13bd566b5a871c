//! What perception saw in a frame, in words the skills can use.

use glassd_policies::Reason;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A box in a frame as shares of its width and height, 0 to 1, origin top left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Bottom edge.
    pub bottom: f32,
}

impl BoundingBox {
    /// Returns the area as a share of the frame.
    pub fn area(&self) -> f32 {
        (self.right - self.left).max(0.0) * (self.bottom - self.top).max(0.0)
    }
}

/// One thing that perception believes to be in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// What it is, singular, lower case, from the model's [`Vocabulary`].
    pub label: String,
    /// Its colour, where the model tells colours.
    pub colour: Option<String>,
    /// Whether the model takes it for there: its score clears the model's decision threshold. That is chosen
    /// for counts that are right on average, so a doubtful object may be present.
    pub present: bool,
    /// Calibrated probability that the object is there and is what the label says, 0 to 1.
    pub probability: f32,
    /// Calibrated probability that the colour is right, given the object, 0 to 1; 1 without a colour.
    pub colour_probability: f32,
    /// Where it is.
    pub bounds: BoundingBox,
}

/// What perception saw in one frame: every object above the model's floor, also the doubtful ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// When the frame arrived.
    pub seen_at: Timestamp,
    /// The objects, most probable first.
    pub objects: Vec<Object>,
    /// What is worth telling about how it was seen: which of several models looked, or that a picture like this one
    /// was looked at a moment ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub how: Vec<Reason>,
}

/// The words a model can use: what is not in here it cannot deny having seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// Labels, singular, lower case.
    pub labels: Vec<String>,
    /// Colours; empty for a model that does not tell them.
    pub colours: Vec<String>,
}
