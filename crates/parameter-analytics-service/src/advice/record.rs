//! What came of a call: as it is journaled, and as it is learned from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::advice::AdviceError;
use crate::space::{Ordered, ParameterValues, Point, Space};

/// Numbers that describe a request, such as its prompt tokens.
pub type Context = Ordered<f64>;

/// What is known of one call, or of a part of it; whatever is left out is not known (yet). One line of a journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// With what the model was called: a point of the advisor's space.
    pub parameters: ParameterValues,
    /// With which features; all of those that are known, or none.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub context: Context,
    /// How good the answer was; more is better, in any measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// Milliseconds, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// US dollars, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Tokens of the answer; kept in the journal, and not learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Why the call failed. It counts as a failed call, and its other numbers are not learned from: they are not those of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When, in milliseconds of any clock: only [`performance`](crate::advice::Advisor::performance) compares it.
    pub at: u64,
    /// Whether it adds to a call of which a part was recorded before (a reward that came later), so that it is not another call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows: bool,
}

fn is_empty(context: &Context) -> bool {
    context.0.is_empty()
}

/// A record as models use it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) point: Point,
    /// The features as [`magnitude`]; empty where they are not known.
    pub(super) context: Vec<f64>,
    pub(super) reward: Option<f64>,
    pub(super) latency_ms: Option<f64>,
    pub(super) cost_usd: Option<f64>,
    pub(super) failed: bool,
    pub(super) at: u64,
    pub(super) follows: bool,
}

const FROM_ZERO: &str = "finite and at least 0";

pub(super) fn check(
    field: &str,
    value: Option<f64>,
    least: f64,
    expected: &'static str,
) -> Result<(), AdviceError> {
    match value {
        Some(value) if !(value.is_finite() && value >= least) => {
            Err(AdviceError::Number { field: field.into(), value, expected })
        }
        _ => Ok(()),
    }
}

impl Row {
    /// # Errors
    /// [`AdviceError`] names the field.
    pub(super) fn of(record: &Record, space: &Space, features: &[Arc<str>]) -> Result<Self, AdviceError> {
        check("reward", record.reward, f64::MIN, "finite")?;
        check("latency_ms", record.latency_ms, 0.0, FROM_ZERO)?;
        check("cost_usd", record.cost_usd, 0.0, FROM_ZERO)?;
        let numbers = [record.reward, record.latency_ms, record.cost_usd];
        if numbers.iter().all(Option::is_none) && record.tokens.is_none() && record.error.is_none() {
            return Err(AdviceError::EmptyRecord);
        }
        Ok(Self {
            point: space.point(&record.parameters)?,
            context: magnitudes(&record.context, features)?,
            reward: record.reward,
            latency_ms: record.latency_ms,
            cost_usd: record.cost_usd,
            failed: record.error.is_some(),
            at: record.at,
            follows: record.follows,
        })
    }
}

/// `sign(x) ln(1 + |x|)`: with it a latency that grows as a power of a feature is linear in its logarithm.
fn magnitude(feature: f64) -> f64 {
    feature.abs().ln_1p().copysign(feature)
}

/// The features of a context in their order; empty for no context. Where no features are known yet, any will do.
///
/// # Errors
/// A feature that is missing, unknown or not finite is named.
pub(super) fn magnitudes(context: &Context, features: &[Arc<str>]) -> Result<Vec<f64>, AdviceError> {
    for (feature, value) in &context.0 {
        check(&format!("context.{feature}"), Some(*value), f64::MIN, "finite")?;
        if !features.is_empty() && !features.contains(feature) {
            let known = features.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
            return Err(AdviceError::UnknownFeature { feature: feature.clone(), known });
        }
    }
    if context.0.is_empty() {
        return Ok(Vec::new());
    }
    let named = |feature: &Arc<str>| match context.get(feature) {
        Some(value) => Ok(magnitude(*value)),
        None => Err(AdviceError::MissingFeature(feature.clone())),
    };
    features.iter().map(named).collect()
}
