//! AVX-512 with VNNI (`vpdpbusd`: 64 products and 16 sums in one instruction) and VBMI (`vpermi2b`: a table of
//! 128 bytes in two registers).

use std::arch::x86_64::{
    __m512, __m512i, __mmask16, __mmask64, _MM_HINT_T1, _mm_maskz_loadu_epi8, _mm_prefetch, _mm512_add_epi32,
    _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtps_epi32, _mm512_div_ps,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_i32gather_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_blend_epi8, _mm512_mask_cvtusepi32_storeu_epi8, _mm512_mask_storeu_epi8,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_epi8, _mm512_maskz_loadu_ps, _mm512_max_epi32, _mm512_max_epu8,
    _mm512_min_epi32, _mm512_min_epu8, _mm512_min_ps, _mm512_movepi8_mask, _mm512_mul_ps, _mm512_packs_epi32,
    _mm512_packus_epi16, _mm512_permutex2var_epi8, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_si512, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8,
    _mm512_unpacklo_epi16,
};

use super::{
    Addition, Combination, Combine, DepthStrip, FARTHEST, LANES, Lines, Output, QUAD, Rounding, Strip,
};

/// Pixels times vectors of sums that fit the 32 registers beside the weights and one broadcast.
const fn most_pixels(vectors: usize) -> usize {
    if vectors == 4 { 6 } else { 8 }
}

/// Bytes of a cache line.
const LINE: usize = 64;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn multiply(strip: &mut Strip<'_>) {
    let vectors = strip.panel.vectors;
    // Blocks of equal size, as far as it goes: a last block of one pixel would cost as much as one of four.
    let blocks = strip.pixels.div_ceil(most_pixels(vectors));
    let mut pixel = 0;
    for block in 0..blocks {
        let end = (block + 1) * strip.pixels / blocks;
        let lines = strip.next.len() / LINE;
        let next = &strip.next[block * lines / blocks * LINE..(block + 1) * lines / blocks * LINE];
        // SAFETY: the caller's; every arm takes pixels of the strip only.
        unsafe {
            match (vectors, end - pixel) {
                (4, 1) => tile::<1, 4>(strip, pixel, next),
                (4, 2) => tile::<2, 4>(strip, pixel, next),
                (4, 3) => tile::<3, 4>(strip, pixel, next),
                (4, 4) => tile::<4, 4>(strip, pixel, next),
                (4, 5) => tile::<5, 4>(strip, pixel, next),
                (4, _) => tile::<6, 4>(strip, pixel, next),
                (3, pixels) => tiles_of::<3>(strip, pixel, pixels, next),
                (2, pixels) => tiles_of::<2>(strip, pixel, pixels, next),
                (_, pixels) => tiles_of::<1>(strip, pixel, pixels, next),
            }
        }
        pixel = end;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tiles_of<const C: usize>(strip: &mut Strip<'_>, pixel: usize, pixels: usize, next: &[i8]) {
    // SAFETY: the caller's.
    unsafe {
        match pixels {
            1 => tile::<1, C>(strip, pixel, next),
            2 => tile::<2, C>(strip, pixel, next),
            3 => tile::<3, C>(strip, pixel, next),
            4 => tile::<4, C>(strip, pixel, next),
            5 => tile::<5, C>(strip, pixel, next),
            6 => tile::<6, C>(strip, pixel, next),
            7 => tile::<7, C>(strip, pixel, next),
            _ => tile::<8, C>(strip, pixel, next),
        }
    }
}

/// `P` pixels by `C` vectors of columns, with all sums in registers. Lines of `next` are fetched meanwhile, one with each
/// quad: all at once they would wait for each other.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const P: usize, const C: usize>(strip: &mut Strip<'_>, pixel: usize, next: &[i8]) {
    let panel = strip.panel;
    let stride = strip.pixel_stride;
    let mut sums = [[_mm512_setzero_si512(); C]; P];
    // SAFETY: `super::multiply` has checked that each segment reaches to the last quad of the last pixel, that
    // the weights are as many as segments, quads and columns ask for, and the lengths of the rest.
    unsafe {
        for column in 0..C {
            let bias = _mm512_loadu_si512(panel.bias.as_ptr().add(column * LANES).cast());
            for sums in &mut sums {
                sums[column] = bias;
            }
        }
        let mut weights = panel.weights.as_ptr();
        let mut next = next.chunks_exact(LINE);
        for segment in strip.segments {
            let start = segment.as_ptr().add(pixel * stride);
            for quad in 0..strip.quads {
                if let Some(line) = next.next() {
                    _mm_prefetch::<_MM_HINT_T1>(line.as_ptr());
                }
                accumulate::<P, C>(&mut sums, start.add(quad * QUAD), stride, weights);
                weights = weights.add(C * LANES * QUAD);
            }
        }
        for excess in panel.excess {
            let start = strip.segments[excess.segment].as_ptr().add(pixel * stride + excess.quad * QUAD);
            accumulate::<P, C>(&mut sums, start, stride, excess.weights.as_ptr());
        }
        let multiplier = panel.multiplier.as_ptr();
        let real = |column: usize| mask16(panel.columns.saturating_sub(column * LANES));
        match &mut strip.output {
            Output::Quantised(output, rounding) => {
                for column in 0..C {
                    let multiplier = _mm512_loadu_ps(multiplier.add(column * LANES));
                    for (row, sums) in sums.iter().enumerate() {
                        let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[column]), multiplier);
                        let at = (pixel + row) * strip.output_stride + column * LANES;
                        store16(output.as_mut_ptr().add(at), real(column), levels(value, *rounding));
                    }
                }
            }
            Output::Float(output, addend) => {
                for column in 0..C {
                    let multiplier = _mm512_loadu_ps(multiplier.add(column * LANES));
                    let addend = _mm512_loadu_ps(addend.as_ptr().add(column * LANES));
                    for (row, sums) in sums.iter().enumerate() {
                        let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[column]), multiplier);
                        let at = (pixel + row) * strip.output_stride + column * LANES;
                        let value = _mm512_add_ps(value, addend);
                        _mm512_mask_storeu_ps(output.as_mut_ptr().add(at), real(column), value);
                    }
                }
            }
        }
    }
}

