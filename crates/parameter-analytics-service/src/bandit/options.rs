//! How a bandit is made, and what it cannot be made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::BanditError;
use super::evidence::UNITS;

/// How an arm is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Policy {
    /// Chooses by a draw from what each arm's mean may be (Thompson 1933), which never counts for less than its expectation: the
    /// optimistic form (May, Korda, Lee, Leslie, JMLR 2012), whose regret was about a twentieth lower in our runs.
    Thompson,
    /// Chooses the greatest upper bound: KL-UCB (Garivier and Cappe, COLT 2011) for rewards in 0..1; for others the bound of Cowan, Honda
    /// and Katehakis (JMLR 2018), which needs no variance to be known.
    Ucb,
    /// Chooses the best so far, and any arm with probability `epsilon`.
    EpsilonGreedy {
        /// 0 to 1.
        epsilon: f64,
    },
    /// Thompson sampling of rewards that are linear in a context, with weights for each arm (Agrawal and Goyal, ICML 2013), optimistic
    /// as [`Policy::Thompson`] is. A constant is one of the features.
    LinThompson {
        /// How many numbers a context has, 1 to 256.
        features: usize,
    },
    /// Finds the best arm instead of earning most on the way, and [says](super::Bandit::verdict) when it is known.
    TopTwoThompson {
        /// The probability with which the verdict may be wrong: above 0, below 1.
        error: f64,
    },
}

/// What rewards look like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Rewards {
    /// 0 or 1, or anything between; beliefs are Beta distributions, from Beta(1, 1) on.
    Bernoulli,
    /// Any number within a million spreads of the mean; beliefs are Normal-Inverse-Gamma distributions.
    Gaussian {
        /// About how great a reward is. Nothing depends on it but what range is allowed.
        mean: f64,
        /// About how far rewards of one arm lie apart (standard deviation, above 0). Counts as three observations of the variance; a
        /// verdict of [`Policy::TopTwoThompson`] and the width of [`Policy::LinThompson`] rely on its not being too small.
        spread: f64,
    },
}

/// Whether old rewards count less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Forget {
    /// They count as new ones do.
    #[default]
    Never,
    /// Those older than the window do not count (sliding window, Garivier and Moulines 2011). The window moves on by sixteenths.
    Window {
        /// In units of `clock`, at least 16.
        length: u64,
        /// What age is counted in.
        clock: Clock,
    },
    /// They count half after each half-life (discounted, Raj and Kalyani, arXiv 1707.09727), in steps of eighths; not at all after
    /// eight of them.
    HalfLife {
        /// In units of `clock`, at least 8. A discount of g for each reward is a half-life of ln(1/2) / ln(g) rewards.
        length: u64,
        /// What age is counted in.
        clock: Clock,
    },
}

/// What age is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Milliseconds of the times that are passed in.
    Milliseconds,
    /// Rewards that came. Bandits that share what they learn count their own, and go on from the furthest that they heard of (Lamport
    /// 1978), so that three processes of the same traffic forget at a third of the speed.
    Rewards,
}

/// How a bandit is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BanditOptions {
    /// Names, each once.
    pub arms: Vec<Arc<str>>,
    /// How an arm is chosen.
    pub policy: Policy,
    /// What rewards look like.
    pub rewards: Rewards,
    /// Whether old rewards count less.
    #[serde(default)]
    pub forget: Forget,
    /// The same seed and calls give the same arms. Processes that share what they learn need different ones, or they choose alike and
    /// cannot tell their decisions apart.
    pub seed: u64,
    /// How many decisions are remembered until their rewards come; the oldest is forgotten when one more is made.
    #[serde(default = "max_outstanding")]
    pub max_outstanding: usize,
}

/// A minute of a thousand decisions a second; some 4 MiB without contexts.
fn max_outstanding() -> usize {
    65_536
}

impl BanditOptions {
    /// Options that forget nothing and remember 65,536 decisions.
    pub fn new<A: Into<Arc<str>>>(
        arms: impl IntoIterator<Item = A>,
        policy: Policy,
        rewards: Rewards,
        seed: u64,
    ) -> Self {
        let arms = arms.into_iter().map(Into::into).collect();
        Self { arms, policy, rewards, forget: Forget::Never, seed, max_outstanding: max_outstanding() }
    }

