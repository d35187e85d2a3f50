//! What crosses, as JavaScript sees it.

use napi::bindgen_prelude::{Buffer, Float32Array};
use napi_derive::napi;
use runtime::Outcome;

/// A whole answer.
#[napi(object, object_from_js = false)]
pub struct Completion {
    /// OpenAI's completion object as JSON in UTF-8.
    pub body: Buffer,
    /// How the request travelled.
    pub routing: RoutingReport,
}

/// The vectors of some texts.
#[napi(object, object_from_js = false)]
pub struct Embeddings {
    /// One for each text, in their order.
    pub embeddings: Vec<Float32Array>,
    /// Of all texts together, as the endpoint counted them.
    pub prompt_tokens: i64,
}

/// How a request travelled.
#[napi(object, object_from_js = false)]
pub struct RoutingReport {
    /// Names the request in reports and logs.
    pub request_id: String,
    /// As the caller named it.
    pub model: String,
    /// Who answered.
    pub endpoint: String,
    /// Whether the response cache answered.
    #[napi(ts_type = "'hit' | 'miss' | 'bypass'")]
    pub cache: &'static str,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// Microseconds.
    pub overhead_us: i64,
    /// Fields of the request that the endpoint was not told.
    pub dropped: Option<Vec<String>>,
}

/// One try at one endpoint.
#[napi(object, object_from_js = false)]
pub struct Attempt {
    /// Its name.
    pub endpoint: String,
    /// The model's name there.
    pub model: String,
    /// How it ended.
    #[napi(ts_type = "'ok' | 'error' | 'timeout' | 'cancelled' | 'resumed'")]
    pub outcome: &'static str,
    /// HTTP status.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// Milliseconds.
    pub first_token_ms: Option<f64>,
    /// Milliseconds.
    pub total_ms: f64,
}

/// What is known of one endpoint.
#[napi(object, object_from_js = false)]
pub struct EndpointHealth {
    /// Its name.
    pub endpoint: String,
    /// Whether it is asked.
    #[napi(ts_type = "'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'")]
    pub state: &'static str,
    /// Milliseconds.
    pub ewma_first_token_ms: f64,
    /// Requests under way.
    pub in_flight: u32,
    /// 0 to 1.
    pub error_rate: f64,
    /// The last reason for which it counted as failed.
    pub last_error: Option<String>,
    /// How the state has changed, oldest first.
    pub history: Vec<StateChange>,
}

/// A change of an endpoint's state.
#[napi(object, object_from_js = false)]
pub struct StateChange {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The state before.
    #[napi(ts_type = "'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'")]
    pub from: &'static str,
    /// The state since.
    #[napi(ts_type = "'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'")]
    pub to: &'static str,
    /// Why.
    pub reason: String,
}

/// Counts since the start.
#[napi(object, object_from_js = false)]
pub struct CoordinatorStats {
    /// Accepted.
    pub requests: i64,
    /// Ended in an error.
    pub errors: i64,
    /// Attempts beyond the first of a request.
    pub failovers: i64,
    /// Streams continued elsewhere.
    pub resumes: i64,
    /// Sent twice.
    pub hedges: i64,
    /// Answers from the response cache.
    pub cache_hits: i64,
    /// Questions that it could not answer.
    pub cache_misses: i64,
    /// Under way.
    pub in_flight: i64,
    /// Microseconds.
    #[napi(js_name = "p50OverheadUs")]
    pub p50_overhead_us: i64,
    /// Microseconds.
    #[napi(js_name = "p99OverheadUs")]
    pub p99_overhead_us: i64,
}

/// A count as JavaScript holds it: exact up to 2^53, far beyond what a process counts.
pub(crate) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl From<runtime::RoutingReport> for RoutingReport {
    fn from(report: runtime::RoutingReport) -> Self {
        Self {
            request_id: report.request_id.to_string(),
            model: report.model.to_string(),
            endpoint: report.endpoint.to_string(),
            cache: match report.cache {
                runtime::CacheOutcome::Hit => "hit",
                runtime::CacheOutcome::Miss => "miss",
                runtime::CacheOutcome::Bypass => "bypass",
            },
            attempts: report.attempts.into_iter().map(Attempt::from).collect(),
            overhead_us: number(report.overhead_us),
            dropped: Some(report.dropped).filter(|dropped| !dropped.is_empty()),
        }
    }
}

impl From<runtime::Attempt> for Attempt {
    fn from(attempt: runtime::Attempt) -> Self {
        Self {
            endpoint: attempt.endpoint.to_string(),
            model: attempt.model.to_string(),
            outcome: match attempt.outcome {
                Outcome::Ok => "ok",
                Outcome::Error => "error",
                Outcome::Timeout => "timeout",
                Outcome::Cancelled => "cancelled",
                Outcome::Resumed => "resumed",
            },
            status: attempt.status,
            error: attempt.error,
            first_token_ms: attempt.first_token_ms,
            total_ms: attempt.total_ms,
        }
    }
}

impl From<runtime::EndpointHealth> for EndpointHealth {
    fn from(health: runtime::EndpointHealth) -> Self {
        Self {
            endpoint: health.endpoint.to_string(),
            state: health.state.as_str(),
            ewma_first_token_ms: health.ewma_first_token_ms,
            in_flight: health.in_flight,
            error_rate: health.error_rate,
            last_error: health.last_error,
            history: health.history.into_iter().map(StateChange::from).collect(),
        }
    }
}

impl From<runtime::StateChange> for StateChange {
    fn from(change: runtime::StateChange) -> Self {
        Self {
            at: number(change.at_ms),
            from: change.from.as_str(),
            to: change.to.as_str(),
            reason: change.reason,
        }
    }
}

impl From<runtime::Stats> for CoordinatorStats {
    fn from(stats: runtime::Stats) -> Self {
        Self {
            requests: number(stats.requests),
            errors: number(stats.errors),
            failovers: number(stats.failovers),
            resumes: number(stats.resumes),
            hedges: number(stats.hedges),
            cache_hits: number(stats.cache_hits),
            cache_misses: number(stats.cache_misses),
            in_flight: number(stats.in_flight),
            p50_overhead_us: number(stats.p50_overhead_us),
            p99_overhead_us: number(stats.p99_overhead_us),
        }
    }
}
