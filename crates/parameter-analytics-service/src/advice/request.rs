//! What is asked, and what comes back.

use serde::{Deserialize, Serialize};

use crate::advice::record::Context;
use crate::space::ParameterValues;

/// What a call must keep to. Each is one of the next call, `min_quality` one of the mean reward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Milliseconds.
    pub max_latency_ms: Option<f64>,
    /// US dollars.
    pub max_cost_usd: Option<f64>,
    /// In the measure of rewards.
    pub min_quality: Option<f64>,
}

impl Limits {
    /// The chance to meet them that is believed while nothing is known: an even one for each.
    pub(super) fn unknown(&self) -> f64 {
        let limits = [self.max_latency_ms, self.max_cost_usd, self.min_quality];
        0.5f64.powi(limits.iter().flatten().count() as i32)
    }
}

/// Whether trials may be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Only exploits; nothing is drawn.
    Recommend,
    /// Sometimes tries.
    #[default]
    Explore,
}

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Within which the call should stay.
    pub limits: Limits,
    /// Whether trials may be made.
    pub mode: Mode,
    /// Of the call; all known features, or none.
    pub context: Context,
}

/// Where advice comes from; see the [module documentation](crate::advice).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// What is known to be good in general.
    Prior,
    /// Of that, what was best here.
    Bandit,
    /// Models of the whole space.
    Bayesian,
}

/// What is expected of a call; `None` where no record has told of the quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Expected {
    /// The mean.
    pub reward: Option<f64>,
    /// How sure that mean is: its standard deviation. Single rewards scatter more.
    pub reward_std: Option<f64>,
    /// The mean.
    pub latency_ms: Option<f64>,
    /// The mean.
    pub cost_usd: Option<f64>,
}

/// What to call with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// A point of the space.
    pub parameters: ParameterValues,
    /// Of the call.
    pub expected: Expected,
    /// The chance that the call, if it is answered, meets all limits; 1 without limits.
    pub feasible_probability: f64,
    /// Where it comes from.
    pub source: Source,
    /// Calls that were recorded, ever.
    pub observations: u64,
}
