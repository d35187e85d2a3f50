//! How alike two points are: the Matern kernel with nu = 5/2 and a length scale for each dimension (Matern 1960; Rasmussen and Williams
//! 2006, eq. 4.17).
//!
//! `k = s (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)` with `r^2 = sum_p d_p^2 / l_p^2`. For a number `d_p` is the difference of the
//! coordinates; for a category it is 0 or 1, as in Optuna's sampler, which makes the kernel one of the Hamming distance in the
//! categories and keeps it positive definite (0/1 are the distances of the corners of a simplex).

use crate::gp::vector::{exp, wide};

/// Inputs of a model, a column for each dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    columns: Vec<Vec<f64>>,
    categorical: Vec<bool>,
    /// Of how many observations the one at each point is the mean.
    counts: Vec<f64>,
}

impl Inputs {
    /// None yet; for each dimension, whether it is categorical.
    pub fn new(categorical: Vec<bool>) -> Self {
        Self { columns: vec![Vec::new(); categorical.len()], categorical, counts: Vec::new() }
    }

    /// Appends a point that is observed once.
    pub fn push(&mut self, point: &[f64]) {
        self.push_pooled(point, 1.0);
    }

    /// Appends a point at which the mean of so many observations, above 0, is what is observed: its noise is that share of the noise.
    pub fn push_pooled(&mut self, point: &[f64], count: f64) {
        for (column, &coordinate) in self.columns.iter_mut().zip(point) {
            column.push(coordinate);
        }
        self.counts.push(count);
    }

    /// Forgets all but the first.
    pub(crate) fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            column.truncate(len);
        }
        self.counts.truncate(len);
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Dimensions.
    pub fn dimensions(&self) -> usize {
        self.columns.len()
    }

    /// One of the points.
    pub fn point(&self, place: usize) -> Vec<f64> {
        self.columns.iter().filter_map(|column| column.get(place).copied()).collect()
    }

    /// Of how many observations the one at each point is the mean.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = (&[f64], bool)> {
        self.columns.iter().map(Vec::as_slice).zip(self.categorical.iter().copied())
    }
}

/// Squared differences of one coordinate from many, added up with a weight.
#[inline(always)]
pub(crate) fn add_squares(sums: &mut [f64], from: f64, column: &[f64], categorical: bool, weight: f64) {
    if categorical {
        for (sum, &other) in sums.iter_mut().zip(column) {
            *sum += if other == from { 0.0 } else { weight };
        }
    } else {
        for (sum, &other) in sums.iter_mut().zip(column) {
            let difference = other - from;
            *sum += weight * (difference * difference);
        }
    }
}

/// Turns squared distances into kernel values, in place, and writes `g = -2 dk/d(r^2)`, from which all derivatives are made.
#[inline(always)]
pub(crate) fn matern(squares: &mut [f64], g: &mut [f64], scale: f64) {
    let root_5 = 5.0f64.sqrt();
    for (square, g) in squares.iter_mut().zip(g) {
        let r = root_5 * square.sqrt();
        let faded = scale * exp(-r);
        *g = (5.0 / 3.0) * faded * (1.0 + r);
        *square = faded * (1.0 + r + r * r * (1.0 / 3.0));
    }
}

/// The kernel's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// `1 / l^2` of each dimension.
    pub weights: Vec<f64>,
    /// The variance of what is modelled.
    pub scale: f64,
}

impl Kernel {
    /// The kernel between a point and each of the inputs, and `g` (see [`matern`]).
    pub(crate) fn against(&self, inputs: &Inputs, point: &[f64], k: &mut Vec<f64>, g: &mut Vec<f64>) {
        k.clear();
        k.resize(inputs.len(), 0.0);
        g.clear();
        g.resize(inputs.len(), 0.0);
        wide(
            #[inline(always)]
            || {
                for (((column, categorical), &from), &weight) in
                    inputs.columns().zip(point).zip(&self.weights)
                {
                    add_squares(k, from, column, categorical, weight);
                }
                matern(k, g, self.scale);
            },
        );
    }
}
