// A part of a into a part of y: slices, transpositions, concatenations, repetitions, whole enlargements. Parameters:
// count, first of a, first of y, then for each of 6 sides, the innermost last: length, stride of a (signed), stride of
// y, how often each value of a is repeated.
@group(0) @binding(2) var<storage, read> a: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = at(g, n);
    if (i >= p(0u)) { return; }
    var rest = i;
    var source = q(1u);
    var to = p(2u);
    for (var side = 5; side >= 0; side--) {
        let first = 3u + 4u * u32(side);
        let place = rest % p(first);
        rest = rest / p(first);
        source += i32(place / p(first + 3u)) * q(first + 1u);
        to += place * p(first + 2u);
    }
    y[to] = finish(a[source]);
}
