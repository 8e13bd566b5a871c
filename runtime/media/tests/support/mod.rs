//! Pictures for the tests and the benchmark: one painted here, and real photos where they are present.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::path::PathBuf;

use glassd_media::Image;

/// Paints coloured discs on a gradient: smooth areas, edges, and every channel in use.
pub(crate) fn painted(width: u32, height: u32) -> Image {
    Image::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let disc = |cx: f32, cy: f32| (u - cx).powi(2) + (v - cy).powi(2) < 0.03;
        if disc(0.3, 0.3) {
            [220, 30, 40]
        } else if disc(0.7, 0.6) {
            [30, 60, 210]
        } else {
            [(60.0 + 120.0 * u) as u8, (170.0 - 90.0 * v) as u8, 110]
        }
    })
    .unwrap()
}

/// Returns the real photos below `folder` of the shared data, with their names; none where they are missing.
pub(crate) fn photos(folder: &str) -> Vec<(String, Vec<u8>)> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("GLASSD_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        eprintln!("skipped: no {folder} in the shared data");
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}
