//! What an answer says that it cost, before a dialect names the numbers.

use serde_json::Value;

use super::{Asked, PROMPT_TOKENS};
use crate::behaviour::{Answer, Tokens};

/// The usage of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cost {
    Missing,
    Raw(Value),
    Numbers(Numbers),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) prompt: u64,
    pub(super) completion: u64,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
}

impl Cost {
    /// What this request's part of the answer costs.
    pub(super) fn of(asked: &Asked, answer: &Answer) -> Self {
        match &answer.usage {
            Tokens::Missing => Self::Missing,
            Tokens::Raw(raw) => Self::Raw(raw.clone()),
            &Tokens::Given { prompt, completion, cached, reasoning } => {
                Self::Numbers(Numbers { prompt, completion, cached, reasoning })
            }
            Tokens::Counted => {
                let completion = answer.parts(asked.covered).len() as u64;
                Self::Numbers(Numbers { prompt: PROMPT_TOKENS, completion, cached: 0, reasoning: 0 })
            }
        }
    }

    /// As the dialect writes it, if at all.
    pub(super) fn written(&self, numbers: impl FnOnce(&Numbers) -> Value) -> Option<Value> {
        match self {
            Self::Missing => None,
            Self::Raw(raw) => Some(raw.clone()),
            Self::Numbers(given) => Some(numbers(given)),
        }
    }
}

/// Why an answer ended, in OpenAI's words; none: it does not say.
pub(super) fn finish_reason(answer: &Answer) -> Option<&str> {
    match answer.finish_reason.as_deref() {
        Some("") => None,
        Some(reason) => Some(reason),
        None if answer.tool_calls.is_empty() => Some("stop"),
        None => Some("tool_calls"),
    }
}

/// Adds a field that may be missing to an object.
pub(super) fn with(mut object: Value, name: &str, field: Option<Value>) -> Value {
    if let Some(field) = field {
        object[name] = field;
    }
    object
}
