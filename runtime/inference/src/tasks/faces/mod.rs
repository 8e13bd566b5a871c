//! Finding faces in three stages of small networks (MTCNN: Zhang et al. 2016), as facenet-pytorch 2.6 runs them.

mod boxes;

use glassd_media::Image;
use tract_onnx::prelude::Tensor;

use self::boxes::{Candidate, Overlap, suppressed};
use crate::accelerators::{Accelerator, DynamicModel, InferenceError, LoadError, failed, values};
use crate::int8::Threads;
use crate::manifest::{InputContract, ModelEntry, Task};
use crate::store::{Flaw, judged};
use crate::tasks::sampling::Planes;

/// A face in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// The last stage's own score, 0 to 1.
    pub score: f32,
    /// Calibrated probability that it is a face, 0 to 1.
    pub probability: f32,
    /// Left, top, right and bottom as shares of the picture's width and height, 0 to 1.
    pub bounds: [f32; 4],
    /// The eye at the left of the picture, the other one, the nose, the left and the right corner of the mouth:
    /// (x, y) as shares of the picture's width and height.
    pub landmarks: [[f32; 2]; 5],
}

/// The models of a [`FaceFinder`], as bytes of their ONNX files.
#[derive(Clone, Copy, Debug)]
pub struct FaceModels<'a> {
    /// The proposal network (P-Net): any size.
    pub propose: &'a [u8],
    /// The refinement network (R-Net): 24 × 24.
    pub refine: &'a [u8],
    /// The output network (O-Net): 48 × 48.
    pub output: &'a [u8],
}

/// Finds faces in pictures, one after another.
#[derive(Debug)]
pub struct FaceFinder {
    entry: ModelEntry,
    input: InputContract,
    smallest: u32,
    propose: DynamicModel,
    refine: DynamicModel,
    output: DynamicModel,
}

/// What the proposal network sees at a time, in pixels, and how far apart.
const CELL: f32 = 12.0;
const CELL_STRIDE: f32 = 2.0;
/// From one size of the frame to the next.
const FACTOR: f32 = 0.709;
/// Scores that a candidate must reach in the first two stages; the entry's floor is that of the last one.
const PROPOSED: f32 = 0.6;
const REFINED: f32 = 0.7;
/// Sizes of the frame that the proposal network is kept compiled for; a frame of 1280 × 720 has 12.
const MOST_SIZES: usize = 16;
/// How many windows are looked at together: the largest that are left, so that none is padded.
const BATCHES: [usize; 3] = [16, 4, 1];
/// Windows of each stage at most, so that no frame makes the wait unbounded.
const MOST_WINDOWS: usize = 256;
/// Width and height in which the proposal network is calibrated: a frame of 640 × 480 shrunk once.
const SAMPLE_SIZE: (usize, usize) = (385, 289);
const REFINE_SIDE: usize = 24;
const OUTPUT_SIDE: usize = 48;

impl FaceFinder {
    /// Prepares a finder; every model must take and give what MTCNN's do.
    pub fn from_bytes(entry: &ModelEntry, models: FaceModels<'_>) -> Result<Self, LoadError> {
        let (&Task::Faces { smallest, .. }, Some(input)) = (&entry.task, entry.input) else {
            return Err(LoadError::Task("face finder"));
        };
        let dynamic = |onnx: &[u8], most: usize| DynamicModel::new(Accelerator::Cpu, onnx, most);
        let mut finder = Self {
            entry: entry.clone(),
            input,
            smallest,
            propose: dynamic(models.propose, MOST_SIZES),
            refine: dynamic(models.refine, BATCHES.len()),
            output: dynamic(models.output, BATCHES.len()),
        };
        let expect = |model: &mut DynamicModel, side: usize, expected: &[Vec<usize>]| {
            let outputs = model.prepare(&[vec![1, 3, side, side]])?;
            if outputs == expected {
                return Ok(());
            }
            let (expected, actual) = (format!("{expected:?}"), format!("{outputs:?}"));
            Err(LoadError::Mismatch { what: "output", expected, actual })
        };
        expect(&mut finder.propose, 12, &[vec![1, 4, 1, 1], vec![1, 2, 1, 1]])?;
        expect(&mut finder.refine, REFINE_SIDE, &[vec![1, 4], vec![1, 2]])?;
        expect(&mut finder.output, OUTPUT_SIDE, &[vec![1, 4], vec![1, 10], vec![1, 2]])?;
        Ok(finder)
    }

