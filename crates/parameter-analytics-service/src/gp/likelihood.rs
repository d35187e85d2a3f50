//! How well hyperparameters explain what was observed, and which do best: the maximum of the posterior of the hyperparameters (MAP).
//!
//! The marginal likelihood and its gradient are those of Rasmussen and Williams 2006, eqs. 5.8 and 5.9. The length scales have the prior
//! of Hvarfner, Hellsten and Nardi ("Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML 2024, arXiv 2402.02229):
//! log-normal, with a location that grows by `ln(d) / 2`, since distances in a cube grow by the root of d. We depart from them in fitting
//! the scale as well, with the Gamma priors of scale and noise of Optuna's sampler (`optuna/_gp/prior.py`), that of the noise six times
//! as wide: theirs takes half of all variance being noise for all but impossible.

use crate::gp::bounded::{Limits, minimise};
use crate::gp::factor::{NotFinite, inverse_factor};
use crate::gp::kernel::{Inputs, Kernel, add_squares};
use crate::gp::lower::Lower;
use crate::gp::posterior::{Hyperparameters, covariance};
use crate::gp::vector::{add_scaled, dot, wide};

/// Logarithms of length scales; the cube's side is 1, so that outside of this range a function is noise, or does not depend at all.
const LENGTH_BOUNDS: (f64, f64) = (-5.3, 7.0);
/// Of the scale; observations have variance 1.
const SCALE_BOUNDS: (f64, f64) = (-6.0, 8.0);
/// Of the noise: down to the variance at which rounding in the factor is seen, up to all of what is observed.
const NOISE_BOUNDS: (f64, f64) = (-16.5, 0.5);

/// Logarithms: of each length scale, of the scale, of the noise.
pub type Logs = Vec<f64>;

/// What observations at one and the same point tell of the noise, where their mean is what the model sees: without it, a hundred
/// observations of one point would say nothing of how far they lie apart.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Within {
    /// The sum of their squared distances from the mean of their point.
    pub squares: f64,
    /// How many observations there are beyond one for each point.
    pub degrees: f64,
}

/// Where a fit starts when nothing is known: the mode of each prior, roughly.
pub fn start(dimensions: usize) -> Logs {
    let length = (0.5f64).ln() + 0.5 * (dimensions.max(1) as f64 / 6.0).ln();
    let mut logs = vec![length.max(-1.5); dimensions];
    logs.extend([0.0, -7.0]);
    logs
}

fn bounds(dimensions: usize) -> Vec<(f64, f64)> {
    let mut bounds = vec![LENGTH_BOUNDS; dimensions];
    bounds.extend([SCALE_BOUNDS, NOISE_BOUNDS]);
    bounds
}

/// The hyperparameters with these logarithms.
pub fn hyperparameters(logs: &[f64]) -> Hyperparameters {
    let (lengths, rest) = logs.split_at(logs.len().saturating_sub(2));
    let weights = lengths.iter().map(|length| (-2.0 * length).exp()).collect();
    let of_rest = |place: usize| rest.get(place).copied().unwrap_or_default().exp();
    Hyperparameters { kernel: Kernel { weights, scale: of_rest(0) }, noise: of_rest(1) }
}

/// The logarithm of the density of the hyperparameters, without constants; adds its gradient.
fn log_prior(logs: &[f64], gradient: &mut [f64]) -> f64 {
    let d = logs.len().saturating_sub(2);
    let location = std::f64::consts::SQRT_2 + 0.5 * (d.max(1) as f64).ln();
    let mut sum = 0.0;
    for (place, (&log, slope)) in logs.iter().zip(gradient).enumerate() {
        if place < d {
            // Log-normal with variance 3 of the logarithm, as a density of the length itself.
            let beyond = log - location;
            sum -= beyond * beyond / 6.0 + log;
            *slope -= beyond / 3.0 + 1.0;
        } else if place == d {
            // Gamma(2, 1).
            sum += log - log.exp();
            *slope += 1.0 - log.exp();
        } else {
            // Gamma(1.1, 5).
            sum += 0.1 * log - 5.0 * log.exp();
            *slope += 0.1 - 5.0 * log.exp();
        }
    }
    sum
}

/// The logarithm of the marginal likelihood and of the prior; writes its gradient by the logarithms. O(n^3).
///
/// # Errors
/// [`NotFinite`]: an input, an observation or a hyperparameter is not.
pub fn log_posterior(
    logs: &[f64],
    inputs: &Inputs,
    observed: &[f64],
    gradient: &mut [f64],
) -> Result<f64, NotFinite> {
    log_posterior_pooled(logs, inputs, observed, Within::default(), gradient)
}

