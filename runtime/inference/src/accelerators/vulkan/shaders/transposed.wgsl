// A transposed convolution, each value gathered. Weights: [inputs][channels of a group][rows][columns]. Parameters as
// in grouped.wgsl.
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    let pixels = p(5u) * p(6u);
    let pixel = i % pixels;
    let channel = (i / pixels) % p(4u);
    let batch = i / pixels / p(4u);
    let row = i32(pixel / p(6u)) + q(11u);
    let column = i32(pixel % p(6u)) + q(12u);
    let inputs = p(15u);
    let first = channel / p(16u) * inputs;
    var sum = bias[channel];
    for (var input = first; input < first + inputs; input++) {
        let base = (batch * p(1u) + input) * p(2u) * p(3u);
        for (var u = 0; u < q(7u); u++) {
            let r = row - u * q(13u);
            if (r < 0 || r % q(9u) != 0 || r / q(9u) >= q(2u)) { continue; }
            for (var v = 0; v < q(8u); v++) {
                let s = column - v * q(14u);
                if (s < 0 || s % q(10u) != 0 || s / q(10u) >= q(3u)) { continue; }
                let weight = ((input * p(16u) + channel % p(16u)) * p(7u) + u32(u)) * p(8u) + u32(v);
                sum += w[weight] * a[base + u32(r / q(9u) * q(3u) + s / q(10u))];
            }
        }
    }
    y[i] = finish(sum);
}
