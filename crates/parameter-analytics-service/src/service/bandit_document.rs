//! A bandit's options in the words of `api.d.ts`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::AnalyticsError;
use crate::bandit::{BanditOptions, Clock, Forget, Policy, Rewards};

/// What a bandit is made from; see [`options`](Self::options).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BanditDocument {
    /// Not empty.
    pub name: Arc<str>,
    /// Names, each once.
    pub arms: Vec<Arc<str>>,
    /// How an arm is chosen.
    #[serde(default)]
    pub policy: PolicyName,
    /// What rewards look like.
    #[serde(default)]
    pub reward: RewardName,
    /// For `lin-thompson`: how many numbers a context has.
    #[serde(default, alias = "context_dims", skip_serializing_if = "Option::is_none")]
    pub context_dims: Option<usize>,
    /// What of a reward's weight is left after the next one; above 0, at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<f64>,
    /// The same seed and calls give the same arms; without one, a random one is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The names of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// [`Policy::Thompson`].
    #[default]
    Thompson,
    /// [`Policy::Ucb`].
    Ucb,
    /// [`Policy::EpsilonGreedy`], with one choice in ten at random.
    EpsilonGreedy,
    /// Not made yet.
    Exp3,
    /// [`Policy::LinThompson`].
    LinThompson,
    /// [`Policy::TopTwoThompson`], whose verdict is wrong one time in twenty at most.
    TopTwoThompson,
}

/// The names of what rewards look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardName {
    /// [`Rewards::Bernoulli`].
    #[default]
    Bernoulli,
    /// [`Rewards::Gaussian`], taken to be about 1 in size.
    Gaussian,
}

/// Of decisions, how many epsilon-greedy makes at random (as MABWiser does by default).
const EPSILON: f64 = 0.1;
/// How often a verdict may be wrong.
const ERROR: f64 = 0.05;
/// The least half-life that [`Forget::HalfLife`] takes.
const LEAST_HALF_LIFE: f64 = 8.0;

fn input<T>(field: &str, expected: &str, got: String) -> Result<T, AnalyticsError> {
    Err(AnalyticsError::Input { field: field.to_owned(), expected: expected.to_owned(), got })
}

impl PolicyName {
    /// The policy of this name, with a context of so many numbers where it has one.
    ///
    /// # Errors
    /// [`AnalyticsError::Input`]: dimensions are missing, or there is no use for them; [`AnalyticsError::Unsupported`].
    pub fn with(self, context_dims: Option<usize>) -> Result<Policy, AnalyticsError> {
        Ok(match (self, context_dims) {
            (Self::LinThompson, Some(features)) => Policy::LinThompson { features },
            (Self::LinThompson, None) => {
                let expected = "how many numbers a context has, for `lin-thompson`";
                return input("contextDims", expected, "nothing".to_owned());
            }
            (_, Some(dims)) => {
                return input("contextDims", "nothing, but for `lin-thompson`", dims.to_string());
            }
            (Self::Thompson, None) => Policy::Thompson,
            (Self::Ucb, None) => Policy::Ucb,
            (Self::EpsilonGreedy, None) => Policy::EpsilonGreedy { epsilon: EPSILON },
            (Self::TopTwoThompson, None) => Policy::TopTwoThompson { error: ERROR },
            (Self::Exp3, None) => {
                return Err(AnalyticsError::Unsupported {
                    what: "the policy `exp3`",
                    instead: "`thompson` with a `discount`",
                });
            }
        })
    }
}

impl RewardName {
    /// What rewards of this name look like.
    pub fn rewards(self) -> Rewards {
        match self {
            Self::Bernoulli => Rewards::Bernoulli,
            Self::Gaussian => Rewards::Gaussian { mean: 0.0, spread: 1.0 },
        }
    }
}

impl BanditDocument {
    /// The options; `seed` where the document has none.
    ///
    /// # Errors
    /// [`AnalyticsError::Input`] names the field.
    pub fn options(&self, seed: u64) -> Result<BanditOptions, AnalyticsError> {
        if self.arms.is_empty() {
            return input("arms", "the names of one arm or more", "none".to_owned());
        }
        let policy = self.policy.with(self.context_dims)?;
        let forget = match self.discount {
            None | Some(1.0) => Forget::Never,
            Some(discount) if discount > 0.0 && discount < 1.0 => {
                let length = libm::log(0.5) / libm::log(discount);
                Forget::HalfLife { length: length.round().max(LEAST_HALF_LIFE) as u64, clock: Clock::Rewards }
            }
            Some(discount) => return input("discount", "a number above 0, at most 1", discount.to_string()),
        };
        let rewards = self.reward.rewards();
        let options =
            BanditOptions::new(self.arms.iter().map(Arc::clone), policy, rewards, self.seed.unwrap_or(seed));
        Ok(BanditOptions { forget, ..options })
    }
}
