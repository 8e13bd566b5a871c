//! What stands in f32 between INT8 layers.

#[cfg(target_arch = "x86_64")]
use super::avx512_float;
use super::{Isa, scalar};

/// Turns each row of `length` into shares of its exponentials, in place.
pub(crate) fn softmax(isa: Isa, rows: &mut [f32], length: usize) {
    assert!(length > 0 && rows.len().is_multiple_of(length));
    match isa {
        // SAFETY: the processor has the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512_float::softmax(rows, length) },
        _ => scalar::softmax(rows, length),
    }
}

/// Returns the least and the greatest value, 0 among them; what is no number counts as 0.
pub(crate) fn span(isa: Isa, values: &[f32]) -> (f32, f32) {
    match isa {
        // SAFETY: the processor has the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512_float::span(values) },
        _ => scalar::span(values),
    }
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
    match isa {
        // SAFETY: the processor has the features, and the lengths were checked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512_float::multiply(product) },
        _ => scalar::multiply_floats(product),
    }
}

/// Multiplies a vector with each of some rows, `stride` values apart.
pub(crate) fn dots(isa: Isa, vector: &[f32], rows: &[f32], stride: usize, output: &mut [f32]) {
    assert!(rows.len() >= reach(output.len(), stride, vector.len()));
    match isa {
        // SAFETY: the processor has the features, and the length was checked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512_float::dots(vector, rows, stride, output) },
        _ => scalar::dots(vector, rows, stride, output),
    }
}

/// Turns each column of a matrix of `rows` into shares of its exponentials, in place.
pub(crate) fn softmax_columns(isa: Isa, values: &mut [f32], rows: usize, columns: usize) {
    assert_eq!(values.len(), rows * columns);
    match isa {
        // SAFETY: the processor has the features, and the length was checked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512_float::softmax_columns(values, rows, columns) },
        _ => scalar::softmax_columns(values, rows, columns),
    }
}
