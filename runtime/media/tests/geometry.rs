//! Turning and resizing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests read photos from files")]

mod support;

use glassd_media::{Image, ImageError, Turn};
use support::painted;

/// A picture one row of digits a line; each digit is one grey pixel.
fn digits(rows: &[&str]) -> Image {
    let pixels = rows.iter().flat_map(|row| row.bytes()).flat_map(|digit| [digit, digit, digit]).collect();
    Image::new(rows[0].len() as u32, rows.len() as u32, pixels).unwrap()
}

#[test]
fn turns_are_clockwise() {
    let check = |turn, expected: &[&str]| assert!(digits(&["123", "456"]).turned(turn) == digits(expected));
    check(Turn::None, &["123", "456"]);
    check(Turn::Quarter, &["41", "52", "63"]);
    check(Turn::Half, &["654", "321"]);
    check(Turn::ThreeQuarters, &["36", "25", "14"]);
}

#[test]
fn shrinking_keeps_the_shape_and_stops_at_one_pixel() {
    let check = |from: (u32, u32), longest_side, to| {
        let image = painted(from.0, from.1).shrunk(longest_side);
        assert_eq!((image.width(), image.height()), to);
    };
    check((640, 480), 320, (320, 240));
    check((480, 640), 512, (384, 512));
    check((640, 480), 640, (640, 480));
    check((640, 480), 9999, (640, 480));
    check((1000, 3), 100, (100, 1));
    check((640, 480), 0, (1, 1));
}

#[test]
fn shrinking_averages_instead_of_picking() {
    let stripes = Image::from_fn(640, 480, |x, _| if x % 2 == 0 { [255; 3] } else { [0; 3] }).unwrap();
    let small = stripes.resized(64, 48);
    assert!(small.pixels().iter().all(|&level| (118..=137).contains(&level)));
}

#[test]
fn resizing_keeps_things_where_they_are() {
    let small = painted(640, 480).resized(80, 60);
    assert_eq!(small.pixel(24, 18).unwrap(), [220, 30, 40]);
    assert_eq!(small.pixel(56, 36).unwrap(), [30, 60, 210]);
}

#[test]
fn buffers_of_the_wrong_length_are_refused() {
    let refused = |width, height, length| Image::new(width, height, vec![0; length]).unwrap_err();
    assert_eq!(refused(2, 2, 11), ImageError::Length { width: 2, height: 2, actual: 11 });
    assert_eq!(refused(2, 2, 11).to_string(), "an image of 2x2 pixels needs 12 bytes, not 11");
    assert_eq!(refused(0, 5, 0), ImageError::Side { width: 0, height: 5 });
    assert_eq!(refused(70_000, 1, 0), ImageError::Side { width: 70_000, height: 1 });
}
