//! What stands in f32 between INT8 layers.

#[cfg(target_arch = "x86_64")]
use super::avx512_float;
use super::{Isa, lanes, scalar};

/// Calls one function of every set that has it: `lanes` inlined for AVX2 and NEON, AVX-512 written out.
macro_rules! on {
    ($isa:expr, $function:ident($($argument:ident: $type:ty),*) $(-> $output:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn on_avx2($($argument: $type),*) $(-> $output)? {
            lanes::$function($($argument),*)
        }
        match $isa {
            Isa::Scalar => scalar::$function($($argument),*),
            // SAFETY: the processor has the features; lengths were checked by the caller.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512_float::$function($($argument),*) },
            // SAFETY: the processor has the features.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { on_avx2($($argument),*) },
            #[cfg(target_arch = "aarch64")]
            Isa::I8mm | Isa::Dotprod | Isa::Neon => lanes::$function($($argument),*),
        }
    }};
}

/// Turns each row of `length` into exponentials of how far its values are below the highest, in place, and writes
/// each row's sum.
pub(crate) fn exponentials(isa: Isa, rows: &mut [f32], length: usize, sums: &mut [f32]) {
    assert!(length > 0 && rows.len() == length * sums.len());
    on!(isa, exponentials(rows: &mut [f32], length: usize, sums: &mut [f32]));
}

/// Turns each row of `length` into shares of its exponentials, in place.
pub(crate) fn softmax(isa: Isa, rows: &mut [f32], length: usize) {
    assert!(length > 0 && rows.len().is_multiple_of(length));
    let mut sum = [0.0];
    for row in rows.chunks_exact_mut(length) {
        exponentials(isa, row, length, &mut sum);
        let share = 1.0 / sum[0];
        row.iter_mut().for_each(|value| *value *= share);
    }
}

/// Returns the least and the greatest value, 0 among them; what is no number counts as 0.
pub(crate) fn span(isa: Isa, values: &[f32]) -> (f32, f32) {
    on!(isa, span(values: &[f32]) -> (f32, f32))
}

/// A product of two matrices of numbers, rows one after another.
pub(crate) struct FloatProduct<'a> {
    /// Rows of the left one, its columns (the right one's rows), columns of the right one.
    pub(crate) sides: [usize; 3],
    /// Values from one row to the next: of the left one, the right one, the output.
    pub(crate) strides: [usize; 3],
    pub(crate) left: &'a [f32],
    pub(crate) right: &'a [f32],
    pub(crate) output: &'a mut [f32],
}

/// Returns how many values rows of a length reach over.
fn reach(rows: usize, stride: usize, length: usize) -> usize {
    rows.checked_sub(1).map_or(0, |last| last * stride + length)
}

/// Multiplies two matrices of numbers.
pub(crate) fn multiply_floats(isa: Isa, product: &mut FloatProduct<'_>) {
    let [rows, depth, columns] = product.sides;
    let [left, right, output] = product.strides;
    assert!(product.left.len() >= reach(rows, left, depth));
    assert!(product.right.len() >= reach(depth, right, columns));
    assert!(product.output.len() >= reach(rows, output, columns));
    on!(isa, multiply_floats(product: &mut FloatProduct<'_>));
}

/// Multiplies a vector with each of some rows, `stride` values apart.
pub(crate) fn dots(isa: Isa, vector: &[f32], rows: &[f32], stride: usize, output: &mut [f32]) {
    assert!(rows.len() >= reach(output.len(), stride, vector.len()));
    on!(isa, dots(vector: &[f32], rows: &[f32], stride: usize, output: &mut [f32]));
}

/// Turns each column of a matrix of `rows` into shares of its exponentials, in place.
pub(crate) fn softmax_columns(isa: Isa, values: &mut [f32], rows: usize, columns: usize) {
    assert_eq!(values.len(), rows * columns);
    on!(isa, softmax_columns(values: &mut [f32], rows: usize, columns: usize));
}

/// What a layer's numbers go through before anybody reads them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    /// Half of x for each of 1 and the error function of x / √2.
    Gelu,
    /// x times the sigmoid of x times this: SiLU with 1, an approximation of GELU with 1.702.
    Silu(f32),
}

impl Activation {
    /// Returns what becomes of a value: the reference.
    pub(super) fn of(self, x: f32) -> f32 {
        match self {
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::Silu(steepness) => x * sigmoid(steepness * x),
        }
    }
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The error function, to 1.5e-7 (Abramowitz and Stegun 7.1.26).
pub(crate) fn erf(x: f32) -> f32 {
    let magnitude = f64::from(x.abs());
    let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
    let poly = ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t
        + 0.254_829_592)
        * t;
    ((1.0 - poly * (-magnitude * magnitude).exp()) as f32).copysign(x)
}

/// Brings values through an activation, in place.
pub(crate) fn activate(isa: Isa, activation: Activation, values: &mut [f32]) {
    on!(isa, activate(activation: Activation, values: &mut [f32]));
}

/// Brings each row to mean 0 and variance 1, then to a scale and a shift for each of its places.
pub(crate) struct Normalisation<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// Normalises rows as long as the scale.
pub(crate) fn normalise(isa: Isa, normalisation: &Normalisation<'_>, rows: &[f32], output: &mut [f32]) {
    let length = normalisation.scale.len();
    assert!(length > 0 && normalisation.shift.len() == length);
    assert!(rows.len() == output.len() && rows.len().is_multiple_of(length));
    on!(isa, normalise(normalisation: &Normalisation<'_>, rows: &[f32], output: &mut [f32]));
}
