// A softmax along one side; an invocation computes a whole line. Parameters: lines, length, stride along the line.
@group(0) @binding(2) var<storage, read> a: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    let stride = p(2u);
    let first = i / stride * stride * p(1u) + i % stride;
    var greatest = a[first];
    for (var k = 1u; k < p(1u); k++) { greatest = max(greatest, a[first + k * stride]); }
    var sum = 0.0;
    for (var k = 0u; k < p(1u); k++) { sum += exp(a[first + k * stride] - greatest); }
    for (var k = 0u; k < p(1u); k++) {
        let place = first + k * stride;
        y[place] = finish(exp(a[place] - greatest) / sum);
    }
}
