//! The headers that are ours.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use runtime::{CacheOutcome, RoutingReport, Standings};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const UAT_CODE: HeaderName = HeaderName::from_static("x-uat-code");
const UAT_MODEL: HeaderName = HeaderName::from_static("x-uat-model");
const UAT_ENDPOINT: HeaderName = HeaderName::from_static("x-uat-endpoint");
const UAT_ATTEMPTS: HeaderName = HeaderName::from_static("x-uat-attempts");
/// In a request: `on` or `off`. In an answer: `hit`, `miss` or `bypass`.
pub(crate) const UAT_CACHE: HeaderName = HeaderName::from_static("x-uat-cache");
const UAT_DROPPED: HeaderName = HeaderName::from_static("x-uat-dropped");
/// Asks for an answer within so many milliseconds.
pub(crate) const UAT_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-uat-timeout-ms");
/// What is wanted of whoever answers, where the router chooses.
pub(crate) const UAT_ROUTE: HeaderName = HeaderName::from_static("x-uat-route");
const UAT_OVERHEAD_US: HeaderName = HeaderName::from_static("x-uat-overhead-us");

/// What a web page of an allowed origin may read besides the usual headers.
pub(crate) const EXPOSED: HeaderValue = HeaderValue::from_static(
    "location, x-request-id, x-uat-code, x-uat-model, x-uat-endpoint, x-uat-attempts, x-uat-cache, x-uat-overhead-us, x-uat-dropped, x-uat-estimate, retry-after, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens",
);

/// `upper`: nobody counted the tokens, and there are not more.
pub(crate) const ESTIMATE: HeaderName = HeaderName::from_static("x-uat-estimate");

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const SDP: HeaderValue = HeaderValue::from_static("application/sdp");
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(crate) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
pub(crate) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The client's own request id, if it is one that may be repeated in logs and headers.
pub(crate) fn client_request_id(headers: &HeaderMap) -> Option<&str> {
    /// Twice the length of what tracing systems use; longer ones are no ids.
    const LONGEST: usize = 128;
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (!id.is_empty() && id.len() <= LONGEST && id.bytes().all(plain)).then_some(id)
}

pub(crate) fn insert_request_id(headers: &mut HeaderMap, id: &Arc<str>) {
    insert(headers, REQUEST_ID, id);
}

/// As headers, logs and traces write it.
pub(crate) fn cache_word(outcome: CacheOutcome) -> &'static str {
    match outcome {
        CacheOutcome::Bypass => "bypass",
        CacheOutcome::Miss => "miss",
        CacheOutcome::Hit => "hit",
    }
}

/// What is known of how the request was answered.
pub(crate) fn insert_report(headers: &mut HeaderMap, report: &RoutingReport) {
    insert(headers, UAT_MODEL, &report.model);
    insert(headers, UAT_ENDPOINT, &report.endpoint);
    headers.insert(UAT_ATTEMPTS, HeaderValue::from(report.attempts.len()));
    headers.insert(UAT_CACHE, HeaderValue::from_static(cache_word(report.cache)));
    headers.insert(UAT_OVERHEAD_US, HeaderValue::from(report.overhead_us));
    if !report.dropped.is_empty() {
        insert(headers, UAT_DROPPED, &report.dropped.join(", "));
    }
}

const LIMIT_REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const LIMIT_TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// How the caller stands in its limits, as OpenAI's clients know it.
pub(crate) fn insert_standings(headers: &mut HeaderMap, standings: &Standings) {
    for (names, standing) in [(LIMIT_REQUESTS, standings.requests), (LIMIT_TOKENS, standings.tokens)] {
        let Some(standing) = standing else { continue };
        let [limit, remaining, reset] = names;
        headers.insert(limit, HeaderValue::from(standing.limit));
        headers.insert(remaining, HeaderValue::from(standing.left));
        insert(headers, reset, &go_duration(standing.resets_in));
    }
}

/// As OpenAI writes it: `850ms`, `6s`, `1m30s`.
fn go_duration(time: Duration) -> String {
    let ms = time.as_millis();
    let s = ms.div_ceil(1000);
    match s {
        0 | 1 if ms < 1000 => format!("{ms}ms"),
        0..60 => format!("{s}s"),
        _ => format!("{}m{}s", s / 60, s % 60),
    }
}

/// A name that no header can carry (a control character in a configured name) is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str) -> bool {
        let mut headers = HeaderMap::new();
        insert(&mut headers, REQUEST_ID, id);
        client_request_id(&headers).is_some()
    }

    #[test]
    fn a_plain_id_of_the_client_is_kept() {
        assert!(kept("0af7651916cd43dd8448eb211c80319c") && kept("job-7.retry:2"));
    }

    #[test]
    fn the_time_until_a_window_ends_is_written_as_openai_does() {
        let written = |ms| go_duration(Duration::from_millis(ms));
        assert_eq!([written(0), written(850), written(1000), written(5001)], ["0ms", "850ms", "1s", "6s"]);
        assert_eq!([written(59_999), written(90_000)], ["1m0s", "1m30s"]);
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_is_not() {
        assert!(!kept("") && !kept("a b") && !kept("a\"b") && !kept(&"x".repeat(129)));
    }
}
