//! What a model does, and the words it does it with.

use serde::{Deserialize, Serialize};

use super::coco::COCO_LABELS;
use super::{is_file_name, is_sha256};

/// What a model does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Finds objects.
    Detect {
        /// The layout of its output.
        head: DetectHead,
        /// What it finds, in the order of its classes.
        labels: Labels,
        /// Which classes of a place are told.
        #[serde(default)]
        classes: Classes,
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
    /// Reads text (PP-OCR). The entry's own file finds lines; in `input` the smaller one of width and height is
    /// what a picture's shorter side is brought to, the larger one is the most that its longer side may be, and
    /// all parts take `scale`, `offset` and `order`.
    Read {
        /// Tells lines that stand on their heads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direction: Option<Part>,
        /// Reads a line; its characters stand in its metadata under `character`.
        recognition: Part,
    },
    /// Tells whether something is in an image at all: 1 × 2 scores after a softmax, of "no" and of "yes", as f32,
    /// or in 256ths as u8, or less 128 as i8 (MLPerf Tiny's Visual Wake Words).
    Presence {
        /// What it is, in a word.
        of: String,
    },
    /// Finds faces (MTCNN). The entry's own file is the proposal network, which takes any size; `input` has the
    /// size of the output network, 48 × 48, and all parts take its `scale`, `offset` and `order`.
    Faces {
        /// The refinement network.
        refine: Part,
        /// The output network.
        output: Part,
        /// Sides of the smallest face that is looked for, in pixels of the image, 12 to 1000.
        #[serde(default = "smallest_face")]
        smallest: u32,
    },
    /// Names an image with words that are chosen when it is looked at (CLIP). The entry's own file is the image
    /// tower.
    ZeroShot {
        /// The text tower: `input_ids` and, if it wants one, `attention_mask`; one vector comes out.
        text: Part,
        /// A `tokenizer.json` of Hugging Face's tokenizers.
        tokenizer: Part,
        /// Tokens of a text, 3 to 8192.
        #[serde(default = "clip_tokens")]
        tokens: u32,
        /// Sentences with `{}` in the place of the label; what they mean on average is what the label means.
        #[serde(default = "clip_prompts")]
        prompts: Vec<String>,
        /// What cosines are multiplied by before the softmax, the inverse of the temperature: the exponential of
        /// the model's `logit_scale`, above 0.
        #[serde(default = "clip_scale")]
        scale: f32,
    },
    /// Turns sentences into vectors (Sentence-BERT); `input` and `thresholds` say nothing here.
    Embed {
        /// A `tokenizer.json` of Hugging Face's tokenizers, WordPiece or CLIP's byte pairs.
        tokenizer: Part,
        /// Tokens of a text at most, 3 to 8192.
        tokens: u32,
    },
}

/// facenet-pytorch's `min_face_size`.
fn smallest_face() -> u32 {
    20
}

/// The length that every CLIP of OpenAI was trained with.
fn clip_tokens() -> u32 {
    77
}

/// OpenAI's prompt for labels that nothing more is known of (Radford et al. 2021, §3.1.4).
fn clip_prompts() -> Vec<String> {
    vec!["a photo of a {}.".to_owned()]
}

/// At which OpenAI's training holds `logit_scale` (Radford et al. 2021, §2.5).
fn clip_scale() -> f32 {
    100.0
}

/// Tokens that a text may have: the marks of its ends and one between at least.
const LENGTHS: std::ops::RangeInclusive<u32> = 3..=8192;

/// A further file of a model, beside the entry's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name in the model folder, without a folder.
    pub file: String,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
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
    /// 1 × cells × (N + 32): class scores, then for each edge the logits of its distance, 0 to 7 cells; strides 8,
    /// 16, 32, 64 (NanoDet-Plus as its own tool exports it).
    Nanodet,
    /// 1 × boxes × 4 changes of anchors (y, x, height, width) and 1 × boxes × (1 + N) class logits, the first of
    /// "nothing" (TensorFlow's SSD-MobileNet without its post-processing).
    Ssd,
    /// 1 × boxes × 4 boxes (left, top, right, bottom, in shares of the input) and 1 × boxes × (1 + N) class
    /// scores, the first of "nothing" (pytorch-ssd and its kin).
    SsdDecoded,
    /// 1 × (5 + N + K) × rows × columns, the embedded detector: objectness logit, N label logits, K colour
    /// logits, then dx, dy (logits of the centre's place in its cell) and w, h (logarithm of the size in
    /// cells).
    Centre,
}

