//! The two stages of a plan in which a cheap model is asked before the one that is better.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decision::{Candidate, Estimate, Order};
use crate::question::Question;

/// Who is asked first, and who where that answer does not do; or why there is one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cascade {
    /// Two stages.
    Stages {
        /// The cheap one, alone in the first stage.
        first: Arc<str>,
        /// The best one, first in the second stage.
        second: Arc<str>,
    },
    /// One stage, as if no cascade were wanted.
    Without {
        /// Why.
        without: NoCascade,
    },
}

/// Why there is one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoCascade {
    /// One model can be asked.
    Alone,
    /// None of the weaker ones is known to be cheaper than the best one.
    NoneCheaper,
    /// With any of the cheaper ones before it, the best one may cost more, or come later, than it may.
    Constraints,
}

impl fmt::Display for NoCascade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "one model alone can be asked at present",
            Self::NoneCheaper => "no weaker model is known to be cheaper than the best one",
            Self::Constraints => "both stages together may cost more, or take longer, than is allowed",
        })
    }
}

/// The two stages for a question that wants them: the cheapest model that is weaker and cheaper than the best one, and that. What is
/// weaker has a lower quality, or stands further back where the tier lists its models. `candidates` are in their order.
pub(crate) fn cascade(question: &Question, candidates: &[Candidate], order: Order) -> Option<Cascade> {
    let answers = f64::from(question.cascade?);
    let able = || candidates.iter().filter(|candidate| candidate.rejected.is_none() && candidate.is_up);
    let without = |without| Some(Cascade::Without { without });
    let best = match order {
        Order::Listed => able().next(),
        // Of equals the first.
        Order::Score => able().reduce(|best, one| if is_better(one, best) { one } else { best }),
    };
    let (Some(best), 2..) = (best, able().count()) else { return without(NoCascade::Alone) };
    let is_weaker = |one: &&Candidate| match order {
        Order::Listed => one.model != best.model,
        Order::Score => is_better(best, one),
    };
    let cheaper =
        |one: &Candidate| Some(one.estimate.cost_usd? * answers).filter(|cost| is_less(*cost, best));
    let mut weaker: Vec<(f64, &Candidate)> =
        able().filter(is_weaker).filter_map(|one| Some((cheaper(one)?, one))).collect();
    if weaker.is_empty() {
        return without(NoCascade::NoneCheaper);
    }
    weaker.retain(|(cost, one)| is_within(question, *cost, &one.estimate, &best.estimate));
    let cheapest = weaker.iter().min_by(|(a, _), (b, _)| a.total_cmp(b));
    match cheapest {
        Some((_, first)) => {
            Some(Cascade::Stages { first: Arc::clone(&first.model), second: Arc::clone(&best.model) })
        }
        None => without(NoCascade::Constraints),
    }
}

fn is_better(one: &Candidate, other: &Candidate) -> bool {
    one.terms.quality.total_cmp(&other.terms.quality) == Ordering::Greater
}

fn is_less(cost: f64, best: &Candidate) -> bool {
    best.estimate.cost_usd.is_some_and(|most| cost < most)
}

/// Whether the first stage, which costs so much, and the second are together what the question allows. Several answers of the first
/// are written at the same time.
fn is_within(question: &Question, cost: f64, first: &Estimate, second: &Estimate) -> bool {
    let constraints = &question.constraints;
    let fits = |allowed: Option<f64>, sum: Option<f64>| match (allowed, sum) {
        (Some(allowed), Some(sum)) => sum <= allowed,
        _ => true,
    };
    let both = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
    fits(constraints.max_cost_usd, both(Some(cost), second.cost_usd))
        && fits(constraints.max_latency_ms, both(first.latency_ms, second.latency_ms))
}
