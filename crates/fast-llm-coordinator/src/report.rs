use std::sync::Arc;

use llm_wire::openai::Usage;
use serde::Serialize;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It answered (or is answering: a stream is reported while it runs).
    Ok,
    /// It failed.
    Error,
    /// It was too slow.
    Timeout,
    /// The client went away.
    Cancelled,
    /// It went on with an answer that another attempt had begun.
    Resumed,
}

/// One try at one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// The model's name there.
    pub model: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status, if one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The stable code of why it failed. Unlike [`error`](Self::error) it has no word of the endpoint's, which may repeat
    /// a key or the prompt.
    #[serde(skip)]
    pub code: Option<&'static str>,
    /// From the request's arrival to the attempt's beginning, in ms.
    #[serde(skip)]
    pub started_ms: f64,
    /// From the attempt's beginning to the first content, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f64>,
    /// From the attempt's beginning to its end, in ms; up to now for a stream that is still running.
    pub total_ms: f64,
}

/// Whether the answer came from the response cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheOutcome {
    /// The cache was not asked.
    Bypass,
    /// The cache was asked and had no answer.
    Miss,
    /// The answer is the cache's, or another request's that was under way.
    Hit,
}

/// What happened to a request, in the shape of `api.d.ts`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingReport {
    /// As in the plan.
    pub request_id: Arc<str>,
    /// The public name of the model that answered.
    pub model: Arc<str>,
    /// The endpoint that answered.
    pub endpoint: Arc<str>,
    /// Whether the cache answered.
    pub cache: CacheOutcome,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// Our own share of the time: from the request's arrival to the answer (or its first content), less what was
    /// spent waiting for endpoints; microseconds.
    pub overhead_us: u64,
    /// Fields of the request that the endpoint was not told, because its dialect has no word for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// Tokens as the endpoint counted them, once it said so; absent for a whole answer of the cache.
    #[serde(skip)]
    pub usage: Option<Usage>,
}

impl RoutingReport {
    /// The same of a request for which these attempts were made before.
    #[must_use]
    pub fn after(mut self, attempts: &[Attempt]) -> Self {
        self.attempts.splice(0..0, attempts.iter().cloned());
        self
    }
}
