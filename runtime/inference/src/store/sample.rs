//! The pictures that models are checked on where the manifest names none.

use glassd_media::Image;

/// A sky, a wall, a person-like and some box-like figures: enough of a scene that no trained model is
/// indifferent to it.
pub(super) fn scene() -> Image {
    Image::from_fn(640, 480, |x, y| {
        let (u, v) = (x as f32 / 640.0, y as f32 / 480.0);
        let within = |left: f32, top: f32, right: f32, bottom: f32| {
            (left..right).contains(&u) && (top..bottom).contains(&v)
        };
        let disc =
            |cx: f32, cy: f32, radius: f32| (u - cx).powi(2) + (0.75 * (v - cy)).powi(2) < radius * radius;
        let grain = ((x * 7 + y * 13) % 11) as u8;
        if disc(0.3, 0.3, 0.05) {
            [222, 180, 150]
        } else if within(0.25, 0.37, 0.35, 0.62) {
            [40, 60, 150 + grain]
        } else if within(0.26, 0.62, 0.295, 0.9) || within(0.305, 0.62, 0.34, 0.9) {
            [50, 45, 40 + grain]
        } else if disc(0.72, 0.66, 0.1) {
            [210, 40 + grain, 35]
        } else if within(0.55, 0.2, 0.85, 0.42) {
            [235, 220, 60 + grain]
        } else if v < 0.55 {
            [170 + grain, 190, (220.0 - 60.0 * v) as u8]
        } else {
            [(120.0 * v) as u8 + grain, 100, 80]
        }
    })
    .expect("a size of 640 by 480 is an image")
}

/// Letters of 5 by 7 dots, a row each from the top, the left dot the highest bit.
const STOP: [[u8; 7]; 4] = [
    [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
    [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
    [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
    [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
];
/// Pixels along a dot's side.
const DOT: u32 = 10;

/// A sign with the word STOP.
pub(super) fn sign() -> Image {
    Image::from_fn(640, 480, |x, y| {
        let (column, row) = (x.wrapping_sub(200) / DOT, y.wrapping_sub(200) / DOT);
        let (letter, dot) = (column as usize / 6, column % 6);
        let bits = STOP.get(letter).and_then(|rows| rows.get(row as usize));
        let is_ink = dot < 5 && bits.is_some_and(|bits| bits >> (4 - dot) & 1 == 1);
        if is_ink { [250, 250, 250] } else { [150, 30, 25] }
    })
    .expect("a size of 640 by 480 is an image")
}
