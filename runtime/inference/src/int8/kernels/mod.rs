//! What runs on the processor's integer units, one file for each instruction set.
//!
//! All `unsafe` of this crate is in this folder, for two reasons: intrinsics, and loads and stores whose bounds
//! the safe functions here have checked once for a whole strip instead of at every step. Each INT8
//! kernel gives bit for bit what [`scalar`] gives, those on f32 the same but for rounding; `tests` hold them to it.
//!
//! The tiles look alike from one set to the next and are written out all the same: registers, vector widths and the
//! features that a function needs differ, and a generic function cannot ask for features.

#![allow(unsafe_code, reason = "the one folder that may; see above")]

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod avx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_float;
mod float;
mod isa;
mod lanes;
mod memory;
mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use self::float::{
    Activation, FloatProduct, Normalisation, activate, dots, erf, exponentials, multiply_floats, normalise,
    sigmoid, softmax, softmax_columns, span,
};
pub use self::isa::Isa;
pub(crate) use self::memory::unwritten;
/// Columns in a vector of packed weights, and weights of a column in a quad.
pub(crate) const LANES: usize = 16;
/// Neighbouring values along K that one instruction multiplies and sums.
pub(crate) const QUAD: usize = 4;
/// Most vectors in a panel.
pub(crate) const MAX_VECTORS: usize = 4;

/// Any value that is surely beyond the levels, and that i32 still holds with a zero point added.
const FARTHEST: f32 = 65_536.0;

/// How sums become outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rounding {
    /// Quantised value of 0.
    pub(crate) zero_point: i32,
    /// Least quantised output.
    pub(crate) low: u8,
    /// Greatest quantised output.
    pub(crate) high: u8,
}

impl Rounding {
    /// Rounds to the nearest, halves to even, as ONNX asks; what is no number becomes the greatest.
    #[inline]
    pub(crate) fn quantised(self, value: f32) -> u8 {
        let level = value.min(FARTHEST).round_ties_even() as i32 + self.zero_point;
        level.clamp(i32::from(self.low), i32::from(self.high)) as u8
    }
}

/// Where a strip's outputs go; one pixel's columns lie side by side.
pub(crate) enum Output<'a> {
    /// `round(sum · multiplier) + zero point`.
    Quantised(&'a mut [u8], Rounding),
    /// `sum · multiplier + addend`, with an addend for each column.
    Float(&'a mut [f32], &'a [f32]),
}

/// Weights beyond the range of s8, as a second summand at one place along K.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Excess {
    pub(crate) segment: usize,
    pub(crate) quad: usize,
    /// `[vectors][LANES][QUAD]`.
    pub(crate) weights: Vec<i8>,
}

/// A panel: up to [`MAX_VECTORS`] · [`LANES`] columns of a weight matrix, packed.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// 1 to [`MAX_VECTORS`].
    pub(crate) vectors: usize,
    /// `[segments][quads][vectors][LANES][QUAD]`.
    pub(crate) weights: &'a [i8],
    pub(crate) excess: &'a [Excess],
    /// Of each column's weights, what is in excess too, `[vectors · LANES]`; for sets that have to shift levels
    /// into the range of s8.
    pub(crate) sums: &'a [i32],
    /// Where sums start, `[vectors · LANES]`.
    pub(crate) bias: &'a [i32],
    /// `[vectors · LANES]`.
    pub(crate) multiplier: &'a [f32],
    /// Real columns, at most `vectors · LANES`.
    pub(crate) columns: usize,
}

/// A row of output pixels and one panel of columns.
pub(crate) struct Strip<'a> {
    /// What each segment of K reads for the first pixel; the next pixel reads `pixel_stride` further on.
    pub(crate) segments: &'a [&'a [u8]],
    /// Quads in each segment.
    pub(crate) quads: usize,
    /// Bytes from a pixel to the next.
    pub(crate) pixel_stride: usize,
    pub(crate) pixels: usize,
    pub(crate) panel: Panel<'a>,
    /// From the strip's first pixel and column.
    pub(crate) output: Output<'a>,
    /// Elements from one pixel's outputs to the next one's.
    pub(crate) output_stride: usize,
    /// Weights that will be read next: fetched meanwhile, as they may be far away.
    pub(crate) next: &'a [i8],
}