    /// Returns the faces from the floor upwards, the highest score first.
    pub fn find(&mut self, image: &Image) -> Result<Vec<Face>, InferenceError> {
        let proposed = self.proposed(image)?;
        let refined = self.refined(image, &proposed)?;
        let decided = self.decided(image, &refined)?;
        let (width, height) = (image.width() as f32, image.height() as f32);
        let share = |[x, y]: [f32; 2]| [(x / width).clamp(0.0, 1.0), (y / height).clamp(0.0, 1.0)];
        let face = |found: &Candidate| {
            let [left, top, right, bottom] = found.bounds;
            let ([left, top], [right, bottom]) = (share([left, top]), share([right, bottom]));
            Face {
                score: found.score,
                probability: self.entry.calibration.probability(found.score),
                bounds: [left, top, right, bottom],
                landmarks: found.landmarks.map(share),
            }
        };
        let is_visible = |face: &Face| face.bounds[0] < face.bounds[2] && face.bounds[1] < face.bounds[3];
        Ok(decided.iter().map(face).filter(is_visible).collect())
    }

    /// Divides large layers between threads from now on.
    pub fn divide_between(&mut self, threads: &Threads) {
        [&mut self.propose, &mut self.refine, &mut self.output]
            .into_iter()
            .for_each(|model| model.divide_between(threads));
    }

    /// Returns the manifest entry.
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    /// Returns the inputs of the three models for a picture, in the order of [`FaceModels`]: what they are
    /// calibrated on. Those of the first are stretched to one shape, those of the others come one by one.
    pub fn samples(&mut self, image: &Image) -> Result<[Vec<Tensor>; 3], InferenceError> {
        let frame = batch(&self.input, image, &[[0, 0, image.width(), image.height()]], SAMPLE_SIZE);
        let proposed = self.proposed(image)?;
        let refined = self.refined(image, &proposed)?;
        let each = |candidates: &[Candidate], side: usize| {
            let windows = candidates.iter().filter_map(|it| it.window(image.width(), image.height()));
            windows.map(|window| batch(&self.input, image, &[window], (side, side))).collect()
        };
        Ok([vec![frame], each(&proposed, REFINE_SIDE), each(&refined, OUTPUT_SIDE)])
    }

    /// Returns the whole picture as an input of each network, in the order of [`FaceModels`].
    pub(crate) fn wholes(&self, image: &Image) -> [Tensor; 3] {
        let whole = [0, 0, image.width(), image.height()];
        let sides = [(96, 72), (REFINE_SIDE, REFINE_SIDE), (OUTPUT_SIDE, OUTPUT_SIDE)];
        sides.map(|size| batch(&self.input, image, &[whole], size))
    }

    /// Runs on the check sample and judges what comes out of every network.
    pub(crate) fn check(&mut self, sample: &Image) -> Result<(), Flaw> {
        let inputs = self.wholes(sample);
        let models = [&mut self.propose, &mut self.refine, &mut self.output];
        for (model, input) in models.into_iter().zip(inputs) {
            let outputs = model.run(vec![input])?;
            for output in &outputs {
                let all = values(output)?;
                judged(all, all)?;
            }
        }
        self.find(sample)?;
        Ok(())
    }

    /// Looks at the frame in every size from which a face would fill a cell.
    fn proposed(&mut self, image: &Image) -> Result<Vec<Candidate>, InferenceError> {
        let (width, height) = (image.width() as f32, image.height() as f32);
        let mut scale = CELL / self.smallest as f32;
        let mut found = Vec::new();
        while width.min(height) * scale >= CELL {
            let size = ((width * scale + 1.0) as usize, (height * scale + 1.0) as usize);
            let whole = [0, 0, image.width(), image.height()];
            let outputs = self.propose.run(vec![batch(&self.input, image, &[whole], size)])?;
            found.extend(suppressed(cells(&outputs, scale)?, 0.5, Overlap::Union));
            scale *= FACTOR;
        }
        let kept = suppressed(found, 0.7, Overlap::Union);
        Ok(kept.into_iter().map(|candidate| candidate.corrected(0.0).squared()).collect())
    }

