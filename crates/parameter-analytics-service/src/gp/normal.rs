//! The normal distribution where its tails matter: logarithms that stay exact when the numbers themselves underflow.
//!
//! The logarithm of expected improvement is computed as Ament et al. do ("Unexpected Improvements to Expected Improvement for Bayesian
//! Optimization", NeurIPS 2023, arXiv 2310.20708). We depart from them below -5: where they take a difference of `erfcx` that cancels
//! and an asymptotic form beyond it, we evaluate the continued fraction of Mills' ratio (Laplace 1805), whose remainder is
//! what is looked for, so that nothing cancels anywhere.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// From here on the continued fraction is used; it needs the fewest terms far out, and the direct formula loses a digit and a half here.
const FAR: f64 = -5.0;
/// At 5 the fraction has converged to the last place with 60 terms.
const TERMS: u32 = 60;

/// The density.
pub fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// The chance of less than `z`.
pub fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

fn log_density(z: f64) -> f64 {
    -0.5 * z * z - 0.5 * (2.0 * PI).ln()
}

/// `K(x) = 1/(x + 2/(x + 3/(x + ...)))`, with which Mills' ratio is `1 / (x + K)`; `x >= 5`.
fn remainder(x: f64) -> f64 {
    (2..=TERMS).rev().fold(x, |tail, term| x + f64::from(term) / tail).recip()
}

/// The logarithm of what a standard normal variable exceeds `-z` by in the mean, `h(z) = density(z) + z * below(z)`, and two ratios.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogExcess {
    /// `ln h(z)`.
    pub log: f64,
    /// `below(z) / h(z)`: the derivative of `log`.
    pub slope: f64,
    /// `density(z) / h(z)`.
    pub density: f64,
}

/// See [`LogExcess`].
pub fn log_excess(z: f64) -> LogExcess {
    if z > FAR {
        let (density, below) = (density(z), below(z));
        let h = density + z * below;
        return LogExcess { log: h.ln(), slope: below / h, density: density / h };
    }
    let x = -z;
    let k = remainder(x);
    // h / density = 1 - x / (x + k).
    LogExcess { log: log_density(z) + (k / (x + k)).ln(), slope: 1.0 / k, density: (x + k) / k }
}

/// `ln below(z)` and its derivative.
pub fn log_below(z: f64) -> (f64, f64) {
    if z > FAR {
        let below = below(z);
        return (below.ln(), density(z) / below);
    }
    let x = -z;
    let mills = 1.0 / (x + remainder(x));
    (log_density(z) + mills.ln(), 1.0 / mills)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_agree_with_numbers_of_many_digits() {
        // mpmath, 50 digits: log(npdf(z) + z * ncdf(z)) and log(ncdf(z)).
        for (z, log_h, log_p) in REFERENCE {
            assert!((log_excess(z).log - log_h).abs() <= 1e-13 * log_h.abs(), "{z}: {:?}", log_excess(z));
            assert!((log_below(z).0 - log_p).abs() <= 1e-13 * log_p.abs(), "{z}: {:?}", log_below(z));
        }
    }

    #[test]
    fn slopes_are_those_of_differences() {
        for z in [-1e4, -40.0, -5.001, -4.999, -1.0, 0.0, 1.0, 5.0] {
            let step = 1e-5 * f64::max(1.0, f64::abs(z));
            let slope = |f: &dyn Fn(f64) -> f64| (f(z + step) - f(z - step)) / (2.0 * step);
            let h = slope(&|z| log_excess(z).log);
            let p = slope(&|z| log_below(z).0);
            assert!((log_excess(z).slope - h).abs() <= 1e-6 * h.abs(), "{z}: {h}");
            assert!((log_below(z).1 - p).abs() <= 1e-6 * p.abs(), "{z}: {p}");
        }
    }

    #[expect(clippy::excessive_precision, clippy::approx_constant, reason = "as they were computed")]
    const REFERENCE: [(f64, f64, f64); 9] = [
        (-100000000.0, -5000000000000037.8, -5000000000000019.3),
        (-1000.0, -500014.73445209116, -500007.82669481218),
        (-40.0, -808.29856835661996, -804.60844201375379),
        (-10.0, -55.553122036122356, -53.231285150512471),
        (-5.0, -16.74430116266099, -15.064998393988726),
        (-4.9000000000000004, -16.212816407897736, -14.551182689355313),
        (-1.0, -2.4851210257126413, -1.8410216450092635),
        (0.0, -0.91893853320467274, -0.69314718055994531),
        (3.0, 1.0987396653277078, -0.0013508099647481938),
    ];
}
