//! Which instruction sets there are, and which of them this processor has.

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::sync::OnceLock;

/// An instruction set that has kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust: the reference, and the way out on a processor that has none of the others.
    Scalar,
    /// x86-64 with AVX-512 BW, VL, VNNI and VBMI (2019 and later).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64 with AVX2, FMA and AVX-VNNI (Intel's clients since 2021, Zen 5).
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// x86-64 with AVX2 and FMA (2013 and later).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// ARM64 with USDOT (Cortex-A510, Neoverse V1 and later).
    #[cfg(target_arch = "aarch64")]
    I8mm,
    /// ARM64 with SDOT (Cortex-A55, Cortex-A76, Neoverse N1 and later).
    #[cfg(target_arch = "aarch64")]
    Dotprod,
    /// Any ARM64 (Cortex-A53, Cortex-A72).
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// Returns those that run on this processor, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx512vbmi")
        {
            available.push(Self::Avx512);
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avxvnni") {
                available.push(Self::AvxVnni);
            }
            available.push(Self::Avx2);
        }
        #[cfg(target_arch = "aarch64")]
        if is_aarch64_feature_detected!("neon") {
            if is_aarch64_feature_detected!("i8mm") {
                available.push(Self::I8mm);
            }
            if is_aarch64_feature_detected!("dotprod") {
                available.push(Self::Dotprod);
            }
            available.push(Self::Neon);
        }
        available.push(Self::Scalar);
        available
    }

    /// Returns the fastest one, asked of the processor once.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// Returns the name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::I8mm => "neon-i8mm",
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod => "neon-dotprod",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
        }
    }

    /// Returns how many groups of 16 channels a depthwise block has.
    pub(crate) fn depth_lanes(self) -> usize {
        match self {
            Self::Scalar => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 4,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni | Self::Avx2 => 2,
            #[cfg(target_arch = "aarch64")]
            Self::I8mm | Self::Dotprod | Self::Neon => 1,
        }
    }
}
