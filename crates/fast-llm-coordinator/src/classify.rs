//! What a failure means: its code, whether another endpoint may answer, what it says of this one. Pure.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use llm_wire::WireError;
use llm_wire::openai::UpstreamError;

use crate::error::Failure;
use crate::transport::ConnectError;

/// An endpoint that says "too many requests" without saying for how long gets this pause.
pub(crate) const DEFAULT_COOLDOWN: Duration = Duration::from_secs(1);

/// What an attempt says about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is at fault.
    Unhealthy,
    /// It is well but asked for a pause.
    CoolDown(Duration),
    /// It refused our key.
    Quarantine,
    /// It answered; the request, or what it holds, is at fault.
    Neutral,
}

/// How an attempt failed: the failure for the caller, what it says of the endpoint, and whether to try there again.
pub(crate) struct FailedAttempt {
    pub(crate) failure: Failure,
    pub(crate) verdict: Verdict,
    pub(crate) timed_out: bool,
    /// It is this process that is at fault, and may not be in a moment.
    pub(crate) is_ours: bool,
    /// The endpoint was not reached, or refused before it answered anything.
    pub(crate) took_nothing: bool,
}

impl FailedAttempt {
    /// Whether the same endpoint may do better in a moment.
    pub(crate) fn is_brief(&self) -> bool {
        let may_pass = self.verdict == Verdict::Unhealthy || self.is_ours;
        may_pass && self.failure.retryable && !self.timed_out
    }
}

pub(crate) fn failure(endpoint: &Arc<str>, code: &'static str, message: String) -> Failure {
    Failure {
        code,
        endpoint: Arc::clone(endpoint),
        status: None,
        message: format!("endpoint `{endpoint}`: {message}"),
        retryable: true,
        is_final: false,
        retry_after: None,
        upstream: None,
    }
}

pub(crate) fn unhealthy(failure: Failure) -> FailedAttempt {
    let timed_out = failure.code == "UAT_TIMEOUT";
    FailedAttempt { failure, verdict: Verdict::Unhealthy, timed_out, is_ours: false, took_nothing: false }
}

/// The request was not sent, for a reason that says nothing of the endpoint.
pub(crate) fn neutral(failure: Failure) -> FailedAttempt {
    FailedAttempt { failure, verdict: Verdict::Neutral, timed_out: false, is_ours: false, took_nothing: true }
}

pub(crate) fn not_sent(endpoint: &Arc<str>, error: &hyper_util::client::legacy::Error) -> FailedAttempt {
    let unreached = |failure| FailedAttempt { took_nothing: true, ..unhealthy(failure) };
    match ConnectError::find(error) {
        Some(ConnectError::Engine(dial)) => unreached(Failure {
            retryable: dial.retryable,
            ..failure(endpoint, dial.code, dial.message.clone())
        }),
        Some(timeout @ ConnectError::TimedOut(_)) => {
            unreached(failure(endpoint, "UAT_TIMEOUT", timeout.to_string()))
        }
        Some(ours @ ConnectError::NoDescriptors) => FailedAttempt {
            is_ours: true,
            ..neutral(Failure {
                retry_after: Some(DEFAULT_COOLDOWN),
                ..failure(endpoint, "UAT_OVERLOADED", ours.to_string())
            })
        },
        Some(other) => unreached(failure(endpoint, "UAT_UPSTREAM", other.to_string())),
        None => broken(endpoint, error, "before an answer"),
    }
}

