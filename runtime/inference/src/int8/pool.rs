//! Dividing a layer's rows between threads.

use std::ops::Range;

/// Computes all rows of an output, in parts that may run side by side: each part gets its rows and their memory.
pub(crate) fn for_rows<T: Send>(
    rows: usize,
    output: &mut [T],
    compute: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    if rows > 0 {
        compute(0..rows, output);
    }
}
