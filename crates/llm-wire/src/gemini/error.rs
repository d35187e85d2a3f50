//! Google's error object, and what it says about when to come back.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json;

/// The body of an error answer: `{"error":{"code":400,"message":"...","status":"INVALID_ARGUMENT"}}`. `code` is the
/// HTTP status, `status` its name among Google's ([`status_name`]).
pub fn error_body(code: u16, status: &str, message: &str) -> Bytes {
    #[derive(Serialize)]
    struct Document<'a> {
        error: Body<'a>,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        code: u16,
        message: &'a str,
        status: &'a str,
    }
    json::encode(&Document { error: Body { code, message, status } })
}

/// Google's name for an HTTP status: <https://cloud.google.com/apis/design/errors#handling_errors>.
pub fn status_name(code: u16) -> &'static str {
    match code {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 | 405 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 => "UNAVAILABLE",
        400..=498 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// How long an error answer asks to wait: the `retryDelay` of its `google.rpc.RetryInfo`, like `"34.07s"`. Gemini
/// sends no `Retry-After` header.
pub fn retry_delay(body: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Document {
        error: Body,
    }
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        details: Vec<Value>,
    }
    let Document { error } = match body.trim_ascii_start().first()? {
        b'[' => serde_json::from_slice::<Vec<Document>>(body).ok()?.into_iter().next()?,
        _ => serde_json::from_slice(body).ok()?,
    };
    let delay = error.details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    let seconds = delay.strip_suffix('s')?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
