// y = f(a OPERATOR b), either repeated along some sides. Parameters: count, then for each of 6 sides, the innermost
// last: length, stride of a, stride of b.
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;

fn join(l: f32, r: f32) -> f32 { return OPERATOR; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    var rest = i;
    var left = 0u;
    var right = 0u;
    for (var side = 5; side >= 0; side--) {
        let first = 1u + 3u * u32(side);
        let place = rest % p(first);
        rest = rest / p(first);
        left += place * p(first + 1u);
        right += place * p(first + 2u);
    }
    y[i] = finish(join(a[left], b[right]));
}
