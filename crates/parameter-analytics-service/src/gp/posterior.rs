//! A Gaussian process that has seen observations (Rasmussen and Williams 2006, algorithm 2.1).

use crate::gp::factor::{InverseFactor, NotFinite};
use crate::gp::kernel::{Inputs, Kernel, add_squares, matern};
use crate::gp::lower::Lower;
use crate::gp::vector::{dot, wide};

/// Kernel and noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// How alike points are.
    pub kernel: Kernel,
    /// The variance of what is observed around what is modelled.
    pub noise: f64,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Posterior {
    hyperparameters: Hyperparameters,
    inputs: Inputs,
    factor: InverseFactor,
    /// `K^-1 y`, and 0 for points that are only believed.
    alpha: Vec<f64>,
}

/// What is expected at a point, of the modelled function without noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; above 0.
    pub deviation: f64,
}

/// Numbers that a prediction works with, kept for the next one.
#[derive(Debug, Default)]
pub struct Scratch {
    k: Vec<f64>,
    g: Vec<f64>,
    solved: Vec<f64>,
}

/// Beside the scale, the least variance: below it, rounding is all that is seen.
const LEAST_VARIANCE: f64 = 1e-12;
/// Beside the scale, what is added to a joint covariance until it is positive definite.
const JITTERS: [f64; 4] = [1e-12, 1e-10, 1e-8, 1e-6];

impl Posterior {
    /// Conditions on observations. The first `fitted` are factored together and the rest appended one by one, so that a posterior that
    /// grew with its observations and one that is made anew are the same to the bit. O(n^3).
    ///
    /// # Errors
    /// [`NotFinite`]: an input or a hyperparameter is not.
    pub fn new(
        hyperparameters: Hyperparameters,
        inputs: &Inputs,
        fitted: usize,
        observed: &[f64],
    ) -> Result<Self, NotFinite> {
        let mut first = inputs.clone();
        first.truncate(fitted.max(1));
        let factor = InverseFactor::of(&covariance(&hyperparameters, &first).0)?;
        let mut posterior = Self { hyperparameters, inputs: first, factor, alpha: Vec::new() };
        posterior.extend(inputs, observed);
        Ok(posterior)
    }

    /// Appends the inputs that are new, and takes what was observed at all of them. O(n^2) for each new one.
    pub fn extend(&mut self, inputs: &Inputs, observed: &[f64]) {
        for place in self.inputs.len()..inputs.len() {
            self.push(&inputs.point(place), inputs.counts().get(place).copied().unwrap_or(1.0));
        }
        // K^-1 y = L^-T (L^-1 y), which is what solving does.
        self.factor.solve(observed, &mut self.alpha);
    }

    fn push(&mut self, point: &[f64], count: f64) {
        let (mut k, mut g) = (Vec::new(), Vec::new());
        let Hyperparameters { kernel, noise } = &self.hyperparameters;
        kernel.against(&self.inputs, point, &mut k, &mut g);
        let noise = noise / count;
        let least = noise.max(kernel.scale * LEAST_VARIANCE);
        self.factor.push(&k, kernel.scale + noise, least);
        self.inputs.push_pooled(point, count);
    }

    /// Goes on as if the mean had been observed at a point (the kriging believer of Ginsbourger et al. 2010): the mean stays as it is
    /// everywhere, and the variance shrinks. O(n^2).
    pub fn believe(&mut self, point: &[f64]) {
        self.push(point, 1.0);
        self.alpha.push(0.0);
    }

    /// Forgets all but the first points.
    pub fn truncate(&mut self, len: usize) {
        self.factor.truncate(len);
        self.inputs.truncate(len);
        self.alpha.truncate(len);
    }

    /// How many points it has seen, believed ones included.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether it has seen none.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The points it has seen.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Kernel and noise.
    pub fn hyperparameters(&self) -> &Hyperparameters {
        &self.hyperparameters
    }

    /// The mean at each of the observed points, where `observed` was seen. O(n).
    pub fn means_at_observations(&self, observed: &[f64]) -> Vec<f64> {
        let noise = self.hyperparameters.noise;
        let terms = observed.iter().zip(&self.alpha).zip(self.inputs.counts());
        terms.map(|((y, alpha), count)| y - noise / count * alpha).collect()
    }

    /// For each of the observed points, what the model would expect of the function there had it not seen that point (Rasmussen and
    /// Williams 2006, eqs. 5.10 to 5.12, less the noise). O(n^2).
    pub fn left_out(&self, observed: &[f64]) -> Vec<Prediction> {
        let least = self.hyperparameters.kernel.scale * LEAST_VARIANCE;
        let points = observed.iter().zip(&self.alpha).zip(self.factor.precisions());
        points
            .zip(self.inputs.counts())
            .map(|(((y, alpha), precision), count)| Prediction {
                mean: y - alpha / precision,
                deviation: (1.0 / precision - self.hyperparameters.noise / count).max(least).sqrt(),
            })
            .collect()
    }

    fn deviation(&self, square: f64) -> f64 {
        let scale = self.hyperparameters.kernel.scale;
        (scale - square).max(scale * LEAST_VARIANCE).sqrt()
    }

