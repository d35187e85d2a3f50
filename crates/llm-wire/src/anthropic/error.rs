//! Errors as Anthropic's clients read them. Those of an Anthropic endpoint are read by
//! [`openai::parse_error`](crate::openai::parse_error), which knows the shape.

use bytes::Bytes;
use serde::Serialize;

use crate::json;

/// Anthropic's classes of errors with the statuses that they come with.
const KINDS: [(u16, &str); 10] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

/// Anthropic's class of the errors with this HTTP status: `rate_limit_error` for 429, and `overloaded_error` also for
/// 503, which Anthropic's own API does not use.
pub fn error_kind(status: u16) -> &'static str {
    match status {
        503 => "overloaded_error",
        408 => "timeout_error",
        _ => {
            let other = if status < 500 { "invalid_request_error" } else { "api_error" };
            KINDS.iter().find(|(of, _)| *of == status).map_or(other, |(_, kind)| kind)
        }
    }
}

/// The body of an error answer, and the data of an `error` event.
#[derive(Serialize)]
pub(super) struct ErrorDocument<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
}

pub(super) fn document<'a>(kind: &'a str, message: &'a str) -> ErrorDocument<'a> {
    ErrorDocument { kind: "error", error: ErrorObject { kind, message } }
}

/// `{"type":"error","error":{"type":kind,"message":message}}`.
pub fn error_body(kind: &str, message: &str) -> Bytes {
    json::encode(&document(kind, message))
}

/// The class, if it is one of Anthropic's, else its word for "the upstream failed".
pub(super) fn known_kind(kind: Option<&str>) -> &'static str {
    KINDS.iter().map(|(_, known)| *known).find(|known| Some(*known) == kind).unwrap_or("api_error")
}
