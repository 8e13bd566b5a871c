//! What each instruction set makes of the layers that models spend their time in, on one thread.
//! Elements are products, so that "Gelem/s" reads as GMAC/s.
#![allow(missing_docs, reason = "criterion's macros make a public function")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use glassd_inference::Isa;
use glassd_inference::bench::{Shape, convolution, depthwise, look_up};

const fn shape(size: [usize; 2], channels: [usize; 2], window: usize, stride: usize) -> Shape {
    Shape { size, channels, window, stride }
}

/// Layers of MobileNetV2 and YOLOv8n.
const CONVOLUTIONS: [(&str, Shape); 3] = [
    ("1x1, 56x56, 96 to 24", shape([56, 56], [96, 24], 1, 1)),
    ("1x1, 7x7, 960 to 160", shape([7, 7], [960, 160], 1, 1)),
    ("3x3, 80x80, 64 to 64", shape([80, 80], [64, 64], 3, 1)),
];

const DEPTHWISE: [(&str, Shape); 2] = [
    ("depthwise 3x3, 56x56, 144", shape([56, 56], [144, 1], 3, 1)),
    ("depthwise 3x3 by 2, 56x56, 144", shape([56, 56], [144, 1], 3, 2)),
];

const LOOKED_UP: usize = 100_000;

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, isa: Isa, mut layer: impl FnMut()) {
    group.bench_function(isa.name(), |bencher| bencher.iter(&mut layer));
}

fn kernels(criterion: &mut Criterion) {
    for (name, shape) in CONVOLUTIONS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.products() as u64));
        for isa in Isa::available() {
            measure(&mut group, isa, convolution(isa, shape));
        }
    }
    for (name, shape) in DEPTHWISE {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.products() as u64));
        for isa in Isa::available() {
            measure(&mut group, isa, depthwise(isa, shape));
        }
    }
    let mut group = criterion.benchmark_group("table of 256");
    group.throughput(Throughput::BytesDecimal(LOOKED_UP as u64));
    for isa in Isa::available() {
        measure(&mut group, isa, look_up(isa, LOOKED_UP));
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
