//! What one frame costs before any model: decode, shrink to 512 pixels, encode at quality 75; and the probe.
//! Beside it the same with the `image` crate. Real photos where the shared data is, else a painted one.
#![allow(missing_docs, reason = "criterion's macros make a public function")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads photos from files")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use glassd_media::{Prober, Turn, decode, encode, shrink_jpeg};

fn frame_path(criterion: &mut Criterion) {
    for (name, jpeg) in samples() {
        let mut group = criterion.benchmark_group("frame_path");
        group.sample_size(20);
        group.bench_function(format!("shrink/{name}"), |bencher| {
            bencher.iter(|| shrink_jpeg(black_box(&jpeg), Turn::None, 512, 75).expect("a sound JPEG"));
        });
        group.bench_function(format!("shrink-with-image/{name}"), |bencher| {
            bencher.iter(|| shrink_with_image(black_box(&jpeg)));
        });
        let picture = decode(&jpeg).expect("a sound JPEG");
        group.bench_function(format!("probe/{name}"), |bencher| {
            bencher.iter_batched_ref(
                Prober::default,
                |prober| prober.probe(black_box(&picture)),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// The frames of the glasses are VGA; bus.jpg is 810×1080.
fn samples() -> Vec<(String, Vec<u8>)> {
    let mut samples = vec![("painted-640x480".to_string(), encode(&support::painted(640, 480), 85))];
    for folder in ["photos", "detection/images"] {
        samples.extend(support::photos(folder));
    }
    samples.retain(|(_, jpeg)| decode(jpeg).is_ok());
    samples
}

fn shrink_with_image(jpeg: &[u8]) -> Vec<u8> {
    let picture = image::load_from_memory(jpeg).expect("a sound JPEG");
    let small = picture.resize(512, 512, image::imageops::FilterType::Triangle).to_rgb8();
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 75);
    small.write_with_encoder(encoder).expect("writing to memory");
    bytes
}

criterion_group!(benches, frame_path);
criterion_main!(benches);
