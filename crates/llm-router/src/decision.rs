use std::sync::Arc;

use route_plan::RoutePlan;
use serde::{Deserialize, Serialize};

use crate::cascade::Cascade;
use crate::filter::Rejection;

/// Who is asked, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What is carried out: one stage, the best first, or the two of a [cascade](Self::cascade). Without stages where nobody can be
    /// asked.
    pub plan: RoutePlan,
    /// The tier that was asked for, or `auto`.
    pub tier: Arc<str>,
    /// The first of the plan; `None`: nobody can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Arc<str>>,
    /// By what the candidates are ordered.
    pub order: Order,
    /// All of them: those that can be asked, the best first, then those that were rejected.
    pub candidates: Vec<Candidate>,
    /// Of the chosen one.
    pub estimate: Estimate,
    /// The two stages, where they were wanted, or why there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cascade: Option<Cascade>,
}

/// By what candidates are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The score; among equals the order of the catalogue.
    Score,
    /// The list of the tier.
    Listed,
}

/// A model that was considered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The public name.
    pub model: Arc<str>,
    /// The weighted mean of the terms, 0 to 1.
    pub score: f64,
    /// What it is made of.
    pub terms: Terms,
    /// Whether an endpoint may be asked; one that may not is asked after all others.
    pub is_up: bool,
    /// What the answer is expected to take.
    pub estimate: Estimate,
    /// Why it cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejection>,
}

/// The terms of a score, each from 0 to 1, and the higher the better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// It is of the tier asked for; with `auto`: of a tier that is named like the kind of the task; in a list: how far ahead it stands.
    pub tier: f64,
    /// How good its answers are: what was learnt, and the prior as long as that is little.
    pub quality: f64,
    /// 1 where it costs nothing, a half where the answer costs a cent; 0 where nobody knows.
    pub price: f64,
    /// 1 where the answer is there at once, a half where it takes five seconds or nobody knows.
    pub latency: f64,
    /// The share of its recent requests that did not fail; 0 where it may not be asked.
    pub health: f64,
}

impl Terms {
    /// Each with its name, in the order of [`Weights::named`](crate::Weights::named).
    pub fn named(&self) -> [(&'static str, f64); 5] {
        let Self { tier, quality, price, latency, health } = *self;
        [("tier", tier), ("quality", quality), ("price", price), ("latency", latency), ("health", health)]
    }
}

/// What an answer is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Of the prompt.
    pub prompt_tokens: u64,
    /// USD, with an answer as long as the question allows; `None`: the price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Until the answer is whole, ms; `None`: it has not answered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}