pub(crate) fn broken(
    endpoint: &Arc<str>,
    error: &(dyn std::error::Error + 'static),
    when: &str,
) -> FailedAttempt {
    let innermost = https_connector::innermost(error);
    unhealthy(failure(endpoint, "UAT_UPSTREAM", format!("the connection broke {when} ({innermost})")))
}

pub(crate) fn garbage(endpoint: &Arc<str>, error: &WireError) -> FailedAttempt {
    unhealthy(failure(endpoint, "UAT_UPSTREAM", format!("the answer is not what its protocol says: {error}")))
}

pub(crate) fn error_inside(endpoint: &Arc<str>, error: UpstreamError) -> FailedAttempt {
    let status = error.uat_code.as_deref().and_then(status_of_own_code).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut failed = classify(endpoint, status, error, None);
    failed.failure.status = Some(StatusCode::OK.as_u16());
    failed.took_nothing = false;
    failed
}

/// What a status and the error object with it mean: the code, whether another endpoint may answer, what it says of
/// this one.
pub(crate) fn classify(
    endpoint: &Arc<str>,
    status: StatusCode,
    error: UpstreamError,
    retry_after: Option<Duration>,
) -> FailedAttempt {
    let says = if error.message.is_empty() { String::new() } else { format!(": {}", error.message) };
    let base = Failure {
        status: Some(status.as_u16()),
        retry_after,
        ..failure(endpoint, "UAT_UPSTREAM", format!("status {}{says}", status.as_u16()))
    };
    let own = error.uat_code.as_deref().and_then(own_code);
    let too_long = own == Some("UAT_CONTEXT_LENGTH_EXCEEDED")
        || error.code.as_deref() == Some("context_length_exceeded");
    // An error that is the request's own is passed on in the endpoint's own words.
    let own_words = |code, is_final| Failure {
        code,
        retryable: false,
        is_final,
        message: if error.message.is_empty() { base.message.clone() } else { error.message.clone() },
        ..base.clone()
    };
    let (failure, verdict) = match status.as_u16() {
        _ if too_long => (own_words("UAT_CONTEXT_LENGTH_EXCEEDED", true), Verdict::Neutral),
        // Its queue is full at this moment and may have room at the next: no reason to leave it alone for a second.
        _ if own == Some("UAT_OVERLOADED") => (
            Failure { code: "UAT_OVERLOADED", retry_after: retry_after.or(Some(DEFAULT_COOLDOWN)), ..base },
            Verdict::Neutral,
        ),
        401 | 403 => (Failure { code: "UAT_UNAUTHORIZED", retryable: false, ..base }, Verdict::Quarantine),
        404 => (own_words("UAT_MODEL_NOT_FOUND", false), Verdict::Neutral),
        429 => (
            Failure { code: "UAT_RATE_LIMITED", ..base },
            Verdict::CoolDown(retry_after.unwrap_or(DEFAULT_COOLDOWN)),
        ),
        408 => (Failure { code: "UAT_TIMEOUT", ..base }, Verdict::Unhealthy),
        // "Overloaded" in Anthropic's API: well, but with too much to do.
        529 => (
            Failure { code: "UAT_OVERLOADED", retry_after: retry_after.or(Some(DEFAULT_COOLDOWN)), ..base },
            Verdict::CoolDown(retry_after.unwrap_or(DEFAULT_COOLDOWN)),
        ),
        // It says itself when it will be back; a zero says nothing.
        503 if let Some(pause) = retry_after.filter(|pause| !pause.is_zero()) => {
            (Failure { code: "UAT_OVERLOADED", ..base }, Verdict::CoolDown(pause))
        }
        // Our own engine knows whether another try would help; a model that it cannot load stays so.
        500..=599 if error.retryable == Some(false) => {
            (own_words(own.unwrap_or("UAT_UPSTREAM"), false), Verdict::Neutral)
        }
        400..=499 => (own_words(own.unwrap_or("UAT_INVALID_INPUT"), true), Verdict::Neutral),
        _ => (base, Verdict::Unhealthy),
    };
    FailedAttempt {
        failure: Failure { upstream: Some(error), ..failure },
        verdict,
        timed_out: false,
        is_ours: false,
        took_nothing: true,
    }
}

/// The codes that our own engine sends, as constants.
fn own_code(code: &str) -> Option<&'static str> {
    [
        "UAT_INVALID_INPUT",
        "UAT_MODEL_NOT_FOUND",
        "UAT_CONTEXT_LENGTH_EXCEEDED",
        "UAT_OVERLOADED",
        "UAT_CORRUPT_VALUE",
        "UAT_UNSUPPORTED",
        "UAT_STORAGE",
        "UAT_ENGINE_UNAVAILABLE",
        "UAT_INTERNAL",
    ]
    .into_iter()
    .find(|known| *known == code)
}

