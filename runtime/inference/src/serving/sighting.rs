//! What was seen, in words that do not depend on the model that saw it.

/// An object that a model or an ensemble believes to see.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// What it is.
    pub label: String,
    /// Its colour and the probability that this is right, given the object; none where no model tells colours.
    pub colour: Option<(String, f32)>,
    /// Whether it clears the decision threshold of who saw it.
    pub is_present: bool,
    /// Calibrated probability that the object is there and is what the label says, 0 to 1.
    pub probability: f32,
    /// Left, top, right and bottom as shares of the image's width and height, 0 to 1.
    pub bounds: [f32; 4],
}
