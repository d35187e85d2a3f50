//! Loops over floating-point numbers. Each is written once, in plain Rust, and compiled for each level.

use super::Level;

/// Numbers that a loop keeps side by side, so that sums need no order.
const LANES: usize = 16;
/// 1.5 * 2^23: added to a small number, it leaves the nearest integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Compiles a function for each level, and makes the one that chooses.
macro_rules! per_level {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        #[inline]
        $vis fn $name(level: Level, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $ret)? { plain($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
            fn avx512($($arg: $type),*) $(-> $ret)? { plain($($arg),*) }
            match level {
                // SAFETY: these levels come from `Level::available`, which asked the CPU.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512Vnni => unsafe { avx512($($arg),*) },
                // SAFETY: the same.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 | Level::AvxVnni => unsafe { avx2($($arg),*) },
                _ => plain($($arg),*),
            }
        }
    };
}

/// e to the x within 2e-7 of the value, after Cephes' `expf`; nought below -87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    // ln 2 in two parts, so that nothing is lost in the difference.
    let rest = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut sum = 1.987_569_2e-4_f32;
    for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + factor;
    }
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000));
    (sum * rest * rest + rest + 1.0) * power
}

#[inline(always)]
fn reduce(lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    let mut lanes = lanes;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn sum_of(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += of(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += of(*value);
    }
    reduce(lanes)
}

#[inline(always)]
fn max_of(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, of(*value));
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, of(*value));
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

per_level! {
    /// Writes a row as bytes, 128 added, and what one step of them is worth.
    pub(super) fn quantise_row(row: &[f32], bytes: &mut [u8], scale: &mut f32) {
        let largest = max_of(row, f32::abs);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        *scale = if largest > 0.0 { largest / 127.0 } else { 0.0 };
        for (byte, value) in bytes.iter_mut().zip(row) {
            // The lowest byte of the sum is the rounded value in two's complement.
            *byte = ((value * inverse + ROUND).to_bits() as u8) ^ 0x80;
        }
    }
}

per_level! {
    /// Adds `more` to `to`.
    pub(crate) fn add(to: &mut [f32], more: &[f32]) {
        for (to, more) in to.iter_mut().zip(more) {
            *to += more;
        }
    }
}

per_level! {
    /// The scalar product.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0.0; LANES];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                lanes[lane] += a[lane] * b[lane];
            }
        }
        for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
            *lane += a * b;
        }
        reduce(lanes)
    }
}

per_level! {
    /// Adds `factor * more` to `to`.
    pub(crate) fn weighted_add(to: &mut [f32], factor: f32, more: &[f32]) {
        for (to, more) in to.iter_mut().zip(more) {
            *to += factor * more;
        }
    }
}

per_level! {
    /// x times the share of a normal distribution below x; erf within 1.5e-7, by formula 7.1.26 of Abramowitz and Stegun.
    pub(crate) fn gelu(values: &mut [f32]) {
        for value in values {
            let x = *value * std::f32::consts::FRAC_1_SQRT_2;
            let size = x.abs();
            let t = 1.0 / (1.0 + 0.327_591_1 * size);
            let mut sum = 1.061_405_4_f32;
            for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
                sum = sum * t + factor;
            }
            let erf = (1.0 - sum * t * exp(-size * size)).copysign(x);
            *value = 0.5 * *value * (1.0 + erf);
        }
    }
}

per_level! {
    /// Each row of `values`, as long as `gamma`, to mean nought and variance one, then scaled and moved.
    pub(crate) fn layer_norm(values: &[f32], gamma: &[f32], beta: &[f32], out: &mut [f32]) {
        let width = gamma.len();
        for (row, out) in values.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean = sum_of(row, |value| value) / width as f32;
            let variance = sum_of(row, |value| (value - mean) * (value - mean)) / width as f32;
            let factor = 1.0 / (variance + 1e-5).sqrt();
            for (((out, value), gamma), beta) in out.iter_mut().zip(row).zip(gamma).zip(beta) {
                *out = (value - mean) * factor * gamma + beta;
            }
        }
    }
}

per_level! {
    /// Makes probabilities of one row.
    pub(crate) fn softmax(row: &mut [f32]) {
        let largest = max_of(row, |value| value);
        for value in row.iter_mut() {
            *value = exp(*value - largest);
        }
        let factor = 1.0 / sum_of(row, |value| value);
        for value in row.iter_mut() {
            *value *= factor;
        }
    }
}

