//! How much is gained by trying a point.
//!
//! The logarithm of expected improvement (LogEI), and with outcome constraints that plus the logarithm of the chance that all are met
//! (LogCEI), both of Ament et al. 2023 (arXiv 2310.20708); the second is the constrained improvement of Gardner et al. (ICML 2014). As
//! long as nothing feasible is known, only the chance of meeting the constraints counts. Trials that are out are believed
//! ([`Posterior::believe`]), so that a batch spreads.

use crate::gp::normal::{log_below, log_excess};
use crate::gp::posterior::{Posterior, Prediction, Scratch};

/// Something that is looked at: a model and the value that matters.
#[derive(Debug, Clone, Copy)]
pub struct Below<'a> {
    /// Of what should be small.
    pub posterior: &'a Posterior,
    /// The best known value of an objective, the limit of a constraint.
    pub limit: f64,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Acquisition<'a> {
    /// What is minimised; `None` while nothing feasible is known.
    pub objective: Option<Below<'a>>,
    /// What must stay below its limit.
    pub constraints: Vec<Below<'a>>,
    /// The power that the chance is taken to; 1 is the constrained improvement of the papers, more keeps clear of the limits.
    pub caution: f64,
}

fn improvement(prediction: Prediction, limit: f64) -> f64 {
    prediction.deviation.ln() + log_excess((limit - prediction.mean) / prediction.deviation).log
}

fn chance(prediction: Prediction, limit: f64) -> f64 {
    log_below((limit - prediction.mean) / prediction.deviation).0
}

impl Acquisition<'_> {
    /// At many points.
    pub fn values(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let mut values = vec![0.0; points.len()];
        let mut add = |below: &Below<'_>, times: f64, term: fn(Prediction, f64) -> f64| {
            for (value, prediction) in values.iter_mut().zip(below.posterior.predict_all(points)) {
                *value += times * term(prediction, below.limit);
            }
        };
        self.objective.iter().for_each(|objective| add(objective, 1.0, improvement));
        self.constraints.iter().for_each(|constraint| add(constraint, self.caution, chance));
        values
    }

    /// At a point, with the gradient by its coordinates (0 for categories).
    pub fn gradient(&self, point: &[f64], scratch: &mut Scratch, gradient: &mut [f64]) -> f64 {
        let mut by_mean = vec![0.0; point.len()];
        let mut by_deviation = vec![0.0; point.len()];
        gradient.fill(0.0);
        let mut value = 0.0;
        if let Some(Below { posterior, limit }) = self.objective {
            let prediction = posterior.predict_gradient(point, scratch, &mut by_mean, &mut by_deviation);
            let excess = log_excess((limit - prediction.mean) / prediction.deviation);
            value += prediction.deviation.ln() + excess.log;
            // h' = below(z) and h - z below(z) = density(z), so that nothing cancels.
            for ((slope, mean), deviation) in gradient.iter_mut().zip(&by_mean).zip(&by_deviation) {
                *slope += (excess.density * deviation - excess.slope * mean) / prediction.deviation;
            }
        }
        for Below { posterior, limit } in &self.constraints {
            let prediction = posterior.predict_gradient(point, scratch, &mut by_mean, &mut by_deviation);
            let z = (limit - prediction.mean) / prediction.deviation;
            let (log, steep) = log_below(z);
            let steep = self.caution * steep;
            value += self.caution * log;
            for ((slope, mean), deviation) in gradient.iter_mut().zip(&by_mean).zip(&by_deviation) {
                *slope -= steep * (mean + z * deviation) / prediction.deviation;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gp::kernel::Inputs;
    use crate::gp::likelihood::hyperparameters;

    fn posterior(shift: f64, noise: f64) -> Posterior {
        let mut inputs = Inputs::new(vec![false, false, true]);
        let mut observed = Vec::new();
        for n in 0..15 {
            let n = f64::from(n);
            let point = [(n * 0.37 + shift).fract(), (n * 0.61).fract(), (n % 3.0).floor()];
            observed.push((point[0] * 5.0 + shift).sin() + point[1] * point[1] - 0.2 * point[2]);
            inputs.push(&point);
        }
        Posterior::new(hyperparameters(&[-0.7, -0.3, 0.5, 0.1, noise]), &inputs, 15, &observed).unwrap()
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let (objective, constraint) = (posterior(0.0, -7.0), posterior(0.4, -4.0));
        for best in [-0.8, -3.0, -40.0, 1.0] {
            let acquisition = Acquisition {
                objective: Some(Below { posterior: &objective, limit: best }),
                constraints: vec![Below { posterior: &constraint, limit: -0.3 }],
                caution: 3.0,
            };
            for point in [[0.31, 0.77, 1.0], [0.95, 0.05, 0.0], [0.5, 0.5, 2.0]] {
                let mut gradient = [0.0; 3];
                let value = acquisition.gradient(&point, &mut Scratch::default(), &mut gradient);
                let listed = acquisition.values(&[point.to_vec()])[0];
                assert!((value - listed).abs() < 1e-9 * value.abs().max(1.0), "{value} {listed}");
                assert_eq!(gradient[2], 0.0);
                for p in 0..2 {
                    let at = |step: f64| {
                        let mut moved = point;
                        moved[p] += step;
                        acquisition.gradient(&moved, &mut Scratch::default(), &mut [0.0; 3])
                    };
                    let h = 1e-4;
                    let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                    let error = (gradient[p] - slope).abs() / slope.abs().max(1.0);
                    assert!(error < 1e-6, "best {best}, {point:?}, {p}: {} {slope}", gradient[p]);
                }
            }
        }
    }
}
