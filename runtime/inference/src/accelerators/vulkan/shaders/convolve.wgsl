// A convolution of one group. An invocation computes 4 channels of 4 pixels that lie a quarter of the picture apart,
// so that neighbours read neighbours. Weights: [channels / 4][inputs][rows][columns] of 4.
// Parameters: count; inputs, rows, columns; channels, rows, columns of y; rows and columns of the window, strides,
// padding above and left, dilations.
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

fn take(base: u32, row: i32, column: i32) -> f32 {
    let inside = row >= 0 && row < q(2u) && column >= 0 && column < q(3u);
    return select(0.0, a[base + u32(select(0, row * q(3u) + column, inside))], inside);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    let inputs = p(1u);
    let area = p(2u) * p(3u);
    let channels = p(4u);
    let columns = p(6u);
    let pixels = p(5u) * columns;
    let quarter = (pixels + 3u) / 4u;
    let quads = (channels + 3u) / 4u;
    let j = i % quarter;
    let quad = (i / quarter) % quads;
    let batch = i / quarter / quads;
    var row: vec4<i32>;
    var column: vec4<i32>;
    for (var k = 0u; k < 4u; k++) {
        let pixel = j + k * quarter;
        row[k] = i32(pixel / columns) * q(9u) - q(11u);
        column[k] = i32(pixel % columns) * q(10u) - q(12u);
    }
    var y0 = vec4<f32>();
    var y1 = vec4<f32>();
    var y2 = vec4<f32>();
    var y3 = vec4<f32>();
    var weight = quad * inputs * p(7u) * p(8u);
    for (var input = 0u; input < inputs; input++) {
        let base = (batch * inputs + input) * area;
        for (var u = 0; u < q(7u); u++) {
            let rows = row + vec4<i32>(u * q(13u));
            for (var v = 0; v < q(8u); v++) {
                let at_column = column + vec4<i32>(v * q(14u));
                let four = w[weight];
                weight++;
                y0 += four * take(base, rows.x, at_column.x);
                y1 += four * take(base, rows.y, at_column.y);
                y2 += four * take(base, rows.z, at_column.z);
                y3 += four * take(base, rows.w, at_column.w);
            }
        }
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
