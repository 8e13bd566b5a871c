//! `glassd-media`: compute on media bytes. JPEG in, pixels or a smaller JPEG out, and a cheap look at
//! every frame (motion, sharpness, light) that the policies decide on.
//!
//! It leaves out every file, thread, clock and device, and knows nothing of glasses or models.
//!
//! Invariants:
//! - no bytes make it panic, and no header makes it allocate more than [`MAX_SIDE`]² pixels;
//! - a JPEG whose end is missing is an error, never a picture with a grey tail;
//! - what [`encode`] writes carries no metadata: EXIF, location and previews end here.

mod image;
mod jpeg;
mod probe;

pub use image::{Image, ImageError, Turn};
pub use jpeg::{JpegError, MAX_SIDE, decode, encode, shrink_jpeg};
pub use probe::{Probe, Prober};
