//! Detectors as their authors evaluate them: every class of a cell that scores is a candidate of its own
//! ("multi-label"), while `glassd_inference::Detector` takes the best class of a cell alone. That is worth about
//! 0.01 of mAP, and published figures have it.

use glassd_inference::Tensor;
use glassd_media::Image;

use crate::average_precision::{Found, overlap};

/// Level of what a letterbox leaves empty, of both families.
const PAD: u8 = 114;
/// Scores up to this are not looked at, in COCO's evaluations of both families.
const FLOOR: f32 = 0.001;

/// How a family of detectors is fed and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Ultralytics: RGB from 0 to 1, the picture in the middle; centre and size in pixels, then class scores, a
    /// row each.
    Yolov8,
    /// Megvii: BGR from 0 to 255, the picture in the top left corner; a row for each cell of offset, logarithm
    /// of the size, objectness, class scores.
    Yolox,
}

/// A family at the sides of one model.
pub(crate) struct Head {
    family: Family,
    width: usize,
    height: usize,
}

/// Where the picture lies in the input: left, top, width, height.
type Placement = [usize; 4];

impl Head {
    /// Tells from its shapes what a model of COCO's 80 classes is; none for others.
    pub(crate) fn new(input: &[usize], output: &[usize]) -> Option<Self> {
        let (&[1, 3, height, width], &[1, rows, columns]) = (input, output) else { return None };
        let family = match (rows, columns) {
            (84, _) => Family::Yolov8,
            (_, 85) => Family::Yolox,
            _ => return None,
        };
        Some(Self { family, width, height })
    }

    /// Brings a picture in; also tells where it lies.
    pub(crate) fn input(&self, image: &Image) -> (Tensor, Placement) {
        let (wide, high) = (image.width() as f32, image.height() as f32);
        let scale = (self.width as f32 / wide).min(self.height as f32 / high);
        let side = |pixels: f32| match self.family {
            Family::Yolov8 => (pixels * scale).round() as usize,
            Family::Yolox => (pixels * scale) as usize,
        };
        let (width, height) = (side(wide), side(high));
        let (left, top) = match self.family {
            Family::Yolov8 => ((self.width - width) / 2, (self.height - height) / 2),
            Family::Yolox => (0, 0),
        };
        let value = |level: u8| match self.family {
            Family::Yolov8 => f32::from(level) / 255.0,
            Family::Yolox => f32::from(level),
        };
        let mut values = vec![value(PAD); 3 * self.width * self.height];
        for (index, pixel) in image.resized(width as u32, height as u32).pixels().chunks_exact(3).enumerate()
        {
            let place = (top + index / width) * self.width + left + index % width;
            for (channel, &level) in pixel.iter().enumerate() {
                let channel = if self.family == Family::Yolox { 2 - channel } else { channel };
                values[channel * self.width * self.height + place] = value(level);
            }
        }
        let sides = [1, 3, self.height, self.width];
        let tensor = Tensor::from_shape(&sides, &values).expect("as many values as the shape holds");
        (tensor, [left, top, width, height])
    }

    /// Reads what was found, in shares of the picture, the highest score first.
    pub(crate) fn found(&self, output: &[f32], [left, top, width, height]: Placement) -> Vec<Found> {
        let (mut candidates, most) = match self.family {
            Family::Yolov8 => (self.yolov8(output), 0.7),
            Family::Yolox => (self.yolox(output), 0.65),
        };
        let x = |x: f64| ((x - left as f64) / width as f64).clamp(0.0, 1.0);
        let y = |y: f64| ((y - top as f64) / height as f64).clamp(0.0, 1.0);
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
        let kept = suppressed(&candidates, most).into_iter();
        kept.map(|(label, score, [a, b, c, d])| (label, score, [x(a), y(b), x(c), y(d)])).collect()
    }

    fn yolov8(&self, output: &[f32]) -> Vec<Found> {
        let cells = output.len() / 84;
        let seen = output.iter().enumerate().skip(4 * cells).filter(|(_, score)| **score > FLOOR);
        seen.map(|(index, score)| {
            let [x, y, width, height] = std::array::from_fn(|row| output[row * cells + index % cells]);
            (index / cells - 4, f64::from(*score), around(x, y, width, height))
        })
        .collect()
    }

    fn yolox(&self, output: &[f32]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut cells = output.chunks_exact(85);
        for stride in [8, 16, 32] {
            let columns = self.width / stride;
            for (index, cell) in cells.by_ref().take(columns * (self.height / stride)).enumerate() {
                let stride = stride as f32;
                let x = (cell[0] + (index % columns) as f32) * stride;
                let y = (cell[1] + (index / columns) as f32) * stride;
                let bounds = around(x, y, cell[2].exp() * stride, cell[3].exp() * stride);
                let scores = cell[5..].iter().map(|class| class * cell[4]).enumerate();
                let seen = scores.filter(|(_, score)| *score > FLOOR);
                found.extend(seen.map(|(label, score)| (label, f64::from(score), bounds)));
            }
        }
        found
    }
}

fn around(x: f32, y: f32, width: f32, height: f32) -> [f64; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0].map(f64::from)
}

/// Keeps, of candidates sorted by falling score, those that no better one of their label overlaps by more.
fn suppressed(candidates: &[Found], most: f64) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for candidate in candidates {
        let is_same = |better: &Found| better.0 == candidate.0 && overlap(better.2, candidate.2) > most;
        if !kept.iter().any(is_same) {
            kept.push(*candidate);
        }
    }
    kept
}
