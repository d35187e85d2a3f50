//! The arithmetic, written so that the compiler makes vector instructions of it. Everything here is inlined into one function
//! per kind of processor, see `model.rs`.

use crate::weights::Layer;

/// `a * b + c`. In one instruction where the processor has it; elsewhere `mul_add` is a call that takes a hundred times as long.
#[inline(always)]
fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The layer's outputs for each of `P` columns: `out[output][column]`, plus bias, below 0 cut off where `RELU`.
///
/// A block's sums, `P x B` numbers, stay in registers while its weights pass by.
#[inline(always)]
pub(crate) fn product<const FMA: bool, const RELU: bool, const P: usize, const B: usize>(
    layer: &Layer<B>,
    inputs: &[[f32; P]],
    out: &mut [[f32; P]],
) {
    let blocks = layer.weights.chunks_exact(inputs.len()).zip(&layer.bias).zip(out.as_chunks_mut::<B>().0);
    for ((weights, bias), out) in blocks {
        let mut sums = [*bias; P];
        for (weights, input) in weights.iter().zip(inputs) {
            for (sums, input) in sums.iter_mut().zip(input) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = fused::<FMA>(*weight, *input, *sum);
                }
            }
        }
        for (column, sums) in sums.iter().enumerate() {
            for (out, sum) in out.iter_mut().zip(sums) {
                out[column] = if RELU { sum.max(0.0) } else { *sum };
            }
        }
    }
}

/// `e^x` to within 2 units in the last place, between -87 and 88; outside as at the bound. After Cephes' `expf`: a power of two
/// times a polynomial of what is left.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding it leaves a whole number in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let whole = fused::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let power = f32::from_bits((whole.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    let whole = whole - ROUND;
    // ln 2 in two parts, of which the first has few digits, so that its product is exact.
    let rest = fused::<FMA>(whole, -0.693_359_4, x);
    let rest = fused::<FMA>(whole, 2.121_944_4e-4, rest);
    let mut sum = 1.987_569_1e-4;
    for factor in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = fused::<FMA>(sum, rest, factor);
    }
    let sum = fused::<FMA>(sum, rest * rest, rest + 1.0);
    sum * power
}

#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

#[inline(always)]
fn tanh<const FMA: bool>(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp::<FMA>(2.0 * x))
}

/// One step of an LSTM of the width `N`, of the gates' sums (input, forget, cell, output).
#[inline(always)]
pub(crate) fn lstm_step<const FMA: bool, const N: usize>(
    gates: &[[f32; N]; 4],
    cell: &mut [f32; N],
    hidden: &mut [f32; N],
) {
    let [input, forget, candidate, output] = gates;
    for at in 0..N {
        let kept = sigmoid::<FMA>(forget[at]) * cell[at];
        cell[at] = fused::<FMA>(sigmoid::<FMA>(input[at]), tanh::<FMA>(candidate[at]), kept);
        hidden[at] = sigmoid::<FMA>(output[at]) * tanh::<FMA>(cell[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for step in -2000..2000 {
            let x = step as f32 * 0.0437;
            let (found, expected) = (f64::from(exp::<false>(x)), f64::from(x.clamp(-87.0, 88.0)).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "e^{x}: {found} is not {expected}");
            let (found, expected) = (f64::from(tanh::<true>(x)), f64::from(x).tanh());
            assert!((found - expected).abs() < 3e-7, "tanh {x}: {found} is not {expected}");
        }
    }
}
