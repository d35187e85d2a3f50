//! Loops over numbers, compiled for several CPUs and chosen when they run.
//!
//! Sums are taken in eight lanes in a fixed order, without fused multiply-add, so that AVX2 and SSE2 give the same bits.

const LANES: usize = 8;

/// Runs `work` with the widest instructions that this CPU has; what is called inside must be `#[inline(always)]` to gain by it.
#[inline(always)]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Sum of products. What is longer than the other is left out.
#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let shared = a.len().min(b.len());
    let (a, b) = (&a[..shared], &b[..shared]);
    let (a_eights, a_rest) = a.as_chunks::<LANES>();
    let (b_eights, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a_eights.iter().zip(b_eights) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    sum(lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// Four sums of products with the same numbers.
#[inline(always)]
pub(crate) fn dot4(row: &[f64], columns: [&[f64]; 4]) -> [f64; 4] {
    let (eights, rest) = row.as_chunks::<LANES>();
    let mut lanes = [[0.0; LANES]; 4];
    let [c0, c1, c2, c3] = columns.map(|column| column.as_chunks::<LANES>().0);
    for ((((row, c0), c1), c2), c3) in eights.iter().zip(c0).zip(c1).zip(c2).zip(c3) {
        let [l0, l1, l2, l3] = &mut lanes;
        for k in 0..LANES {
            l0[k] += row[k] * c0[k];
            l1[k] += row[k] * c1[k];
            l2[k] += row[k] * c2[k];
            l3[k] += row[k] * c3[k];
        }
    }
    let done = eights.len() * LANES;
    let tail = |column: &[f64]| rest.iter().zip(column.iter().skip(done)).map(|(a, b)| a * b).sum::<f64>();
    let mut sums = columns.map(tail);
    for (total, lanes) in sums.iter_mut().zip(lanes) {
        *total += sum(lanes);
    }
    sums
}

/// `y += factor * x`.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[inline(always)]
fn sum([a, b, c, d, e, f, g, h]: [f64; LANES]) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// `exp(x)` for `x <= 0`, to a few units in the last place; 0 below -708.
///
/// Cody and Waite's reduction and a Taylor polynomial of degree 13, which on |r| <= ln(2)/2 misses by 2e-18. Free of branches, so that
/// a loop over it is vectorised, and the same on every platform, which the C library's is not.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    /// Adding it rounds to a whole number, which then lies in the low bits (1.5 * 2^52).
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const TAYLOR: [f64; 14] = {
        let mut terms = [1.0; 14];
        let mut n = 1;
        while n < 14 {
            terms[n] = terms[n - 1] / n as f64;
            n += 1;
        }
        terms
    };
    let inside = if x > -708.0 { x } else { -708.0 };
    let shifted = inside * std::f64::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = (inside - whole * LN_2_HIGH) - whole * LN_2_LOW;
    let mut sum = TAYLOR[13];
    let mut n = 13;
    while n > 0 {
        n -= 1;
        sum = sum * r + TAYLOR[n];
    }
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    if x > -708.0 { sum * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for n in 0..7_000 {
            let x = -f64::from(n) * 0.1;
            let (ours, theirs) = (exp(x), x.exp());
            assert!((ours - theirs).abs() <= 4e-16 * theirs.max(f64::MIN_POSITIVE), "{x}: {ours} {theirs}");
        }
        assert_eq!((exp(-1e9), exp(f64::NEG_INFINITY), exp(0.0)), (0.0, 0.0, 1.0));
    }

    #[test]
    fn sums_are_right_at_every_length() {
        let a: Vec<f64> = (0..40).map(|n| f64::from(n) + 0.5).collect();
        for len in 0..40 {
            let plain: f64 = a[..len].iter().zip(&a[1..]).map(|(a, b)| a * b).sum();
            assert!((wide(|| dot(&a[..len], &a[1..])) - plain).abs() < 1e-9);
            let four = dot4(&a[..len], [&a[1..], &a, &a[..len], &a[1..]]);
            assert!((four[0] - plain).abs() < 1e-9 && four[3] == four[0] && four[1] == four[2]);
        }
    }
}