/// The same, where observations are means ([`Inputs::push_pooled`]): their scatter around them is part of the likelihood.
///
/// # Errors
/// As [`log_posterior`].
pub fn log_posterior_pooled(
    logs: &[f64],
    inputs: &Inputs,
    observed: &[f64],
    within: Within,
    gradient: &mut [f64],
) -> Result<f64, NotFinite> {
    let n = inputs.len();
    let hyperparameters = hyperparameters(logs);
    let (k, g) = covariance(&hyperparameters, inputs);
    let (inverse, log_determinant) = inverse_factor(&k)?;
    let k_inverse = inverse.gram();
    let mut alpha = vec![0.0; n];
    for row in inverse.rows() {
        add_scaled(&mut alpha, dot(row, observed), row);
    }
    let fit: f64 = observed.iter().zip(&alpha).map(|(y, alpha)| y * alpha).sum();
    // Each entry of the diagonal has the noise, over its count.
    let counts = inputs.counts();
    let trace = alpha.iter().zip(counts).map(|(alpha, count)| alpha * alpha / count).sum::<f64>()
        - k_inverse.diagonal().zip(counts).map(|(entry, count)| entry / count).sum::<f64>();
    gradient.fill(0.0);
    length_gradient(&hyperparameters, inputs, &alpha, &k_inverse, &g, gradient);
    let noise_slope = 0.5 * hyperparameters.noise * trace;
    if let [.., scale, noise] = gradient {
        // The trace of (alpha alpha' - K^-1) K is y' alpha - n, and the kernel is K without the noise.
        (*scale, *noise) = (0.5 * (fit - n as f64) - noise_slope, noise_slope);
        *noise += 0.5 * (within.squares / hyperparameters.noise - within.degrees);
    }
    let scatter =
        -0.5 * (within.degrees * hyperparameters.noise.ln() + within.squares / hyperparameters.noise);
    let constant = n as f64 * (2.0 * std::f64::consts::PI).ln();
    let value = -0.5 * (fit + log_determinant + constant) + scatter + log_prior(logs, gradient);
    if value.is_finite() { Ok(value) } else { Err(NotFinite) }
}

/// `sum_(i<j) (alpha_i alpha_j - K^-1_ij) dk_ij / d ln l_p` for each dimension.
fn length_gradient(
    hyperparameters: &Hyperparameters,
    inputs: &Inputs,
    alpha: &[f64],
    k_inverse: &Lower,
    g: &Lower,
    gradient: &mut [f64],
) {
    let n = inputs.len();
    let (mut pulls, mut squares) = (vec![0.0; n], vec![0.0; n]);
    wide(
        #[inline(always)]
        || {
            for (row, own) in alpha.iter().enumerate() {
                let pairs = pulls.iter_mut().zip(alpha).zip(k_inverse.row(row)).zip(g.row(row));
                for (((pull, other), inverse), g) in pairs {
                    *pull = (own * other - inverse) * g;
                }
                let columns = inputs.columns().zip(&hyperparameters.kernel.weights);
                for (((column, categorical), weight), slope) in columns.zip(gradient.iter_mut()) {
                    let squares = &mut squares[..=row];
                    squares.fill(0.0);
                    add_squares(squares, column[row], column, categorical, *weight);
                    *slope += dot(&pulls[..=row], squares);
                }
            }
        },
    );
}

/// The hyperparameters that explain the observations best, starting from each of `starts`; the best start where no step helps. Beside
/// them their [`log_posterior`], minus infinity where no start has one. Observations should have mean 0 and variance 1. Up to
/// `evaluations` times O(n^3) for each start.
pub fn fit(inputs: &Inputs, observed: &[f64], starts: &[Logs], evaluations: usize) -> (Logs, f64) {
    fit_pooled(inputs, observed, Within::default(), starts, evaluations)
}

/// The same for means of observations and their scatter around them.
pub fn fit_pooled(
    inputs: &Inputs,
    observed: &[f64],
    within: Within,
    starts: &[Logs],
    evaluations: usize,
) -> (Logs, f64) {
    let dimensions = inputs.dimensions();
    let bounds = bounds(dimensions);
    // A hundredth of a unit of likelihood is far below what tells two fits apart.
    let limits = Limits { evaluations, gradient: 1e-2, gain: 1e-5 };
    let mut best = (f64::INFINITY, start(dimensions));
    for start in starts {
        let mut logs = start.clone();
        let negative = |logs: &[f64], gradient: &mut [f64]| match log_posterior_pooled(
            logs, inputs, observed, within, gradient,
        ) {
            Ok(value) => {
                gradient.iter_mut().for_each(|slope| *slope = -*slope);
                -value
            }
            Err(NotFinite) => f64::INFINITY,
        };
        let value = minimise(negative, &mut logs, &bounds, limits);
        if value < best.0 {
            best = (value, logs);
        }
    }
    (best.1, -best.0)
}

#[cfg(test)]
mod tests;
