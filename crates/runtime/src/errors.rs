//! The one table that says what each `UAT_*` code is over HTTP, and the error that wraps every part's own.

use std::path::PathBuf;
use std::time::Duration;

use child_engine::EngineError;
use embedder::EmbedError;
use fast_llm_coordinator::{CoordinatorError, Failure};
use llm_router::RouterError;
use llm_wire::WireError;
use llm_wire::openai::ErrorBody;
use model_store::StoreError;
use parameter_analytics_service::AnalyticsError;
use redis_service::RedisServiceError;
use vision_resource_manager::host::HostError;
use voice_processing::VoiceError;

use crate::config::ConfigErrors;

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRow {
    /// The stable code.
    pub uat_code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// `error.type` of an OpenAI error object.
    pub kind: &'static str,
    /// `error.code` of an OpenAI error object.
    pub openai_code: &'static str,
    /// Whether the same request may succeed later. The error itself may know better.
    pub retryable: bool,
}

const fn row(
    uat_code: &'static str,
    status: u16,
    kind: &'static str,
    openai_code: &'static str,
    retryable: bool,
) -> ErrorRow {
    ErrorRow { uat_code, status, kind, openai_code, retryable }
}

const REQUEST: &str = "invalid_request_error";
const SERVER: &str = "server_error";
const LIMIT: &str = "rate_limit_error";

/// Every code that the parts of this version can give. Types and codes are those that OpenAI's clients know.
pub const TABLE: &[ErrorRow] = &[
    row("UAT_INVALID_INPUT", 400, REQUEST, "invalid_value", false),
    row("UAT_AUDIO_FORMAT", 400, REQUEST, "invalid_audio", false),
    row("UAT_UNSUPPORTED", 400, REQUEST, "unsupported_value", false),
    row("UAT_NO_CANDIDATE", 400, REQUEST, "no_candidate", false),
    row("UAT_CONTEXT_LENGTH_EXCEEDED", 400, REQUEST, "context_length_exceeded", false),
    row("UAT_UNAUTHORIZED", 401, "authentication_error", "invalid_api_key", false),
    row("UAT_FORBIDDEN", 403, "permission_error", "forbidden", false),
    row("UAT_NOT_FOUND", 404, REQUEST, "not_found", false),
    row("UAT_MODEL_NOT_FOUND", 404, REQUEST, "model_not_found", false),
    row("UAT_CONFLICT", 409, REQUEST, "conflict", false),
    row("UAT_RATE_LIMITED", 429, LIMIT, "rate_limit_exceeded", true),
    // What OpenAI says where money is lacking; its clients repeat a 429 after Retry-After.
    row("UAT_BUDGET_EXCEEDED", 429, "insufficient_quota", "insufficient_quota", true),
    // nginx's number for a client that closed the request: nobody reads it, the log does.
    row("UAT_CANCELLED", 499, REQUEST, "cancelled", false),
    row("UAT_CONFIG", 500, SERVER, "configuration_error", false),
    row("UAT_STORAGE", 500, SERVER, "storage_error", false),
    row("UAT_CORRUPT_VALUE", 500, SERVER, "corrupt_file", false),
    row("UAT_INTERNAL", 500, SERVER, "internal_error", false),
    row("UAT_UPSTREAM", 502, SERVER, "upstream_error", true),
    row("UAT_ALL_ENDPOINTS_FAILED", 502, SERVER, "all_endpoints_failed", true),
    row("UAT_OVERLOADED", 503, SERVER, "overloaded", true),
    row("UAT_INSUFFICIENT_VRAM", 503, SERVER, "insufficient_vram", true),
    row("UAT_NO_GPU", 503, SERVER, "no_gpu", false),
    row("UAT_ENGINE_UNAVAILABLE", 503, SERVER, "engine_unavailable", false),
    row("UAT_CLOSED", 503, SERVER, "shutting_down", false),
    row("UAT_TIMEOUT", 504, SERVER, "timeout", true),
];

/// The row of a code; a code that the table does not know is `UAT_INTERNAL`.
pub fn row_of(uat_code: &str) -> &'static ErrorRow {
    const UNKNOWN: &ErrorRow = &row("UAT_INTERNAL", 500, SERVER, "internal_error", false);
    TABLE.iter().find(|row| row.uat_code == uat_code).unwrap_or(UNKNOWN)
}

/// What an error is over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// The status.
    pub status: u16,
    /// `error.type`.
    pub kind: String,
    /// `error.code`.
    pub code: String,
    /// For the header `Retry-After`: set on every 429 and 503, and where an endpoint asked for a pause.
    pub retry_after: Option<Duration>,
}

