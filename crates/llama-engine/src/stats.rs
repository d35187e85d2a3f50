//! Counters of the whole process, read by `GET /v1/stats`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;

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
    /// Times a request was put back because the context's cells ran out.
    pub preemptions: AtomicU64,
    /// Requests whose client left before the answer ended.
    pub cancelled: AtomicU64,
}

/// What `GET /v1/stats` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// See [`Stats::preemptions`].
    pub preemptions: u64,
    /// See [`Stats::cancelled`].
    pub cancelled: u64,
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
}

impl Stats {
    /// Reads every counter.
    pub fn snapshot(&self, models: Vec<ModelSnapshot>) -> Snapshot {
        Snapshot {
            requests: self.requests.load(Ordering::Relaxed),
            active: self.active.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            generated_tokens: self.generated_tokens.load(Ordering::Relaxed),
            prompt_tokens: self.prompt_tokens.load(Ordering::Relaxed),
            preemptions: self.preemptions.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
            models,
        }
    }
}
