//! What a model does, and the words it does it with.

use serde::{Deserialize, Serialize};

use super::is_file_name;
use crate::coco::COCO_LABELS;

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

    pub(super) fn problem(&self) -> Option<String> {
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
