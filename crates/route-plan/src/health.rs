use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is known of one endpoint from the answers it gave: a snapshot, true at the moment it was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    /// The name from `[[endpoints]]`.
    pub endpoint: Arc<str>,
    /// Whether requests are sent there.
    pub state: EndpointState,
    /// Peak-EWMA of the time to the first content, in ms; 0 before the first answer.
    pub ewma_first_token_ms: f64,
    /// Requests that have not ended, streams included.
    pub in_flight: u32,
    /// Requests that wait for a place there.
    #[serde(default)]
    pub queued: u32,
    /// Share of the recent requests that failed for a reason of the endpoint's, 0 to 1.
    pub error_rate: f64,
    /// The last such reason, without anything of the request in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The last changes of the state, the newest last; at most 16.
    #[serde(default)]
    pub history: Vec<StateChange>,
}

/// What is known of a model from the answers that its endpoints gave as it: what speaks for and against asking it now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelHealth {
    /// Whether at least one endpoint that serves it may be asked.
    pub is_up: bool,
    /// The expected time to the first content where it is shortest, in ms; `None` before the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f64>,
    /// How fast an answer is written there; `None` before the first answer whose tokens were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_s: Option<f64>,
    /// Share of the recent requests that failed for a reason of the endpoint's, 0 to 1, where it is lowest.
    pub error_rate: f64,
    /// The answers that this rests on.
    pub samples: u64,
}

impl Default for ModelHealth {
    /// Nothing is known, and nothing speaks against it.
    fn default() -> Self {
        Self { is_up: true, first_token_ms: None, tokens_per_s: None, error_rate: 0.0, samples: 0 }
    }
}

/// One change of an endpoint's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateChange {
    /// When; ms since 1970.
    pub at_ms: u64,
    /// What it was before.
    pub from: EndpointState,
    /// What it was from then on.
    pub to: EndpointState,
    /// Why, without anything of the request in it.
    pub reason: String,
}

/// Whether an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    /// Answers.
    Healthy,
    /// Answers, but some recent requests failed or it asked for a pause (429).
    Degraded,
    /// The circuit breaker is open: not asked while another endpoint can be.
    Open,
    /// The breaker lets one request through to see whether it recovered.
    HalfOpen,
    /// Refused our key (401 or 403): not asked until the pause is over.
    Quarantined,
}

impl EndpointState {
    /// The name as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Quarantined => "quarantined",
        }
    }
}
