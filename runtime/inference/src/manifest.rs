//! What a model is and how to feed it: the manifest file.
//!
//! ```toml
//! [[model]]
//! name = "yolox-nano"
//! file = "yolox_nano_fp32.onnx"        # beside the others in the model folder
//! sha256 = "e8af…"
//! licence = "Apache-2.0"
//! source = "where it comes from"
//! task = { kind = "detect", head = "yolox", labels = "coco" }
//! input = { width = 416, height = 416, layout = "nchw", type = "f32", order = "bgr", fit = "letterbox-corner", pad = 114 }
//! thresholds = { floor = 0.05, decision = 0.3 }
//! calibration = { slope = 1.0, intercept = 0.0 }
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;
use crate::coco::COCO_LABELS;

/// A list of models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models, in the order of preference.
    #[serde(rename = "model", default)]
    pub models: Vec<ModelEntry>,
}

/// One model: its file, where it comes from, what it does and how it is fed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Unique name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Name of the ONNX file in the model folder, without a folder.
    pub file: String,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// SPDX expression or words for the licence of the weights.
    pub licence: String,
    /// Where the file comes from.
    pub source: String,
    /// What it does.
    pub task: Task,
    /// How an image becomes its input.
    pub input: InputContract,
    /// Which scores count.
    pub thresholds: Thresholds,
    /// From scores to probabilities.
    #[serde(default)]
    pub calibration: Calibration,
    /// The sample it is checked on before it is trusted.
    #[serde(default)]
    pub check: Check,
}

/// What a model does with an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Finds objects.
    Detect {
        /// The layout of its output.
        head: DetectHead,
        /// What it finds, in the order of its classes.
        labels: Labels,
        /// The colours it tells, in the order of its outputs; none for most models.
        #[serde(default)]
        colours: Vec<String>,
    },
    /// Names the image as a whole.
    Classify {
        /// The layout of its output.
        head: ClassifyHead,
        /// What it names, in the order of its classes.
        labels: Labels,
    },
}

/// The output layouts of detectors; N is the number of labels, K that of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DetectHead {
    /// 1 × cells × (5 + N): centre offset, log size in cells, objectness, class scores; strides 8, 16, 32
    /// (YOLOX, Ge et al. 2021, exported without `decode_in_inference`).
    Yolox,
    /// 1 × (4 + N) × cells: centre and size in input pixels, class scores (Ultralytics YOLOv8).
    Yolov8,
    /// 1 × (5 + N + K) × rows × columns, the embedded detector: objectness logit, N label logits, K colour
    /// logits, then dx, dy (logits of the centre's place in its cell) and w, h (logarithm of the size in
    /// cells).
    Centre,
}

/// The output layouts of classifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassifyHead {
    /// 1 × N probabilities after a softmax, as f32 or as u8 in 256ths (MobileNet as TensorFlow exports it).
    Mobilenet,
}

/// The words for a model's classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// A set built in here.
    Builtin(BuiltinLabels),
    /// Spelled out.
    Listed(Vec<String>),
    /// A text file in the model folder, one label a line.
    File {
        /// Its name, without a folder.
        file: String,
    },
}

/// Label sets that need no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinLabels {
    /// The 80 classes of COCO.
    Coco,
}

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

/// Which scores count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Scores under this are not reported at all, 0 to 1.
    pub floor: f32,
    /// Scores from here on are taken for real by those who must decide, `floor` to 1.
    pub decision: f32,
    /// Boxes of one label that overlap by more than this (intersection over union) are one object.
    #[serde(default = "half")]
    pub overlap: f32,
}

fn half() -> f32 {
    0.5
}

/// The sample a model is checked on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// A JPEG in the model folder, without a folder; else a picture is painted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The words a model can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// The labels in the order of the classes.
    pub labels: Vec<String>,
    /// The colours; empty where the model tells none.
    pub colours: Vec<String>,
}

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// Values out of range: all of them, each with its key.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl Manifest {
    /// Reads a manifest and checks every value.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            toml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let mut problems: Vec<String> = manifest.models.iter().flat_map(ModelEntry::problems).collect();
        let mut names = BTreeSet::new();
        let twice = manifest.models.iter().filter(|model| !names.insert(&model.name));
        problems.extend(twice.map(|model| format!("model {:?}: the name is taken", model.name)));
        if problems.is_empty() { Ok(manifest) } else { Err(ManifestError::Invalid(problems)) }
    }

    /// Returns the model of that name.
    pub fn model(&self, name: &str) -> Option<&ModelEntry> {
        self.models.iter().find(|model| model.name == name)
    }
}

