//! What the probe tells of frames whose change is known.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests read photos from files")]

mod support;

use glassd_media::{Image, Prober, decode};
use support::{painted, photos};

/// A textured wall seen by a camera that has panned by `pan` of its view; `gain` and `offset` are the
/// camera's exposure, in grey levels.
fn wall(pan: f32, gain: f32, offset: f32) -> Image {
    Image::from_fn(640, 480, |x, y| {
        let (u, v) = (x as f32 / 640.0 + pan, y as f32 / 480.0);
        let texture = (u * 17.0).sin() * (v * 11.0 + u * 5.0).cos() + 0.4 * (u * 43.0 + v * 31.0).sin();
        [(gain * (120.0 + 60.0 * texture) + offset) as u8; 3]
    })
    .unwrap()
}

/// A dark room: level 12 with sensor noise of up to `noise` levels.
fn dark(noise: u64, seed: u64) -> Image {
    let mut state = seed;
    Image::from_fn(640, 480, |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        [12 + ((state >> 33) % noise) as u8; 3]
    })
    .unwrap()
}

fn motion(before: &Image, after: &Image) -> f32 {
    let mut prober = Prober::default();
    prober.probe(before);
    prober.probe(after).motion
}

#[test]
fn motion_grows_with_the_pan_and_ignores_the_exposure() {
    let still = wall(0.0, 1.0, 0.0);
    let check = |name: &str, after: &Image, range: std::ops::Range<f32>| {
        let motion = motion(&still, after);
        assert!(range.contains(&motion), "{name}: {motion} is not in {range:?}");
    };
    check("still", &still, 0.0..0.001);
    check("brighter", &wall(0.0, 1.0, 30.0), 0.0..0.01);
    check("darker by a third", &wall(0.0, 0.66, 0.0), 0.0..0.04);
    check("1 % pan", &wall(0.01, 1.0, 0.0), 0.03..0.15);
    check("8 % pan", &wall(0.08, 1.0, 0.0), 0.3..0.8);
    check("another scene", &painted(640, 480), 0.5..1.0);
    check("another size of the same", &wall(0.0, 1.0, 0.0).shrunk(320), 0.0..0.02);
}

#[test]
fn noise_in_the_dark_is_no_motion() {
    assert!(motion(&dark(9, 1), &dark(9, 2)) < 0.1);
}

#[test]
fn the_first_frame_is_all_new() {
    let mut prober = Prober::default();
    assert_eq!(prober.probe(&painted(64, 64)).motion, 1.0);
    assert_eq!(prober.probe(&painted(64, 64)).motion, 0.0);
}

#[test]
fn light_is_the_mean_luma() {
    let check = |rgb: [u8; 3], expected: f32| {
        let light = Prober::default().probe(&Image::from_fn(40, 30, |_, _| rgb).unwrap()).light;
        assert!((light - expected).abs() < 0.01, "{rgb:?}: {light}");
    };
    check([0; 3], 0.0);
    check([255; 3], 1.0);
    check([0, 255, 0], 0.587);
    check([255, 0, 0], 0.299);
}

#[test]
fn sharpness_falls_with_blur_and_is_zero_without_features() {
    let sharp =
        Image::from_fn(640, 480, |x, y| [if (x / 23 + y / 17) % 2 == 0 { 200 } else { 40 }; 3]).unwrap();
    let sharpness = |image: &Image| Prober::default().probe(image).sharpness;
    let blurred = |side| sharpness(&sharp.resized(side, side * 3 / 4).resized(640, 480));
    let steps = [sharpness(&sharp), blurred(160), blurred(80)];
    assert!(steps.windows(2).all(|pair| pair[0] > pair[1] + 0.03), "{steps:?}");
    assert_eq!(sharpness(&Image::new(64, 48, vec![90; 64 * 48 * 3]).unwrap()), 0.0);
}

#[test]
fn a_fingerprint_survives_a_small_pan_and_tells_scenes_apart() {
    let fingerprint = |image: &Image| Prober::default().probe(image).fingerprint;
    let apart = |a: &Image, b: &Image| (fingerprint(a) ^ fingerprint(b)).count_ones();
    let still = wall(0.0, 1.0, 0.0);
    assert!(apart(&still, &wall(0.005, 0.8, 5.0)) <= 6);
    assert!(apart(&still, &painted(640, 480)) >= 16);
}

#[test]
fn pictures_of_any_shape_are_looked_at() {
    for (width, height) in [(1, 1), (1, 4000), (4000, 1), (9, 8), (321, 3)] {
        let probe = Prober::default().probe(&painted(width, height));
        assert!((0.0..=1.0).contains(&probe.sharpness) && (0.0..=1.0).contains(&probe.light));
    }
}

#[test]
fn real_scenes_differ_from_each_other() {
    let images: Vec<Image> =
        photos("detection/coco_val/images").iter().map(|(_, jpeg)| decode(jpeg).unwrap()).collect();
    let motions: Vec<f32> = images.windows(2).map(|pair| motion(&pair[0], &pair[1])).collect();
    let high = motions.iter().filter(|&&motion| motion > 0.3).count();
    assert!(high * 100 >= motions.len() * 98, "{high} of {} changes of scene are high motion", motions.len());
}