    /// Looks closer at what was proposed.
    fn refined(&mut self, image: &Image, proposed: &[Candidate]) -> Result<Vec<Candidate>, InferenceError> {
        let (candidates, windows) = visible(proposed, image);
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let outputs = looked(&mut self.refine, &self.input, image, &windows, REFINE_SIDE)?;
        let [corrections, scores] = outputs.try_into().map_err(|_| failed("two outputs are needed"))?;
        let rows = corrections.as_chunks().0.iter().zip(scores.as_chunks().0);
        let refined = candidates.into_iter().zip(rows);
        let found = refined
            .filter(|(_, (_, [_, score]))| *score >= REFINED)
            .map(|(candidate, (&correction, &[_, score]))| Candidate { score, correction, ..candidate });
        let kept = suppressed(found.collect(), 0.7, Overlap::Union);
        Ok(kept.into_iter().map(|candidate| candidate.corrected(1.0).squared()).collect())
    }

    /// Decides, and tells where eyes, nose and mouth are.
    fn decided(&mut self, image: &Image, refined: &[Candidate]) -> Result<Vec<Candidate>, InferenceError> {
        let (candidates, windows) = visible(refined, image);
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let outputs = looked(&mut self.output, &self.input, image, &windows, OUTPUT_SIDE)?;
        let [corrections, places, scores] =
            outputs.try_into().map_err(|_| failed("three outputs are needed"))?;
        let rows = corrections.as_chunks().0.iter().zip(places.as_chunks().0).zip(scores.as_chunks().0);
        let floor = self.entry.thresholds.floor;
        let found = candidates.into_iter().zip(rows).filter(|(_, (_, [_, score]))| *score >= floor).map(
            |(candidate, ((&correction, places), &[_, score]))| {
                let landmarks = candidate.landmarks_at(places);
                Candidate { score, correction, landmarks, ..candidate }.corrected(1.0)
            },
        );
        Ok(suppressed(found.collect(), 0.7, Overlap::Smaller))
    }
}

/// Returns the candidates that lie in the frame, with the pixels that each covers.
fn visible(candidates: &[Candidate], image: &Image) -> (Vec<Candidate>, Vec<[u32; 4]>) {
    let windows = candidates
        .iter()
        .filter_map(|candidate| Some((*candidate, candidate.window(image.width(), image.height())?)));
    windows.take(MOST_WINDOWS).unzip()
}

/// Runs a network on windows of the frame; returns the values of each output, a row a window.
fn looked(
    model: &mut DynamicModel,
    input: &InputContract,
    image: &Image,
    windows: &[[u32; 4]],
    side: usize,
) -> Result<Vec<Vec<f32>>, InferenceError> {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    let mut rest = windows;
    while !rest.is_empty() {
        let count = BATCHES.into_iter().find(|count| *count <= rest.len()).unwrap_or(1);
        let (now, later) = rest.split_at(count);
        let outputs = model.run(vec![batch(input, image, now, (side, side))])?;
        rows.resize_with(outputs.len(), Vec::new);
        for (rows, output) in rows.iter_mut().zip(&outputs) {
            rows.extend_from_slice(values(output)?);
        }
        rest = later;
    }
    Ok(rows)
}

/// Returns windows of the frame as one input.
fn batch(
    input: &InputContract,
    image: &Image,
    windows: &[[u32; 4]],
    (width, height): (usize, usize),
) -> Tensor {
    let mut values = vec![0.0; windows.len() * 3 * width * height];
    for (planes, window) in values.chunks_exact_mut(3 * width * height).zip(windows) {
        Planes::new(planes, (width, height), input).area(image, *window);
    }
    Tensor::from_shape(&[windows.len(), 3, height, width], &values)
        .expect("as many values as the shape holds")
}

/// Reads the cells in which the proposal network sees a face, of a frame in `scale` times its size.
fn cells(outputs: &[Tensor], scale: f32) -> Result<Vec<Candidate>, InferenceError> {
    let [corrections, scores] = outputs else { return Err(failed("two outputs are needed")) };
    let columns = *scores.shape().last().unwrap_or(&1);
    let (corrections, scores) = (values(corrections)?, values(scores)?);
    let count = scores.len() / 2;
    let cell = |at: usize| {
        let place = |cell: usize, reach: f32| ((CELL_STRIDE * cell as f32 + reach) / scale).floor();
        let (x, y) = (at % columns, at / columns);
        Candidate {
            bounds: [place(x, 1.0), place(y, 1.0), place(x, CELL), place(y, CELL)],
            score: scores[count + at],
            correction: std::array::from_fn(|edge| corrections[edge * count + at]),
            landmarks: [[0.0; 2]; 5],
        }
    };
    Ok((0..count).filter(|at| scores[count + at] >= PROPOSED).map(cell).collect())
}