impl ModelEntry {
    /// Reads a single entry, written as a document of its own, and checks every value.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let entry: Self = toml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let problems = entry.problems();
        if problems.is_empty() { Ok(entry) } else { Err(ManifestError::Invalid(problems)) }
    }

    /// Lists what is wrong with the values, each with its key.
    fn problems(&self) -> Vec<String> {
        let Self { input, thresholds, calibration, .. } = self;
        let share = |value: f32| (0.0..=1.0).contains(&value);
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let rules = [
            (
                self.name.is_empty() || !self.name.bytes().all(is_name),
                "name: lower-case letters, digits, hyphens",
            ),
            (!is_file_name(&self.file), "file: a file name without a folder"),
            (!is_sha256(&self.sha256), "sha256: 64 hexadecimal digits"),
            (!share(thresholds.floor), "thresholds.floor: 0 to 1"),
            (!(thresholds.floor..=1.0).contains(&thresholds.decision), "thresholds.decision: floor to 1"),
            (!share(thresholds.overlap), "thresholds.overlap: 0 to 1"),
            (!(calibration.slope.is_finite() && calibration.slope > 0.0), "calibration.slope: above 0"),
            (!calibration.intercept.is_finite(), "calibration.intercept: finite"),
            (
                self.check.image.as_ref().is_some_and(|image| !is_file_name(image)),
                "check.image: a file name without a folder",
            ),
        ];
        let broken = rules.iter().filter(|(broken, _)| *broken).map(|(_, rule)| (*rule).to_owned());
        let broken = broken.chain(input.problems().map(str::to_owned)).chain(self.task.problem());
        broken.map(|rule| format!("model {:?}: {rule}", self.name)).collect()
    }
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
    fn problems(&self) -> impl Iterator<Item = &'static str> {
        let side = |pixels| (1..=4096).contains(&pixels);
        let as_is = self.scale == 1.0 && self.offset == 0.0;
        let rules = [
            (!side(self.width) || !side(self.height), "input.width, input.height: 1 to 4096"),
            (!(self.scale.is_finite() && self.offset.is_finite()), "input.scale, input.offset: finite"),
            (self.level == Level::U8 && !as_is, "input.scale, input.offset: not with type u8"),
            (!(self.keep > 0.0 && self.keep <= 1.0), "input.keep: above 0, to 1"),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule)
    }
}

impl Task {
    /// Returns the labels.
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Detect { labels, .. } | Self::Classify { labels, .. } => labels,
        }
    }

    /// Returns the colours; empty where the model tells none.
    pub fn colours(&self) -> &[String] {
        match self {
            Self::Detect { colours, .. } => colours,
            Self::Classify { .. } => &[],
        }
    }

    fn problem(&self) -> Option<String> {
        let labels = match self.labels() {
            Labels::Listed(words) if words.is_empty() => Some("task.labels: at least one"),
            Labels::File { file } if !is_file_name(file) => {
                Some("task.labels.file: a file name without a folder")
            }
            Labels::Builtin(_) | Labels::Listed(_) | Labels::File { .. } => None,
        };
        let colours = match self {
            Self::Detect { head: DetectHead::Yolox | DetectHead::Yolov8, colours, .. }
                if !colours.is_empty() =>
            {
                Some("task.colours: only with head centre")
            }
            Self::Detect { .. } | Self::Classify { .. } => None,
        };
        labels.or(colours).map(str::to_owned)
    }
}

impl BuiltinLabels {
    /// Returns the words.
    pub fn words(self) -> Vec<String> {
        match self {
            Self::Coco => COCO_LABELS.map(str::to_owned).to_vec(),
        }
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// No separators of any system and no dot names: the file lies in the model folder itself.
fn is_file_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\', ':', '\0'])
}
