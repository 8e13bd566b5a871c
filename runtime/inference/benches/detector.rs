//! What one look of a detector costs, from the decoded image to its detections, on one thread.
//! The public models run where the shared data is.
#![allow(missing_docs, reason = "criterion's macros make a public function")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use glassd_inference::Task;
use glassd_media::Image;

fn detector(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("detector");
    group.sample_size(10);
    let mut embedded = glassd_inference::embedded().expect("a sound model");
    let view = Image::from_fn(640, 480, |x, y| [(x / 4) as u8, (y / 2) as u8, 90]).expect("an image");
    group.bench_function("embedded", |bencher| {
        bencher.iter(|| embedded.detect(black_box(&view)).expect("a run"));
    });
    if let Some(data) = support::data() {
        let picture = support::picture(&data, "detection/images/bus.jpg");
        let store = support::store(&data, "bench");
        for entry in &store.manifest().models {
            match entry.task {
                Task::Detect { .. } => {
                    let mut detector = store.detector(&entry.name).expect("a sound model");
                    group.bench_function(&entry.name, |bencher| {
                        bencher.iter(|| detector.detect(black_box(&picture)).expect("a run"));
                    });
                }
                Task::Classify { .. } => {
                    let mut classifier = store.classifier(&entry.name).expect("a sound model");
                    group.bench_function(&entry.name, |bencher| {
                        bencher.iter(|| classifier.classify(black_box(&picture)).expect("a run"));
                    });
                }
            }
        }
    }
    group.finish();
}

criterion_group!(benches, detector);
criterion_main!(benches);
