//! How each dialect says no.

use serde_json::{Value, json};

use super::Dialect;

/// The error object of a dialect.
pub(crate) fn error_body(dialect: Dialect, code: u16, message: &str) -> Value {
    match dialect {
        Dialect::OpenAi => {
            json!({"error": {"message": message, "type": openai_type(code), "param": null, "code": null}})
        }
        Dialect::Azure => json!({"error": {"code": code.to_string(), "message": message}}),
        Dialect::Anthropic => json!({"type": "error",
            "error": {"type": anthropic_type(code), "message": message}, "request_id": "req_fake"}),
        Dialect::Gemini => {
            json!({"error": {"code": code, "message": message, "status": gemini_status(code)}})
        }
        Dialect::Ollama => json!({"error": message}),
    }
}

/// What a request without the right key gets: the status that each server uses, and its words.
pub(crate) fn refusal(dialect: Dialect) -> (u16, &'static str) {
    match dialect {
        Dialect::OpenAi => (401, "Incorrect API key provided."),
        Dialect::Azure => (
            401,
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription.",
        ),
        Dialect::Anthropic => (401, "invalid x-api-key"),
        Dialect::Gemini => (400, "API key not valid. Please pass a valid API key."),
        Dialect::Ollama => (401, "unauthorized"),
    }
}

fn openai_type(code: u16) -> &'static str {
    match code {
        401 | 403 => "authentication_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_type(code: u16) -> &'static str {
    match code {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

fn gemini_status(code: u16) -> &'static str {
    match code {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..=499 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}
