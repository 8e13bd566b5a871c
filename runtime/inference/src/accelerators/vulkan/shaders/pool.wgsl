// The greatest value or the mean of windows. Parameters: count; planes, rows, columns; unused, rows, columns of y; rows and
// columns of the window, strides, padding above and left, dilations, kind: 0 greatest, 1 mean of what is inside,
// 2 mean with the padding.
@group(0) @binding(2) var<storage, read> a: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    let pixels = p(5u) * p(6u);
    let pixel = i % pixels;
    let base = i / pixels * p(2u) * p(3u);
    let row = i32(pixel / p(6u)) * q(9u) - q(11u);
    let column = i32(pixel % p(6u)) * q(10u) - q(12u);
    let greatest = p(15u) == 0u;
    var value = select(0.0, -3.4028234e38, greatest);
    var inside = 0.0;
    for (var u = 0; u < q(7u); u++) {
        let r = row + u * q(13u);
        for (var v = 0; v < q(8u); v++) {
            let s = column + v * q(14u);
            if (r >= 0 && r < q(2u) && s >= 0 && s < q(3u)) {
                let one = a[base + u32(r * q(3u) + s)];
                value = select(value + one, max(value, one), greatest);
                inside += 1.0;
            }
        }
    }
    if (p(15u) == 2u) { inside = f32(p(7u) * p(8u)); }
    y[i] = finish(select(value / max(inside, 1.0), value, greatest));
}
