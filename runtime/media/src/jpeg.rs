//! JPEG bytes to pixels and back.

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::image::{Image, Turn};

/// The longest side of a JPEG that is decoded, in pixels. The glasses' cameras stay under 2,000; at this
/// bound a picture takes 48 MiB.
pub const MAX_SIDE: u32 = 4096;

/// Why bytes are not a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// The bytes do not begin as a JPEG does.
    #[error("not a JPEG")]
    NotJpeg,
    /// The data ends before the end-of-image marker: part of the photo was lost on its way.
    #[error("the JPEG ends before its end-of-image marker")]
    Truncated,
    /// The header announces a picture over [`MAX_SIDE`].
    #[error("a JPEG of {width}x{height} pixels is over the bound of {MAX_SIDE}x{MAX_SIDE}")]
    TooLarge {
        /// The announced width in pixels.
        width: u32,
        /// The announced height in pixels.
        height: u32,
    },
    /// A kind of JPEG that no camera here makes: arithmetic coding, lossless, hierarchical.
    #[error("unsupported JPEG: {0}")]
    Unsupported(String),
    /// The data contradicts itself.
    #[error("malformed JPEG: {0}")]
    Malformed(String),
}

impl JpegError {
    /// Returns the reason as a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotJpeg => "not_jpeg",
            Self::Truncated => "truncated",
            Self::TooLarge { .. } => "too_large",
            Self::Unsupported(_) => "unsupported",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// Decodes a baseline or progressive JPEG, also grey or CMYK, to RGB.
///
/// Strict: a photo that arrived in part is an error rather than a picture with a grey tail, because a
/// detector answers on the tail too. A hole inside the data, with the end in place, can pass: links number
/// their packets and drop such a photo before it comes here. Bytes behind the end are ignored, and so is
/// EXIF orientation: glasses tell theirs on the link.
pub fn decode(jpeg: &[u8]) -> Result<Image, JpegError> {
    let (width, height) = surveyed(jpeg)?;
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let pixels = decoder.decode().map_err(|error| classed(&error))?;
    if decoder.dimensions() != Some((width as usize, height as usize)) {
        return Err(JpegError::Malformed("more than one frame header".into()));
    }
    Image::new(width, height, pixels).map_err(|error| JpegError::Malformed(error.to_string()))
}

fn classed(error: &DecodeErrors) -> JpegError {
    match error {
        DecodeErrors::IllegalMagicBytes(_) => JpegError::NotJpeg,
        DecodeErrors::Unsupported(scheme) => JpegError::Unsupported(format!("{scheme:?}")),
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => JpegError::Truncated,
        other => JpegError::Malformed(other.to_string()),
    }
}

/// Encodes an image as a baseline JPEG with 4:2:0 chroma and no metadata; `quality` is brought into
/// 1 to 100.
pub fn encode(image: &Image, quality: u8) -> Vec<u8> {
    let mut jpeg = Vec::with_capacity(image.pixels().len() / 8);
    let mut encoder = Encoder::new(&mut jpeg, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    let side = |pixels: u32| u16::try_from(pixels).expect("an image's side fits a JPEG header");
    encoder
        .encode(image.pixels(), side(image.width()), side(image.height()), ColorType::Rgb)
        .expect("writing to memory, with as many pixels as announced");
    jpeg
}

/// Decodes, turns, shrinks to `longest_side` pixels (never enlarges) and encodes again, so that what
/// leaves the device is small, upright and without metadata.
pub fn shrink_jpeg(jpeg: &[u8], turn: Turn, longest_side: u32, quality: u8) -> Result<Vec<u8>, JpegError> {
    Ok(encode(&decode(jpeg)?.shrunk(longest_side).turned(turn), quality))
}

// ITU-T T.81, table B.1.
const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const TEMPORARY: u8 = 0x01;
const BASELINE: u8 = 0xc0;
const PROGRESSIVE: u8 = 0xc2;

/// Walks the markers without decoding: returns (width, height) of a JPEG that is complete and within
/// bounds.
fn surveyed(jpeg: &[u8]) -> Result<(u32, u32), JpegError> {
    if !jpeg.starts_with(&[0xff, START_OF_IMAGE]) {
        return Err(JpegError::NotJpeg);
    }
    let mut size = None;
    let mut rest = &jpeg[2..];
    loop {
        let (marker, after) = next_marker(rest)?;
        rest = match marker {
            END_OF_IMAGE => break,
            START_OF_IMAGE | TEMPORARY | 0xd0..=0xd7 => after,
            START_OF_SCAN => behind_scan(segment(after)?.1)?,
            BASELINE..=PROGRESSIVE => {
                let (frame, after) = segment(after)?;
                size = Some(frame_size(frame)?);
                after
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(JpegError::Unsupported(format!("frame type {marker:02x}")));
            }
            _ => segment(after)?.1,
        };
    }
    size.ok_or_else(|| JpegError::Malformed("no frame header".into()))
}

fn next_marker(bytes: &[u8]) -> Result<(u8, &[u8]), JpegError> {
    // Cameras leave stray bytes between segments; the decoder counts them and refuses too many.
    let start = bytes.iter().position(|&byte| byte == 0xff).ok_or(JpegError::Truncated)?;
    let fill = bytes[start..].iter().position(|&byte| byte != 0xff).ok_or(JpegError::Truncated)?;
    let at = start + fill;
    Ok((bytes[at], &bytes[at + 1..]))
}

/// Splits off a segment: two bytes of length, which count themselves, then the content.
fn segment(bytes: &[u8]) -> Result<(&[u8], &[u8]), JpegError> {
    let length = bytes.first_chunk().map(|&length| usize::from(u16::from_be_bytes(length)));
    match length {
        None => Err(JpegError::Truncated),
        Some(0 | 1) => Err(JpegError::Malformed("a segment shorter than its own length".into())),
        Some(length) if length > bytes.len() => Err(JpegError::Truncated),
        Some(length) => Ok((&bytes[2..length], &bytes[length..])),
    }
}

/// Reads (width, height) of a frame header: precision u8, height u16, width u16.
fn frame_size(segment: &[u8]) -> Result<(u32, u32), JpegError> {
    let Some(&[_, h1, h0, w1, w0]) = segment.first_chunk() else {
        return Err(JpegError::Malformed("a frame header without its size".into()));
    };
    let width = u32::from(u16::from_be_bytes([w1, w0]));
    let height = u32::from(u16::from_be_bytes([h1, h0]));
    match (width, height) {
        (0, _) | (_, 0) => Err(JpegError::Malformed(format!("a picture of {width}x{height} pixels"))),
        _ if width > MAX_SIDE || height > MAX_SIDE => Err(JpegError::TooLarge { width, height }),
        _ => Ok((width, height)),
    }
}

/// Skips entropy-coded data: up to the first FF that is neither stuffed (00) nor a restart (D0 to D7).
fn behind_scan(bytes: &[u8]) -> Result<&[u8], JpegError> {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff | 0xd0..=0xd7);
    match bytes.windows(2).position(is_marker) {
        Some(at) => Ok(&bytes[at..]),
        None => Err(JpegError::Truncated),
    }
}