/// Adds one quad of K to every sum.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn accumulate<const P: usize, const C: usize>(
    sums: &mut [[__m512i; C]; P],
    levels: *const u8,
    stride: usize,
    weights: *const i8,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut columns = [_mm512_setzero_si512(); C];
        for (at, column) in columns.iter_mut().enumerate() {
            *column = _mm512_loadu_si512(weights.add(at * LANES * QUAD).cast());
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let quad = _mm512_set1_epi32(levels.add(row * stride).cast::<i32>().read_unaligned());
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm512_dpbusd_epi32(*sum, quad, column);
            }
        }
    }
}

#[inline]
fn mask16(real: usize) -> __mmask16 {
    if real >= 16 { 0xffff } else { (1 << real) - 1 }
}

#[inline]
fn mask64(real: usize) -> __mmask64 {
    if real >= 64 { u64::MAX } else { (1 << real) - 1 }
}

/// Rounds and shifts to the zero point; not yet clamped.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded(value: __m512, zero_point: i32) -> __m512i {
    // The comparison gives its second operand for what is no number, as `f32::min` does.
    let bounded = _mm512_min_ps(value, _mm512_set1_ps(FARTHEST));
    _mm512_add_epi32(_mm512_cvtps_epi32(bounded), _mm512_set1_epi32(zero_point))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn levels(value: __m512, rounding: Rounding) -> __m512i {
    let level = _mm512_max_epi32(rounded(value, rounding.zero_point), _mm512_set1_epi32(rounding.low.into()));
    _mm512_min_epi32(level, _mm512_set1_epi32(rounding.high.into()))
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store16(at: *mut u8, mask: __mmask16, levels: __m512i) {
    // SAFETY: the caller's.
    unsafe { _mm512_mask_cvtusepi32_storeu_epi8(at.cast(), mask, levels) };
}

/// Channels in a block.
const BLOCK: usize = 64;
/// Output pixels that share the window columns between them.
const SHARED: usize = 4;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn convolve_depthwise(strip: &mut DepthStrip<'_>) {
    let shares = strip.rows.len() <= QUAD && strip.dilation == 1 && strip.terms == 1;
    for block in 0..strip.channels.div_ceil(BLOCK) {
        let mut pixel = 0;
        // SAFETY: the caller's; each call takes pixels of the strip only.
        unsafe {
            while shares && pixel + SHARED <= strip.pixels {
                match (strip.width, strip.stride) {
                    (3, 1) => depth_tile_shared::<3, 1>(strip, block, pixel),
                    (3, 2) => depth_tile_shared::<3, 2>(strip, block, pixel),
                    _ => break,
                }
                pixel += SHARED;
            }
            for pixel in pixel..strip.pixels {
                depth_tile(strip, block, pixel);
            }
        }
    }
}

/// Interleaves four rows of 64 channels, so that each channel's four levels lie side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(rows: [__m512i; QUAD]) -> [__m512i; QUAD] {
    let low = [_mm512_unpacklo_epi8(rows[0], rows[1]), _mm512_unpacklo_epi8(rows[2], rows[3])];
    let high = [_mm512_unpackhi_epi8(rows[0], rows[1]), _mm512_unpackhi_epi8(rows[2], rows[3])];
    [
        _mm512_unpacklo_epi16(low[0], low[1]),
        _mm512_unpackhi_epi16(low[0], low[1]),
        _mm512_unpacklo_epi16(high[0], high[1]),
        _mm512_unpackhi_epi16(high[0], high[1]),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load_rows(strip: &DepthStrip<'_>, quad: usize, pixel: usize, block: usize) -> [__m512i; QUAD] {
    let real = mask64(strip.channels - block * BLOCK);
    let offset = pixel * strip.channels + block * BLOCK;
    let mut rows = [_mm512_setzero_si512(); QUAD];
    for (row, levels) in rows.iter_mut().zip(&strip.rows[quad * QUAD..]) {
        // SAFETY: the caller's, and the mask ends with the channels.
        *row = unsafe { _mm512_maskz_loadu_epi8(real, levels.as_ptr().add(offset).cast()) };
    }
    rows
}

/// Four neighbouring pixels; a window column that several of them see is interleaved once.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn depth_tile_shared<const WIDTH: usize, const STRIDE: usize>(
    strip: &mut DepthStrip<'_>,
    block: usize,
    pixel: usize,
) {
    let weights = &strip.weights[block * BLOCK * WIDTH * QUAD..][..BLOCK * WIDTH * QUAD];
    // SAFETY: the caller's; `super::convolve_depthwise` has checked every length.
    unsafe {
        let mut sums = [bias(strip, block); SHARED];
        for column in 0..(SHARED - 1) * STRIDE + WIDTH {
            let rows = interleaved(load_rows(strip, 0, pixel * STRIDE + column, block));
            for (at, sums) in sums.iter_mut().enumerate() {
                let Some(column) = column.checked_sub(at * STRIDE).filter(|column| *column < WIDTH) else {
                    continue;
                };
                let weights = weights.as_ptr().add(column * BLOCK * QUAD);
                for (vector, sum) in sums.iter_mut().enumerate() {
                    let weights = _mm512_loadu_si512(weights.add(vector * BLOCK).cast());
                    *sum = _mm512_dpbusd_epi32(*sum, rows[vector], weights);
                }
            }
        }
        for (at, sums) in sums.into_iter().enumerate() {
            finish(strip, block, pixel + at, sums);
        }
    }
}

/// One pixel and a window of any size.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn depth_tile(strip: &mut DepthStrip<'_>, block: usize, pixel: usize) {
    let quads = strip.quads();
    let term = strip.width * quads * BLOCK * QUAD;
    // SAFETY: the caller's; `super::convolve_depthwise` has checked every length.
    unsafe {
        let mut sums = bias(strip, block);
        let weights = strip.weights.as_ptr().add(block * strip.terms * term);
        for column in 0..strip.width {
            for quad in 0..quads {
                let at = pixel * strip.stride + column * strip.dilation;
                let rows = interleaved(load_rows(strip, quad, at, block));
                for number in 0..strip.terms {
                    let weights = weights.add(number * term + (column * quads + quad) * BLOCK * QUAD);
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let weights = _mm512_loadu_si512(weights.add(vector * BLOCK).cast());
                        *sum = _mm512_dpbusd_epi32(*sum, rows[vector], weights);
                    }
                }
            }
        }
        finish(strip, block, pixel, sums);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bias(strip: &DepthStrip<'_>, block: usize) -> [__m512i; 4] {
    let bias = strip.bias[block * BLOCK..][..BLOCK].as_ptr();
    // SAFETY: the slice has 64 values.
    [0, 1, 2, 3].map(|vector| unsafe { _mm512_loadu_si512(bias.add(vector * LANES).cast()) })
}

/// Rounds and stores; packing undoes the order that interleaving made.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn finish(strip: &mut DepthStrip<'_>, block: usize, pixel: usize, sums: [__m512i; 4]) {
    let multiplier = strip.multiplier[block * BLOCK..][..BLOCK].as_ptr();
    let rounding = strip.rounding;
    let mut values = sums;
    for (vector, sums) in values.iter_mut().enumerate() {
        // SAFETY: the slice has 64 values.
        let multiplier = unsafe { _mm512_loadu_ps(multiplier.add(vector * LANES)) };
        *sums = rounded(_mm512_mul_ps(_mm512_cvtepi32_ps(*sums), multiplier), rounding.zero_point);
    }
    let [a, b, c, d] = values;
    let packed = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    let packed = _mm512_max_epu8(packed, _mm512_set1_epi8(rounding.low.cast_signed()));
    let packed = _mm512_min_epu8(packed, _mm512_set1_epi8(rounding.high.cast_signed()));
    let real = mask64(strip.channels - block * BLOCK);
    let at = pixel * strip.channels + block * BLOCK;
    // SAFETY: the output holds every pixel's channels, and the mask ends with them.
    unsafe { _mm512_mask_storeu_epi8(strip.output.as_mut_ptr().add(at).cast(), real, packed) };
}

