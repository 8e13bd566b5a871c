//! Reading text in a picture: where lines are, which way up they stand, and what they say.

mod characters;
mod rectangle;
mod regions;

use glassd_media::Image;
use tract_onnx::prelude::Tensor;

use self::characters::Characters;
use self::regions::{Map, reading_order};
use crate::accelerators::{Accelerator, DynamicModel, InferenceError, LoadError, failed, floats};
use crate::int8::Threads;
use crate::manifest::{InputContract, ModelEntry, Task};
use crate::store::{Flaw, judged};
use crate::tasks::sampling::{Corners, Planes, sides};

/// A line of text in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it says, as the model writes it: those of PP-OCR lose spaces.
    pub text: String,
    /// Mean of the model's own scores of the characters, 0 to 1.
    pub score: f32,
    /// Calibrated probability that the line says this, 0 to 1.
    pub probability: f32,
    /// Its corners (x, y) as shares of the picture's width and height, 0 to 1: clockwise from the one where
    /// reading starts, upper edge first.
    pub corners: [[f32; 2]; 4],
}

/// The models of a [`Reader`], as bytes of their ONNX files.
#[derive(Clone, Copy, Debug)]
pub struct ReadModels<'a> {
    /// Finds lines.
    pub detection: &'a [u8],
    /// Tells lines that stand on their heads; without one all are taken to be upright.
    pub direction: Option<&'a [u8]>,
    /// Reads a line; its characters stand in its metadata.
    pub recognition: &'a [u8],
}

/// Reads the text of pictures, one after another (PP-OCR: Du et al. 2020).
#[derive(Debug)]
pub struct Reader {
    entry: ModelEntry,
    input: InputContract,
    detection: DynamicModel,
    direction: Option<DynamicModel>,
    recognition: DynamicModel,
    characters: Characters,
}

/// The height of a line in both networks that look at lines, in pixels (PP-OCRv4: `rec_img_shape`).
const LINE_HEIGHT: usize = 48;
/// The width in which the direction of a line is told (PP-OCR: `cls_image_shape`).
const DIRECTION_WIDTH: usize = 192;
/// A line is turned from this score on (RapidOCR 1.4: `cls_thresh`).
const TURNED: f32 = 0.9;
/// The widths in which lines are read. The first is the network's own least; each next is half as wide again, so
/// that no line costs more than twice what it must and few forms are compiled. Longer lines are squeezed.
const WIDTHS: [usize; 5] = [320, 480, 720, 1080, 1600];
/// From this height over width on, a line runs down (PaddleOCR: `get_rotate_crop_image`).
const UPRIGHT: f32 = 1.5;
/// The sides of the detector's input are multiples of this many pixels.
const DETECTION_STEP: f32 = 32.0;
/// Width and height in which the detector is calibrated, whatever the shape of the picture.
const SAMPLE_SIZE: (usize, usize) = (640, 480);
/// Shapes of frames that the detector is kept compiled for: landscape and portrait.
const FRAME_SHAPES: usize = 2;

impl Reader {
    /// Prepares a reader; every model must take and give what PP-OCR's do.
    pub fn from_bytes(entry: &ModelEntry, models: ReadModels<'_>) -> Result<Self, LoadError> {
        let (Task::Read { .. }, Some(input)) = (&entry.task, entry.input) else {
            return Err(LoadError::Task("reader"));
        };
        let missing = || LoadError::Labels("the recogniser's metadata name no characters".into());
        let characters = Characters::of(models.recognition).ok_or_else(missing)?;
        let dynamic = |onnx: &[u8], most: usize| DynamicModel::new(Accelerator::Cpu, onnx, most);
        let mut reader = Self {
            entry: entry.clone(),
            input,
            detection: dynamic(models.detection, FRAME_SHAPES),
            direction: models.direction.map(|onnx| dynamic(onnx, 1)),
            recognition: dynamic(models.recognition, WIDTHS.len()),
            characters,
        };
        reader.prepare()?;
        Ok(reader)
    }

    /// Compiles what most frames need, and refuses models of other shapes.
    fn prepare(&mut self) -> Result<(), LoadError> {
        let expect = |model: &mut DynamicModel, (width, height): (usize, usize), expected: Vec<usize>| {
            let outputs = model.prepare(&[vec![1, 3, height, width]])?;
            let told = |shapes: &[Vec<usize>]| format!("{shapes:?}");
            if outputs == [expected.clone()] {
                return Ok(());
            }
            Err(LoadError::Mismatch { what: "output", expected: told(&[expected]), actual: told(&outputs) })
        };
        let frame = self.detection_size(self.input.width as f32, self.input.height as f32);
        expect(&mut self.detection, frame, vec![1, 1, frame.1, frame.0])?;
        if let Some(direction) = &mut self.direction {
            expect(direction, (DIRECTION_WIDTH, LINE_HEIGHT), vec![1, 2])?;
        }
        let steps = WIDTHS[0] / STEP;
        expect(&mut self.recognition, (WIDTHS[0], LINE_HEIGHT), vec![1, steps, self.characters.classes()])
    }

    /// Reads a picture: its lines from the floor upwards, in the order in which they are read.
    pub fn read(&mut self, image: &Image) -> Result<Vec<Line>, InferenceError> {
        let places = self.places(image)?;
        let order = reading_order(&places);
        let mut lines = Vec::new();
        for at in order {
            let corners = self.upright(image, places[at])?;
            let (text, score) = self.text(image, &corners)?;
            if score >= self.entry.thresholds.floor && !text.is_empty() {
                let (width, height) = (image.width() as f32, image.height() as f32);
                let share = |[x, y]: [f32; 2]| [(x / width).clamp(0.0, 1.0), (y / height).clamp(0.0, 1.0)];
                let probability = self.entry.calibration.probability(score);
                lines.push(Line { text, score, probability, corners: corners.map(share) });
            }
        }
        Ok(lines)
    }

