//! How errors cross: the message of each exception is a JSON object `{code, message, retryable, details}`, from which
//! the wrapper makes the `UniversalAiError` that users see.
//!
//! napi lets synchronous functions choose `error.code`, but neither promises nor further properties; one form for all
//! paths is simpler than three, and an error made in JavaScript has the caller's stack.

use llm_wire::WireError;
use redis_service::RedisServiceError;
use runtime::llm_router::RouterError;
use runtime::memory_estimate::EstimateError;
use runtime::vision_resource_manager::{ManagerError, Refusal};
use runtime::webrtc_audio::OfferError;
use runtime::{CoordinatorError, PortError, RuntimeError};
use serde_json::{Map, Value, json};

/// An error as it crosses.
#[derive(Debug, Clone)]
pub(crate) struct Crossing {
    code: &'static str,
    message: String,
    retryable: bool,
    details: Map<String, Value>,
}

impl Crossing {
    /// The call's own [`CancelHandle`](crate::cancel::CancelHandle) was used.
    pub(crate) fn cancelled() -> Self {
        Self::plain("UAT_CANCELLED", "the call was cancelled by its signal")
    }

    /// What was called was closed under the call.
    pub(crate) fn closed(class: &str) -> Self {
        let message = format!("this {class} was closed while the call was under way; make a new one");
        Self::plain("UAT_CLOSED", &message)
    }

    /// A live signal hears nothing any more.
    pub(crate) fn signal_ended() -> Self {
        Self::plain("UAT_CLOSED", "the signal has ended: open another stream for another one")
    }

    /// Somebody writes and does not wait.
    pub(crate) fn overwritten(pieces: usize) -> Self {
        let message = format!("{pieces} pieces wait to be heard: await write() before the next");
        Self { retryable: true, ..Self::plain("UAT_OVERLOADED", &message) }
    }

    /// No decision of this id is kept.
    pub(crate) fn unknown_request(id: &str) -> Self {
        let message = format!(
            "there is no request `{id}`: the last 1024 are kept; use the requestId of a plan or of an answer's routing"
        );
        Self::plain("UAT_NOT_FOUND", &message).with("requestId", id)
    }

    /// An answer cannot be judged: there is none, or it was judged before.
    pub(crate) fn not_to_be_judged(id: &str, why: &str) -> Self {
        Self::plain("UAT_CONFLICT", &format!("the request `{id}` {why}")).with("requestId", id)
    }

    /// Browsers cannot be heard where they are told to be.
    pub(crate) fn no_port(error: &std::io::Error) -> Self {
        let hint = "the environment variable UAT__VOICE__WEBRTC__UDP names the address";
        Self::plain("UAT_CONFIG", &format!("{error}; {hint}"))
    }

    /// A bug of ours.
    pub(crate) fn internal(message: &str) -> Self {
        Self::plain("UAT_INTERNAL", message)
    }

    fn plain(code: &'static str, message: &str) -> Self {
        Self { code, message: message.to_owned(), retryable: false, details: Map::new() }
    }

    /// The message of the exception.
    pub(crate) fn envelope(self) -> String {
        let Self { code, message, retryable, details } = self;
        json!({ "code": code, "message": message, "retryable": retryable, "details": details }).to_string()
    }

    /// The same with one more fact for programs.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

impl From<RuntimeError> for Crossing {
    fn from(error: RuntimeError) -> Self {
        let details = match details(&error) {
            Value::Object(details) => details,
            _ => Map::new(),
        };
        Self { code: error.code(), message: error.to_string(), retryable: error.retryable(), details }
    }
}

impl From<RedisServiceError> for Crossing {
    fn from(error: RedisServiceError) -> Self {
        let details = match &error {
            RedisServiceError::InvalidInput { field, expected, got } => {
                json!({ "field": field, "expected": expected, "got": got })
            }
            RedisServiceError::Upstream { reply } => json!({ "reply": reply }),
            RedisServiceError::Config { field, .. } => json!({ "field": field }),
            RedisServiceError::Conflict { key, .. } => json!({ "key": key }),
            _ => Value::Null,
        };
        let details = match details {
            Value::Object(details) => details,
            _ => Map::new(),
        };
        Self { code: error.code(), message: error.to_string(), retryable: error.retryable(), details }
    }
}

impl From<ManagerError> for Crossing {
    fn from(error: ManagerError) -> Self {
        let details = match &error {
            ManagerError::Insufficient { refusal } => refused(refusal),
            ManagerError::Overloaded { waiting } => json!({ "waiting": waiting }),
            ManagerError::NoSuchLease { lease } | ManagerError::Preempted { lease } => {
                json!({ "lease": lease })
            }
            _ => Value::Null,
        };
        let details = match details {
            Value::Object(details) => details,
            _ => Map::new(),
        };
        Self { code: error.code(), message: error.to_string(), retryable: error.retryable(), details }
    }
}

impl From<OfferError> for Crossing {
    fn from(error: OfferError) -> Self {
        let is_full = matches!(error, OfferError::Full { .. });
        Self { retryable: is_full, ..Self::plain(error.code(), &format!("offerSdp: {error}")) }
    }
}

impl From<PortError> for Crossing {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Offer(error) => error.into(),
            PortError::Closed => Self::closed("VoiceProcessingService"),
        }
    }
}

