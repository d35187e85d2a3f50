//! Ridge regression, dense and over words, parabolas, and logistic regression of a few variables.
//!
//! By hand: each is a screen of textbook, and the crates that have them (linfa, smartcore) bring a matrix library and
//! an own data-set type, and no sparse ridge.

use serde::{Deserialize, Serialize};

/// Rows of a sparse matrix.
pub(super) type SparseRow = Vec<(u32, f32)>;

/// Steps of the conjugate gradient: by then the residual of the word model is below a thousandth.
const STEPS: usize = 40;

/// Ridge regression over sparse rows with an intercept that is not shrunk: weights by column, then the intercept.
/// Minimises `sum w (y - x b - b0)^2 + ridge |b|^2` by conjugate gradients (Hestenes and Stiefel, 1952),
/// preconditioned by the diagonal: the intercept's is a thousand times that of a rare word.
pub(super) fn sparse_ridge(
    rows: &[SparseRow],
    of: &[usize],
    target: &[f64],
    weight: &[f64],
    columns: usize,
    ridge: f64,
) -> (Vec<f32>, f64) {
    let product = |b: &[f64], out: &mut [f64]| {
        for (o, b) in out.iter_mut().zip(b) {
            *o = ridge * b;
        }
        out[columns] = 0.0;
        for &i in of {
            if weight[i] == 0.0 {
                continue;
            }
            let fitted = weight[i] * (sparse_dot(&rows[i], b) + b[columns]);
            for &(column, value) in &rows[i] {
                out[column as usize] += f64::from(value) * fitted;
            }
            out[columns] += fitted;
        }
    };
    let mut b = vec![0.0; columns + 1];
    b[columns] = weighted_mean(of, target, weight);
    let mut residual = vec![0.0; columns + 1];
    product(&b, &mut residual);
    for r in &mut residual {
        *r = -*r;
    }
    for &i in of {
        let y = weight[i] * target[i];
        for &(column, value) in &rows[i] {
            residual[column as usize] += f64::from(value) * y;
        }
        residual[columns] += y;
    }
    let mut inverse = vec![ridge; columns + 1];
    inverse[columns] = 1e-9;
    for &i in of {
        for &(column, value) in &rows[i] {
            inverse[column as usize] += weight[i] * f64::from(value) * f64::from(value);
        }
        inverse[columns] += weight[i];
    }
    for value in &mut inverse {
        *value = 1.0 / *value;
    }
    let scaled = |residual: &[f64], out: &mut Vec<f64>| {
        out.clear();
        out.extend(residual.iter().zip(&inverse).map(|(r, i)| r * i));
    };
    let mut eased = Vec::with_capacity(columns + 1);
    scaled(&residual, &mut eased);
    let mut direction = eased.clone();
    let mut image = vec![0.0; columns + 1];
    let mut norm = dot(&residual, &eased);
    let enough = norm * 1e-10;
    for _ in 0..STEPS {
        if norm <= enough {
            break;
        }
        product(&direction, &mut image);
        let step = norm / dot(&direction, &image).max(f64::MIN_POSITIVE);
        for (b, d) in b.iter_mut().zip(&direction) {
            *b += step * d;
        }
        for (r, i) in residual.iter_mut().zip(&image) {
            *r -= step * i;
        }
        scaled(&residual, &mut eased);
        let next = dot(&residual, &eased);
        let keep = next / norm;
        for (d, r) in direction.iter_mut().zip(&eased) {
            *d = r + keep * *d;
        }
        norm = next;
    }
    let intercept = b.pop().unwrap_or(0.0);
    (b.into_iter().map(|b| b as f32).collect(), intercept)
}

/// The product of a sparse row with a vector of all columns.
fn sparse_dot(row: &[(u32, f32)], b: &[f64]) -> f64 {
    row.iter().map(|&(column, value)| f64::from(value) * b[column as usize]).sum()
}