    /// Divides large layers between threads from now on.
    pub fn divide_between(&mut self, threads: &Threads) {
        let models = [&mut self.detection, &mut self.recognition].into_iter().chain(&mut self.direction);
        models.for_each(|model| model.divide_between(threads));
    }

    /// Returns the manifest entry.
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    /// Returns the inputs of the three models for a picture, in the order of [`ReadModels`]: what they are
    /// calibrated on. Lines are in the narrowest width, so that all have one shape.
    pub fn samples(&mut self, image: &Image) -> Result<[Vec<Tensor>; 3], InferenceError> {
        let frame = self.frame(image, SAMPLE_SIZE);
        let (mut directions, mut lines) = (Vec::new(), Vec::new());
        for place in self.places(image)? {
            directions.push(self.line(image, &place, DIRECTION_WIDTH));
            let corners = self.upright(image, place)?;
            lines.push(self.line(image, &corners, WIDTHS[0]));
        }
        Ok([vec![frame], directions, lines])
    }

    /// Runs on the check sample and judges what comes out: it must find a line and read something.
    pub(crate) fn check(&mut self, sample: &Image) -> Result<(), Flaw> {
        let size = self.detection_size(sample.width() as f32, sample.height() as f32);
        let outputs = self.detection.run(vec![self.frame(sample, size)])?;
        let map = floats(&outputs)?;
        judged(map, map)?;
        if self.read(sample)?.is_empty() { Err(Flaw::Nothing) } else { Ok(()) }
    }

    /// Returns where lines are, in pixels of the picture, each with the corner first that is top left.
    fn places(&mut self, image: &Image) -> Result<Vec<Corners>, InferenceError> {
        let (wide, high) = (image.width() as f32, image.height() as f32);
        let (width, height) = self.detection_size(wide, high);
        let input = self.frame(image, (width, height));
        let outputs = self.detection.run(vec![input])?;
        let lines = Map { values: floats(&outputs)?, width }.lines();
        let [across, down] = [wide / width as f32, high / height as f32];
        let place = |[x, y]: [f32; 2]| [(x * across).clamp(0.0, wide), (y * down).clamp(0.0, high)];
        let is_line = |corners: &Corners| sides(corners).iter().all(|side| *side > 3.0);
        Ok(lines.into_iter().map(|corners| corners.map(place)).filter(is_line).collect())
    }

    /// Returns the size that a picture is detected in: the shorter side is the smaller one of the input's, as long
    /// as the longer one stays within the larger one.
    fn detection_size(&self, wide: f32, high: f32) -> (usize, usize) {
        let (width, height) = (self.input.width as f32, self.input.height as f32);
        let scale = (width.min(height) / wide.min(high)).min(width.max(height) / wide.max(high));
        let side = |pixels: f32| {
            let steps = (pixels * scale / DETECTION_STEP).round().max(1.0);
            (steps * DETECTION_STEP) as usize
        };
        (side(wide), side(high))
    }

    fn frame(&self, image: &Image, (width, height): (usize, usize)) -> Tensor {
        let (right, bottom) = (image.width() as f32, image.height() as f32);
        let corners = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
        self.filled((width, height), |planes| planes.warp(image, &corners, width))
    }

    /// Returns a line as an input of `width`; what it does not fill is 0, which is the middle grey.
    fn line(&self, image: &Image, corners: &Corners, width: usize) -> Tensor {
        let columns = columns(corners).min(width);
        self.filled((width, LINE_HEIGHT), |planes| planes.warp(image, corners, columns))
    }

    fn filled(&self, (width, height): (usize, usize), fill: impl FnOnce(&mut Planes<'_>)) -> Tensor {
        let mut values = vec![0.0; 3 * width * height];
        fill(&mut Planes::new(&mut values, (width, height), &self.input));
        Tensor::from_shape(&[1, 3, height, width], &values).expect("as many values as the shape holds")
    }

    /// Returns the corners of a line with the one first where reading starts.
    fn upright(&mut self, image: &Image, place: Corners) -> Result<Corners, InferenceError> {
        let [across, down] = sides(&place);
        let [a, b, c, d] = place;
        let corners = if down >= UPRIGHT * across { [b, c, d, a] } else { place };
        let input = self.line(image, &corners, DIRECTION_WIDTH);
        let Some(direction) = &mut self.direction else { return Ok(corners) };
        let outputs = direction.run(vec![input])?;
        let [_, turned] = floats(&outputs)?.try_into().map_err(failed)?;
        let [a, b, c, d] = corners;
        Ok(if turned > TURNED { [c, d, a, b] } else { corners })
    }

    fn text(&mut self, image: &Image, corners: &Corners) -> Result<(String, f32), InferenceError> {
        let needed = columns(corners);
        let width = WIDTHS.into_iter().find(|width| *width >= needed).unwrap_or(WIDTHS[WIDTHS.len() - 1]);
        let input = self.line(image, corners, width);
        let outputs = self.recognition.run(vec![input])?;
        Ok(self.characters.decode(floats(&outputs)?))
    }
}

/// Pixels of a line's width that a recogniser makes one step of.
const STEP: usize = 8;

/// Returns the columns that a line fills at the height of lines, at least 1.
fn columns(corners: &Corners) -> usize {
    let [across, down] = sides(corners);
    (LINE_HEIGHT as f32 * across / down).ceil().max(1.0) as usize
}
