//! AVX2 without VNNI: `vpmaddwd` on 16 bits. `vpmaddubsw` would take bytes, but saturates at 15 bits.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_madd_epi16, _mm256_set1_epi16, _mm256_slli_epi16,
    _mm256_srai_epi16, _mm256_srli_epi16,
};

/// The even and the odd bytes of a register, each widened to 16 bits.
type Levels = [__m256i; 2];

#[inline]
#[target_feature(enable = "avx2")]
fn levels(bytes: __m256i) -> Levels {
    [_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(bytes)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn weights(bytes: __m256i) -> Levels {
    [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes)), _mm256_srai_epi16::<8>(bytes)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot(sum: __m256i, levels: Levels, weights: Levels) -> __m256i {
    let even = _mm256_madd_epi16(levels[0], weights[0]);
    _mm256_add_epi32(_mm256_add_epi32(sum, even), _mm256_madd_epi16(levels[1], weights[1]))
}

// Eight sums, four halves of weights and two of levels fit the 16 registers.
super::tiles::tiles!("avx2", 4, [0 1 2 3 4]);