    /// Refuses what cannot be meant.
    pub(super) fn check(&self) -> Result<(), BanditError> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.arms.iter().find(|arm| !seen.insert(*arm)) {
            return Err(BanditError::ArmExists { arm: Arc::clone(twice) });
        }
        if self.arms.is_empty() {
            return Err(BanditError::NoArm);
        }
        if self.max_outstanding == 0 {
            let help = "without it no reward can be told; leave it out for 65,536";
            return Err(BanditError::invalid("maxOutstanding", "at least 1", 0, help));
        }
        self.check_policy()?;
        if let Rewards::Gaussian { mean, spread } = self.rewards {
            let help = "give about the mean and the standard deviation of one arm's rewards";
            if !mean.is_finite() {
                return Err(BanditError::invalid("mean", "a finite number", mean, help));
            }
            if !(spread.is_finite() && spread >= f64::MIN_POSITIVE && (1.0 / spread).is_finite()) {
                return Err(BanditError::invalid("spread", "a finite number above 0", spread, help));
            }
        }
        let (least, length) = match self.forget {
            Forget::Never => return Ok(()),
            Forget::Window { length, .. } => (16, length),
            Forget::HalfLife { length, .. } => (8, length),
        };
        if length < least {
            let help = "shorter ones would forget an arm between two choices of it";
            return Err(BanditError::invalid("length", format!("at least {least}"), length, help));
        }
        Ok(())
    }

    fn check_policy(&self) -> Result<(), BanditError> {
        match self.policy {
            Policy::EpsilonGreedy { epsilon } if !(0.0..=1.0).contains(&epsilon) => {
                let help = "it is the share of choices at random; 0.1 is usual";
                Err(BanditError::invalid("epsilon", "0 to 1", epsilon, help))
            }
            Policy::LinThompson { features } if !(1..=256).contains(&features) => {
                let help = "a decision's cost grows with its square; leave out what says least";
                Err(BanditError::invalid("features", "1 to 256", features, help))
            }
            Policy::TopTwoThompson { error } if !(error > 0.0 && error < 1.0) => {
                let help = "it is the probability with which the verdict may be wrong; 0.05 is usual";
                Err(BanditError::invalid("error", "above 0 and below 1", error, help))
            }
            Policy::TopTwoThompson { .. } if self.forget != Forget::Never => {
                let help =
                    "the verdict holds for arms that stay as they are; use `thompson` for those that change";
                Err(BanditError::invalid(
                    "forget",
                    "`never` with `top-two-thompson`",
                    format!("{:?}", self.forget),
                    help,
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Rewards {
    /// The reward in units of 2^-24 spreads from the mean.
    ///
    /// # Errors
    /// [`BanditError::Invalid`] for what is no number or out of range.
    pub(super) fn units(self, reward: f64) -> Result<i64, BanditError> {
        let (mean, spread) = self.scale();
        let standard = (reward - mean) / spread;
        let (low, high) = self.range();
        if !(low..=high).contains(&reward) || standard.abs() > WIDEST {
            let help = match self {
                Self::Bernoulli => "scale it, or make the bandit with `gaussian` rewards",
                Self::Gaussian { .. } => {
                    "tell a failure as the worst usual reward, or make the bandit with a greater `spread`"
                }
            };
            return Err(BanditError::invalid(
                "reward",
                format!("a number from {low} to {high}"),
                reward,
                help,
            ));
        }
        Ok((standard * UNITS + 0.5).floor() as i64)
    }

    /// What counts as 0, and what as 1, in the sums.
    pub(super) fn scale(self) -> (f64, f64) {
        match self {
            Self::Bernoulli => (0.0, 1.0),
            Self::Gaussian { mean, spread } => (mean, spread),
        }
    }

    fn range(self) -> (f64, f64) {
        match self {
            Self::Bernoulli => (0.0, 1.0),
            Self::Gaussian { mean, spread } => (mean - WIDEST * spread, mean + WIDEST * spread),
        }
    }
}

/// 2^20 spreads: with 2^24 units in each, the sum of 2^39 squares still fits 128 bits.
const WIDEST: f64 = 1_048_576.0;