/// The status that would have come with a code that arrives inside a stream.
fn status_of_own_code(code: &str) -> Option<StatusCode> {
    match code {
        "UAT_INVALID_INPUT" | "UAT_CONTEXT_LENGTH_EXCEEDED" | "UAT_UNSUPPORTED" => {
            Some(StatusCode::BAD_REQUEST)
        }
        "UAT_MODEL_NOT_FOUND" => Some(StatusCode::NOT_FOUND),
        "UAT_OVERLOADED" => Some(StatusCode::SERVICE_UNAVAILABLE),
        "UAT_CORRUPT_VALUE" | "UAT_STORAGE" | "UAT_ENGINE_UNAVAILABLE" | "UAT_INTERNAL" => {
            Some(StatusCode::INTERNAL_SERVER_ERROR)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code, whether it is final, whether it may be repeated, and the verdict.
    fn check(status: u16, body: &str, expected: (&str, bool, bool, Verdict)) {
        check_with(status, body, None, expected);
    }

    fn check_with(
        status: u16,
        body: &str,
        retry_after: Option<Duration>,
        expected: (&str, bool, bool, Verdict),
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let error = llm_wire::openai::parse_error(body.as_bytes());
        let FailedAttempt { failure, verdict, .. } = classify(&Arc::from("e"), status, error, retry_after);
        assert_eq!((failure.code, failure.is_final, failure.retryable, verdict), expected, "{status} {body}");
    }

    #[test]
    fn a_status_tells_whose_fault_it_is() {
        use Verdict::{CoolDown, Neutral, Quarantine, Unhealthy};
        check(503, "", ("UAT_UPSTREAM", false, true, Unhealthy));
        check(500, "<html>", ("UAT_UPSTREAM", false, true, Unhealthy));
        check(408, "", ("UAT_TIMEOUT", false, true, Unhealthy));
        check(429, "", ("UAT_RATE_LIMITED", false, true, CoolDown(DEFAULT_COOLDOWN)));
        check(401, "", ("UAT_UNAUTHORIZED", false, false, Quarantine));
        check(403, "", ("UAT_UNAUTHORIZED", false, false, Quarantine));
        check(404, "", ("UAT_MODEL_NOT_FOUND", false, false, Neutral));
        check(400, "", ("UAT_INVALID_INPUT", true, false, Neutral));
        check(422, "", ("UAT_INVALID_INPUT", true, false, Neutral));
    }

    #[test]
    fn an_overloaded_endpoint_is_left_alone_for_as_long_as_it_says() {
        use Verdict::{CoolDown, Neutral, Unhealthy};
        let (pause, overloaded) =
            (Duration::from_secs(7), r#"{"error":{"type":"overloaded_error","message":""}}"#);
        check(529, overloaded, ("UAT_OVERLOADED", false, true, CoolDown(DEFAULT_COOLDOWN)));
        check_with(529, overloaded, Some(pause), ("UAT_OVERLOADED", false, true, CoolDown(pause)));
        check_with(503, "", Some(pause), ("UAT_OVERLOADED", false, true, CoolDown(pause)));
        check_with(503, "", Some(Duration::ZERO), ("UAT_UPSTREAM", false, true, Unhealthy));
        check_with(500, "", Some(pause), ("UAT_UPSTREAM", false, true, Unhealthy));
        // Another gateway of ours, whose queue is full at this moment.
        let busy = r#"{"error":{"message":"queue full","uat_code":"UAT_OVERLOADED"}}"#;
        check_with(503, busy, Some(pause), ("UAT_OVERLOADED", false, true, Neutral));
    }

    #[test]
    fn the_error_object_is_believed_before_the_status() {
        let too_long = r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#;
        check(400, too_long, ("UAT_CONTEXT_LENGTH_EXCEEDED", true, false, Verdict::Neutral));
        check(500, too_long, ("UAT_CONTEXT_LENGTH_EXCEEDED", true, false, Verdict::Neutral));
        let corrupt = r#"{"error":{"message":"bad file","uat_code":"UAT_CORRUPT_VALUE","retryable":false}}"#;
        check(500, corrupt, ("UAT_CORRUPT_VALUE", false, false, Verdict::Neutral));
        let busy = r#"{"error":{"message":"queue full","uat_code":"UAT_OVERLOADED"}}"#;
        check(503, busy, ("UAT_OVERLOADED", false, true, Verdict::Neutral));
    }

    #[test]
    fn a_request_that_is_at_fault_is_told_so_in_the_endpoints_own_words() {
        let error = llm_wire::openai::parse_error(br#"{"error":{"message":"max_tokens is too large"}}"#);
        let failed = classify(&Arc::from("e"), StatusCode::BAD_REQUEST, error, None);
        assert_eq!(failed.failure.message, "max_tokens is too large");
    }
}
