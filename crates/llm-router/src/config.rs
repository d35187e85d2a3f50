use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[routing]`: how `auto` and `tier:NAME` choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// Tiers whose models are asked in the order given; those of other tiers are the models that name them, in the order of their scores.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// How much each term of a score counts, in proportion to the others.
    pub weights: Weights,
    /// Models that may be asked for one request: the chosen one, and those that follow where it fails.
    #[schemars(range(min = 1, max = 16))]
    pub max_candidates: u32,
    /// What `uat router train` wrote: which model answers which prompts well. Without it `quality` and feedback decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned_file: Option<PathBuf>,
    /// Where feedback is kept, as hashes and measures of prompts, and read again at the start. A server has one in its state directory
    /// unless this says another; elsewhere it is forgotten without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback_file: Option<PathBuf>,
    /// Once there is feedback: chooses by a draw from what each quality may be, so that a model that may be better is tried.
    pub explore: bool,
}

impl RoutingConfig {
    /// What a decision needs of it beside the tiers, which are in the catalogue.
    pub fn policy(&self) -> Policy {
        Policy { weights: self.weights, max_candidates: self.max_candidates }
    }
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            tiers: BTreeMap::new(),
            weights: Weights::default(),
            max_candidates: default_max_candidates(),
            learned_file: None,
            feedback_file: None,
            explore: false,
        }
    }
}

/// Three: an outage of two models at the same time is rare, and what is reserved of a budget is by the dearest of them.
fn default_max_candidates() -> u32 {
    3
}

/// How a decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// How much each term counts.
    pub weights: Weights,
    /// The most candidates of a plan.
    pub max_candidates: u32,
}

impl Default for Policy {
    fn default() -> Self {
        RoutingConfig::default().policy()
    }
}

/// How much each term of a score counts, in proportion to the others; 0: not at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// That it is of the tier asked for, or of the kind of the task.
    #[schemars(range(min = 0))]
    pub tier: f64,
    /// How good its answers are.
    #[schemars(range(min = 0))]
    pub quality: f64,
    /// How little the answer costs.
    #[schemars(range(min = 0))]
    pub price: f64,
    /// How soon the answer is whole.
    #[schemars(range(min = 0))]
    pub latency: f64,
    /// How seldom it fails.
    #[schemars(range(min = 0))]
    pub health: f64,
}

impl Default for Weights {
    /// Quality counts as much as price and time together; what is broken is asked last whatever it scores.
    fn default() -> Self {
        Self { tier: 1.0, quality: 4.0, price: 2.0, latency: 2.0, health: 1.0 }
    }
}

impl Weights {
    /// Each with its name, in the order in which they are written.
    pub fn named(&self) -> [(&'static str, f64); 5] {
        let Self { tier, quality, price, latency, health } = *self;
        [("tier", tier), ("quality", quality), ("price", price), ("latency", latency), ("health", health)]
    }
}