/// A table of 256 levels in registers.
struct Table([__m512i; 4]);

impl Table {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(table: &[u8; 256]) -> Self {
        // SAFETY: the table has four vectors.
        Self([0, 1, 2, 3].map(|at| unsafe { _mm512_loadu_si512(table.as_ptr().add(at * 64).cast()) }))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn look_up(&self, levels: __m512i) -> __m512i {
        let Self([a, b, c, d]) = *self;
        let low = _mm512_permutex2var_epi8(a, levels, b);
        let high = _mm512_permutex2var_epi8(c, levels, d);
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(levels), low, high)
    }
}

/// `input` holds as many levels as `output`, and may be the same memory.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) unsafe fn look_up(table: &[u8; 256], input: *const u8, output: &mut [u8]) {
    let table = Table::load(table);
    for at in (0..output.len()).step_by(64) {
        let mask = mask64(output.len() - at);
        // SAFETY: the masks end with the slices.
        unsafe {
            let levels = table.look_up(_mm512_maskz_loadu_epi8(mask, input.add(at).cast()));
            _mm512_mask_storeu_epi8(output.as_mut_ptr().add(at).cast(), mask, levels);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) unsafe fn copy_lines(lines: &Lines<'_>, input: &[u8], output: &mut [u8]) {
    let table = lines.table.map(|table| Table::load(table));
    for at in (0..lines.length).step_by(64) {
        let mask = mask64(lines.length - at);
        for line in 0..lines.lines {
            // SAFETY: `super::copy_lines` has checked that the last line fits, and the masks end with each line.
            unsafe {
                let from = input.as_ptr().add(line * lines.input_stride + at);
                let mut levels = _mm512_maskz_loadu_epi8(mask, from.cast());
                if let Some(table) = &table {
                    levels = table.look_up(levels);
                }
                let to = output.as_mut_ptr().add(line * lines.output_stride + at);
                _mm512_mask_storeu_epi8(to.cast(), mask, levels);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn quantise(scale: f32, rounding: Rounding, input: &[f32], output: &mut [u8]) {
    let by = _mm512_set1_ps(scale);
    for at in (0..input.len()).step_by(LANES) {
        let mask = mask16(input.len() - at);
        // SAFETY: the masks end with the slices, which have the same length.
        unsafe {
            let value = _mm512_div_ps(_mm512_maskz_loadu_ps(mask, input.as_ptr().add(at)), by);
            store16(output.as_mut_ptr().add(at), mask, levels(value, rounding));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn add(addition: &Addition, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [scale_a, scale_b] = addition.scales.map(|scale| _mm512_set1_ps(scale));
    let offset = _mm512_set1_ps(addition.offset);
    let length = output.len();
    for at in (0..length).step_by(LANES) {
        let mask = mask16(length - at);
        // SAFETY: the masks end with the slices, which have the same length.
        unsafe {
            let load = |from: *const u8| {
                let levels = _mm_maskz_loadu_epi8(mask, from.add(at).cast());
                _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(levels))
            };
            let sum = _mm512_fmadd_ps(load(b.as_ptr()), scale_b, offset);
            let sum = _mm512_fmadd_ps(load(a.as_ptr()), scale_a, sum);
            store16(output.as_mut_ptr().add(at), mask, levels(sum, addition.rounding));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn combine(combination: &Combination, [a, b]: [&[u8]; 2], output: &mut [u8]) {
    let [first, second] = &*combination.tables;
    let length = output.len();
    for at in (0..length).step_by(LANES) {
        let mask = mask16(length - at);
        // SAFETY: the masks end with the slices, which have the same length, and a level is an index into a table.
        unsafe {
            let read = |table: &[f32; 256], from: *const u8| {
                let levels = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from.add(at).cast()));
                _mm512_i32gather_ps::<4>(levels, table.as_ptr())
            };
            let (a, b) = (read(first, a.as_ptr()), read(second, b.as_ptr()));
            let value = match combination.combine {
                Combine::Sum => _mm512_add_ps(a, b),
                Combine::Product => _mm512_mul_ps(a, b),
            };
            store16(output.as_mut_ptr().add(at), mask, levels(value, combination.rounding));
        }
    }
}
