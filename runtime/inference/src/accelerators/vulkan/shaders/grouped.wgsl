// A convolution of several groups, depthwise ones among them. An invocation computes one value. Weights: [channels]
// [inputs of a group][rows][columns]. Parameters as in convolve.wgsl, then inputs and channels of a group.
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
    let row = i32(pixel / p(6u)) * q(9u) - q(11u);
    let column = i32(pixel % p(6u)) * q(10u) - q(12u);
    let inputs = p(15u);
    let first = batch * p(1u) + channel / p(16u) * inputs;
    var weight = channel * inputs * p(7u) * p(8u);
    var sum = bias[channel];
    for (var input = 0u; input < inputs; input++) {
        let base = (first + input) * p(2u) * p(3u);
        for (var u = 0; u < q(7u); u++) {
            let r = row + u * q(13u);
            for (var v = 0; v < q(8u); v++) {
                let s = column + v * q(14u);
                if (r >= 0 && r < q(2u) && s >= 0 && s < q(3u)) {
                    sum += w[weight] * a[base + u32(r * q(3u) + s)];
                }
                weight++;
            }
        }
    }
    y[i] = finish(sum);
}