/// Which classes of a place a detector tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classes {
    /// The most probable: one thing is not counted as two.
    #[default]
    Best,
    /// All from the floor upwards, as the published scores of detectors are computed.
    All,
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
#[serde(untagged, deny_unknown_fields)]
pub enum Labels {
    /// A set built in here.
    Builtin(BuiltinLabels),
    /// Spelled out.
    Listed(Vec<String>),
    /// A text file in the model folder, one label a line.
    File {
        /// Its name, without a folder.
        file: String,
        /// SHA-256 of the file, 64 hexadecimal digits; without it any file of that name will do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
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
    /// Returns the labels, of a task that has any.
    pub fn labels(&self) -> Option<&Labels> {
        match self {
            Self::Detect { labels, .. } | Self::Classify { labels, .. } => Some(labels),
            Self::Read { .. }
            | Self::Presence { .. }
            | Self::Faces { .. }
            | Self::ZeroShot { .. }
            | Self::Embed { .. } => None,
        }
    }

    /// Tells whether the task looks at images.
    pub(super) fn is_visual(&self) -> bool {
        match self {
            Self::Detect { .. }
            | Self::Classify { .. }
            | Self::Presence { .. }
            | Self::Faces { .. }
            | Self::ZeroShot { .. }
            | Self::Read { .. } => true,
            Self::Embed { .. } => false,
        }
    }

    /// Returns the files that the task needs beside the entry's own, each with its key.
    pub fn parts(&self) -> Vec<(&'static str, &Part)> {
        match self {
            Self::Detect { .. } | Self::Classify { .. } | Self::Presence { .. } => Vec::new(),
            Self::Faces { refine, output, .. } => vec![("refine", refine), ("output", output)],
            Self::Read { direction, recognition } => {
                let direction = direction.iter().map(|part| ("direction", part));
                direction.chain([("recognition", recognition)]).collect()
            }
            Self::ZeroShot { text, tokenizer, .. } => vec![("text", text), ("tokenizer", tokenizer)],
            Self::Embed { tokenizer, .. } => vec![("tokenizer", tokenizer)],
        }
    }

    /// Returns the colours; empty where the model tells none.
    pub fn colours(&self) -> &[String] {
        match self {
            Self::Detect { colours, .. } => colours,
            _ => &[],
        }
    }

    /// Lists what is wrong with the values, each with its key.
    pub(super) fn problems(&self) -> Vec<String> {
        let labels = match self.labels() {
            Some(Labels::Listed(words)) if words.is_empty() => Some("task.labels: at least one"),
            Some(Labels::File { file, .. }) if !is_file_name(file) => {
                Some("task.labels.file: a file name without a folder")
            }
            Some(Labels::File { sha256: Some(sha256), .. }) if !is_sha256(sha256) => {
                Some("task.labels.sha256: 64 hexadecimal digits")
            }
            _ => None,
        };
        let own = match self {
            Self::Detect { head, colours, .. } if *head != DetectHead::Centre && !colours.is_empty() => {
                Some("task.colours: only with head centre")
            }
            Self::Detect { head: DetectHead::Centre, classes: Classes::All, .. } => {
                Some("task.classes: only the best with head centre")
            }
            Self::Embed { tokens, .. } | Self::ZeroShot { tokens, .. } if !LENGTHS.contains(tokens) => {
                Some("task.tokens: 3 to 8192")
            }
            Self::ZeroShot { prompts, .. }
                if prompts.is_empty() || prompts.iter().any(|prompt| !prompt.contains("{}")) =>
            {
                Some("task.prompts: at least one, each with {} in the place of the label")
            }
            Self::ZeroShot { scale, .. } if !(scale.is_finite() && *scale > 0.0) => {
                Some("task.scale: above 0")
            }
            Self::Faces { smallest, .. } if !(12..=1000).contains(smallest) => {
                Some("task.smallest: 12 to 1000")
            }
            _ => None,
        };
        let parts = self.parts().into_iter().flat_map(|(key, part)| {
            let name =
                (!is_file_name(&part.file)).then(|| format!("task.{key}.file: a file name without a folder"));
            let hash =
                (!is_sha256(&part.sha256)).then(|| format!("task.{key}.sha256: 64 hexadecimal digits"));
            name.into_iter().chain(hash)
        });
        labels.into_iter().chain(own).map(str::to_owned).chain(parts).collect()
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
