//! Every path that is answered, as it is named in errors, in reports and in the API's description.

use http::Method;
use runtime::telemetry::Operation;

/// A path, its methods, and what it asks of a model.
#[derive(Debug)]
pub(crate) struct Route {
    /// As OpenAPI writes it: what stands in braces is any text.
    pub(crate) path: &'static str,
    /// `GET` answers `HEAD` too.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test holds the API's description against them"))]
    pub(crate) methods: &'static [Method],
    pub(crate) operation: Option<Operation>,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];

const fn route(path: &'static str, methods: &'static [Method], operation: Option<Operation>) -> Route {
    Route { path, methods, operation }
}

/// Longer paths with a part in common stand first, so that the first that fits is meant.
pub(crate) const ROUTES: &[Route] = &[
    route("/", GET, None),
    route("/v1/chat/completions", POST, Some(Operation::Chat)),
    route("/v1/audio/transcriptions", POST, None),
    route("/v1/embeddings", POST, Some(Operation::Embeddings)),
    route("/v1/endpoints", GET, None),
    route("/v1/bandits", GET_POST, None),
    route("/v1/bandits/{name}/report", GET, None),
    route("/v1/bandits/{name}/reward", POST, None),
    route("/v1/bandits/{name}/select", POST, None),
    route("/v1/bandits/{name}", GET, None),
    route("/v1/optimize", POST, None),
    route("/v1/outcomes", POST, None),
    route("/v1/studies", GET_POST, None),
    route("/v1/studies/{name}/ask", POST, None),
    route("/v1/studies/{name}/best", GET, None),
    route("/v1/studies/{name}/choices", POST, None),
    route("/v1/studies/{name}/heartbeat", POST, None),
    route("/v1/studies/{name}/intermediate", POST, None),
    route("/v1/studies/{name}/report", GET, None),
    route("/v1/studies/{name}/tell", POST, None),
    route("/v1/studies/{name}", &[Method::GET, Method::DELETE], None),
    route("/v1/messages", POST, Some(Operation::Chat)),
    route("/v1/messages/count_tokens", POST, None),
    route("/v1/models", GET, None),
    route("/v1/models/{id}", GET, None),
    route("/v1/realtime", GET, None),
    route("/v1/responses", POST, Some(Operation::Chat)),
    route("/v1/responses/{id}", &[Method::GET, Method::DELETE], None),
    route("/v1/routing/{request_id}/feedback", POST, None),
    route("/v1/routing/{request_id}", GET, None),
    route("/v1beta/models/{model}:generateContent", POST, Some(Operation::GenerateContent)),
    route("/v1beta/models/{model}:streamGenerateContent", POST, Some(Operation::GenerateContent)),
    route("/v1beta/models/{model}:embedContent", POST, Some(Operation::Embeddings)),
    route("/v1beta/models/{model}:batchEmbedContents", POST, Some(Operation::Embeddings)),
    route("/api/chat", POST, Some(Operation::Chat)),
    route("/api/embed", POST, Some(Operation::Embeddings)),
    route("/api/embeddings", POST, Some(Operation::Embeddings)),
    route("/api/generate", POST, Some(Operation::TextCompletion)),
    route("/api/ps", GET, None),
    route("/api/show", POST, None),
    route("/api/tags", GET, None),
    route("/api/version", GET, None),
    route("/demo", GET, None),
    route("/whip", POST, None),
    route("/whip/{id}", &[Method::DELETE], None),
    route("/health/live", GET, None),
    route("/health/ready", GET, None),
    route("/metrics", GET, None),
    route("/openapi.json", GET, None),
];

/// The route of a request's path.
pub(crate) fn route_of(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| fits(route.path, path))
}

fn fits(pattern: &str, path: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('{') else { return pattern == path };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(|named| !named.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_route_that_it_fits() {
        let of = |path| route_of(path).map(|route| route.path);
        assert_eq!(of("/v1/models"), Some("/v1/models"));
        assert_eq!(of("/v1/models/org/name"), Some("/v1/models/{id}"));
        assert_eq!(
            of("/v1beta/models/a:b:streamGenerateContent"),
            Some("/v1beta/models/{model}:streamGenerateContent")
        );
        assert_eq!(of("/v1beta/models/m:countTokens"), None);
        assert_eq!(of("/v1/models/"), None);
        assert_eq!(of("/nowhere"), None);
    }

    #[test]
    fn every_route_is_its_own() {
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "");
            assert_eq!(route_of(&path).map(|found| found.path), Some(route.path));
        }
    }
}