/// Whatever can go wrong in the product's core. The code is the part's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The router can choose nobody.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The request is no request of its dialect.
    #[error(transparent)]
    Input(#[from] WireError),
    /// No answer, or not a whole one.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// A model file is missing or wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A model for sentence embeddings cannot be used.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The local engine cannot be reached.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The daemon that gives out memory of GPUs cannot begin.
    #[error(transparent)]
    Gpu(#[from] HostError),
    /// Nobody says where it may write.
    #[error(
        "neither XDG_STATE_HOME nor HOME says where leases of GPU memory are written down: set `state_dir` of `[gpu]`"
    )]
    NoStateFolder,
    /// Redis is away, or refused.
    #[error(transparent)]
    Redis(#[from] RedisServiceError),
    /// A study or a bandit refuses, or cannot be kept.
    #[error(transparent)]
    Parameters(#[from] AnalyticsError),
    /// A recording cannot be heard.
    #[error(transparent)]
    Voice(#[from] VoiceError),
    /// The caller's limits do not allow it.
    #[error(transparent)]
    Refused(#[from] access::Refused),
    /// No key that may ask was presented.
    #[error(transparent)]
    Denied(#[from] access::Denied),
    /// The key was revoked while what it had asked for was under way.
    #[error("the key was revoked while this was answered; ask the operator for another one")]
    KeyRevoked,
    /// Keys and what they have spent cannot be kept.
    #[error(transparent)]
    Ledger(#[from] access::LedgerError),
    /// The file of keys is wrong.
    #[error("{}: {message}", path.display())]
    KeysFile {
        /// `server.keys_file`.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// The local engine runs and does not say what it does.
    #[error("the local engine does not tell what is in its memory: {reason}; `uat doctor` may know more")]
    EngineStats {
        /// What happened.
        reason: String,
    },
    /// The local engine runs and does not say what a model would take.
    #[error("the local engine does not tell what a model takes of memory: {reason}")]
    EngineMemory {
        /// What happened.
        reason: String,
    },
    /// A bug.
    #[error("{message}")]
    Internal {
        /// What failed.
        message: String,
    },
    /// [`Runtime::close`](crate::Runtime::close) was called.
    #[error("this instance is closed: create a new one")]
    Closed,
}

impl RuntimeError {
    /// The stable code, `UAT_...`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Router(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Input(error) => error.code(),
            Self::Coordinator(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Embed(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::Gpu(error) => error.code(),
            Self::NoStateFolder => "UAT_CONFIG",
            Self::Redis(error) => error.code(),
            Self::Parameters(error) => error.code(),
            Self::Voice(error) => error.code(),
            Self::Refused(error) => error.code(),
            Self::Denied(_) | Self::KeyRevoked => "UAT_UNAUTHORIZED",
            Self::Ledger(error) => error.code(),
            Self::KeysFile { .. } => "UAT_CONFIG",
            Self::EngineStats { .. } | Self::EngineMemory { .. } => "UAT_ENGINE_UNAVAILABLE",
            Self::Internal { .. } => "UAT_INTERNAL",
            Self::Closed => "UAT_CLOSED",
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Router(error) => error.retryable(),
            Self::Config(error) => error.retryable(),
            Self::Input(error) => error.retryable(),
            Self::Coordinator(error) => error.retryable(),
            Self::Store(error) => error.retryable(),
            Self::Embed(error) => error.retryable(),
            Self::Engine(error) => error.retryable(),
            Self::Redis(error) => error.retryable(),
            Self::Refused(error) => error.retryable(),
            Self::Ledger(error) => error.retryable(),
            Self::EngineStats { .. } | Self::EngineMemory { .. } => true,
            Self::Parameters(error) => error.retryable(),
            Self::Voice(error) => error.retryable(),
            Self::Denied(_)
            | Self::KeyRevoked
            | Self::Gpu(_)
            | Self::NoStateFolder
            | Self::KeysFile { .. }
            | Self::Internal { .. }
            | Self::Closed => false,
        }
    }

    /// The field of the request that is at fault, if one is: `messages[0].role`.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Input(error) | Self::Coordinator(CoordinatorError::InvalidInput(error)) => error.param(),
            Self::Coordinator(CoordinatorError::ModelNotFound { .. })
            | Self::Store(StoreError::NotPulled { .. })
            | Self::Router(RouterError::UnknownTier { .. } | RouterError::NoModel) => Some("model"),
            Self::Coordinator(CoordinatorError::Failed { failure, .. }) => {
                failure.upstream.as_ref()?.param.as_deref()
            }
            Self::Refused(error) => error.param(),
            Self::Parameters(AnalyticsError::Input { field, .. }) => Some(field),
            Self::Voice(VoiceError::NoTranscriber) => Some("model"),
            Self::Voice(error) => error.option(),
            _ => None,
        }
    }

    /// Status, type and code over HTTP.
    pub fn http(&self) -> HttpError {
        let row = row_of(self.code());
        let mut http = HttpError {
            status: row.status,
            kind: row.kind.to_owned(),
            code: row.openai_code.to_owned(),
            retry_after: None,
        };
        if let Self::Coordinator(CoordinatorError::Failed { failure, .. }) = self {
            keep_refusal(failure, &mut http);
        }
        let asked = match self {
            Self::Coordinator(error) => error.retry_after(),
            Self::Refused(error) => error.retry_after(),
            _ => None,
        };
        http.retry_after = asked.or(matches!(http.status, 429 | 503).then_some(DEFAULT_RETRY_AFTER));
        http
    }
}

/// What `Retry-After` says where nobody asked for a certain pause: the shortest that the header can express.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A provider that refused the request itself said so best: its status, type and code reach the client as they are.
fn keep_refusal(failure: &Failure, http: &mut HttpError) {
    let Some(status) = failure.status else { return };
    if http.status != 400 || !(400..500).contains(&status) {
        return;
    }
    http.status = status;
    if let Some(upstream) = &failure.upstream {
        if let Some(kind) = &upstream.kind {
            http.kind.clone_from(kind);
        }
        if let Some(code) = &upstream.code {
            http.code.clone_from(code);
        }
    }
}

/// The error object that a client of the OpenAI dialect reads.
pub fn error_body(error: &RuntimeError) -> ErrorBody {
    let http = error.http();
    ErrorBody {
        message: error.to_string(),
        kind: http.kind,
        param: error.param().map(str::to_owned),
        code: Some(http.code),
        uat_code: error.code().to_owned(),
        retryable: error.retryable(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use llm_wire::openai::UpstreamError;

    use super::*;

    #[test]
    fn each_code_has_one_row() {
        let codes: HashSet<&str> = TABLE.iter().map(|row| row.uat_code).collect();
        assert_eq!(codes.len(), TABLE.len());
        assert!(TABLE.iter().all(|row| row.uat_code.starts_with("UAT_") && (400..600).contains(&row.status)));
    }

    #[test]
    fn an_unknown_model_is_404_and_names_the_parameter() {
        let error = RuntimeError::from(CoordinatorError::ModelNotFound {
            model: "smollm".into(),
            nearest: vec!["smollm2-135m".into()],
        });
        let body = error_body(&error);
        assert_eq!(error.http().status, 404);
        assert_eq!((body.code.as_deref(), body.param.as_deref()), (Some("model_not_found"), Some("model")));
        assert!(body.message.contains("smollm2-135m"), "{}", body.message);
    }

    fn failure(code: &'static str, status: Option<u16>) -> Failure {
        Failure {
            code,
            endpoint: "a".into(),
            status,
            message: "no".into(),
            retryable: false,
            is_final: true,
            retry_after: Some(Duration::from_secs(7)),
            upstream: Some(UpstreamError {
                message: "no".into(),
                code: Some("wrong_schema".into()),
                kind: Some("invalid_request_error".into()),
                ..UpstreamError::default()
            }),
        }
    }

    fn failed(code: &'static str, status: Option<u16>) -> RuntimeError {
        CoordinatorError::Failed { failure: Box::new(failure(code, status)), attempts: Vec::new() }.into()
    }

    #[test]
    fn a_refusal_of_the_provider_keeps_its_status_and_code() {
        let http = failed("UAT_INVALID_INPUT", Some(422)).http();
        assert_eq!((http.status, http.code.as_str()), (422, "wrong_schema"));
    }

    #[test]
    fn a_broken_provider_is_a_bad_gateway_whatever_it_said() {
        let http = failed("UAT_UPSTREAM", Some(500)).http();
        assert_eq!((http.status, http.code.as_str()), (502, "upstream_error"));
    }

    #[test]
    fn busy_answers_say_when_to_come_back() {
        assert_eq!(failed("UAT_RATE_LIMITED", Some(429)).http().retry_after, Some(Duration::from_secs(7)));
        assert_eq!(RuntimeError::Closed.http().retry_after, Some(DEFAULT_RETRY_AFTER));
        let broken = failed("UAT_UPSTREAM", Some(500)).http();
        assert_eq!(broken.retry_after, Some(Duration::from_secs(7)), "whoever asked for a pause is heard");
        let refused =
            RuntimeError::from(CoordinatorError::ModelNotFound { model: "m".into(), nearest: Vec::new() });
        assert_eq!(refused.http().retry_after, None);
    }
}
