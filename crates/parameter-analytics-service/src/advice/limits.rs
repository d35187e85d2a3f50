//! Limits, and the chance that a call meets them.

use crate::advice::models::{Call, Candidate, LEAST, Logged, Models};
use crate::advice::{Expected, Limits};
use crate::gp::normal::below;
use crate::stream::mixed;

/// The chance that is believed while nothing of a quantity is known.
const UNKNOWN: f64 = 0.5;
/// Limits that differ by less (in logarithms a percent) are searched for together.
const GRAIN: f64 = 0.01;

/// Limits of one call, moved to the mean context: logarithms of latency and cost, and the reward in [`Models::unit`]s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wanted {
    pub(super) latency: Option<f64>,
    pub(super) cost: Option<f64>,
    pub(super) quality: Option<f64>,
}

impl Wanted {
    /// What only the same limits have.
    pub(super) fn key(&self) -> [u64; 3] {
        // Adding 0 makes a negative zero positive; no finite number has all bits set.
        let bits = |limit: Option<f64>| limit.map_or(u64::MAX, |limit| (limit + 0.0).to_bits());
        [bits(self.latency), bits(self.cost), bits(self.quality)]
    }

    /// A number for their random stream.
    pub(super) fn number(&self) -> u64 {
        self.key().into_iter().fold(0, |number, bits| mixed(number ^ bits))
    }
}

impl Models {
    /// Limits in the mean context.
    pub(super) fn wanted(&self, limits: Limits, context: &[f64]) -> Wanted {
        // Below what records count at least, a limit of 0 is met by calls that take nothing; twice that, since logarithms are rounded.
        let moved = |limit: Option<f64>, least: f64, logged: &Option<Logged>| {
            let shift = logged.as_ref().map_or(0.0, |logged| logged.measure.by_context.shift(context));
            limit.map(|limit| limit.max(2.0 * least).ln() - shift)
        };
        let shift = self.reward.as_ref().map_or(0.0, |reward| reward.by_context.shift(context));
        Wanted {
            latency: moved(limits.max_latency_ms, LEAST.0, &self.latency),
            cost: moved(limits.max_cost_usd, LEAST.1, &self.cost),
            quality: limits.min_quality.map(|least| (least / self.unit).clamp(f64::MIN, f64::MAX) - shift),
        }
    }

    /// What is expected of a call in a context. Never infinite.
    pub(super) fn expected(&self, candidate: &Candidate, context: &[f64]) -> Expected {
        let finite = |value: f64| value.clamp(f64::MIN, f64::MAX);
        let mean = |logged: &Option<Logged>, call: &Option<Call>| {
            let (Logged { measure, scatter, .. }, call) = (logged.as_ref()?, call.as_ref()?);
            Some(finite((call.mean + measure.by_context.shift(context)).exp() * scatter.smear))
        };
        let shift = self.reward.as_ref().map_or(0.0, |reward| reward.by_context.shift(context));
        Expected {
            reward: candidate.reward.map(|reward| finite((reward.mean + shift) * self.unit)),
            reward_std: candidate.reward.map(|reward| finite(reward.deviation * self.unit)),
            latency_ms: mean(&self.latency, &candidate.latency),
            cost_usd: mean(&self.cost, &candidate.cost),
        }
    }

    /// The chance that the next call, if it is answered, meets the limits: each by itself, and their product.
    pub(super) fn feasible(&self, candidate: &Candidate, wanted: Wanted) -> f64 {
        let within = |logged: &Option<_>, call: &Option<_>, limit: Option<f64>| match (limit, logged, call) {
            (None, ..) => 1.0,
            (Some(limit), Some(logged), Some(call)) => Logged::chance(logged, call, limit),
            _ => UNKNOWN,
        };
        let quality = match (wanted.quality, candidate.reward) {
            (None, _) => 1.0,
            (Some(least), Some(reward)) => below((reward.mean - least) / reward.deviation),
            _ => UNKNOWN,
        };
        within(&self.latency, &candidate.latency, wanted.latency)
            * within(&self.cost, &candidate.cost, wanted.cost)
            * quality
    }

    /// Limits that are searched for together with these, and are not wider.
    pub(super) fn grained(&self, wanted: Wanted) -> Wanted {
        let down = |limit: f64| (limit / GRAIN).floor() * GRAIN;
        let grain = GRAIN * self.reward.as_ref().map_or(1.0, |reward| reward.unit);
        Wanted {
            latency: wanted.latency.map(down),
            cost: wanted.cost.map(down),
            quality: wanted.quality.map(|least| (least / grain).ceil() * grain),
        }
    }
}
