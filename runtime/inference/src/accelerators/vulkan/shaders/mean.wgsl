// The mean along one side. Parameters: lines, length, stride along the line.
@group(0) @binding(2) var<storage, read> a: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    let stride = p(2u);
    let first = i / stride * stride * p(1u) + i % stride;
    var sum = 0.0;
    for (var k = 0u; k < p(1u); k++) { sum += a[first + k * stride]; }
    y[i] = finish(sum / f32(p(1u)));
}
