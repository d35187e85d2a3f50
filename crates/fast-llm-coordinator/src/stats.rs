use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// Counts since the start, in the shape of `api.d.ts`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Requests that were accepted for execution.
    pub requests: u64,
    /// Those that ended in an error; a client that went away is none.
    pub errors: u64,
    /// Attempts beyond the first of a request.
    pub failovers: u64,
    /// Continuations of streams that had broken off.
    pub resumes: u64,
    /// Requests that were sent twice at the same time.
    pub hedges: u64,
    /// Answers from the response cache.
    pub cache_hits: u64,
    /// Questions to the response cache that it could not answer.
    pub cache_misses: u64,
    /// Requests that have not ended, streams included.
    pub in_flight: u64,
    /// Half of the requests had at most this overhead; microseconds.
    #[serde(rename = "p50OverheadUs")]
    pub p50_overhead_us: u64,
    /// All but one in a hundred; microseconds.
    #[serde(rename = "p99OverheadUs")]
    pub p99_overhead_us: u64,
    /// Tokens of the prompts, as the endpoints counted them.
    pub prompt_tokens: u64,
    /// Tokens of the answers, as the endpoints counted them.
    pub completion_tokens: u64,
}

/// The live counters behind [`Stats`].
pub(crate) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    failovers: AtomicU64,
    resumes: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    in_flight: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    overhead_us: Mutex<Option<Histogram<u32>>>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        // One microsecond to one minute in two significant digits: 12 KB and 1 % of error. The bounds are constants
        // that the library accepts; were they not, the quantiles would stay 0.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 2).ok();
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            failovers: AtomicU64::new(0),
            resumes: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            overhead_us: Mutex::new(histogram),
        }
    }

    pub(crate) fn request_started(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failover(&self) {
        self.failovers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.resumes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cache_hit(&self) {
        self.cache_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cache_miss(&self) {
        self.cache_misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self, usage: &llm_wire::openai::Usage) {
        self.prompt_tokens.fetch_add(usage.prompt_tokens, Ordering::Relaxed);
        self.completion_tokens.fetch_add(usage.completion_tokens, Ordering::Relaxed);
    }

    pub(crate) fn overhead(&self, overhead: Duration) {
        let us = u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX);
        if let Some(histogram) = self.overhead_us.lock().as_mut() {
            histogram.saturating_record(us.max(1));
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let quantile = |q: f64| self.overhead_us.lock().as_ref().map_or(0, |h| h.value_at_quantile(q));
        Stats {
            requests: get(&self.requests),
            errors: get(&self.errors),
            failovers: get(&self.failovers),
            resumes: get(&self.resumes),
            cache_hits: get(&self.cache_hits),
            cache_misses: get(&self.cache_misses),
            in_flight: get(&self.in_flight),
            p50_overhead_us: quantile(0.5),
            p99_overhead_us: quantile(0.99),
            prompt_tokens: get(&self.prompt_tokens),
            completion_tokens: get(&self.completion_tokens),
            ..Stats::default()
        }
    }
}

/// Counts a request in and, when it is dropped, out.
pub(crate) struct RequestGuard {
    counters: Arc<Counters>,
    /// Whether it stands for a request.
    counts: bool,
}

impl RequestGuard {
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.request_started();
        Self { counters: Arc::clone(counters), counts: true }
    }

    /// For an execution that several requests share, each of which has a guard of its own.
    pub(crate) fn of_nobody(counters: &Arc<Counters>) -> Self {
        Self { counters: Arc::clone(counters), counts: false }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The request has ended in an error.
    pub(crate) fn error(&self) {
        if self.counts {
            self.counters.error();
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if self.counts {
            self.counters.request_ended();
        }
    }
}
