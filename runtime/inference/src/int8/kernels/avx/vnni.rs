//! AVX-VNNI: `vpdpbusd` on 256 bits, for processors without AVX-512.

use std::arch::x86_64::{__m256i, _mm256_dpbusd_avx_epi32};

type Levels = __m256i;

#[inline]
#[target_feature(enable = "avx2")]
fn levels(bytes: __m256i) -> __m256i {
    bytes
}

#[inline]
#[target_feature(enable = "avx2")]
fn weights(bytes: __m256i) -> __m256i {
    bytes
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot(sum: __m256i, levels: __m256i, weights: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, levels, weights)
}

// Twelve sums, two registers of weights and one of levels fit the 16 registers.
super::tiles::tiles!("avx2,avxvnni", 6, [0 1 2 3 4]);
