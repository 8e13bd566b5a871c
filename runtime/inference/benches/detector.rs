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
            let name = &entry.name;
            match entry.task {
                Task::Detect { .. } => {
                    let mut detector = store.detector(name).expect("a sound model");
                    group.bench_function(name, |bencher| {
                        bencher.iter(|| detector.detect(black_box(&picture)).expect("a run"));
                    });
                }
                Task::Classify { .. } => {
                    let mut classifier = store.classifier(name).expect("a sound model");
                    group.bench_function(name, |bencher| {
                        bencher.iter(|| classifier.classify(black_box(&picture)).expect("a run"));
                    });
                }
                Task::Presence { .. } => {
                    let mut detector = store.presence_detector(name).expect("a sound model");
                    group.bench_function(name, |bencher| {
                        bencher.iter(|| detector.look(black_box(&picture)).expect("a run"));
                    });
                }
                Task::Read { .. } => {
                    let mut reader = store.reader(name).expect("a sound model");
                    group.bench_function(name, |bencher| {
                        bencher.iter(|| reader.read(black_box(&picture)).expect("a run"));
                    });
                }
                Task::Faces { .. } => {
                    let mut finder = store.face_finder(name).expect("a sound model");
                    group.bench_function(name, |bencher| {
                        bencher.iter(|| finder.find(black_box(&picture)).expect("a run"));
                    });
                }
                Task::Embed { .. } => {
                    let mut encoder = store.text_encoder(name).expect("a sound model");
                    group.bench_function(name, |bencher| {
                        bencher
                            .iter(|| encoder.embed(black_box("Where did I leave my keys?")).expect("a run"));
                    });
                }
                Task::ZeroShot { .. } => {
                    let mut classifier = store.zero_shot(name).expect("a sound model");
                    group.bench_function(name, |bencher| {
                        bencher.iter(|| {
                            classifier.classify(black_box(&picture), &["a bus", "a dog"]).expect("a run")
                        });
                    });
                }
            }
        }
    }
    group.finish();
}

criterion_group!(benches, detector);
criterion_main!(benches);
