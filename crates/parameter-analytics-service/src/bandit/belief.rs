//! What an arm's mean reward may be, given what came of it.

use super::evidence::Totals;
use super::options::Rewards;
use super::random::Draws;

/// A distribution of a mean; standardised, so that a prior does not depend on the scale of rewards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Belief {
    /// Both at least 1.
    Beta {
        a: f64,
        b: f64,
    },
    /// Student's: the mean's part of a Normal-Inverse-Gamma distribution, whatever the variance.
    Student {
        at: f64,
        scale: f64,
        freedom: f64,
    },
    Normal {
        mean: f64,
        deviation: f64,
    },
}

/// The variance of one arm's rewards is InverseGamma(3/2, 1) at first, in squared spreads: worth three observations, and its mean exists.
const SHAPE: f64 = 1.5;
const RATE: f64 = 1.0;
/// An arm that was never rewarded is believed to be like the others, as if a quarter of a reward had shown it.
const LEAST_PULLS: f64 = 0.25;

impl Belief {
    /// Of rewards that sum up to `totals`; `others` is the mean reward of all arms, the only thing that is known of an arm without any.
    ///
    /// The mean has no prior otherwise: one at 0 would hide arms whose rewards lie far from it (Honda and Takemura, AISTATS 2014, say
    /// what a prior can spoil).
    pub(super) fn of(totals: &Totals, rewards: Rewards, others: f64) -> Self {
        match rewards {
            Rewards::Bernoulli => {
                let sum = totals.sum.clamp(0.0, totals.pulls.max(0.0));
                Self::Beta { a: 1.0 + sum, b: 1.0 + (totals.pulls - sum).max(0.0) }
            }
            Rewards::Gaussian { .. } => {
                let pulls = totals.pulls.max(LEAST_PULLS);
                let shape = SHAPE + 0.5 * (pulls - 1.0).max(0.0);
                Self::Student {
                    at: if totals.pulls > 0.0 { totals.mean() } else { others },
                    scale: (variance(totals) / pulls).sqrt(),
                    freedom: 2.0 * shape,
                }
            }
        }
    }

    pub(super) fn mean(&self) -> f64 {
        match *self {
            Self::Beta { a, b } => a / (a + b),
            Self::Student { at, .. } => at,
            Self::Normal { mean, .. } => mean,
        }
    }

    /// The standard deviation.
    pub(super) fn deviation(&self) -> f64 {
        match *self {
            Self::Beta { a, b } => (a * b / (a + b + 1.0)).sqrt() / (a + b),
            Self::Student { scale, freedom, .. } => scale * (freedom / (freedom - 2.0)).sqrt(),
            Self::Normal { deviation, .. } => deviation,
        }
    }

    pub(super) fn draw(&self, draws: &mut Draws) -> f64 {
        match *self {
            Self::Beta { a, b } => draws.beta(a, b),
            Self::Student { at, scale, freedom } => {
                let half = 0.5 * freedom;
                at + scale * draws.normal() * (half / draws.gamma(half)).sqrt()
            }
            Self::Normal { mean, deviation } => mean + deviation * draws.normal(),
        }
    }
}

/// The variance of one arm's rewards, in squared spreads: the inverse of its precision's expectation.
pub(super) fn variance(totals: &Totals) -> f64 {
    (RATE + 0.5 * totals.scatter()) / (SHAPE + 0.5 * (totals.pulls - 1.0).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAUSSIAN: Rewards = Rewards::Gaussian { mean: 0.0, spread: 1.0 };

    fn totals(rewards: &[f64]) -> Totals {
        let (sum, squares) = (rewards.iter().sum(), rewards.iter().map(|reward| reward * reward).sum());
        Totals { pulls: rewards.len() as f64, sum, squares, products: Vec::new() }
    }

    #[test]
    fn successes_and_failures_are_counted_from_one_each() {
        let belief = Belief::of(&totals(&[1.0, 1.0, 0.0]), Rewards::Bernoulli, 0.0);
        assert_eq!(belief, Belief::Beta { a: 3.0, b: 2.0 });
        assert_eq!((belief.mean(), belief.deviation()), (0.6, 0.2));
    }

    #[test]
    fn an_arm_without_rewards_is_believed_to_be_like_the_others_but_with_less_certainty() {
        let (unknown, known) =
            (Belief::of(&totals(&[]), GAUSSIAN, 8.0), Belief::of(&totals(&[8.0]), GAUSSIAN, 1.0));
        assert_eq!((unknown.mean(), known.mean()), (8.0, 8.0));
        assert!(unknown.deviation() > 1.9 * known.deviation());
    }

    #[test]
    fn many_rewards_leave_the_error_of_their_mean() {
        let rewards: Vec<f64> = (0..10_000).map(|i| 100.0 + if i % 2 == 0 { 3.0 } else { -3.0 }).collect();
        let belief = Belief::of(&totals(&rewards), GAUSSIAN, 0.0);
        assert!(
            (belief.mean() - 100.0).abs() < 1e-9 && (belief.deviation() - 0.03).abs() < 1e-4,
            "{belief:?}"
        );
    }

    #[test]
    fn draws_follow_the_belief() {
        for belief in [
            Belief::of(&totals(&[1.0, 0.0, 0.0, 0.0]), Rewards::Bernoulli, 0.0),
            Belief::of(&totals(&[4.0, 5.0, 6.0, 5.0, 4.0, 6.0, 5.0]), GAUSSIAN, 0.0),
            Belief::Normal { mean: -3.0, deviation: 2.0 },
        ] {
            let mut draws = Draws::of(1, 0);
            let values: Vec<f64> = (0..100_000).map(|_| belief.draw(&mut draws)).collect();
            let mean = values.iter().sum::<f64>() / 1e5;
            let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1e5).sqrt();
            assert!((mean - belief.mean()).abs() < 4.0 * belief.deviation() / 316.0, "{belief:?} {mean}");
            assert!((deviation / belief.deviation() - 1.0).abs() < 0.02, "{belief:?} {deviation}");
        }
    }
}
