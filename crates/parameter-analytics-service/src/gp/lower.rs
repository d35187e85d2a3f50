//! Lower triangular matrices, row after row, and the three things that a Gaussian process does with them.
//!
//! Everything is a sum over stretches of rows, four columns at a time, so that what is loaded is used four times and the loops
//! vectorise (Golub and Van Loan 2013, section 4.2). Written here because these three routines are all that is needed of faer 0.24, which
//! comes with some thirty crates that build for long; the two were not measured against each other.

use crate::gp::vector::{add_scaled, dot, dot4, wide};

/// A lower triangular matrix, or the lower half of a symmetric one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lower {
    packed: Vec<f64>,
    len: usize,
}

/// Where the row with this number starts.
#[inline(always)]
fn start(row: usize) -> usize {
    row * (row + 1) / 2
}

impl Lower {
    pub(crate) fn zeros(len: usize) -> Self {
        Self { packed: vec![0.0; start(len)], len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.packed[start(row)..start(row + 1)]
    }

    #[inline(always)]
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.packed[start(row)..start(row + 1)]
    }

    /// Rows, the first one first.
    #[inline(always)]
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.len).map(|row| self.row(row))
    }

    pub(crate) fn diagonal(&self) -> impl Iterator<Item = f64> {
        (0..self.len).map(|row| self.packed[start(row) + row])
    }

    pub(crate) fn add_to_diagonal(&mut self, jitter: f64) {
        for row in 0..self.len {
            self.packed[start(row) + row] += jitter;
        }
    }

    pub(crate) fn push_row(&mut self, row: impl IntoIterator<Item = f64>) {
        self.packed.extend(row);
        self.len += 1;
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.packed.truncate(start(self.len));
    }

    /// Turns a symmetric matrix into its Cholesky factor; `false` where a pivot is not above 0. `n^3 / 6` multiplications.
    pub(crate) fn factor(&mut self) -> bool {
        let n = self.len;
        wide(
            #[inline(always)]
            || {
                for first in (0..n).step_by(4) {
                    let last = (first + 4).min(n);
                    for row in first..n {
                        let (above, below) = self.packed.split_at_mut(start(row));
                        let (own, _) = below.split_at_mut(row + 1);
                        let columns = last.min(row + 1);
                        let (done, open) = own.split_at_mut(first);
                        if last < row && last - first == 4 {
                            let of = |column: usize| &above[start(column)..start(column) + first];
                            let sums = dot4(done, [of(first), of(first + 1), of(first + 2), of(first + 3)]);
                            for (entry, sum) in open.iter_mut().zip(sums) {
                                *entry -= sum;
                            }
                        } else {
                            for column in first..columns {
                                let other: &[f64] = if column == row {
                                    done
                                } else {
                                    &above[start(column)..start(column) + first]
                                };
                                open[column - first] -= dot(done, other);
                            }
                        }
                        // Within the four columns.
                        for column in first..columns {
                            let at = column - first;
                            if column == row {
                                let (before, pivot) = open.split_at_mut(at);
                                let pivot = &mut pivot[0];
                                *pivot -= before.iter().map(|x| x * x).sum::<f64>();
                                if pivot.is_nan() || *pivot <= 0.0 {
                                    return false;
                                }
                                *pivot = pivot.sqrt();
                            } else {
                                let other = &above[start(column) + first..start(column) + column + 1];
                                let sum: f64 = open[..at].iter().zip(other).map(|(a, b)| a * b).sum();
                                open[at] = (open[at] - sum) / other[at];
                            }
                        }
                    }
                }
                true
            },
        )
    }

    /// The inverse of a triangular matrix. `n^3 / 6` multiplications.
    pub(crate) fn inverse(&self) -> Self {
        let mut inverse = Self::zeros(self.len);
        wide(
            #[inline(always)]
            || {
                for row in 0..self.len {
                    let (above, below) = inverse.packed.split_at_mut(start(row));
                    let own = &mut below[..row + 1];
                    let factors = self.row(row);
                    add_rows(own, above, 0, &factors[..row]);
                    let pivot = factors[row];
                    for entry in own.iter_mut() {
                        *entry /= -pivot;
                    }
                    own[row] = 1.0 / pivot;
                }
            },
        );
        inverse
    }

    /// The lower half of `A' A`. `n^3 / 6` multiplications.
    pub(crate) fn gram(&self) -> Self {
        let mut gram = Self::zeros(self.len);
        let mut column = Vec::with_capacity(self.len);
        wide(
            #[inline(always)]
            || {
                for row in 0..self.len {
                    column.clear();
                    column.extend((row..self.len).map(|k| self.packed[start(k) + row]));
                    add_rows(gram.row_mut(row), &self.packed, row, &column);
                }
            },
        );
        gram
    }
}

/// Adds the rows from `first` on, each times its factor, as far as they reach into `sum`.
#[inline(always)]
fn add_rows(sum: &mut [f64], packed: &[f64], first: usize, factors: &[f64]) {
    let (fours, rest) = factors.as_chunks::<4>();
    let mut k = first;
    for &[fa, fb, fc, fd] in fours {
        let row = |row: usize| &packed[start(row)..start(row + 1)];
        let (a, b, c, d) = (row(k), row(k + 1), row(k + 2), row(k + 3));
        let shared = sum.len().min(k + 1);
        let (head, tail) = sum.split_at_mut(shared);
        for ((((sum, a), b), c), d) in head.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum += (fa * a + fb * b) + (fc * c + fd * d);
        }
        // The later rows are longer.
        add_scaled(tail, fb, b.get(shared..).unwrap_or_default());
        add_scaled(tail, fc, c.get(shared..).unwrap_or_default());
        add_scaled(tail, fd, d.get(shared..).unwrap_or_default());
        k += 4;
    }
    for &factor in rest {
        add_scaled(sum, factor, &packed[start(k)..start(k + 1)]);
        k += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Diagonally dominant, so positive definite.
    fn symmetric(n: usize) -> Lower {
        let mut a = Lower::zeros(n);
        for i in 0..n {
            for j in 0..=i {
                a.row_mut(i)[j] = ((i * 13 + j * 7) % 11) as f64 / 11.0 + if i == j { n as f64 } else { 0.0 };
            }
        }
        a
    }

    #[test]
    fn the_factor_and_its_inverse_give_the_matrix_back() {
        for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 70] {
            let a = symmetric(n);
            let mut l = a.clone();
            assert!(l.factor());
            for i in 0..n {
                for j in 0..=i {
                    let product: f64 = l.row(i).iter().zip(l.row(j)).map(|(a, b)| a * b).sum();
                    assert!((product - a.row(i)[j]).abs() < 1e-11, "{n} {i} {j}");
                }
            }
            let a_inverse = l.inverse().gram();
            let full = |m: &Lower, i: usize, j: usize| if i >= j { m.row(i)[j] } else { m.row(j)[i] };
            for i in 0..n {
                for j in 0..n {
                    let product: f64 = (0..n).map(|k| full(&a, i, k) * full(&a_inverse, k, j)).sum();
                    let unit = f64::from(u8::from(i == j));
                    assert!((product - unit).abs() < 1e-12, "{n} {i} {j}: {product}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        let mut a = Lower::zeros(2);
        a.row_mut(0)[0] = 1.0;
        a.row_mut(1).copy_from_slice(&[2.0, 1.0]);
        assert!(!a.clone().factor());
        a.row_mut(1)[1] = f64::NAN;
        assert!(!a.factor());
    }
}
