//! Where the time goes, and the only place with `unsafe`: products of matrices and loops over numbers, each compiled for
//! several kinds of CPU and chosen when the program runs. Integers add up to the same sums at every level; floating-point
//! sums may differ in their last bits.
#![expect(unsafe_code, reason = "intrinsics, and functions compiled for CPUs that are detected at run time")]

mod activations;
mod float;
mod gemm;
mod int8;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use activations::Activations;
pub(crate) use float::{
    add, all_finite, dot, from_halves, gelu, layer_norm, log_sum_exp, max, scores, softmax, weighted_add,
    weighted_sum,
};
pub(crate) use gemm::{Strided, matmul_f32};
pub use int8::Int8Matrix;

/// What a CPU offers for products of 8-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Rust alone, as the compiler makes it for any CPU of the kind.
    Plain,
    /// 256 bits wide; x86-64 since about 2013. Only [`Level::available`] gives those that not every CPU has.
    #[non_exhaustive]
    Avx2,
    /// Four products a lane and instruction, 256 bits wide.
    #[non_exhaustive]
    AvxVnni,
    /// The same, 512 bits wide.
    #[non_exhaustive]
    Avx512Vnni,
}

impl Level {
    /// All that this machine has, slowest first.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "the others are x86's"))]
        let mut levels = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self::Avx2);
                if is_x86_feature_detected!("avxvnni") {
                    levels.push(Self::AvxVnni);
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
                {
                    levels.push(Self::Avx512Vnni);
                }
            }
        }
        levels
    }

    /// The fastest of this machine.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Plain)
    }
}
