// Products of matrices, one value an invocation. Parameters: count; rows, columns, length; strides of a: matrix, row,
// along the length; strides of b: matrix, along the length, column.
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    let column = i % p(2u);
    let row = i / p(2u) % p(1u);
    let matrix = i / p(2u) / p(1u);
    var left = matrix * p(4u) + row * p(5u);
    var right = matrix * p(7u) + column * p(9u);
    var sum = 0.0;
    for (var k = 0u; k < p(3u); k++) {
        sum += a[left] * b[right];
        left += p(6u);
        right += p(8u);
    }
    y[i] = finish(sum);
}
