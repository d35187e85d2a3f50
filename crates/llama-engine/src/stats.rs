//! Counters of the whole process, read by `GET /v1/stats`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::threads::Threads;

/// Counted since the process started. Each is exact by itself; together they are not one instant.
#[derive(Debug, Default)]
pub struct Stats {
    /// Chat requests that arrived.
    pub requests: AtomicU64,
    /// Requests that run in a lane now.
    pub active: AtomicUsize,
    /// Requests that wait for a lane now.
    pub queued: AtomicUsize,
    /// Tokens that were sampled.
    pub generated_tokens: AtomicU64,
    /// Tokens of prompts that were accepted.
    pub prompt_tokens: AtomicU64,
    /// Tokens of prompts that an earlier request had read already.
    pub cached_tokens: AtomicU64,
    /// Times a request was put back because the context's cells ran out.
    pub preemptions: AtomicU64,
    /// Requests whose client left before the answer ended.
    pub cancelled: AtomicU64,
    /// Requests whose time ran out.
    pub late: AtomicU64,
    /// Texts that were embedded.
    pub embedded: AtomicU64,
    /// A moving average of how long an answer takes once it runs, in microseconds; 0 before the first.
    answer_us: AtomicU64,
}

/// What `GET /v1/stats` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// See [`Stats::requests`].
    pub requests: u64,
    /// See [`Stats::active`].
    pub active: usize,
    /// See [`Stats::queued`].
    pub queued: usize,
    /// See [`Stats::generated_tokens`].
    pub generated_tokens: u64,
    /// See [`Stats::prompt_tokens`].
    pub prompt_tokens: u64,
    /// See [`Stats::cached_tokens`].
    pub cached_tokens: u64,
    /// See [`Stats::preemptions`].
    pub preemptions: u64,
    /// See [`Stats::cancelled`].
    pub cancelled: u64,
    /// See [`Stats::late`].
    pub late: u64,
    /// See [`Stats::embedded`].
    pub embedded: u64,
    /// The threads that compute, and why so many.
    pub threads: Threads,
    /// Every model that is loaded.
    pub models: Vec<ModelSnapshot>,
}

/// One loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelSnapshot {
    /// The name it was asked for by.
    pub name: String,
    /// How long loading took, in milliseconds.
    pub load_ms: u64,
    /// Tokens that one conversation may have.
    pub context_tokens: usize,
    /// Bytes of the weights.
    pub bytes: u64,
    /// Bytes of memory that the model takes, weights, cache and buffers together.
    pub memory_bytes: u64,
    /// Milliseconds until it is unloaded if nobody asks it; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

impl Stats {
    /// An answer took this long, without its time in the queue.
    pub fn took(&self, time: Duration) {
        let newest = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let mix = |average: u64| Some(if average == 0 { newest } else { average - average / 8 + newest / 8 });
        // Cannot fail: `mix` always has a value.
        let _ = self.answer_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, mix);
    }

    /// How long a request will wait that comes after `ahead` others where `lanes` run at a time. A guess: a second for
    /// each round before anything has been answered.
    pub fn wait(&self, ahead: usize, lanes: usize) -> Duration {
        let answer = match self.answer_us.load(Ordering::Relaxed) {
            0 => Duration::from_secs(1),
            average => Duration::from_micros(average),
        };
        answer.mul_f64(ahead as f64 / lanes.max(1) as f64)
    }

    /// Reads every counter.
    pub fn snapshot(&self, threads: Threads, models: Vec<ModelSnapshot>) -> Snapshot {
        Snapshot {
            requests: self.requests.load(Ordering::Relaxed),
            active: self.active.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            generated_tokens: self.generated_tokens.load(Ordering::Relaxed),
            prompt_tokens: self.prompt_tokens.load(Ordering::Relaxed),
            cached_tokens: self.cached_tokens.load(Ordering::Relaxed),
            preemptions: self.preemptions.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            embedded: self.embedded.load(Ordering::Relaxed),
            threads,
            models,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_what_those_ahead_take_on_all_lanes() {
        let stats = Stats::default();
        assert_eq!(stats.wait(16, 8), Duration::from_secs(2));
        stats.took(Duration::from_secs(4));
        assert_eq!(stats.wait(16, 8), Duration::from_secs(8));
        stats.took(Duration::from_secs(12));
        assert_eq!(stats.wait(8, 8), Duration::from_secs(5));
    }
}
