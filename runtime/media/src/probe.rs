//! A cheap look at every frame: how much changed, how sharp it is, how bright, and what it resembles.

use fast_image_resize::PixelType;

use crate::image::{AREA, Image, resampled};

/// What one look at a frame tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// Change of the picture since the frame before, 0 (none) to 1; see [`Prober`] for its scale.
    pub motion: f32,
    /// 0 (blurred or featureless) to 1: one minus the blur metric of Crete et al. 2007, "The blur
    /// effect", on the luma at 320 pixels a side.
    pub sharpness: f32,
    /// Mean luma, 0 (black) to 1 (white).
    pub light: f32,
    /// Difference hash of the luma, 8 rows of 8 comparisons of neighbours; similar pictures differ in
    /// few bits.
    pub fingerprint: u64,
}

/// Looks at the frames of one camera, one after another.
///
/// Motion compares luma thumbnails that are freed of their mean and divided by their own contrast, so
/// that a lamp, a cloud or the camera's exposure is no motion; a share of the contrast, 0 to 1. Measured
/// at 5 frames a second: people in front of a fixed camera 0.02 to 0.15; a camera that pans by 2 %, 5 %
/// and 10 % of its view between frames 0.1, 0.2 and 0.3; another scene 0.6 to 0.8. The policies call
/// more than 0.3 high. The first frame has motion 1: nothing of it was seen before.
#[derive(Clone, Debug, Default)]
pub struct Prober {
    previous: Option<Vec<f32>>,
}

/// Luma planes are looked at with their longest side at this many pixels.
const LOOK_SIDE: u32 = 320;
/// Width and height of the thumbnail that motion is measured on.
const THUMBNAIL: (u32, u32) = (40, 30);
/// Grey levels a pixel that count as contrast even in a flat picture, so that a dark room's sensor noise
/// is no motion.
const NOISE_LEVELS: f32 = 4.0;

impl Prober {
    /// Looks at the next frame.
    pub fn probe(&mut self, image: &Image) -> Probe {
        let look = Luma::of(image).shrunk(LOOK_SIDE);
        let thumbnail = look.resampled(THUMBNAIL);
        let pattern = thumbnail.pattern();
        let motion = self.previous.as_ref().map_or(1.0, |previous| change(previous, &pattern));
        self.previous = Some(pattern);
        Probe {
            motion,
            sharpness: look.sharpness(),
            light: thumbnail.mean() / 255.0,
            fingerprint: look.fingerprint(),
        }
    }
}

/// Returns half the mean difference of two patterns of contrast 1: 0 to 1, as the triangle inequality says.
fn change(before: &[f32], after: &[f32]) -> f32 {
    let difference: f32 = before.iter().zip(after).map(|(before, after)| (before - after).abs()).sum();
    (difference / after.len() as f32 / 2.0).clamp(0.0, 1.0)
}

/// One luma plane, 8 bits a pixel, row-major.
struct Luma {
    width: u32,
    height: u32,
    levels: Vec<u8>,
}

impl Luma {
    /// Weighs the channels as JPEG does (ITU-R BT.601), in 256ths.
    fn of(image: &Image) -> Self {
        let luma = |rgb: &[u8]| {
            let weighed = 77 * u32::from(rgb[0]) + 150 * u32::from(rgb[1]) + 29 * u32::from(rgb[2]);
            (weighed >> 8) as u8
        };
        let levels = image.pixels().chunks_exact(3).map(luma).collect();
        Self { width: image.width(), height: image.height(), levels }
    }

    fn shrunk(self, longest_side: u32) -> Self {
        let longest = self.width.max(self.height);
        if longest <= longest_side {
            return self;
        }
        let scaled = |side: u32| (side * longest_side / longest).max(1);
        self.resampled((scaled(self.width), scaled(self.height)))
    }

    fn resampled(&self, to: (u32, u32)) -> Self {
        let levels = resampled(&self.levels, (self.width, self.height), to, PixelType::U8, AREA);
        Self { width: to.0, height: to.1, levels }
    }

    fn mean(&self) -> f32 {
        let sum: u64 = self.levels.iter().map(|&level| u64::from(level)).sum();
        sum as f32 / self.levels.len() as f32
    }

    /// Returns the levels less their mean, in units of their mean distance from it.
    fn pattern(&self) -> Vec<f32> {
        let mean = self.mean();
        let mut pattern: Vec<f32> = self.levels.iter().map(|&level| f32::from(level) - mean).collect();
        let contrast = pattern.iter().map(|level| level.abs()).sum::<f32>() / pattern.len() as f32;
        pattern.iter_mut().for_each(|level| *level /= contrast + NOISE_LEVELS);
        pattern
    }

    /// Returns one bit for each pair of neighbours in a row of a 9 × 8 thumbnail: is the right one brighter?
    fn fingerprint(&self) -> u64 {
        let tiny = self.resampled((9, 8)).levels;
        let bits = tiny.chunks_exact(9).flat_map(|row| row.windows(2)).map(|pair| pair[1] > pair[0]);
        bits.fold(0, |hash, bit| hash << 1 | u64::from(bit))
    }

    /// Blurs once more and asks how much of the local contrast that took away: a sharp picture loses
    /// most of it, a blurred one has none to lose. The worse direction counts, which finds motion blur.
    fn sharpness(&self) -> f32 {
        let (width, height) = (self.width as usize, self.height as usize);
        let along_rows = contrast_lost(&self.levels, width, height, 1, width);
        let along_columns = contrast_lost(&self.levels, height, width, width, 1);
        along_rows.min(along_columns)
    }
}

/// Half of the nine-tap mean that Crete et al. blur with.
const REACH: usize = 4;

/// Returns the share of the contrast between neighbours that a nine-tap mean removes, over `lines` lines
/// of `length` pixels, `step` apart in a line and `stride` apart between lines; 0 without contrast.
fn contrast_lost(levels: &[u8], length: usize, lines: usize, step: usize, stride: usize) -> f32 {
    let (mut contrast, mut lost) = (0_u64, 0_u64);
    for line in 0..lines {
        let level = |at: usize| u32::from(levels[line * stride + at * step]);
        for at in REACH + 1..length.saturating_sub(REACH) {
            let sharp = 9 * level(at).abs_diff(level(at - 1));
            // Two nine-tap means of neighbours differ only in the pixels that enter and leave.
            let blurred = level(at + REACH).abs_diff(level(at - REACH - 1));
            contrast += u64::from(sharp);
            lost += u64::from(sharp.saturating_sub(blurred));
        }
    }
    if contrast == 0 { 0.0 } else { lost as f32 / contrast as f32 }
}
