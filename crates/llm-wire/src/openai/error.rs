//! OpenAI's error object: the one we send, and whatever an upstream sends.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::json;

/// Longest message taken from an upstream, in bytes: what a person reads, not the HTML page around it.
const MESSAGE_BYTES: usize = 1024;
/// Longest body that is searched for an error object, in bytes; none is larger, and a tree costs memory.
const BODY_BYTES: usize = 64 * 1024;

/// What an upstream says went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamError {
    /// The text, at most 1 KiB.
    pub message: String,
    /// The provider's code, like `context_length_exceeded`; a number where it gives one.
    pub code: Option<String>,
    /// The provider's class, like `invalid_request_error`.
    pub kind: Option<String>,
    /// The field of the request that it finds at fault.
    pub param: Option<String>,
    /// Our own code, where the upstream is one of ours.
    pub uat_code: Option<String>,
    /// Whether the same request may succeed later, where the upstream is one of ours.
    pub retryable: Option<bool>,
}

/// Reads the body of an error answer in any shape that providers use: `{"error": {...}}`, `{"error": "..."}`,
/// `{"message": "..."}`, `{"detail": ...}`, the same in an array, or plain text.
pub fn parse_error(body: &[u8]) -> UpstreamError {
    let tree = if body.len() <= BODY_BYTES { serde_json::from_slice::<Value>(body).ok() } else { None };
    let found = match &tree {
        Some(Value::Array(list)) => list.first().and_then(from_document),
        Some(document) => from_document(document),
        None => None,
    };
    found.unwrap_or_else(|| {
        let head = body.get(..body.len().min(MESSAGE_BYTES)).unwrap_or_default();
        let text = String::from_utf8_lossy(head);
        let text = match text.trim() {
            "" => "an error without a body".to_owned(),
            text => json::shortened(text, MESSAGE_BYTES),
        };
        UpstreamError { message: text, ..UpstreamError::default() }
    })
}

fn from_document(document: &Value) -> Option<UpstreamError> {
    let document = document.as_object()?;
    ["error", "errors", "message", "detail", "msg"]
        .iter()
        .filter_map(|key| document.get(*key).filter(|value| !value.is_null()).map(|value| (*key, value)))
        .map(|(key, value)| match key {
            // The fields stand beside the message: {"object":"error","message":"...","type":"...","code":400}.
            "message" => from_value(&Value::Object(document.clone())),
            _ => from_value(value),
        })
        .next()
}

/// Reads the value of an `error` field.
pub(super) fn from_value(error: &Value) -> UpstreamError {
    let error = match error {
        Value::Array(list) => list.first().unwrap_or(error),
        error => error,
    };
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| match error.get(*key)? {
            Value::String(text) if !text.is_empty() => Some(json::shortened(text, MESSAGE_BYTES)),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    let message = match error {
        Value::String(message) => Some(json::shortened(message, MESSAGE_BYTES)),
        _ => text(&["message", "msg", "detail"]),
    };
    UpstreamError {
        message: message.unwrap_or_else(|| json::shortened(&error.to_string(), MESSAGE_BYTES)),
        code: text(&["code"]),
        kind: text(&["type", "status"]),
        param: text(&["param"]),
        uat_code: text(&["uat_code"]),
        retryable: error.get("retryable").and_then(Value::as_bool),
    }
}

/// The body of our own error answers: OpenAI's shape, with `uat_code` and `retryable` beside its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// What was expected, what arrived, what to try.
    pub message: String,
    /// OpenAI's class, like `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault.
    pub param: Option<String>,
    /// OpenAI's code, like `model_not_found`.
    pub code: Option<String>,
    /// Our stable code, like `UAT_MODEL_NOT_FOUND`.
    pub uat_code: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl ErrorBody {
    /// `{"error": {...}}`.
    pub fn to_json(&self) -> Bytes {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a ErrorBody,
        }
        json::encode(&Document { error: self })
    }
}