/// Multiplies a strip: every pixel of it with every column of the panel.
pub(crate) fn multiply(isa: Isa, strip: &mut Strip<'_>) {
    if strip.pixels == 0 {
        return;
    }
    let reach = (strip.pixels - 1) * strip.pixel_stride + strip.quads * QUAD;
    assert!(strip.segments.iter().all(|segment| segment.len() >= reach), "a segment is too short");
    let panel = &strip.panel;
    let width = panel.vectors * LANES;
    assert!((1..=MAX_VECTORS).contains(&panel.vectors) && (1..=width).contains(&panel.columns));
    assert!(panel.bias.len() == width && panel.multiplier.len() == width && panel.sums.len() == width);
    assert_eq!(panel.weights.len(), strip.segments.len() * strip.quads * width * QUAD);
    for excess in panel.excess {
        assert!(excess.segment < strip.segments.len() && excess.quad < strip.quads);
        assert_eq!(excess.weights.len(), width * QUAD);
    }
    let outputs = (strip.pixels - 1) * strip.output_stride + panel.columns;
    match &strip.output {
        Output::Quantised(output, _) => assert!(output.len() >= outputs),
        Output::Float(output, addend) => assert!(output.len() >= outputs && addend.len() == width),
    }
    match isa {
        Isa::Scalar => scalar::multiply(strip),
        // SAFETY: the processor has the features (`Isa::available`), and the bounds were checked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::multiply(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => unsafe { avx::vnni::multiply(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx::plain::multiply(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm => unsafe { arm::i8mm::multiply(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::Dotprod => unsafe { arm::dotprod::multiply(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => unsafe { arm::neon::multiply(strip) },
    }
}

/// A row of output pixels of a depthwise convolution.
///
/// Channels are taken in blocks of `16 · depth_lanes`, window columns one after another, and the window's rows
/// in quads. Within a block channels are in the order in which a processor interleaves four rows of bytes:
/// vector, lane, then four neighbours.
pub(crate) struct DepthStrip<'a> {
    /// What each window row reads for the first pixel: its leftmost column.
    pub(crate) rows: &'a [&'a [u8]],
    pub(crate) channels: usize,
    /// Window columns.
    pub(crate) width: usize,
    /// Pixels from a window column to the next.
    pub(crate) dilation: usize,
    /// Pixels from one output pixel's window to the next one's.
    pub(crate) stride: usize,
    pub(crate) pixels: usize,
    /// `[blocks][terms][columns][quads of rows][4 vectors][lanes][4 channels][QUAD rows]`; the terms add up.
    pub(crate) weights: &'a [i8],
    /// Summands of each weight: 2 where some are beyond the range of s8.
    pub(crate) terms: usize,
    /// Of each channel's weights, as `bias`; for sets that have to shift levels into the range of s8.
    pub(crate) sums: &'a [i32],
    /// `[blocks][4 vectors][lanes][4 channels]`.
    pub(crate) bias: &'a [i32],
    /// As `bias`.
    pub(crate) multiplier: &'a [f32],
    pub(crate) rounding: Rounding,
    pub(crate) output: &'a mut [u8],
}

impl DepthStrip<'_> {
    pub(crate) fn quads(&self) -> usize {
        self.rows.len().div_ceil(QUAD)
    }

    /// Returns where the first quad's rows begin. One that is missing has no weights, so any other stands for it.
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
    fn first_quad(&self) -> [*const u8; QUAD] {
        std::array::from_fn(|at| self.rows[at.min(self.rows.len() - 1)].as_ptr())
    }

    /// Returns whether every row reaches to the end of a block of so many channels, for every window.
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
    fn reaches(&self, block: usize, channels: usize) -> bool {
        let last = (self.pixels - 1) * self.stride + (self.width - 1) * self.dilation;
        let reach = last * self.channels + (block + 1) * channels;
        self.rows.iter().all(|row| row.len() >= reach)
    }
}

/// Convolves a strip, each channel by itself.
pub(crate) fn convolve_depthwise(isa: Isa, strip: &mut DepthStrip<'_>) {
    if strip.pixels == 0 || strip.channels == 0 {
        return;
    }
    let reach = (strip.pixels - 1) * strip.stride + (strip.width - 1) * strip.dilation + 1;
    assert!(strip.rows.iter().all(|row| row.len() >= reach * strip.channels), "a row is too short");
    let block = LANES * isa.depth_lanes();
    let blocks = strip.channels.div_ceil(block);
    assert!(strip.bias.len() == blocks * block && strip.multiplier.len() == blocks * block);
    assert_eq!(strip.sums.len(), blocks * block);
    let taps = strip.terms * strip.width * strip.quads() * QUAD;
    assert_eq!(strip.weights.len(), blocks * block * taps);
    assert!(strip.output.len() >= strip.pixels * strip.channels);
    match isa {
        Isa::Scalar => scalar::convolve_depthwise(strip),
        // SAFETY: the processor has the features, and the bounds were checked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::convolve_depthwise(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => unsafe { avx::vnni::convolve_depthwise(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx::plain::convolve_depthwise(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm => unsafe { arm::i8mm::convolve_depthwise(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::Dotprod => unsafe { arm::dotprod::convolve_depthwise(strip) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => unsafe { arm::neon::convolve_depthwise(strip) },
    }
}

