//! What would have happened: a recorded day of requests, replayed under a policy.
//!
//! The rules: an instance of a model serves one request at a time and is loaded for `load_ms`; unloading takes no time;
//! instances on one device do not slow each other; a request waits until it begins to be executed. How long requests will
//! take is not told to any policy.

mod clock;
mod in_order;
mod ours;
mod trace;

use serde::Serialize;
pub use trace::{Trace, TraceError, TraceRequest};

/// By which rules memory is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Our [`crate::Manager`].
    Ours,
    /// First come, first served, and the model that was used longest ago goes.
    FifoLru,
    /// Ollama's, as read from its source.
    Ollama,
}

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Bytes of each device.
    pub devices: Vec<u64>,
    /// By how much arrivals are divided.
    pub speedup: f64,
    /// Of ours only: what it is set to.
    pub settings: crate::Settings,
}

/// What came of it. Times in ms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Requests in all.
    pub requests: usize,
    /// The mean of what they waited.
    pub mean_wait_ms: f64,
    /// Half of them waited less.
    pub p50_wait_ms: f64,
    /// All but a hundredth waited less.
    pub p99_wait_ms: f64,
    /// The longest wait.
    pub max_wait_ms: f64,
    /// The share that waited half a minute at most.
    pub within_30_s: f64,
    /// How often a model was loaded.
    pub loads: usize,
    /// The same for each priority that occurs, where more than one does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_priority: Vec<OfPriority>,
}

/// What came of the requests of one priority.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfPriority {
    /// Which.
    pub priority: crate::Priority,
    /// How many.
    pub requests: usize,
    /// The mean of what they waited, in ms.
    pub mean_wait_ms: f64,
    /// All but a hundredth waited less, in ms.
    pub p99_wait_ms: f64,
    /// The longest wait, in ms.
    pub max_wait_ms: f64,
}

/// Replays a trace. `progress` is told how many requests have begun, now and then, and stops the replay with `false`.
///
/// # Errors
/// [`TraceError::NeverFits`] where a model is larger than what every device gives out, [`TraceError::Speedup`].
pub fn simulate(
    trace: &Trace,
    policy: Policy,
    scenario: &Scenario,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Outcome>, TraceError> {
    let last = trace.requests.last().map_or(0.0, |request| request.arrival_ms);
    let speedup = scenario.speedup;
    if !(speedup > 0.0 && last / speedup <= trace::MOST_MS) {
        return Err(TraceError::Speedup { speedup });
    }
    let kept = if policy == Policy::Ours { scenario.settings.headroom } else { 0 };
    let largest = scenario.devices.iter().max().map_or(0, |largest| largest.saturating_sub(kept));
    if let Some(model) = trace.models.iter().find(|model| model.bytes > largest) {
        let (name, bytes) = (model.name.clone(), model.bytes);
        return Err(TraceError::NeverFits { name, bytes, largest });
    }
    let run = match policy {
        Policy::Ours => ours::run(trace, scenario, progress),
        Policy::FifoLru => in_order::run(trace, scenario, in_order::FIFO_LRU, progress),
        Policy::Ollama => in_order::run(trace, scenario, in_order::OLLAMA, progress),
    };
    Ok(run.map(|run| outcome(trace, run)))
}

/// After so many requests the caller hears of it.
const TELL_EVERY: usize = 256;

/// What a policy did.
#[derive(Debug, Default)]
struct Run {
    /// Of each request, in ms.
    waits: Vec<u64>,
    loads: usize,
}

fn outcome(trace: &Trace, run: Run) -> Outcome {
    let all = summary(run.waits.iter().copied());
    let mut priorities: Vec<crate::Priority> =
        trace.requests.iter().map(|request| request.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let of = |priority: crate::Priority| {
        let waits = trace.requests.iter().zip(&run.waits);
        let waits = waits.filter(|(request, _)| request.priority == priority).map(|(_, wait)| *wait);
        let sum = summary(waits);
        let (requests, mean_wait_ms, p99_wait_ms, max_wait_ms) = (sum.count, sum.mean, sum.p99, sum.max);
        OfPriority { priority, requests, mean_wait_ms, p99_wait_ms, max_wait_ms }
    };
    Outcome {
        requests: all.count,
        mean_wait_ms: all.mean,
        p50_wait_ms: all.p50,
        p99_wait_ms: all.p99,
        max_wait_ms: all.max,
        within_30_s: run.waits.iter().filter(|wait| **wait <= 30_000).count() as f64
            / all.count.max(1) as f64,
        loads: run.loads,
        by_priority: if priorities.len() > 1 { priorities.into_iter().map(of).collect() } else { Vec::new() },
    }
}

struct Summary {
    count: usize,
    mean: f64,
    p50: f64,
    p99: f64,
    max: f64,
}

fn summary(waits: impl Iterator<Item = u64>) -> Summary {
    let mut waits: Vec<u64> = waits.collect();
    waits.sort_unstable();
    let count = waits.len();
    let at = |share: usize| waits.get(count * share / 100).or(waits.last()).copied().unwrap_or(0) as f64;
    let mean = waits.iter().map(|wait| *wait as f64).sum::<f64>() / count.max(1) as f64;
    Summary { count, mean, p50: at(50), p99: at(99), max: waits.last().copied().unwrap_or(0) as f64 }
}