    /// At a point. O(n^2).
    pub fn predict(&self, point: &[f64], scratch: &mut Scratch) -> Prediction {
        let Scratch { k, g, solved } = scratch;
        self.hyperparameters.kernel.against(&self.inputs, point, k, g);
        let square = self.factor.solve(k, solved);
        Prediction { mean: wide(|| dot(k, &self.alpha)), deviation: self.deviation(square) }
    }

    /// At many points: a third of the cost of one at a time.
    pub fn predict_all(&self, points: &[Vec<f64>]) -> Vec<Prediction> {
        let mut g = Vec::new();
        let kernel = |point: &Vec<f64>| {
            let mut k = Vec::new();
            self.hyperparameters.kernel.against(&self.inputs, point, &mut k, &mut g);
            k
        };
        let ks: Vec<Vec<f64>> = points.iter().map(kernel).collect();
        let squares = self.factor.squares(&ks);
        let pairs = ks.iter().zip(squares);
        pairs
            .map(|(k, square)| Prediction {
                mean: wide(|| dot(k, &self.alpha)),
                deviation: self.deviation(square),
            })
            .collect()
    }

    /// The Cholesky factor of the covariance of the modelled function at some points, with jitter where they lie so close together that
    /// rounding needs it. `None`: not even then.
    pub(crate) fn joint(&self, points: &[Vec<f64>]) -> Option<Lower> {
        let kernel = &self.hyperparameters.kernel;
        let mut others = Inputs::new(self.inputs.columns().map(|(_, categorical)| categorical).collect());
        points.iter().for_each(|point| others.push(point));
        let (mut k, mut g) = (Vec::new(), Vec::new());
        let mut covariance = Lower::zeros(points.len());
        let mut seen: Vec<Vec<f64>> = Vec::with_capacity(points.len());
        for (row, point) in points.iter().enumerate() {
            kernel.against(&self.inputs, point, &mut k, &mut g);
            seen.push(self.factor.whitened(&k));
            kernel.against(&others, point, &mut k, &mut g);
            let own = seen.last()?;
            for ((entry, k), other) in covariance.row_mut(row).iter_mut().zip(&k).zip(&seen) {
                *entry = k - wide(|| dot(own, other));
            }
        }
        // From rounding up to a thousandth of the deviation.
        JITTERS.iter().find_map(|jitter| {
            let mut root = covariance.clone();
            root.add_to_diagonal(jitter * kernel.scale);
            root.factor().then_some(root)
        })
    }

    /// At a point, with the gradients of the mean and of the deviation; those of categories are 0. O(n^2).
    pub fn predict_gradient(
        &self,
        point: &[f64],
        scratch: &mut Scratch,
        mean_gradient: &mut [f64],
        deviation_gradient: &mut [f64],
    ) -> Prediction {
        let prediction = self.predict(point, scratch);
        let Scratch { g, solved, .. } = scratch;
        let weights = &self.hyperparameters.kernel.weights;
        let gradients = mean_gradient.iter_mut().zip(deviation_gradient);
        let columns = self.inputs.columns().zip(point).zip(weights);
        wide(
            #[inline(always)]
            || {
                // dk/dx = g (x_i - x) / l^2; dvariance/dx = -2 (K^-1 k) dk/dx.
                for (solved, g) in solved.iter_mut().zip(g.iter()) {
                    *solved *= g;
                }
                for (g, alpha) in g.iter_mut().zip(&self.alpha) {
                    *g *= alpha;
                }
                let (total_solved, total_alpha) = (ones(solved), ones(g));
                for ((((column, categorical), &at), weight), (mean, deviation)) in columns.zip(gradients) {
                    if categorical {
                        (*mean, *deviation) = (0.0, 0.0);
                        continue;
                    }
                    *mean = weight * (dot(column, g) - at * total_alpha);
                    *deviation = -weight * (dot(column, solved) - at * total_solved) / prediction.deviation;
                }
            },
        );
        prediction
    }
}

#[inline(always)]
fn ones(numbers: &[f64]) -> f64 {
    numbers.iter().sum()
}

/// The lower half of the inputs' covariance with noise, and of `g` (see [`matern`]) with 0 on the diagonal.
pub(crate) fn covariance(hyperparameters: &Hyperparameters, inputs: &Inputs) -> (Lower, Lower) {
    let n = inputs.len();
    let Hyperparameters { kernel, noise } = hyperparameters;
    let (mut k, mut g) = (Lower::zeros(n), Lower::zeros(n));
    wide(
        #[inline(always)]
        || {
            for row in 0..n {
                let (row_k, row_g) = (k.row_mut(row), g.row_mut(row));
                for ((column, categorical), &weight) in inputs.columns().zip(&kernel.weights) {
                    add_squares(row_k, column[row], column, categorical, weight);
                }
                matern(row_k, row_g, kernel.scale);
                (row_k[row], row_g[row]) = (kernel.scale + noise / inputs.counts()[row], 0.0);
            }
        },
    );
    (k, g)
}