/// Replaces every level by its entry in a table.
pub(crate) fn look_up(isa: Isa, table: &[u8; 256], input: &[u8], output: &mut [u8]) {
    assert_eq!(input.len(), output.len());
    match isa {
        Isa::Scalar => scalar::look_up(table, input, output),
        // SAFETY: the processor has the features, and both slices have the same length.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::look_up(table, input.as_ptr(), output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx::look_up(table, input.as_ptr(), output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm | Isa::Dotprod | Isa::Neon => unsafe { arm::look_up(table, input.as_ptr(), output) },
    }
}

/// Replaces every level by its entry in a table, in place.
pub(crate) fn look_up_in_place(isa: Isa, table: &[u8; 256], levels: &mut [u8]) {
    match isa {
        Isa::Scalar => levels.iter_mut().for_each(|level| *level = table[usize::from(*level)]),
        // SAFETY: the processor has the features; each vector is read before it is written.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::look_up(table, levels.as_ptr(), levels) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx::look_up(table, levels.as_ptr(), levels) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm | Isa::Dotprod | Isa::Neon => unsafe { arm::look_up(table, levels.as_ptr(), levels) },
    }
}

/// Quantises: `round(value / scale) + zero point`. Divided, as ONNX has it: times the inverse some values that lie half-way
/// between two levels get the other one.
pub(crate) fn quantise(isa: Isa, scale: f32, rounding: Rounding, input: &[f32], output: &mut [u8]) {
    assert_eq!(input.len(), output.len());
    match isa {
        Isa::Scalar => scalar::quantise(scale, rounding, input, output),
        // SAFETY: the processor has the features, and both slices have the same length.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::quantise(scale, rounding, input, output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx::quantise(scale, rounding, input, output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm | Isa::Dotprod | Isa::Neon => unsafe {
            arm::quantise(scale, rounding, input, output);
        },
    }
}

/// A sum of two quantised tensors: `round(a · scale_a + b · scale_b + offset) + zero point`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Addition {
    pub(crate) scales: [f32; 2],
    pub(crate) offset: f32,
    pub(crate) rounding: Rounding,
}

/// Adds level by level.
pub(crate) fn add(isa: Isa, addition: &Addition, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    assert!(a.len() == b.len() && a.len() == output.len());
    match isa {
        Isa::Scalar => scalar::add(addition, [a, b], output),
        // SAFETY: the processor has the features, and all slices have the same length.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::add(addition, [a, b], output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx::add(addition, [a, b], output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm | Isa::Dotprod | Isa::Neon => unsafe { arm::add(addition, [a, b], output) },
    }
}

/// What is done to two tensors of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    Sum,
    Product,
}

/// Two tensors of levels read through tables, combined and rounded once.
#[derive(Clone, Debug)]
pub(crate) struct Combination {
    pub(crate) combine: Combine,
    /// In units of the output.
    pub(crate) tables: Box<[[f32; 256]; 2]>,
    pub(crate) rounding: Rounding,
}

/// Combines level by level.
pub(crate) fn combine(isa: Isa, combination: &Combination, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    assert!(a.len() == b.len() && a.len() == output.len());
    match isa {
        Isa::Scalar => scalar::combine(combination, [a, b], output),
        // SAFETY: the processor has the features, and all slices have the same length.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::combine(combination, [a, b], output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx::combine(combination, [a, b], output) },
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm | Isa::Dotprod | Isa::Neon => unsafe { arm::combine(combination, [a, b], output) },
    }
}

/// Lines of levels that become parts of longer lines.
pub(crate) struct Lines<'a> {
    /// What the levels become; none where they stay.
    pub(crate) table: Option<&'a [u8; 256]>,
    /// Levels of a line, and from one line to the next.
    pub(crate) length: usize,
    pub(crate) input_stride: usize,
    pub(crate) output_stride: usize,
    pub(crate) lines: usize,
}

/// Copies lines, each to its place.
pub(crate) fn copy_lines(isa: Isa, lines: &Lines<'_>, input: &[u8], output: &mut [u8]) {
    if lines.lines == 0 || lines.length == 0 {
        return;
    }
    assert!(input.len() >= (lines.lines - 1) * lines.input_stride + lines.length);
    assert!(output.len() >= (lines.lines - 1) * lines.output_stride + lines.length);
    match isa {
        // SAFETY: the processor has the features, and the lengths were checked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::copy_lines(lines, input, output) },
        _ => scalar::copy_lines(lines, input, output),
    }
}