impl From<EstimateError> for Crossing {
    fn from(error: EstimateError) -> Self {
        let crossing = Self::plain(error.code(), &error.to_string());
        match error.offset() {
            Some(offset) => crossing.with("offset", offset),
            None => crossing,
        }
    }
}

impl From<CoordinatorError> for Crossing {
    fn from(error: CoordinatorError) -> Self {
        RuntimeError::from(error).into()
    }
}

impl From<Crossing> for napi::Error {
    fn from(crossing: Crossing) -> Self {
        napi::Error::from_reason(crossing.envelope())
    }
}

/// What is in the way of a lease, in MiB.
fn refused(refusal: &Refusal) -> Value {
    let mib = |bytes: &u64| *bytes as f64 / f64::from(1 << 20);
    match refusal {
        Refusal::Insufficient {
            asked,
            largest_free,
            device,
            leased,
            external,
            lost,
            can_ever_fit,
            expected_wait_ms,
        } => {
            let mut details = json!({
                "askedMb": mib(asked),
                "largestFreeMb": mib(largest_free),
                "leasedMb": mib(leased),
                "externalMb": mib(external),
                "lost": lost,
                "canEverFit": can_ever_fit,
            });
            if let Some(device) = device {
                details["device"] = (*device).into();
            }
            if let Some(ms) = expected_wait_ms {
                details["expectedWaitMs"] = (*ms).into();
            }
            details
        }
        Refusal::Overuse { device, leased, used } => {
            json!({ "device": device, "leasedMb": mib(leased), "usedMb": mib(used) })
        }
        Refusal::Quota { quota, leased } => json!({ "quotaMb": mib(quota), "leasedMb": mib(leased) }),
        _ => Value::Null,
    }
}

/// The facts of an error that programs may want, under the names that the fallback gives them too.
fn details(error: &RuntimeError) -> Value {
    match error {
        RuntimeError::Config(errors) => {
            let first = errors.first();
            let more: Vec<String> = errors.iter().skip(1).map(ToString::to_string).collect();
            let mut details = json!({ "origin": first.location.to_string(), "path": first.path });
            if !more.is_empty() {
                details["more"] = more.into();
            }
            details
        }
        RuntimeError::Input(error) => input(error),
        RuntimeError::Router(error) => router(error),
        RuntimeError::Voice(error) => error.option().map_or(Value::Null, |field| json!({ "field": field })),
        RuntimeError::Coordinator(error) => match error {
            CoordinatorError::InvalidInput(error) => input(error),
            CoordinatorError::ModelNotFound { model, nearest } => {
                json!({ "model": model, "nearest": nearest })
            }
            CoordinatorError::Failed { failure, attempts } => match failure.status {
                Some(status) => json!({ "attempts": attempts, "status": status }),
                None => json!({ "attempts": attempts }),
            },
            CoordinatorError::DeadlineExceeded { after, attempts } => {
                json!({ "attempts": attempts, "timeoutMs": after.as_secs_f64() * 1e3 })
            }
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

fn router(error: &RouterError) -> Value {
    match error {
        RouterError::UnknownTier { tier, known } => json!({ "tier": tier, "known": known }),
        RouterError::UnknownCapability { capability, known } => {
            json!({ "field": "capabilities", "capability": capability, "known": known })
        }
        RouterError::NoCandidate { nearest, rejection, .. } => {
            json!({ "nearest": nearest, "rejection": rejection })
        }
        _ => Value::Null,
    }
}

fn input(error: &WireError) -> Value {
    match error {
        WireError::Invalid { field, expected, got } => {
            json!({ "field": field, "expected": expected, "got": got })
        }
        _ => json!({ "field": error.param() }),
    }
}
