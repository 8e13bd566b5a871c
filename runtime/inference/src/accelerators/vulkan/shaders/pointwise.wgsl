// A convolution of one group with a window of one pixel and no padding: a product of matrices. Parameters and weights
// as in convolve.wgsl.
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    let inputs = p(1u);
    let channels = p(4u);
    let pixels = p(5u) * p(6u);
    let quarter = (pixels + 3u) / 4u;
    let quads = (channels + 3u) / 4u;
    let j = i % quarter;
    let quad = (i / quarter) % quads;
    let batch = i / quarter / quads;
    let last = pixels - 1u;
    let pixel = min(vec4<u32>(j) + vec4<u32>(0u, 1u, 2u, 3u) * quarter, vec4<u32>(last));
    var y0 = vec4<f32>();
    var y1 = vec4<f32>();
    var y2 = vec4<f32>();
    var y3 = vec4<f32>();
    var base = batch * inputs * pixels;
    for (var input = 0u; input < inputs; input++) {
        let four = w[quad * inputs + input];
        y0 += four * a[base + pixel.x];
        y1 += four * a[base + pixel.y];
        y2 += four * a[base + pixel.z];
        y3 += four * a[base + pixel.w];
        base += pixels;
    }
    for (var k = 0u; k < 4u; k++) {
        let channel = quad * 4u + k;
        if (channel >= channels) { break; }
        let first = (batch * channels + channel) * pixels + j;
        let b = bias[channel];
        y[first] = finish(y0[k] + b);
        if (j + quarter < pixels) { y[first + quarter] = finish(y1[k] + b); }
        if (j + 2u * quarter < pixels) { y[first + 2u * quarter] = finish(y2[k] + b); }
        if (j + 3u * quarter < pixels) { y[first + 3u * quarter] = finish(y3[k] + b); }
    }
}
