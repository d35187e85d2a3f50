use std::sync::Arc;
use std::time::Duration;

use llm_wire::WireError;
use llm_wire::openai::UpstreamError;

use crate::report::{Attempt, Outcome};

/// Why a request got no answer, or not a whole one. One variant for each thing that a caller can do differently.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// The configuration cannot be carried out.
    #[error("{message}")]
    Config {
        /// What was expected, what was found, what to try.
        message: String,
    },
    /// Nobody serves this model.
    #[error("unknown model `{model}`{}", did_you_mean(nearest))]
    ModelNotFound {
        /// The name that was asked for.
        model: String,
        /// Names that exist and look like it, the nearest first.
        nearest: Vec<Arc<str>>,
    },
    /// The request cannot be said in the dialect of the endpoint.
    #[error(transparent)]
    InvalidInput(#[from] WireError),
    /// Every endpoint that could be asked was asked, or one of them gave an answer that is final.
    #[error("{}", describe(failure, attempts))]
    Failed {
        /// The last failure, which decides the code.
        failure: Box<Failure>,
        /// All of them, in order.
        attempts: Vec<Attempt>,
    },
    /// [`CallOptions::timeout`](crate::CallOptions::timeout) passed.
    #[error("no answer within {} ms; allow more time or ask for fewer tokens", after.as_millis())]
    DeadlineExceeded {
        /// The time that the caller allowed.
        after: Duration,
        /// What was tried until then.
        attempts: Vec<Attempt>,
    },
}

/// How one attempt at one endpoint failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The stable code, `UAT_...`.
    pub code: &'static str,
    /// The endpoint.
    pub endpoint: Arc<str>,
    /// The HTTP status it gave, if it gave one.
    pub status: Option<u16>,
    /// What happened, without anything of the prompt.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Whether every other endpoint would say the same (the request is at fault), so that none was asked.
    pub is_final: bool,
    /// The pause that the endpoint asked for.
    pub retry_after: Option<Duration>,
    /// The error object it sent, if it sent one.
    pub upstream: Option<UpstreamError>,
}

impl Failure {
    /// What may be shown to others than the caller: the kind of failure, without a word that the endpoint wrote, which
    /// may repeat a key or the prompt.
    pub fn summary(&self) -> String {
        match (&self.upstream, self.status) {
            (Some(_), Some(200)) => format!("an error inside an answer ({})", self.code),
            (Some(_), Some(status)) => format!("status {status} ({})", self.code),
            _ => self.message.clone(),
        }
    }
}

impl CoordinatorError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "UAT_CONFIG",
            Self::ModelNotFound { .. } => "UAT_MODEL_NOT_FOUND",
            Self::InvalidInput(_) => "UAT_INVALID_INPUT",
            // No dialect of theirs can say it: the request is at fault.
            Self::Failed { failure, .. } if failure.code == "UAT_INVALID_INPUT" => failure.code,
            Self::Failed { failure, attempts } if several_endpoints(attempts) && !failure.is_final => {
                "UAT_ALL_ENDPOINTS_FAILED"
            }
            Self::Failed { failure, .. } => failure.code,
            Self::DeadlineExceeded { .. } => "UAT_TIMEOUT",
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Config { .. } | Self::ModelNotFound { .. } | Self::InvalidInput(_) => false,
            Self::Failed { failure, .. } => failure.retryable,
            Self::DeadlineExceeded { .. } => true,
        }
    }

    /// What was tried, in order; empty where nothing was.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Failed { attempts, .. } | Self::DeadlineExceeded { attempts, .. } => attempts,
            _ => &[],
        }
    }

    /// The same of a request for which these attempts were made before.
    #[must_use]
    pub fn after(mut self, earlier: &[Attempt]) -> Self {
        if let Self::Failed { attempts, .. } | Self::DeadlineExceeded { attempts, .. } = &mut self {
            attempts.splice(0..0, earlier.iter().cloned());
        }
        self
    }

    /// When to come back, where an endpoint said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed { failure, .. } => failure.retry_after,
            _ => None,
        }
    }
}

fn several_endpoints(attempts: &[Attempt]) -> bool {
    let mut failed = failed(attempts);
    failed.next().is_some_and(|first| failed.any(|a| a.endpoint != first.endpoint))
}

/// Of several executions of a request, one may have answered and not have been good enough.
fn failed(attempts: &[Attempt]) -> impl Iterator<Item = &Attempt> {
    attempts.iter().filter(|attempt| attempt.outcome != Outcome::Ok)
}

fn did_you_mean(nearest: &[Arc<str>]) -> String {
    if nearest.is_empty() {
        return "; GET /v1/models lists what can be asked for".to_owned();
    }
    let names: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
    format!("; did you mean {}?", names.join(" or "))
}

fn describe(failure: &Failure, attempts: &[Attempt]) -> String {
    if failure.is_final || !several_endpoints(attempts) {
        return failure.message.clone();
    }
    let tried: Vec<String> = failed(attempts)
        .map(|a| format!("{}: {}", a.endpoint, a.error.as_deref().unwrap_or("failed")))
        .collect();
    format!("no endpoint answered ({})", tried.join("; "))
}