/// The mean of the targets of the rows `of`; 0 where they weigh nothing.
pub(super) fn weighted_mean(of: &[usize], target: &[f64], weight: &[f64]) -> f64 {
    let (sum, total) =
        of.iter().fold((0.0, 0.0), |(sum, total), &i| (sum + weight[i] * target[i], total + weight[i]));
    if total > 0.0 { sum / total } else { 0.0 }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Ridge regression over dense rows: weights by column, then the intercept, which is not shrunk.
pub(super) fn dense_ridge<R: AsRef<[f32]>>(
    rows: &[R],
    of: &[usize],
    target: &[f64],
    weight: &[f64],
    ridge: f64,
) -> (Vec<f32>, f64) {
    let n = rows.first().map_or(0, |row| row.as_ref().len());
    let size = n + 1;
    let mut gram = vec![0.0; size * size];
    let mut right = vec![0.0; size];
    let mut full = vec![1.0; size];
    for &i in of {
        if weight[i] == 0.0 {
            continue;
        }
        for (full, &value) in full.iter_mut().zip(rows[i].as_ref()) {
            *full = f64::from(value);
        }
        for a in 0..size {
            let scaled = weight[i] * full[a];
            right[a] += scaled * target[i];
            for (g, b) in gram[a * size..=a * size + a].iter_mut().zip(&full) {
                *g += scaled * b;
            }
        }
    }
    for a in 0..n {
        gram[a * size + a] += ridge;
    }
    // Keeps the intercept solvable where no row weighs anything.
    gram[n * size + n] += 1e-9;
    let mut b = solve(gram, right, size);
    let intercept = b.pop().unwrap_or(0.0);
    (b.into_iter().map(|b| b as f32).collect(), intercept)
}

/// Solves a positive definite system, given by its lower triangle, by Cholesky's decomposition.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>, n: usize) -> Vec<f64> {
    for j in 0..n {
        for i in j..n {
            let mut sum = a[i * n + j];
            for k in 0..j {
                sum -= a[i * n + k] * a[j * n + k];
            }
            a[i * n + j] = if i == j { sum.max(1e-12).sqrt() } else { sum / a[j * n + j] };
        }
    }
    for i in 0..n {
        for k in 0..i {
            b[i] -= a[i * n + k] * b[k];
        }
        b[i] /= a[i * n + i];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            b[i] -= a[k * n + i] * b[k];
        }
        b[i] /= a[i * n + i];
    }
    b
}

/// A parabola that was fitted, and between which inputs: beyond them it goes on flat.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Parabola {
    /// `a + b x + c x^2`.
    terms: [f64; 3],
    range: [f64; 2],
}

impl Parabola {
    /// Fits the rows `of`. The range leaves out the outermost hundredth, which few rows would decide.
    pub(super) fn fit(inputs: &[f64], of: &[usize], target: &[f64], weight: &[f64]) -> Self {
        let mut sorted: Vec<f64> = of.iter().map(|&i| inputs[i]).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantile = |q: f64| sorted.get((q * sorted.len() as f64) as usize).copied().unwrap_or(0.0);
        let range = [quantile(0.005), quantile(0.995)];
        let powers: Vec<[f32; 2]> = inputs
            .iter()
            .map(|x| {
                let x = x.clamp(range[0], range[1]);
                [x as f32, (x * x) as f32]
            })
            .collect();
        // Ease spreads by some 0.1: a ridge of 0.1 stands against some 10 rows for the line, and more for the bend.
        let (b, intercept) = dense_ridge(&powers, of, target, weight, 0.1);
        let term = |i: usize| b.get(i).copied().map_or(0.0, f64::from);
        Self { terms: [intercept, term(0), term(1)], range }
    }

    pub(super) fn at(&self, x: f64) -> f64 {
        let [a, b, c] = self.terms;
        let x = x.clamp(self.range[0], self.range[1]);
        a + x * (b + x * c)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.terms.iter().chain(&self.range).all(|v| v.is_finite()) && self.range[0] <= self.range[1]
    }
}

