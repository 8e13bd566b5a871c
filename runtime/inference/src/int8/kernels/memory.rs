//! Memory for outputs.

use tract_onnx::prelude::{Datum, Tensor, TractResult};

/// A type of which every pattern of bits is a value.
pub(crate) trait Plain: Datum + Copy + Default {}
impl Plain for u8 {}
impl Plain for i8 {}
impl Plain for f32 {}

/// Returns a tensor with any values in it, for a layer that writes every one. Filling it with zeros first would
/// cost as much as a cheap layer.
pub(crate) fn unwritten<T: Plain>(shape: &[usize]) -> TractResult<Tensor> {
    // SAFETY: every pattern of bits is a `T`, and the allocator's memory is not read before it is written.
    unsafe { Tensor::uninitialized::<T>(shape) }
}
