//! The loops around a product of levels and weights. A macro, because a function that is to be inlined cannot
//! be generic over instruction sets.

/// Makes `multiply` and `convolve_depthwise`, for tiles of so many pixels, and with such window columns shared
/// between neighbouring pixels, from these of the file around it:
/// `levels` and `weights` prepare registers of bytes, `dot` adds each quad's products to its sum.
macro_rules! tiles {
    ($features:literal, $pixels:literal, [$($column:literal)*]) => {
        use std::arch::x86_64::{_mm256_loadu_si256, _mm256_set1_epi32};

        use super::super::{DepthStrip, LANES, QUAD, Strip};
        use super::{BLOCK, Sums, depth_bias, depth_finish, interleaved, load_quad, load_rows, load_sums, store_tile};

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
                            3 => tile::<3>(strip, pixel, vector),
                            4 => tile::<4>(strip, pixel, vector),
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
                let mut sums = [load_sums(panel.bias.as_ptr().add(vector * LANES)); P];
                let mut weights = panel.weights.as_ptr().wrapping_add(vector * LANES * QUAD);
                for segment in strip.segments {
                    let start = segment.as_ptr().add(pixel * stride);
                    for quad in 0..strip.quads {
                        accumulate(&mut sums, start.add(quad * QUAD), stride, weights);
                        weights = weights.wrapping_add(step);
                    }
                }
                for excess in panel.excess {
                    let start =
                        strip.segments[excess.segment].as_ptr().add(pixel * stride + excess.quad * QUAD);
                    accumulate(&mut sums, start, stride, excess.weights.as_ptr().add(vector * LANES * QUAD));
                }
                store_tile(strip, pixel, vector, &sums);
            }
        }

        /// Adds one quad of K to every sum.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn accumulate<const P: usize>(
            sums: &mut [Sums; P],
            at: *const u8,
            stride: usize,
            column: *const i8,
        ) {
            // SAFETY: the caller's.
            unsafe {
                let low = weights(_mm256_loadu_si256(column.cast()));
                let high = weights(_mm256_loadu_si256(column.add(LANES / 2 * QUAD).cast()));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let quad = levels(_mm256_set1_epi32(at.add(row * stride).cast::<i32>().read_unaligned()));
                    *sums = [dot(sums[0], quad, low), dot(sums[1], quad, high)];
                }
            }
        }

        /// Output pixels that share the window columns between them.
        const SHARED: usize = ([$($column),*].len() - 3) / 2 + 1;

        /// # Safety
        /// `kernels::convolve_depthwise` has checked the strip, and the processor has the features.
        #[target_feature(enable = $features)]
        pub(in super::super) unsafe fn convolve_depthwise(strip: &mut DepthStrip<'_>) {
            for block in 0..strip.channels.div_ceil(BLOCK) {
                let shares = strip.rows.len() <= QUAD
                    && strip.dilation == 1
                    && strip.terms == 1
                    && strip.reaches(block, BLOCK);
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

        /// Neighbouring pixels; a window column that several of them see is interleaved once.
        #[target_feature(enable = $features)]
        unsafe fn depth_tile_shared<const WIDTH: usize, const STRIDE: usize>(
            strip: &mut DepthStrip<'_>,
            block: usize,
            pixel: usize,
        ) {
            let taps = &strip.weights[block * BLOCK * WIDTH * QUAD..][..BLOCK * WIDTH * QUAD];
            let mut sums = [depth_bias(strip, block); SHARED];
            let tops = strip.first_quad();
            let start = pixel * STRIDE * strip.channels + block * BLOCK;
            // Written out for each column: what the compiler leaves as a loop would keep the sums in memory.
            $(if $column < (SHARED - 1) * STRIDE + WIDTH {
                // SAFETY: `reaches` has said so; and the slice has a block's weights for every column of the window.
                unsafe {
                    let rows = interleaved(load_quad(tops, start + $column * strip.channels)).map(|row| levels(row));
                    for (at, sums) in sums.iter_mut().enumerate() {
                        if $column >= at * STRIDE && $column - at * STRIDE < WIDTH {
                            let taps = taps.as_ptr().add(($column - at * STRIDE) * BLOCK * QUAD);
                            depth_accumulate(sums, rows, taps);
                        }
                    }
                }
            })*
            for (at, sums) in sums.into_iter().enumerate() {
                depth_finish(strip, block, pixel + at, sums);
            }
        }

        /// One pixel and a window of any size.
        #[target_feature(enable = $features)]
        unsafe fn depth_tile(strip: &mut DepthStrip<'_>, block: usize, pixel: usize) {
            let quads = strip.quads();
            let term = strip.width * quads * BLOCK * QUAD;
            let taps = &strip.weights[block * strip.terms * term..][..strip.terms * term];
            let mut sums = depth_bias(strip, block);
            for column in 0..strip.width {
                for quad in 0..quads {
                    let at = pixel * strip.stride + column * strip.dilation;
                    let rows = interleaved(load_rows(strip, quad, at, block)).map(|row| levels(row));
                    for number in 0..strip.terms {
                        let at = number * term + (column * quads + quad) * BLOCK * QUAD;
                        // SAFETY: the slice has a block's weights for every term, column and quad.
                        unsafe { depth_accumulate(&mut sums, rows, taps.as_ptr().add(at)) };
                    }
                }
            }
            depth_finish(strip, block, pixel, sums);
        }

        /// Adds one quad of window rows to a block's sums.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn depth_accumulate(sums: &mut [__m256i; 4], rows: [Levels; 4], taps: *const i8) {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's: a block's weights for one quad are 128.
                let taps = unsafe { _mm256_loadu_si256(taps.add(vector * BLOCK).cast()) };
                *sum = dot(*sum, rows[vector], weights(taps));
            }
        }
    };
}
pub(super) use tiles;
