//! A decoded picture and the few things done to its geometry.

use fast_image_resize::images::{Image as Plane, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// The longest side that a JPEG header can carry (ITU-T T.81, B.2.2), so that every image can be encoded.
const LONGEST_SIDE: u32 = 65_535;

/// A picture in RGB, 8 bits a channel, row-major from the top left; both sides are at least 1 pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// Why pixels are not an [`Image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A side is 0 or more than 65,535 pixels.
    #[error("an image of {width}x{height} pixels: each side must be 1 to 65535")]
    Side {
        /// The width that was asked for, in pixels.
        width: u32,
        /// The height that was asked for, in pixels.
        height: u32,
    },
    /// The buffer does not hold width × height × 3 bytes.
    #[error("an image of {width}x{height} pixels needs {} bytes, not {actual}", *width as usize * *height as usize * 3)]
    Length {
        /// The width in pixels.
        width: u32,
        /// The height in pixels.
        height: u32,
        /// The length of the buffer in bytes.
        actual: usize,
    },
}

/// A clockwise turn by a multiple of 90°.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// The picture stays as it is.
    #[default]
    None,
    /// 90° clockwise.
    Quarter,
    /// 180°.
    Half,
    /// 270° clockwise.
    ThreeQuarters,
}

impl Image {
    /// Makes an image of `pixels`, which must hold width × height × 3 bytes.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, ImageError> {
        Self::check_sides(width, height)?;
        if pixels.len() as u64 != u64::from(width) * u64::from(height) * 3 {
            return Err(ImageError::Length { width, height, actual: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    fn check_sides(width: u32, height: u32) -> Result<(), ImageError> {
        let fits = |side| (1..=LONGEST_SIDE).contains(&side);
        if fits(width) && fits(height) { Ok(()) } else { Err(ImageError::Side { width, height }) }
    }

    /// Makes an image by asking `colour` for the RGB value at every (x, y), row by row.
    pub fn from_fn(
        width: u32,
        height: u32,
        mut colour: impl FnMut(u32, u32) -> [u8; 3],
    ) -> Result<Self, ImageError> {
        Self::check_sides(width, height)?;
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
        for y in 0..height {
            for x in 0..width {
                pixels.extend_from_slice(&colour(x, y));
            }
        }
        Self::new(width, height, pixels)
    }

    /// Returns the width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Returns the height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Returns the RGB bytes, row-major from the top left.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Returns the RGB bytes for drawing into.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Returns the RGB value at (x, y), or nothing outside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let at = (y as usize * self.width as usize + x as usize) * 3;
        Some([self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]])
    }

    /// Returns the picture after a clockwise turn.
    pub fn turned(self, turn: Turn) -> Self {
        let Self { width, height, ref pixels } = self;
        let (w, h) = (width as usize, height as usize);
        let from = |x: usize, y: usize| {
            let at = (y * w + x) * 3;
            [pixels[at], pixels[at + 1], pixels[at + 2]]
        };
        match turn {
            Turn::None => self,
            Turn::Quarter => Self::gathered(height, width, |x, y| from(y, h - 1 - x)),
            Turn::Half => Self::gathered(width, height, |x, y| from(w - 1 - x, h - 1 - y)),
            Turn::ThreeQuarters => Self::gathered(height, width, |x, y| from(w - 1 - y, x)),
        }
    }

    fn gathered(width: u32, height: u32, from: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let mut pixels = vec![0; width as usize * height as usize * 3];
        for (y, row) in pixels.chunks_exact_mut(width as usize * 3).enumerate() {
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&from(x, y));
            }
        }
        Self { width, height, pixels }
    }

    /// Returns the picture with its longest side at most `longest_side` pixels (at least 1), the shape
    /// kept; a picture that is small enough comes back as it is.
    pub fn shrunk(self, longest_side: u32) -> Self {
        let longest = self.width.max(self.height);
        let wanted = longest_side.max(1);
        if longest <= wanted {
            return self;
        }
        let scaled = |side: u32| {
            let rounded = (u64::from(side) * u64::from(wanted) + u64::from(longest) / 2) / u64::from(longest);
            u32::try_from(rounded.max(1)).expect("not larger than the side it came from")
        };
        self.resized(scaled(self.width), scaled(self.height))
    }

    /// Returns the picture at exactly `width` × `height` pixels (each brought into 1 to 65,535), filtered
    /// with a triangle as wide as the step between output pixels, so that shrinking does not alias.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        let (width, height) = (width.clamp(1, LONGEST_SIDE), height.clamp(1, LONGEST_SIDE));
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let pixels =
            resampled(&self.pixels, (self.width, self.height), (width, height), PixelType::U8x3, TRIANGLE);
        Self { width, height, pixels }
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

/// Widened by the scale when shrinking.
pub(crate) const TRIANGLE: ResizeAlg = ResizeAlg::Convolution(FilterType::Bilinear);
/// Every source pixel counts once: the mean of the area under an output pixel.
pub(crate) const AREA: ResizeAlg = ResizeAlg::Convolution(FilterType::Box);

/// Resamples packed pixels from one size (width, height) to another.
pub(crate) fn resampled(
    pixels: &[u8],
    from: (u32, u32),
    to: (u32, u32),
    pixel_type: PixelType,
    algorithm: ResizeAlg,
) -> Vec<u8> {
    let source = ImageRef::new(from.0, from.1, pixels, pixel_type).expect("a buffer of the right length");
    let mut target = Plane::new(to.0, to.1, pixel_type);
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new().resize(&source, &mut target, &options).expect("the pixel types agree");
    target.into_vec()
}
