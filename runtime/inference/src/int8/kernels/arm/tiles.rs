//! The loops around a product of levels and weights. A macro, because a function that is to be inlined cannot
//! be generic over instruction sets.

/// Makes `multiply` and `convolve_depthwise`, for tiles of so many pixels, and with such window columns shared
/// between neighbouring pixels, from these of the file around it:
/// `levels` prepares a register of bytes, `quad` and `dot_quad` multiply one quad of it with four columns, `dot`
/// all four quads with one column each; `start` makes a sum and `total` ends it.
macro_rules! tiles {
    ($features:literal, $pixels:literal, [$($column:literal)*]) => {
        use std::arch::aarch64::{vdupq_n_u32, vld1q_s8, vld1q_u8, vreinterpretq_u8_u32};

        use super::super::{DepthStrip, LANES, QUAD, Strip};
        use super::{QUARTER, depth_finish, interleaved, load_quad, load_rows, load_sums, store_pixel};

        /// Sums of 16 columns.
        type Sums = [Sum; 4];

        /// # Safety
        /// `kernels::multiply` has checked the strip, and the processor has the features.
        #[target_feature(enable = $features)]
        pub(in super::super) unsafe fn multiply(strip: &mut Strip<'_>) {
            // Blocks of equal size, as far as it goes: a last block of one pixel would cost as much as one of four.
            const { assert!($pixels <= 6, "each size of a block has an arm below") };
            let blocks = strip.pixels.div_ceil($pixels);
            let mut pixel = 0;
            for block in 0..blocks {
                let end = (block + 1) * strip.pixels / blocks;
                for vector in 0..strip.panel.vectors {
                    // SAFETY: the caller's; every arm takes pixels of the strip only.
                    unsafe {
                        match end - pixel {
                            1 => tile::<1>(strip, pixel, vector),
                            2 => tile::<2>(strip, pixel, vector),
                            3 => tile::<{ most(3) }>(strip, pixel, vector),
                            4 => tile::<{ most(4) }>(strip, pixel, vector),
                            5 => tile::<{ most(5) }>(strip, pixel, vector),
                            _ => tile::<$pixels>(strip, pixel, vector),
                        }
                    }
                }
                pixel = end;
            }
        }

        /// Keeps tiles that never occur from being made.
        const fn most(pixels: usize) -> usize {
            if pixels < $pixels { pixels } else { $pixels }
        }

        /// `P` pixels by the 16 columns of a vector, with all sums in registers.
        #[target_feature(enable = $features)]
        unsafe fn tile<const P: usize>(strip: &mut Strip<'_>, pixel: usize, vector: usize) {
            let panel = strip.panel;
            let stride = strip.pixel_stride;
            let step = panel.vectors * LANES * QUAD;
            // SAFETY: `kernels::multiply` has checked that each segment reaches to the last quad of the last pixel,
            // that the weights are as many as segments, quads and columns ask for, and the lengths of the rest.
            unsafe {
                let bias = load_sums(panel.bias.as_ptr().add(vector * LANES));
                let sums = load_sums(panel.sums.as_ptr().add(vector * LANES));
                let mut sums = [begun(bias, sums); P];
                let mut weights = panel.weights.as_ptr().wrapping_add(vector * LANES * QUAD);
                for segment in strip.segments {
                    let mut at = segment.as_ptr().wrapping_add(pixel * stride);
                    for _ in 0..strip.quads / 4 {
                        let mut four = [levels(vld1q_u8(at)); P];
                        for (row, four) in four.iter_mut().enumerate().skip(1) {
                            *four = levels(vld1q_u8(at.add(row * stride)));
                        }
                        accumulate::<0, P>(&mut sums, &four, weights);
                        accumulate::<1, P>(&mut sums, &four, weights.wrapping_add(step));
                        accumulate::<2, P>(&mut sums, &four, weights.wrapping_add(2 * step));
                        accumulate::<3, P>(&mut sums, &four, weights.wrapping_add(3 * step));
                        weights = weights.wrapping_add(4 * step);
                        at = at.wrapping_add(4 * QUAD);
                    }
                    for _ in 0..strip.quads % 4 {
                        accumulate::<0, P>(&mut sums, &one_quad(at, stride), weights);
                        weights = weights.wrapping_add(step);
                        at = at.wrapping_add(QUAD);
                    }
                }
                for excess in panel.excess {
                    let at = strip.segments[excess.segment].as_ptr().add(pixel * stride + excess.quad * QUAD);
                    let weights = excess.weights.as_ptr().add(vector * LANES * QUAD);
                    accumulate::<0, P>(&mut sums, &one_quad(at, stride), weights);
                }
                for (row, sums) in sums.into_iter().enumerate() {
                    store_pixel(strip, pixel + row, vector, ended(sums));
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn begun(bias: [int32x4_t; 4], sums: [int32x4_t; 4]) -> Sums {
            [
                start(bias[0], sums[0]),
                start(bias[1], sums[1]),
                start(bias[2], sums[2]),
                start(bias[3], sums[3]),
            ]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn ended(sums: Sums) -> [int32x4_t; 4] {
            [total(sums[0]), total(sums[1]), total(sums[2]), total(sums[3])]
        }

        /// One quad of every pixel, where 16 levels would reach beyond the segment.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn one_quad<const P: usize>(at: *const u8, stride: usize) -> [Levels; P] {
            let mut quads = [levels(vreinterpretq_u8_u32(vdupq_n_u32(0))); P];
            for (row, quad) in quads.iter_mut().enumerate() {
                // SAFETY: the caller's.
                let bytes = unsafe { at.add(row * stride).cast::<u32>().read_unaligned() };
                *quad = levels(vreinterpretq_u8_u32(vdupq_n_u32(bytes)));
            }
            quads
        }

        /// Adds one quad of K to every sum: the one `AT` its place in the registers.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn accumulate<const AT: i32, const P: usize>(
            sums: &mut [Sums; P],
            levels: &[Levels; P],
            weights: *const i8,
        ) {
            let mut quads = *levels;
            for levels in &mut quads {
                *levels = quad::<AT>(*levels);
            }
            for quarter in 0..4 {
                // SAFETY: the caller's: a quad has 64 weights.
                let weights = unsafe { vld1q_s8(weights.add(quarter * QUARTER * QUAD)) };
                for (sums, levels) in sums.iter_mut().zip(quads) {
                    sums[quarter] = dot_quad::<AT>(sums[quarter], levels, weights);
                }
            }
        }

        /// Output pixels that share the window columns between them.
        const SHARED: usize = ([$($column),*].len() - 3) / 2 + 1;

        /// # Safety
        /// `kernels::convolve_depthwise` has checked the strip, and the processor has the features.
        #[target_feature(enable = $features)]
        pub(in super::super) unsafe fn convolve_depthwise(strip: &mut DepthStrip<'_>) {
            for block in 0..strip.channels.div_ceil(LANES) {
                let shares = strip.rows.len() <= QUAD
                    && strip.dilation == 1
                    && strip.terms == 1
                    && strip.reaches(block, LANES);
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

        #[inline]
        #[target_feature(enable = $features)]
        fn depth_start(strip: &DepthStrip<'_>, block: usize) -> Sums {
            let bias = &strip.bias[block * LANES..][..LANES];
            let sums = &strip.sums[block * LANES..][..LANES];
            // SAFETY: both slices have 16 values.
            unsafe { begun(load_sums(bias.as_ptr()), load_sums(sums.as_ptr())) }
        }

        /// Neighbouring pixels; a window column that several of them see is interleaved once.
        #[target_feature(enable = $features)]
        unsafe fn depth_tile_shared<const WIDTH: usize, const STRIDE: usize>(
            strip: &mut DepthStrip<'_>,
            block: usize,
            pixel: usize,
        ) {
            let taps = &strip.weights[block * LANES * WIDTH * QUAD..][..LANES * WIDTH * QUAD];
            let mut sums = [depth_start(strip, block); SHARED];
            let tops = strip.first_quad();
            let start = pixel * STRIDE * strip.channels + block * LANES;
            // Written out for each column: what the compiler leaves as a loop would keep the sums in memory.
            $(if $column < (SHARED - 1) * STRIDE + WIDTH {
                // SAFETY: `reaches` has said so; and the slice has a block's weights for every column of the window.
                unsafe {
                    let rows = interleaved(load_quad(tops, start + $column * strip.channels));
                    for (at, sums) in sums.iter_mut().enumerate() {
                        if $column >= at * STRIDE && $column - at * STRIDE < WIDTH {
                            let taps = taps.as_ptr().add(($column - at * STRIDE) * LANES * QUAD);
                            depth_accumulate(sums, rows, taps);
                        }
                    }
                }
            })*
            for (at, sums) in sums.into_iter().enumerate() {
                depth_finish(strip, block, pixel + at, ended(sums));
            }
        }

        /// One pixel and a window of any size.
        #[target_feature(enable = $features)]
        unsafe fn depth_tile(strip: &mut DepthStrip<'_>, block: usize, pixel: usize) {
            let quads = strip.quads();
            let term = strip.width * quads * LANES * QUAD;
            let taps = &strip.weights[block * strip.terms * term..][..strip.terms * term];
            let mut sums = depth_start(strip, block);
            for column in 0..strip.width {
                for quad in 0..quads {
                    let at = pixel * strip.stride + column * strip.dilation;
                    let rows = interleaved(load_rows(strip, quad, at, block));
                    for number in 0..strip.terms {
                        let at = number * term + (column * quads + quad) * LANES * QUAD;
                        // SAFETY: the slice has a block's weights for every term, column and quad.
                        unsafe { depth_accumulate(&mut sums, rows, taps.as_ptr().add(at)) };
                    }
                }
            }
            depth_finish(strip, block, pixel, ended(sums));
        }

        /// Adds one quad of window rows to a block's sums.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn depth_accumulate(sums: &mut Sums, rows: [uint8x16_t; QUAD], taps: *const i8) {
            for (quarter, (sum, row)) in sums.iter_mut().zip(rows).enumerate() {
                // SAFETY: the caller's: a block's weights for one quad are 64.
                let taps = unsafe { vld1q_s8(taps.add(quarter * QUARTER * QUAD)) };
                *sum = dot(*sum, levels(row), taps);
            }
        }
    };
}
pub(super) use tiles;
