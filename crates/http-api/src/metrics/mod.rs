//! What is counted of requests as they end, by model, endpoint and key; and how all counts are written for Prometheus.

mod exposition;
mod process;

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};
use runtime::Outcome;
use runtime::telemetry::Fate;

use crate::trail::Known;

pub(crate) use exposition::{Snapshot, exposition};

/// From a local cache's answer to the longest that an endpoint is given by default, in seconds.
const DURATION_BUCKETS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0];
/// From the same to `first_token_timeout_ms`' default.
const FIRST_CONTENT_BUCKETS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Label values are configured names. Configurations that are exchanged with other names each time begin anew at this
/// many series of one metric, so that nothing grows without end; Prometheus knows counters that begin anew.
const MOST_SERIES: usize = 4_096;

/// Counts by label.
pub(crate) struct Series {
    requests: IntCounterVec,
    duration: HistogramVec,
    first_content: HistogramVec,
    tokens: IntCounterVec,
    attempts: IntCounterVec,
    key_requests: IntCounterVec,
    key_tokens: IntCounterVec,
}

impl Series {
    /// # Errors
    /// A name that Prometheus does not allow: a bug of ours.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let counter =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            HistogramVec::new(options, &["model", "endpoint"])
        };
        Ok(Self {
            requests: counter(
                "uat_model_requests_total",
                "Requests to models that have ended, by the endpoint that answered.",
                &["model", "endpoint", "status", "outcome"],
            )?,
            duration: histogram(
                "uat_request_duration_seconds",
                "From a request's arrival to the end of its answer, of those that were answered.",
                &DURATION_BUCKETS,
            )?,
            first_content: histogram(
                "uat_first_content_seconds",
                "From a request's arrival to the first content of a stream or the whole answer.",
                &FIRST_CONTENT_BUCKETS,
            )?,
            tokens: counter(
                "uat_model_tokens_total",
                "Tokens as the endpoints counted them; cached_prompt is a part of prompt.",
                &["model", "kind"],
            )?,
            attempts: counter(
                "uat_attempts_total",
                "Tries at endpoints, by how they ended.",
                &["endpoint", "outcome"],
            )?,
            key_requests: counter(
                "uat_key_requests_total",
                "Requests to models that have ended, by the caller's key.",
                &["key", "outcome"],
            )?,
            key_tokens: counter(
                "uat_key_tokens_total",
                "Tokens as the endpoints counted them, by the caller's key.",
                &["key", "kind"],
            )?,
        })
    }

    /// A request to a model has ended. `model` is one that exists.
    pub(crate) fn ended(&self, model: Option<&Arc<str>>, known: &Known, fate: Fate, total: Duration) {
        let model = model.map_or("", |model| &**model);
        let endpoint = known.report.as_ref().map_or("", |report| &*report.endpoint);
        let status = http::StatusCode::from_u16(known.status.unwrap_or_default()).unwrap_or_default();
        count(&self.requests, &[model, endpoint, status.as_str(), fate.as_str()], 1);
        if fate == Fate::Answered {
            observe(&self.duration, &[model, endpoint], total);
            if let Some(first) = known.first_content {
                observe(&self.first_content, &[model, endpoint], first);
            }
        }
        for attempt in known.attempts() {
            count(&self.attempts, &[&*attempt.endpoint, outcome(attempt.outcome)], 1);
        }
        let key = known.key.as_deref();
        if let Some(key) = key {
            count(&self.key_requests, &[key, fate.as_str()], 1);
        }
        let is_own = known.report.as_ref().is_some_and(|report| report.cache != runtime::CacheOutcome::Hit);
        let Some(usage) = known.report.as_ref().and_then(|report| report.usage).filter(|_| is_own) else {
            return;
        };
        let cached = usage.prompt_tokens_details.map_or(0, |details| details.cached_tokens);
        let kinds = [
            ("prompt", usage.prompt_tokens),
            ("cached_prompt", cached),
            ("completion", usage.completion_tokens),
        ];
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            count(&self.tokens, &[model, kind], tokens);
            if let Some(key) = key {
                count(&self.key_tokens, &[key, kind], tokens);
            }
        }
    }

    fn families(&self) -> Vec<MetricFamily> {
        let counters = [&self.requests, &self.tokens, &self.attempts, &self.key_requests, &self.key_tokens];
        let histograms = [&self.duration, &self.first_content];
        let mut families = Vec::new();
        for counter in counters {
            families.extend(bounded(counter.collect(), || counter.reset()));
        }
        for histogram in histograms {
            families.extend(bounded(histogram.collect(), || histogram.reset()));
        }
        families
    }
}

fn bounded(families: Vec<MetricFamily>, reset: impl FnOnce()) -> Vec<MetricFamily> {
    if families.iter().any(|family| family.get_metric().len() > MOST_SERIES) {
        reset();
    }
    families
}

/// The number of labels is the metric's own, so that there is always such a series.
fn count(counter: &IntCounterVec, labels: &[&str], by: u64) {
    if let Ok(counter) = counter.get_metric_with_label_values(labels) {
        counter.inc_by(by);
    }
}

fn observe(histogram: &HistogramVec, labels: &[&str], time: Duration) {
    if let Ok(histogram) = histogram.get_metric_with_label_values(labels) {
        histogram.observe(time.as_secs_f64());
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