per_level! {
    /// The logarithm of the sum of e to the values; what is minus infinity counts as nothing.
    pub(crate) fn log_sum_exp(row: &[f32]) -> f32 {
        let largest = max_of(row, |value| value);
        if largest == f32::NEG_INFINITY {
            return largest;
        }
        largest + sum_of(row, |value| exp(value - largest)).ln()
    }
}

per_level! {
    /// The largest of a row; minus infinity of none.
    pub(crate) fn max(row: &[f32]) -> f32 {
        max_of(row, |value| value)
    }
}

/// Positions that are scored or summed at a time: with 64 numbers each they fill half of the first cache, where the other rows
/// find them again.
const POSITIONS: usize = 64;

per_level! {
    /// Scores rows of `size` numbers, `stride` apart, against keys that lie transposed, `size` by `positions`: `out` is rows by positions.
    pub(crate) fn scores(queries: &[f32], size: usize, stride: usize, keys: &[f32], scale: f32, out: &mut [f32]) {
        let positions = keys.len() / size;
        for from in (0..positions).step_by(POSITIONS) {
            let width = POSITIONS.min(positions - from);
            for (query, out) in queries.chunks(stride).zip(out.chunks_exact_mut(positions)) {
                let mut sums = [0.0; POSITIONS];
                for (query, keys) in query[..size].iter().zip(keys.chunks_exact(positions)) {
                    if let Some(keys) = keys[from..].first_chunk::<POSITIONS>() {
                        for lane in 0..POSITIONS {
                            sums[lane] += query * keys[lane];
                        }
                    } else {
                        for (sum, key) in sums.iter_mut().zip(&keys[from..]) {
                            *sum += query * key;
                        }
                    }
                }
                for (out, sum) in out[from..from + width].iter_mut().zip(sums) {
                    *out = scale * sum;
                }
            }
        }
    }
}

per_level! {
    /// The sum of the values, `size` numbers for each position, by the shares of each row; `out` is rows by `size`.
    pub(crate) fn weighted_sum(shares: &[f32], values: &[f32], size: usize, out: &mut [f32]) {
        let positions = values.len() / size;
        out.fill(0.0);
        for from in (0..positions).step_by(POSITIONS) {
            let until = (from + POSITIONS).min(positions);
            for (shares, out) in shares.chunks_exact(positions).zip(out.chunks_exact_mut(size)) {
                for (first, out) in (0..size).step_by(POSITIONS).zip(out.chunks_mut(POSITIONS)) {
                    let rows = shares[from..until].iter().zip(values[from * size..].chunks_exact(size));
                    if let Some(out) = out.first_chunk_mut::<POSITIONS>() {
                        let mut sums = *out;
                        for (share, values) in rows {
                            if let Some(values) = values[first..].first_chunk::<POSITIONS>() {
                                for lane in 0..POSITIONS {
                                    sums[lane] += share * values[lane];
                                }
                            }
                        }
                        *out = sums;
                    } else {
                        for (share, values) in rows {
                            for (out, value) in out.iter_mut().zip(&values[first..]) {
                                *out += share * value;
                            }
                        }
                    }
                }
            }
        }
    }
}

per_level! {
    /// Half-precision numbers. Infinities, and what is not a number, become what is not a number, so that they are found.
    pub(crate) fn from_halves(halves: &[[u8; 2]], out: &mut [f32]) {
        for (out, half) in out.iter_mut().zip(halves) {
            let half = u32::from(u16::from_le_bytes(*half));
            let magnitude = half & 0x7fff;
            // Shifted into place, the exponent is 112 too small; the product also makes subnormal numbers right.
            let value = f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000);
            let bits = if magnitude >= 0x7c00 { f32::NAN.to_bits() } else { value.to_bits() };
            *out = f32::from_bits(bits | (half & 0x8000) << 16);
        }
    }
}

per_level! {
    /// Whether none of them is infinite or not a number.
    pub(crate) fn all_finite(values: &[f32]) -> bool {
        sum_of(values, |value| value * 0.0) == 0.0
    }
}

per_level! {
    /// Writes a row of weights as 8-bit numbers; returns what a step is worth, and their sum.
    pub(super) fn quantise_weights(row: &[f32], bytes: &mut [i8]) -> (f32, i32) {
        let largest = max_of(row, f32::abs);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let mut sum = 0_i32;
        for (byte, value) in bytes.iter_mut().zip(row) {
            *byte = (value * inverse + ROUND).to_bits() as i8;
            sum = sum.wrapping_add(i32::from(*byte));
        }
        (largest / 127.0, sum)
    }
}
