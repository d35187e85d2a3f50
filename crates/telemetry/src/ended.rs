use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::semconv::Operation;

/// How a request, or one attempt at it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// In a whole answer.
    Answered,
    /// In an error, whole or within a stream.
    Failed,
    /// The client went away.
    Cancelled,
}

impl Fate {
    /// As logs and metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "ok",
            Self::Failed => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Tokens as the endpoint counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Of the prompt.
    pub prompt: u64,
    /// Of the prompt, read by an earlier request already.
    pub cached_prompt: u64,
    /// Of the answer.
    pub completion: u64,
}

/// What became of a request. There is no field for what was said.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedRequest {
    /// When it came.
    pub received: SystemTime,
    /// The name under which it is reported.
    pub request_id: Arc<str>,
    /// The name of the caller's key.
    pub key: Option<Arc<str>>,
    /// The HTTP method.
    pub method: Arc<str>,
    /// The path, without its query.
    pub path: Arc<str>,
    /// The path's pattern; absent for one that does not exist.
    pub route: Option<&'static str>,
    /// What was asked of a model.
    pub operation: Option<Operation>,
    /// The HTTP status; 499 where the client went away before there was one.
    pub status: u16,
    /// How it ended.
    pub fate: Fate,
    /// The stable code of the error.
    pub code: Option<&'static str>,
    /// The public name of the model that was asked for, if it exists.
    pub model: Option<Arc<str>>,
    /// The endpoint that answered.
    pub endpoint: Option<Arc<str>>,
    /// `hit`, `miss` or `bypass`.
    pub cache: Option<&'static str>,
    /// Every try, in order.
    pub attempts: Vec<EndedAttempt>,
    /// What it took.
    pub tokens: Option<Tokens>,
    /// What it cost, in nano-USD.
    pub cost_nano_usd: Option<u64>,
    /// From its arrival to the first content of a stream, or the whole answer.
    pub first_content: Option<Duration>,
    /// From its arrival to the end of its answer.
    pub total: Duration,
    /// Our own share of the time until the answer or its first content.
    pub overhead: Option<Duration>,
}

/// One try at one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedAttempt {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// What the endpoint speaks, as `gen_ai.provider.name` has it.
    pub provider: Option<&'static str>,
    /// The model's name there.
    pub model: Arc<str>,
    /// From the request's arrival.
    pub started: Duration,
    /// How long it took.
    pub total: Duration,
    /// From the attempt's beginning to the first content.
    pub first_content: Option<Duration>,
    /// How it ended.
    pub fate: Fate,
    /// The HTTP status, if one came.
    pub status: Option<u16>,
    /// The stable code of why it failed.
    pub code: Option<&'static str>,
    /// Whether the answer is this attempt's, so that the request's tokens are.
    pub answered: bool,
}
