//! The inverse of a Cholesky factor, in rows that lie one after another, and what a posterior needs of it.
//!
//! With `K = L L'` we keep `L^-1`: then mean, variance and their gradients at a point take one pass over it, and a new observation adds
//! one row (the bordering method; Golub and Van Loan 2013, section 4.2), in O(n^2).

use crate::gp::lower::Lower;
use crate::gp::vector::{add_scaled, dot, dot4, wide};

/// The first jitter beside the mean of the diagonal, when a matrix is not positive definite by rounding; ten times more each time.
const FIRST_JITTER: f64 = 1e-10;
/// With the diagonal doubled ten times over, anything symmetric and finite that came from a kernel is positive definite.
const TRIES: i32 = 13;

/// `K` did not become positive definite with any jitter: it is not finite.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a covariance matrix is not finite")]
pub struct NotFinite;

/// `L^-1` of `K = L L'` for the lower half of `K`, and the logarithm of the determinant of `K`. Jitter escalates where rounding has made
/// `K` indefinite.
pub(crate) fn inverse_factor(k: &Lower) -> Result<(Lower, f64), NotFinite> {
    let diagonal = k.diagonal().sum::<f64>() / k.len().max(1) as f64;
    for attempt in 0..TRIES {
        let mut l = k.clone();
        if attempt > 0 {
            l.add_to_diagonal(diagonal * FIRST_JITTER * 10f64.powi(attempt - 1));
        }
        if l.factor() {
            let log_determinant = l.diagonal().map(|pivot| 2.0 * pivot.ln()).sum::<f64>();
            return if log_determinant.is_finite() {
                Ok((l.inverse(), log_determinant))
            } else {
                Err(NotFinite)
            };
        }
    }
    Err(NotFinite)
}

/// Rows of `L^-1`, each up to its diagonal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InverseFactor(Lower);

impl InverseFactor {
    pub(crate) fn of(k: &Lower) -> Result<Self, NotFinite> {
        Ok(Self(inverse_factor(k)?.0))
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// `|L^-1 k|^2`, and `K^-1 k` into `solved`: one pass.
    pub(crate) fn solve(&self, k: &[f64], solved: &mut Vec<f64>) -> f64 {
        solved.clear();
        solved.resize(self.0.len(), 0.0);
        wide(
            #[inline(always)]
            || {
                let mut square = 0.0;
                for row in self.0.rows() {
                    let v = dot(row, k);
                    square += v * v;
                    add_scaled(solved, v, row);
                }
                square
            },
        )
    }

    /// The diagonal of `K^-1`.
    pub(crate) fn precisions(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.0.len()];
        for row in self.0.rows() {
            for (sum, entry) in sums.iter_mut().zip(row) {
                *sum += entry * entry;
            }
        }
        sums
    }

    /// `L^-1 k`.
    pub(crate) fn whitened(&self, k: &[f64]) -> Vec<f64> {
        wide(
            #[inline(always)]
            || self.0.rows().map(|row| dot(row, k)).collect(),
        )
    }

    /// `|L^-1 k|^2` for many `k`, four at a time.
    pub(crate) fn squares(&self, ks: &[Vec<f64>]) -> Vec<f64> {
        let mut squares = vec![0.0; ks.len()];
        let (fours, _) = ks.as_chunks::<4>();
        let (four_squares, _) = squares.as_chunks_mut::<4>();
        wide(
            #[inline(always)]
            || {
                for row in self.0.rows() {
                    for ([a, b, c, d], squares) in fours.iter().zip(four_squares.iter_mut()) {
                        for (square, v) in squares.iter_mut().zip(dot4(row, [a, b, c, d])) {
                            *square += v * v;
                        }
                    }
                }
            },
        );
        let done = fours.len() * 4;
        let mut scratch = Vec::new();
        for (square, k) in squares.iter_mut().zip(ks).skip(done) {
            *square = self.solve(k, &mut scratch);
        }
        squares
    }

    /// Adds a row and column to `K`: `k` against what is there, and the diagonal. What rounding took below `least` counts as that.
    pub(crate) fn push(&mut self, k: &[f64], diagonal: f64, least: f64) {
        let mut solved = Vec::new();
        let square = self.solve(k, &mut solved);
        let pivot = (diagonal - square).max(least).sqrt();
        let row = solved.iter().map(|solved| -solved / pivot);
        self.0.push_row(row.chain([1.0 / pivot]));
    }
}
