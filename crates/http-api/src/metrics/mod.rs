//! What is counted of requests as they end, by model, endpoint and key; and how all counts are written for Prometheus.

mod exposition;
mod labelled;
mod process;

use std::sync::Arc;
use std::time::Duration;

use llm_wire::openai::Usage;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter};
use runtime::Outcome;
use runtime::telemetry::Fate;

use crate::trail::Known;

pub(crate) use exposition::{Snapshot, exposition};

use labelled::Labelled;

/// From a local cache's answer to the longest that an endpoint is given by default, in seconds.
const DURATION_BUCKETS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0];
/// From the same to `first_token_timeout_ms`' default.
const FIRST_CONTENT_BUCKETS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Counts by label.
pub(crate) struct Series {
    requests: Labelled<IntCounter, 4>,
    duration: Labelled<Histogram, 2>,
    first_content: Labelled<Histogram, 2>,
    tokens: Labelled<IntCounter, 2>,
    attempts: Labelled<IntCounter, 2>,
    key_requests: Labelled<IntCounter, 2>,
    key_tokens: Labelled<IntCounter, 2>,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self {
            requests: Labelled::new(
                "uat_model_requests_total",
                "Requests to models that have ended, by the endpoint that answered.",
                ["model", "endpoint", "status", "outcome"],
                IntCounter::with_opts,
            ),
            duration: Labelled::new(
                "uat_request_duration_seconds",
                "From a request's arrival to the end of its answer, of those that were answered.",
                ["model", "endpoint"],
                |options| {
                    Histogram::with_opts(HistogramOpts::from(options).buckets(DURATION_BUCKETS.to_vec()))
                },
            ),
            first_content: Labelled::new(
                "uat_first_content_seconds",
                "From a request's arrival to the first content of a stream or the whole answer.",
                ["model", "endpoint"],
                |options| {
                    Histogram::with_opts(HistogramOpts::from(options).buckets(FIRST_CONTENT_BUCKETS.to_vec()))
                },
            ),
            tokens: Labelled::new(
                "uat_model_tokens_total",
                "Tokens as the endpoints counted them; cached_prompt is a part of prompt.",
                ["model", "kind"],
                IntCounter::with_opts,
            ),
            attempts: Labelled::new(
                "uat_attempts_total",
                "Tries at endpoints, by how they ended.",
                ["endpoint", "outcome"],
                IntCounter::with_opts,
            ),
            key_requests: Labelled::new(
                "uat_key_requests_total",
                "Requests to models that have ended, by the caller's key.",
                ["key", "outcome"],
                IntCounter::with_opts,
            ),
            key_tokens: Labelled::new(
                "uat_key_tokens_total",
                "Tokens as the endpoints counted them, by the caller's key.",
                ["key", "kind"],
                IntCounter::with_opts,
            ),
        }
    }

    /// A request to a model has ended. `model` is one that exists.
    pub(crate) fn ended(&self, model: Option<&Arc<str>>, known: &Known, fate: Fate, total: Duration) {
        let model = model.map_or("", |model| &**model);
        let endpoint = known.report.as_ref().map_or("", |report| &*report.endpoint);
        let status = http::StatusCode::from_u16(known.status.unwrap_or_default()).unwrap_or_default();
        self.requests.with([model, endpoint, status.as_str(), fate.as_str()], |counter| counter.inc_by(1));
        if fate == Fate::Answered {
            self.duration.with([model, endpoint], |histogram| histogram.observe(total.as_secs_f64()));
            if let Some(first) = known.first_content {
                self.first_content
                    .with([model, endpoint], |histogram| histogram.observe(first.as_secs_f64()));
            }
        }
        for attempt in known.attempts() {
            self.attempts.with([&*attempt.endpoint, outcome(attempt.outcome)], |counter| counter.inc_by(1));
        }
        let key = known.key.as_deref();
        if let Some((model, usage)) = known.routed().and_then(|routed| routed.used_before()) {
            self.used(model, key, &usage);
        }
        if let Some(key) = key {
            self.key_requests.with([key, fate.as_str()], |counter| counter.inc_by(1));
        }
        let is_own = known.report.as_ref().is_some_and(|report| report.cache != runtime::CacheOutcome::Hit);
        let Some(usage) = known.report.as_ref().and_then(|report| report.usage).filter(|_| is_own) else {
            return;
        };
        self.used(model, key, &usage);
    }

    fn used(&self, model: &str, key: Option<&str>, usage: &Usage) {
        let cached = usage.prompt_tokens_details.map_or(0, |details| details.cached_tokens);
        let kinds = [
            ("prompt", usage.prompt_tokens),
            ("cached_prompt", cached),
            ("completion", usage.completion_tokens),
        ];
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            self.tokens.with([model, kind], |counter| counter.inc_by(tokens));
            if let Some(key) = key {
                self.key_tokens.with([key, kind], |counter| counter.inc_by(tokens));
            }
        }
    }

    /// Forgets what was counted of endpoints that are gone. Prometheus takes a series that ends for what it is.
    pub(crate) fn keep_endpoints(&self, is_there: impl Fn(&str) -> bool) {
        let wanted = |endpoint: &str| endpoint.is_empty() || is_there(endpoint);
        self.requests.retain(|[_, endpoint, _, _]| wanted(endpoint));
        self.duration.retain(|[_, endpoint]| wanted(endpoint));
        self.first_content.retain(|[_, endpoint]| wanted(endpoint));
        self.attempts.retain(|[endpoint, _]| wanted(endpoint));
    }

    fn families(&self) -> Vec<MetricFamily> {
        let counters = [&self.tokens, &self.attempts, &self.key_requests, &self.key_tokens];
        let histograms = [&self.duration, &self.first_content];
        let requests = std::iter::once(self.requests.family());
        let counted = requests.chain(counters.into_iter().map(Labelled::family));
        counted.chain(histograms.into_iter().map(Labelled::family)).flatten().collect()
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Error => "error",
        Outcome::Timeout => "timeout",
        Outcome::Cancelled => "cancelled",
        Outcome::Resumed => "resumed",
    }
}
