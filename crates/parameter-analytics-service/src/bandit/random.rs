//! The random draws of a decision: PCG32, and what is sampled from it.
//!
//! The draws of a decision depend on the bandit's seed and the decision's number alone, so that a bandit that was written down and read
//! again goes on as if nothing had happened. The parent module says what another implementation has to repeat.

use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;

use crate::stream::{STEP, mixed};

/// The stream that PCG's reference implementation uses where none is said.
const STREAM: u64 = 0x0A02_BDBF_7BB3_C0A7;
/// 2^-52.
const ULP: f64 = f64::EPSILON;

/// The draws of one decision.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    pcg: Pcg32,
    /// Marsaglia's polar method makes two normals at a time.
    spare: Option<f64>,
}

impl Draws {
    /// Those of decision `number` of a bandit with this seed.
    pub(super) fn of(seed: u64, number: u64) -> Self {
        let state = mixed(seed.wrapping_add(number.wrapping_mul(STEP)));
        Self { pcg: Pcg32::new(state, STREAM), spare: None }
    }

    /// Uniform in (0, 1), never an end of it: 52 bits, the first number's 26 highest ones and then the second's.
    pub(super) fn uniform(&mut self) -> f64 {
        let (high, low) = (self.pcg.next_u32() >> 6, self.pcg.next_u32() >> 6);
        (f64::from(high) * f64::from(1 << 26) + f64::from(low) + 0.5) * ULP
    }

    /// One of `0..n`; 0 where `n` is 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Standard normal: the polar method (Marsaglia and Bray 1964), which needs a logarithm, a root and no sine.
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (u, v) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = u * u + v * v;
            if square < 1.0 && square > 0.0 {
                let stretch = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(v * stretch);
                return u * stretch;
            }
        }
    }

    /// Gamma with a shape of at least 1 and scale 1 (Marsaglia and Tsang 2000). No prior here has a shape below 1, so that their power
    /// for small shapes is not needed.
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape.max(1.0) - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            if root <= 0.0 {
                continue;
            }
            let (v, square) = (root * root * root, x * x);
            let u = self.uniform();
            // The squeeze spares two logarithms in more than nine of ten cases.
            if u < 1.0 - 0.0331 * square * square
                || libm::log(u) < 0.5 * square + d * (1.0 - v + libm::log(v))
            {
                return d * v;
            }
        }
    }

    /// Beta with parameters of at least 1.
    pub(super) fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        x / (x + y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 200,000 draws.
    fn moments(mut draw: impl FnMut(&mut Draws) -> f64) -> (f64, f64) {
        let (mut draws, n) = (Draws::of(7, 0), 200_000);
        let values: Vec<f64> = (0..n).map(|_| draw(&mut draws)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / f64::from(n))
    }

    #[track_caller]
    fn check(found: (f64, f64), mean: f64, variance: f64) {
        let off = ((found.0 - mean).abs() / (variance / 2e5).sqrt(), (found.1 / variance - 1.0).abs());
        assert!(off.0 < 4.0 && off.1 < 0.02, "{found:?} for ({mean}, {variance})");
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        check(moments(Draws::uniform), 0.5, 1.0 / 12.0);
        check(moments(Draws::normal), 0.0, 1.0);
        check(moments(|draws| draws.gamma(1.0)), 1.0, 1.0);
        check(moments(|draws| draws.gamma(7.5)), 7.5, 7.5);
        check(moments(|draws| draws.beta(2.0, 5.0)), 2.0 / 7.0, 10.0 / (49.0 * 8.0));
    }

    #[test]
    fn the_first_draws_of_neighbouring_decisions_are_unrelated() {
        let first: Vec<f64> = (0..100_000).map(|number| Draws::of(3, number).uniform() - 0.5).collect();
        let product: f64 = first.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / 99_999.0;
        assert!((product * 12.0).abs() < 4.0 / 99_999f64.sqrt(), "{product}");
    }

    /// What another implementation is held to.
    #[test]
    fn a_seed_and_a_number_give_these_draws() {
        let mut draws = Draws::of(42, 7);
        let found = [draws.uniform(), draws.normal(), draws.gamma(2.5), draws.beta(3.0, 4.5)];
        assert_eq!(found, [0.616652291811136, -0.11753148091554659, 2.215572377858848, 0.3575194009281875]);
    }
}
