//! Rewards that are linear in a context: each arm's weights, a Gaussian belief that one reward updates in O(features^2).
//!
//! The precision is the ridge plus the sum of the contexts' outer products; its inverse is kept and updated by rank one (Sherman and
//! Morrison 1950). The reward of a context is then known as a normal distribution, and drawing from that is the same as drawing weights and
//! applying them. Written by hand since TypeScript has to come to the same bits: plain loops, no reordered sums.

use super::belief::Belief;
use super::evidence::Totals;
use super::options::Rewards;

/// The weights are normal at first, and deviate as one reward does.
const RIDGE: f64 = 1.0;
/// Updates after which the inverse is made anew from the sums, before roundings add up (1e-13 each).
const UPDATES: u32 = 512;

/// What is believed of one arm's weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    features: usize,
    /// The deviation of one reward from its mean.
    noise: f64,
    /// The covariance in squares of the noise, row by row.
    covariance: Vec<f64>,
    /// The sum of reward times context.
    with_reward: Vec<f64>,
    mean: Vec<f64>,
    updates: u32,
}

impl Weights {
    /// From the sums: some features^3 / 2 multiplications.
    pub(super) fn of(totals: &Totals, features: usize, rewards: Rewards) -> Self {
        let at = |place: usize| totals.products.get(place).copied().unwrap_or(0.0);
        let outer = features * (features + 1) / 2;
        let mut precision = vec![0.0; features * features];
        for row in 0..features {
            for column in 0..=row {
                let sum = at(row * (row + 1) / 2 + column);
                precision[row * features + column] = sum + if row == column { RIDGE } else { 0.0 };
            }
        }
        let with_reward: Vec<f64> = (0..features).map(|feature| at(outer + feature)).collect();
        let mut weights = Self {
            features,
            noise: noise(rewards),
            covariance: inverse(precision, features),
            with_reward,
            mean: vec![0.0; features],
            updates: 0,
        };
        weights.set_mean();
        weights
    }

    /// The mean reward of a context.
    pub(super) fn belief(&self, context: &[f64]) -> Belief {
        let mean = dot(&self.mean, context);
        let variance: f64 = self.rows().zip(context).map(|(row, x)| x * dot(row, context)).sum();
        Belief::Normal { mean, deviation: self.noise * variance.max(0.0).sqrt() }
    }

    /// Takes a reward in. Whether the inverse should now be made anew from the sums.
    pub(super) fn observe(&mut self, context: &[f64], reward: f64) -> bool {
        let gain: Vec<f64> = self.rows().map(|row| dot(row, context)).collect();
        let scale = 1.0 / (1.0 + dot(&gain, context));
        for (row, left) in self.covariance.chunks_exact_mut(self.features).zip(&gain) {
            for (cell, right) in row.iter_mut().zip(&gain) {
                *cell -= left * right * scale;
            }
        }
        self.with_reward.iter_mut().zip(context).for_each(|(sum, x)| *sum += reward * x);
        self.set_mean();
        self.updates += 1;
        self.updates >= UPDATES
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.covariance.chunks_exact(self.features)
    }

    fn set_mean(&mut self) {
        self.mean = self.rows().map(|row| dot(row, &self.with_reward)).collect();
    }
}

/// In the sums' terms: no reward within 0..1 deviates by more than a half, and others are counted in spreads.
fn noise(rewards: Rewards) -> f64 {
    match rewards {
        Rewards::Bernoulli => 0.5,
        Rewards::Gaussian { .. } => 1.0,
    }
}

/// Four sums side by side, which a processor can add at once; the order is part of what other implementations repeat.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (fours, others) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = fours.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in fours.zip(others) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The inverse of a symmetric positive definite matrix of which the lower triangle is given: by Cholesky's factor, its inverse, and that
/// one's product with itself.
fn inverse(mut lower: Vec<f64>, n: usize) -> Vec<f64> {
    for row in 0..n {
        for column in 0..=row {
            let sum: f64 = (0..column).map(|k| lower[row * n + k] * lower[column * n + k]).sum();
            let rest = lower[row * n + column] - sum;
            lower[row * n + column] = if row == column {
                // At least the ridge, but for roundings.
                rest.max(0.5 * RIDGE).sqrt()
            } else {
                rest / lower[column * n + column]
            };
        }
    }
    let mut inverted = vec![0.0; n * n];
    for column in 0..n {
        inverted[column * n + column] = 1.0 / lower[column * n + column];
        for row in column + 1..n {
            let sum: f64 = (column..row).map(|k| lower[row * n + k] * inverted[k * n + column]).sum();
            inverted[row * n + column] = -sum / lower[row * n + row];
        }
    }
    let mut product = vec![0.0; n * n];
    for row in 0..n {
        for column in 0..=row {
            let sum: f64 = (row..n).map(|k| inverted[k * n + row] * inverted[k * n + column]).sum();
            product[row * n + column] = sum;
            product[column * n + row] = sum;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bandit::evidence::products;
    use crate::bandit::random::Draws;

    const GAUSSIAN: Rewards = Rewards::Gaussian { mean: 0.0, spread: 1.0 };

    /// The sums of these contexts and rewards.
    fn totals(seen: &[(Vec<f64>, f64)], features: usize) -> Totals {
        let mut totals = Totals { products: vec![0.0; products(features)], ..Totals::default() };
        for (context, reward) in seen {
            let pairs = (0..features).flat_map(|row| (0..=row).map(move |column| (row, column)));
            let outer = pairs.map(|(row, column)| context[row] * context[column]);
            let terms = outer.chain(context.iter().map(|x| x * reward));
            totals.products.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        totals
    }

    fn contexts(n: u64, features: usize) -> Vec<(Vec<f64>, f64)> {
        let context = |draws: &mut Draws| (0..features).map(|_| draws.normal()).collect();
        (0..n)
            .map(|number| Draws::of(1, number))
            .map(|mut draws| (context(&mut draws), draws.normal()))
            .collect()
    }

    #[test]
    fn updates_by_rank_one_say_what_the_sums_say() {
        for features in [1, 3, 4, 16, 17] {
            let seen = contexts(400, features);
            let mut updated = Weights::of(&Totals::default(), features, GAUSSIAN);
            for (context, reward) in &seen {
                assert!(!updated.observe(context, *reward));
            }
            let summed = Weights::of(&totals(&seen, features), features, GAUSSIAN);
            let off = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off(&updated.covariance, &summed.covariance) < 1e-12);
            assert!(off(&updated.mean, &summed.mean) < 1e-12);
        }
    }

    #[test]
    fn a_single_weight_is_the_ridge_regression_of_the_textbook() {
        let seen = vec![(vec![2.0], 3.0), (vec![1.0], 1.0)];
        // (4 + 1 + 1) w = 6 + 1.
        let Belief::Normal { mean, deviation } = Weights::of(&totals(&seen, 1), 1, GAUSSIAN).belief(&[3.0])
        else {
            panic!("normal")
        };
        assert!(
            (mean - 3.5).abs() < 1e-12 && (deviation - 3.0 / 6f64.sqrt()).abs() < 1e-12,
            "{mean} {deviation}"
        );
    }

    #[test]
    fn after_many_updates_the_sums_are_asked_for() {
        let mut weights = Weights::of(&Totals::default(), 1, GAUSSIAN);
        assert_eq!((0..UPDATES).filter(|_| weights.observe(&[1.0], 1.0)).count(), 1);
    }
}
