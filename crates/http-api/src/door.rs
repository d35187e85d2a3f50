//! Who comes in: where a request carries its key, and what each path asks of it.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, Uri};

/// Where clients put their keys beside `Authorization`: Anthropic's, Azure's, Google's.
const KEY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// What stands before the key among the protocols of a WebSocket.
const SOCKET_KEY: &str = "openai-insecure-api-key.";

/// Which listener a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `server.bind`. `is_exposed`: others than this machine reach it, so that nothing is served without keys, whatever
    /// becomes of the configuration.
    Public { is_exposed: bool },
    /// `server.admin_bind`: administration alone, without a key. `is_exposed`: others than this machine reach it, by names that
    /// are not ours to know.
    Admin { is_exposed: bool },
}

/// What a path asks of whoever comes, where keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    AnyKey,
    AdminKey,
}

/// What this path asks for.
pub(crate) fn needs(path: &str) -> Needs {
    match path {
        "/metrics" | "/v1/endpoints" => Needs::AdminKey,
        // A browser that opens a page can send no key with it; the page asks for one.
        "/demo" => Needs::Nothing,
        path if path.starts_with("/health/") => Needs::Nothing,
        _ => Needs::AnyKey,
    }
}

/// The keys that a request presents, in the order in which they are looked at: a client is asked for one, but proxies and
/// SDKs add their own.
pub(crate) fn presented<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> impl Iterator<Item = &'a [u8]> {
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
    let named = KEY_HEADERS.into_iter().flat_map(|name| headers.get_all(name)).map(|value| value.as_bytes());
    // Google's own clients of old; others would only put keys into the logs of proxies.
    let query = if uri.path().starts_with("/v1beta/") { uri.query() } else { None };
    let asked = query.into_iter().flat_map(|query| query.split('&'));
    let keys = asked.filter_map(|pair| pair.strip_prefix("key=")).map(str::as_bytes);
    // A page can give a WebSocket no header, and OpenAI's client says it so.
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered = protocols.flat_map(|value| value.split(',')).map(str::trim);
    let sockets = offered.filter_map(|protocol| protocol.strip_prefix(SOCKET_KEY)).map(str::as_bytes);
    bearers.chain(named).chain(sockets).chain(keys).filter(|key| !key.is_empty())
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], uri: &str, expected: &[&str]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let uri: Uri = uri.parse().unwrap();
        let found: Vec<_> = presented(&map, &uri).map(|key| String::from_utf8_lossy(key)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_dialect_has_its_place_for_the_key() {
        check(&[("authorization", "Bearer a")], "/v1/models", &["a"]);
        check(&[("authorization", "bearer  a ")], "/v1/models", &["a"]);
        check(&[("x-api-key", "b")], "/v1/messages", &["b"]);
        check(&[("api-key", "c")], "/v1/chat/completions", &["c"]);
        check(&[("x-goog-api-key", "d")], "/v1beta/models/m:generateContent", &["d"]);
        check(&[], "/v1beta/models/m:generateContent?alt=sse&key=e", &["e"]);
    }

    #[test]
    fn a_page_says_its_key_among_the_protocols_of_a_websocket() {
        let protocols = "realtime, openai-insecure-api-key.f, openai-beta.realtime-v1";
        check(&[("sec-websocket-protocol", protocols)], "/v1/realtime", &["f"]);
    }

    #[test]
    fn a_key_in_the_query_counts_for_gemini_alone() {
        check(&[], "/v1/models?key=e", &[]);
    }

    #[test]
    fn what_is_no_key_is_none() {
        check(&[("authorization", "Basic YTpi"), ("x-api-key", "")], "/", &[]);
        check(&[("authorization", "Bearer ")], "/", &[]);
        check(&[("authorization", "Bear")], "/", &[]);
    }

    #[test]
    fn all_of_several_are_looked_at() {
        check(&[("x-api-key", "b"), ("authorization", "Bearer a")], "/", &["a", "b"]);
    }

    #[test]
    fn only_health_and_the_page_are_open_and_administration_is_for_administrators() {
        assert_eq!(needs("/health/live"), Needs::Nothing);
        assert_eq!(needs("/health/ready"), Needs::Nothing);
        assert_eq!(needs("/demo"), Needs::Nothing);
        for path in ["/", "/health", "/v1/models", "/api/tags", "/nowhere"] {
            assert_eq!(needs(path), Needs::AnyKey, "{path}");
        }
        assert_eq!((needs("/metrics"), needs("/v1/endpoints")), (Needs::AdminKey, Needs::AdminKey));
    }
}
