//! JPEG bytes in and out, through the public surface.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests read photos from files")]

mod support;

use glassd_media::{Image, JpegError, Turn, decode, encode, shrink_jpeg};
use support::{painted, photos};

/// Bytes of a start-of-image and a baseline frame header for a picture of this size, and nothing more.
fn header(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xc0, 0, 17, 8];
    bytes.extend(height.to_be_bytes());
    bytes.extend(width.to_be_bytes());
    bytes.extend([3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    bytes
}

fn mean_difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let total: u64 = a.pixels().iter().zip(b.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    total as f64 / a.pixels().len() as f64
}

#[test]
fn what_was_encoded_decodes_to_nearly_the_same_picture() {
    for (width, height, quality, bound) in
        [(640, 480, 90, 2.0), (640, 480, 40, 4.0), (333, 1, 75, 4.0), (1, 1, 75, 6.0), (17, 501, 100, 7.0)]
    {
        let picture = painted(width, height);
        let back = decode(&encode(&picture, quality)).unwrap();
        let difference = mean_difference(&picture, &back);
        assert!(difference < bound, "{width}x{height} at {quality}: {difference} levels apart");
    }
}

#[test]
fn a_lower_quality_is_smaller_and_odd_qualities_are_brought_into_range() {
    let picture = painted(320, 240);
    let size = |quality| encode(&picture, quality).len();
    assert!(size(40) < size(75) && size(75) < size(95));
    assert_eq!(encode(&picture, 0), encode(&picture, 1));
    assert_eq!(encode(&picture, 255), encode(&picture, 100));
}

#[test]
fn each_kind_of_bad_data_has_its_reason() {
    let good = encode(&painted(64, 48), 75);
    let without_end = &good[..good.len() - 2];
    let half = &good[..good.len() / 2];
    let mut arithmetic = good.clone();
    let frame = arithmetic.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    arithmetic[frame + 1] = 0xc9;
    let mut impossible = good.clone();
    let scan = impossible.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    impossible[scan + 6] = 0x33;

    let check = |bytes: &[u8], reason: &str| match decode(bytes) {
        Ok(image) => panic!("decoded to {image:?}, expected {reason}"),
        Err(error) => assert_eq!(error.reason(), reason, "{error}"),
    };
    check(&[], "not_jpeg");
    check(b"\x89PNG\r\n\x1a\n", "not_jpeg");
    check(&good[1..], "not_jpeg");
    check(&[0xff, 0xd8], "truncated");
    check(without_end, "truncated");
    check(half, "truncated");
    check(&header(640, 480), "truncated");
    check(&arithmetic, "unsupported");
    check(&impossible, "malformed");
    check(&[0xff, 0xd8, 0xff, 0xd9], "malformed");
    check(&header(0, 480), "malformed");
    check(&header(640, 0), "malformed");
    check(&header(4097, 16), "too_large");
    check(&header(16, 65_535), "too_large");
}

#[test]
fn bytes_behind_the_end_are_ignored() {
    let mut padded = encode(&painted(64, 48), 75);
    let bare = decode(&padded).unwrap();
    padded.extend([0; 300]);
    assert!(decode(&padded).unwrap() == bare);
}

#[test]
fn the_bound_is_met_exactly() {
    let wide = Image::new(4096, 1, vec![128; 4096 * 3]).unwrap();
    assert_eq!(decode(&encode(&wide, 50)).unwrap().width(), 4096);
    let over = Image::new(4097, 1, vec![128; 4097 * 3]).unwrap();
    assert_eq!(decode(&encode(&over, 50)), Err(JpegError::TooLarge { width: 4097, height: 1 }));
}

#[test]
fn shrinking_drops_metadata() {
    let mut tagged = encode(&painted(800, 600), 85);
    let secret = b"Exif\0\0 GPS 47.3769 N 8.5417 E, serial 4711";
    let mut segment = vec![0xff, 0xe1, 0, secret.len() as u8 + 2];
    segment.extend(secret);
    tagged.splice(2..2, segment);

    let shrunk = shrink_jpeg(&tagged, Turn::None, 512, 75).unwrap();
    assert_eq!(segments(&shrunk), [0xe0, 0xc0, 0xdb, 0xdb, 0xc4, 0xc4, 0xc4, 0xc4, 0xda]);
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(holds(&tagged, b"GPS") && !holds(&shrunk, b"GPS"));
    assert!(tagged.len() > shrunk.len());
}

/// Lists the markers of the segments up to the first scan.
fn segments(jpeg: &[u8]) -> Vec<u8> {
    let mut markers = Vec::new();
    let mut at = 2;
    while jpeg[at] == 0xff && !markers.ends_with(&[0xda]) {
        markers.push(jpeg[at + 1]);
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    markers
}

#[test]
fn shrinking_turns_and_never_enlarges() {
    let jpeg = encode(&painted(800, 600), 85);
    let check = |turn, longest_side, size| {
        let image = decode(&shrink_jpeg(&jpeg, turn, longest_side, 75).unwrap()).unwrap();
        assert_eq!((image.width(), image.height()), size);
    };
    check(Turn::None, 512, (512, 384));
    check(Turn::Quarter, 512, (384, 512));
    check(Turn::Half, 2000, (800, 600));
    check(Turn::None, 0, (1, 1));
}

#[test]
fn a_grey_jpeg_decodes_to_grey_pixels() {
    let mut jpeg = Vec::new();
    let levels: Vec<u8> = (0..64 * 48).map(|at| (at % 64 * 4) as u8).collect();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95)
        .encode(&levels, 64, 48, image::ExtendedColorType::L8)
        .unwrap();
    let image = decode(&jpeg).unwrap();
    assert!(image.pixels().chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
    assert!(image.pixel(60, 20).unwrap()[0] > 220 && image.pixel(3, 20).unwrap()[0] < 30);
}

#[test]
fn real_photos_agree_with_another_decoder() {
    for folder in ["photos", "photos/bad", "detection/images", "glasses/frames/gen1_everyday"] {
        for (name, jpeg) in photos(folder) {
            match decode(&jpeg) {
                Ok(ours) => {
                    let theirs = image::load_from_memory(&jpeg).unwrap().to_rgb8();
                    let theirs = Image::new(theirs.width(), theirs.height(), theirs.into_raw()).unwrap();
                    let difference = mean_difference(&ours, &theirs);
                    assert!(difference < 1.0, "{name}: {difference} levels apart");
                }
                Err(JpegError::TooLarge { width, height }) => {
                    assert_eq!((name.as_str(), width, height), ("mobile_HMD_Nokia_8.3_5G.jpg", 4608, 1976));
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}
