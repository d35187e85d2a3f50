//! How calls went, in the words of the contract's `performance()`.

use std::collections::HashMap;

use serde::Serialize;

use crate::advice::record::Row;
use crate::space::{ParameterValues, Point, Space};

/// Of the calls of a time, as far as they are kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Performance {
    /// Calls, failed ones included.
    pub trials: u64,
    /// Failed calls.
    pub errors: u64,
    /// `None`: no reward was recorded.
    pub reward_mean: Option<f64>,
    /// Milliseconds of answered calls, the median.
    pub latency_p50: Option<f64>,
    /// Milliseconds that 19 of 20 answered calls did not exceed.
    pub latency_p95: Option<f64>,
    /// The sum, US dollars.
    pub cost_usd: f64,
    /// The parameters with the best mean reward, each mean drawn to that of all as if by three more calls, so that one lucky call does not win.
    pub best: Option<ParameterValues>,
}

const DRAWN: f64 = 3.0;

pub(super) fn performance<'a>(rows: impl Iterator<Item = &'a Row> + Clone, space: &Space) -> Performance {
    let errors = rows.clone().filter(|row| row.failed).count() as u64;
    let trials = rows.clone().filter(|row| !row.follows || row.failed).count() as u64;
    let rewarded = rows.clone().filter(|row| !row.failed).filter_map(|row| Some((&row.point, row.reward?)));
    let mut count = 0.0;
    // A running mean: a sum of the largest numbers would overflow.
    let mean = rewarded.clone().fold(0.0, |mean, (_, reward)| {
        count += 1.0;
        mean + (reward / count - mean / count)
    });
    let mut groups: HashMap<Box<[u64]>, (&Point, f64, f64)> = HashMap::new();
    let mut order = Vec::new();
    for (point, reward) in rewarded {
        let (_, drawn, count) = groups.entry(point.key()).or_insert_with(|| {
            order.push(point.key());
            (point, mean, DRAWN)
        });
        *count += 1.0;
        *drawn += reward / *count - *drawn / *count;
    }
    let means = order.iter().filter_map(|key| groups.get(key));
    let best = means.reduce(|best, next| if next.1 > best.1 { next } else { best });
    let mut latencies: Vec<f64> =
        rows.clone().filter(|row| !row.failed).filter_map(|row| row.latency_ms).collect();
    latencies.sort_by(f64::total_cmp);
    // The nearest rank.
    let at = |share: f64| {
        latencies.get(((share * latencies.len() as f64).ceil() as usize).saturating_sub(1)).copied()
    };
    Performance {
        trials,
        errors,
        reward_mean: (count > 0.0).then_some(mean),
        latency_p50: at(0.5),
        latency_p95: at(0.95),
        cost_usd: rows.filter_map(|row| row.cost_usd).fold(0.0, |sum: f64, cost| (sum + cost).min(f64::MAX)),
        best: best.map(|(point, ..)| space.values(point)),
    }
}
