//! How an image becomes a model's input tensor.

use serde::{Deserialize, Serialize};

use super::ManifestError;

/// How an image becomes the input tensor. A level 0 to 255 becomes level × `scale` + `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputContract {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Order of the dimensions.
    pub layout: Layout,
    /// Type of a value.
    #[serde(rename = "type")]
    pub level: Level,
    /// Order of the channels.
    pub order: Order,
    /// Factor on the level.
    #[serde(default = "one")]
    pub scale: f32,
    /// Added after the factor.
    #[serde(default)]
    pub offset: f32,
    /// How a picture of another shape is brought in.
    pub fit: Fit,
    /// Level of what a letterbox leaves empty.
    #[serde(default)]
    pub pad: u8,
    /// Share of the short side that `crop` keeps, above 0 to 1.
    #[serde(default = "one")]
    pub keep: f32,
}

fn one() -> f32 {
    1.0
}

/// The order of a tensor's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// The type of an input value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// 32-bit floating point.
    F32,
    /// The level itself.
    U8,
    /// The level less 128 (TensorFlow Lite's INT8).
    I8,
}

/// The order of the colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How a picture of another shape is brought into the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The whole picture in its shape, in the middle (Ultralytics).
    Letterbox,
    /// The whole picture in its shape, in the top left corner (YOLOX).
    LetterboxCorner,
    /// The whole picture, its shape changed.
    Stretch,
    /// The middle of the picture in its shape.
    Crop,
}

impl InputContract {
    /// Reads the keys of `[model.input]`, separated by commas, and checks every value.
    pub fn parse(keys: &str) -> Result<Self, ManifestError> {
        let table: std::collections::BTreeMap<String, Self> =
            toml::from_str(&format!("input = {{ {keys} }}"))
                .map_err(|e| ManifestError::Syntax(e.to_string()))?;
        let input = table.get("input").ok_or_else(|| ManifestError::Syntax("no input".to_owned()))?;
        let problems: Vec<String> = input.problems().map(str::to_owned).collect();
        if problems.is_empty() { Ok(*input) } else { Err(ManifestError::Invalid(problems)) }
    }

    /// Lists what is wrong with the values, each with its key.
    pub(super) fn problems(&self) -> impl Iterator<Item = &'static str> {
        let side = |pixels| (1..=4096).contains(&pixels);
        let as_is = self.scale == 1.0 && self.offset == 0.0;
        let rules = [
            (!side(self.width) || !side(self.height), "input.width, input.height: 1 to 4096"),
            (!(self.scale.is_finite() && self.offset.is_finite()), "input.scale, input.offset: finite"),
            (self.level != Level::F32 && !as_is, "input.scale, input.offset: not with type u8 or i8"),
            (!(self.keep > 0.0 && self.keep <= 1.0), "input.keep: above 0, to 1"),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule)
    }
}