/// Weighted logistic regression of a few variables: weights, then the intercept. Newton's method with a slight ridge.
pub(super) fn logistic(rows: &[(Vec<f64>, bool, f64)]) -> Vec<f64> {
    let n = rows.first().map_or(0, |(inputs, _, _)| inputs.len()) + 1;
    let mut b = vec![0.0; n];
    let mut full = vec![1.0; n];
    for _ in 0..25 {
        let mut hessian = vec![0.0; n * n];
        let mut gradient: Vec<f64> = b.iter().map(|b| -b).collect();
        for (inputs, positive, weight) in rows {
            full[..n - 1].copy_from_slice(inputs);
            let p = sigmoid(dot(&full, &b));
            let error = weight * (f64::from(u8::from(*positive)) - p);
            let curvature = weight * p * (1.0 - p);
            for a in 0..n {
                gradient[a] += error * full[a];
                for c in 0..=a {
                    hessian[a * n + c] += curvature * full[a] * full[c];
                }
            }
        }
        for a in 0..n {
            hessian[a * n + a] += 1.0;
        }
        let step = solve(hessian, gradient, n);
        for (b, step) in b.iter_mut().zip(&step) {
            *b += step.clamp(-2.0, 2.0);
        }
        if step.iter().all(|step| step.abs() < 1e-6) {
            break;
        }
    }
    b
}

/// The logistic function.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_ridge_finds_a_line() {
        let rows: Vec<[f32; 2]> = (0..100).map(|i| [i as f32 / 10.0, (i % 7) as f32]).collect();
        let target: Vec<f64> =
            rows.iter().map(|r| 3.0 + 2.0 * f64::from(r[0]) - 0.5 * f64::from(r[1])).collect();
        let all: Vec<usize> = (0..100).collect();
        let (b, intercept) = dense_ridge(&rows, &all, &target, &[1.0; 100], 1e-6);
        assert!((b[0] - 2.0).abs() < 1e-3 && (b[1] + 0.5).abs() < 1e-3 && (intercept - 3.0).abs() < 1e-3);
    }

    #[test]
    fn sparse_ridge_agrees_with_the_dense_one() {
        let mut rng = fastrand::Rng::with_seed(3);
        let dense: Vec<Vec<f32>> = (0..80).map(|_| (0..5).map(|_| rng.f32()).collect()).collect();
        let sparse: Vec<SparseRow> =
            dense.iter().map(|row| row.iter().enumerate().map(|(i, &v)| (i as u32, v)).collect()).collect();
        let target: Vec<f64> = (0..80).map(|_| rng.f64()).collect();
        let weight: Vec<f64> = (0..80).map(|_| rng.f64()).collect();
        let all: Vec<usize> = (0..80).collect();
        let (a, a0) = dense_ridge(&dense, &all, &target, &weight, 0.7);
        let (b, b0) = sparse_ridge(&sparse, &all, &target, &weight, 5, 0.7);
        assert!((a0 - b0).abs() < 1e-4, "{a0} {b0}");
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
    }

    #[test]
    fn a_parabola_is_found_and_goes_on_flat() {
        let inputs: Vec<f64> = (0..1000).map(|i| f64::from(i) / 500.0 - 1.0).collect();
        let target: Vec<f64> = inputs.iter().map(|x| 0.3 - x + 2.0 * x * x).collect();
        let all: Vec<usize> = (0..1000).collect();
        let fitted = Parabola::fit(&inputs, &all, &target, &[1.0; 1000]);
        assert!((fitted.at(0.5) - 0.3).abs() < 0.01, "{fitted:?}");
        assert_eq!(fitted.at(5.0), fitted.at(50.0));
    }

    #[test]
    fn logistic_regression_tells_two_sides_apart() {
        let rows: Vec<_> = (0..100).map(|i| (vec![f64::from(i) / 50.0 - 1.0], i >= 50, 1.0)).collect();
        let b = logistic(&rows);
        assert!(sigmoid(b[0] * 0.8 + b[1]) > 0.9 && sigmoid(b[0] * -0.8 + b[1]) < 0.1);
    }
}
