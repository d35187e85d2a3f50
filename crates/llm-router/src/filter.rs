//! The hard filters: why a model cannot be asked, whatever it would score.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalogue::Model;
use crate::decision::Estimate;
use crate::question::Question;
use crate::snapshot::Standing;

/// Why a model cannot be asked: the first filter that it does not pass, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Rejection {
    /// Whoever asks may not use it.
    NotAllowed,
    /// It does not say that it can do these.
    Capability {
        /// What is missing.
        missing: Vec<Arc<str>>,
    },
    /// Prompt and answer are longer together than it can hold.
    Context {
        /// Tokens.
        needed: u64,
        /// Tokens.
        has: u64,
        /// The prompt's length is an upper estimate.
        is_estimate: bool,
    },
    /// It does not write as long an answer.
    Output {
        /// Tokens.
        needed: u64,
        /// Tokens.
        has: u64,
    },
    /// The answer may cost more than it may.
    Cost {
        /// USD; `None`: unknown.
        expected: Option<f64>,
        /// USD.
        allowed: f64,
    },
    /// The answer is expected later than it may come.
    Latency {
        /// ms.
        expected: f64,
        /// ms.
        allowed: f64,
    },
}

/// The first filter that the model does not pass. What is not known of it rules it out only where money is meant: a model that has
/// not answered yet would never be asked otherwise.
pub(crate) fn reject(
    question: &Question,
    model: &Model,
    standing: &Standing,
    estimate: &Estimate,
) -> Option<Rejection> {
    if !question.allows(&model.name) {
        return Some(Rejection::NotAllowed);
    }
    if question.capabilities.iter().any(|wanted| !model.can(wanted)) {
        let missing = question.capabilities.iter().filter(|wanted| !model.can(wanted)).cloned().collect();
        return Some(Rejection::Capability { missing });
    }
    // An answer has a token at least.
    let needed = estimate.prompt_tokens.saturating_add(question.output_tokens.unwrap_or(1));
    if let Some(has) = model.context_tokens.filter(|has| needed > *has) {
        let is_estimate = standing.prompt_tokens.is_none() && question.prompt_tokens.is_estimate;
        return Some(Rejection::Context { needed, has, is_estimate });
    }
    if let (Some(needed), Some(has)) = (question.output_tokens, model.max_output_tokens)
        && needed > has
    {
        return Some(Rejection::Output { needed, has });
    }
    if let Some(allowed) = question.constraints.max_cost_usd
        && estimate.cost_usd.is_none_or(|cost| cost > allowed)
    {
        return Some(Rejection::Cost { expected: estimate.cost_usd, allowed });
    }
    match (question.constraints.max_latency_ms, estimate.latency_ms) {
        (Some(allowed), Some(expected)) if expected > allowed => {
            Some(Rejection::Latency { expected, allowed })
        }
        _ => None,
    }
}

impl Rejection {
    /// How far it is from being asked, to be compared: the number of the filter, of which a later one is nearer, and by how many times
    /// it misses that.
    pub(crate) fn miss(&self) -> (u8, f64) {
        match self {
            Self::NotAllowed => (5, 0.0),
            Self::Capability { missing } => (4, missing.len() as f64),
            Self::Context { needed, has, .. } => (3, times(*needed as f64, *has as f64)),
            Self::Output { needed, has } => (2, times(*needed as f64, *has as f64)),
            Self::Cost { expected, allowed } => {
                (1, expected.map_or(f64::INFINITY, |usd| times(usd, *allowed)))
            }
            Self::Latency { expected, allowed } => (0, times(*expected, *allowed)),
        }
    }
}

fn times(needed: f64, has: f64) -> f64 {
    if has > 0.0 { needed / has } else { f64::INFINITY }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => f.write_str("may not be used with this key"),
            Self::Capability { missing } => write!(f, "lacks `{}`", missing.join("`, `")),
            Self::Context { needed, has, is_estimate } => {
                let counted = if *is_estimate { "up to " } else { "" };
                write!(
                    f,
                    "holds {has} tokens, prompt and answer need {counted}{needed}: {} too many",
                    needed - has
                )
            }
            Self::Output { needed, has } => {
                write!(f, "answers with at most {has} tokens, {needed} are wanted: {} too many", needed - has)
            }
            Self::Cost { expected: None, allowed } => {
                write!(f, "its price is unknown, at most {} USD are allowed", Usd(*allowed))
            }
            Self::Cost { expected: Some(expected), allowed } => {
                let more = Usd(expected - allowed);
                write!(f, "may cost {} USD, {} are allowed: {more} too much", Usd(*expected), Usd(*allowed))
            }
            Self::Latency { expected, allowed } => {
                let more = expected - allowed;
                write!(f, "takes about {expected:.0} ms, {allowed:.0} are allowed: {more:.0} too many")
            }
        }
    }
}

/// Dollars with as many digits as tell small sums apart.
struct Usd(f64);

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Less than that is written as it is: nothing is not what is allowed.
        if self.0 > 0.0 && self.0 < 1e-6 {
            return write!(f, "{}", self.0);
        }
        let text = format!("{:.6}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}
