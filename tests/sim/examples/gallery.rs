//! Writes rooms as one picture to look at: `cargo run --release -p glassd-sim --example gallery -- FILE [SEED…]`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool beside the pure crate")]

use glassd_media::Image;
use glassd_sim::world::{Camera, Room};

const COLUMNS: usize = 3;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a file to write to");
    let mut seeds: Vec<u64> = arguments.map(|seed| seed.parse().expect("a seed")).collect();
    if seeds.is_empty() {
        seeds.extend(0..9);
    }
    let pictures: Vec<Image> = seeds.iter().map(|&seed| picture(seed)).collect();
    let rows = pictures.len().div_ceil(COLUMNS);
    let columns = COLUMNS.min(pictures.len());
    let sheet = Image::from_fn(640 * columns as u32, 480 * rows as u32, |x, y| {
        let picture = pictures.get((y / 480) as usize * columns + (x / 640) as usize);
        picture.and_then(|picture| picture.pixel(x % 640, y % 480)).unwrap_or_default()
    });
    let sheet = sheet.expect("a sheet of a size that exists");
    image::save_buffer(path, sheet.pixels(), sheet.width(), sheet.height(), image::ColorType::Rgb8)
        .expect("a writable path");
}

fn picture(seed: u64) -> Image {
    let room = Room::random(seed);
    let start = std::time::Instant::now();
    let picture = room.render(640, 480, Camera::default());
    println!("room {seed}, {}: {:.1} ms", room.kind().name(), start.elapsed().as_secs_f64() * 1e3);
    for object in room.truth(Camera::default()) {
        println!("  {} {} at {:.2?}", object.colour.name(), object.label(), object.bounds);
    }
    picture
}
