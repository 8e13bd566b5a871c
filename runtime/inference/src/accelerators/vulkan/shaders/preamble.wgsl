// What every shader has: parameters, the tensor it writes, and the function put on top of its values.
@group(0) @binding(0) var<storage, read> params: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn p(i: u32) -> u32 { return params[i]; }
fn q(i: u32) -> i32 { return bitcast<i32>(params[i]); }
fn c(i: u32) -> f32 { return bitcast<f32>(params[CONSTANTS + i]); }

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }
fn leaky(x: f32, slope: f32) -> f32 { return select(slope * x, x, x >= 0.0); }
// The levels of ONNX's QuantizeLinear: ties to even.
fn level(x: f32, scale: f32, zero: f32, low: f32, high: f32) -> f32 {
    return clamp(round(x / scale) + zero, low, high);
}

fn finish(x: f32) -> f32 { return EXPRESSION; }

fn at(g: vec3<u32>, groups: vec3<u32>) -> u32 { return g.x + g.y * groups.x * 64u; }
