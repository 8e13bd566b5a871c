//! From a decoded image to a model's input tensor.

use std::ops::Range;

use glassd_media::Image;
use tract_onnx::prelude::{Datum, DatumType, Tensor};

use crate::accelerators::{LoadError, Signature};
use crate::manifest::{Fit, InputContract, Layout, Level, Order};

/// Where the whole picture lies in the input, in input pixels; a cropped picture reaches beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl Placement {
    /// Returns a box given in input pixels (left, top, right, bottom) as shares of the picture.
    pub(crate) fn shares(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let x = |x: f32| ((x - self.left) / self.width).clamp(0.0, 1.0);
        let y = |y: f32| ((y - self.top) / self.height).clamp(0.0, 1.0);
        [x(left), y(top), x(right), y(bottom)]
    }
}

impl InputContract {
    /// Refuses a model whose only input is not of this shape and type.
    pub(crate) fn expect(&self, inputs: &[Signature]) -> Result<(), LoadError> {
        let (width, height) = (self.width as usize, self.height as usize);
        let shape = match self.layout {
            Layout::Nchw => vec![1, 3, height, width],
            Layout::Nhwc => vec![1, height, width, 3],
        };
        let datum = match self.level {
            Level::F32 => DatumType::F32,
            Level::U8 => DatumType::U8,
            Level::I8 => DatumType::I8,
        };
        Signature { datum, shape }.expect_only(inputs, "input")
    }

    /// Returns a picture as the input tensor of a model, to calibrate on.
    pub fn sample(&self, image: &Image) -> Tensor {
        self.tensor(image).0
    }

    /// Brings a picture in; also tells where it lies.
    pub(crate) fn tensor(&self, image: &Image) -> (Tensor, Placement) {
        let placement = self.placement(image);
        let fitted = image.resized(placement.width as u32, placement.height as u32);
        let tensor = match self.level {
            Level::F32 => {
                let values: [f32; 256] = std::array::from_fn(|level| level as f32 * self.scale + self.offset);
                self.filled(&fitted, placement, |level| values[usize::from(level)])
            }
            Level::U8 => self.filled(&fitted, placement, |level| level),
            Level::I8 => self.filled(&fitted, placement, |level| level.wrapping_sub(128).cast_signed()),
        };
        (tensor, placement)
    }

    /// Whole pixels, so that the picture is resampled once.
    fn placement(&self, image: &Image) -> Placement {
        let (width, height) = (self.width as f32, self.height as f32);
        let (wide, high) = (width / image.width() as f32, height / image.height() as f32);
        let scaled = |scale: f32| {
            let side = |pixels: u32| (pixels as f32 * scale).round().max(1.0);
            (side(image.width()), side(image.height()))
        };
        let ((w, h), middle) = match self.fit {
            Fit::Letterbox => (scaled(wide.min(high)), 0.5),
            Fit::LetterboxCorner => (scaled(wide.min(high)), 0.0),
            Fit::Stretch => ((width, height), 0.0),
            Fit::Crop => (scaled(wide.max(high) / self.keep), 0.5),
        };
        Placement {
            left: ((width - w) * middle).floor(),
            top: ((height - h) * middle).floor(),
            width: w,
            height: h,
        }
    }

    fn filled<T: Datum + Copy>(&self, fitted: &Image, place: Placement, value: impl Fn(u8) -> T) -> Tensor {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut data = vec![value(self.pad); width * height * 3];
        let (columns, left) = overlap(place.left, fitted.width(), self.width);
        let (rows, above) = overlap(place.top, fitted.height(), self.height);
        let sources = fitted.pixels().chunks_exact(fitted.width() as usize * 3).skip(above);
        for (y, source) in rows.zip(sources) {
            let source = &source[left * 3..(left + columns.len()) * 3];
            for channel in 0..3 {
                let place = match self.order {
                    Order::Rgb => channel,
                    Order::Bgr => 2 - channel,
                };
                let levels = source.iter().skip(channel).step_by(3);
                match self.layout {
                    Layout::Nchw => {
                        let start = (place * height + y) * width;
                        let target = &mut data[start + columns.start..start + columns.end];
                        target.iter_mut().zip(levels).for_each(|(target, &level)| *target = value(level));
                    }
                    Layout::Nhwc => {
                        let target = &mut data[(y * width + columns.start) * 3 + place..];
                        let target = target.iter_mut().step_by(3);
                        target.zip(levels).for_each(|(target, &level)| *target = value(level));
                    }
                }
            }
        }
        let shape = match self.layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        };
        Tensor::from_shape(&shape, &data).expect("as many values as the shape holds")
    }
}

/// Returns which pixels of the input a picture of `length` pixels at `offset` covers, and how many of the
/// picture's own come before them.
fn overlap(offset: f32, length: u32, side: u32) -> (Range<usize>, usize) {
    let offset = offset as i64;
    let start = offset.clamp(0, i64::from(side));
    let end = (offset + i64::from(length)).clamp(start, i64::from(side));
    (start as usize..end as usize, (start - offset) as usize)
}
