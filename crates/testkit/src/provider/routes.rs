//! From a method and a path to what is asked.

use percent_encoding::percent_decode_str;

use crate::dialect::{ChatRoute, Dialect};
use crate::request::{Head, query};

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Chat(ChatRoute),
    /// Of the model that the path names, if it does.
    Embeddings(Dialect, Option<String>),
    Count(Dialect),
    Models(Dialect),
    Health,
    Unknown(Dialect),
}

impl Route {
    pub(super) fn of(head: &Head) -> Self {
        let path = head.path.split('?').next().unwrap_or_default();
        let anthropic = head.header("anthropic-version").is_some();
        match (head.method.as_str(), path) {
            ("POST", "/v1/chat/completions") => Self::Chat(ChatRoute::plain(Dialect::OpenAi)),
            ("POST", "/v1/messages") => Self::Chat(ChatRoute::plain(Dialect::Anthropic)),
            ("POST", "/v1/messages/count_tokens") => Self::Count(Dialect::Anthropic),
            ("POST", "/api/chat") => Self::Chat(ChatRoute::plain(Dialect::Ollama)),
            ("POST", "/v1/embeddings") => Self::Embeddings(Dialect::OpenAi, None),
            ("POST", "/api/embed") => Self::Embeddings(Dialect::Ollama, None),
            ("GET", "/v1/models") if anthropic => Self::Models(Dialect::Anthropic),
            ("GET", "/v1/models") => Self::Models(Dialect::OpenAi),
            ("GET", "/v1beta/models") => Self::Models(Dialect::Gemini),
            ("GET", "/openai/v1/models" | "/openai/models") => Self::Models(Dialect::Azure),
            ("GET", "/api/tags") => Self::Models(Dialect::Ollama),
            ("GET", "/health") => Self::Health,
            ("POST", "/openai/v1/chat/completions") => Self::Chat(ChatRoute::plain(Dialect::Azure)),
            ("POST", "/openai/v1/embeddings") => Self::Embeddings(Dialect::Azure, None),
            ("POST", _) => gemini(head, path).or_else(|| azure(head, path)).unwrap_or_else(|| unknown(head)),
            _ => unknown(head),
        }
    }

    /// The protocol that the path belongs to.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Chat(route) => route.dialect,
            Self::Embeddings(dialect, _)
            | Self::Count(dialect)
            | Self::Models(dialect)
            | Self::Unknown(dialect) => *dialect,
            Self::Health => Dialect::OpenAi,
        }
    }

    /// Whether the request carries this key where its dialect has it.
    pub(super) fn has_key(&self, head: &Head, key: &str) -> bool {
        let bearer = || head.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let found = match self.dialect() {
            Dialect::OpenAi | Dialect::Ollama => bearer(),
            Dialect::Azure => head.header("api-key").or_else(bearer),
            Dialect::Anthropic => head.header("x-api-key").or_else(bearer),
            Dialect::Gemini => head.header("x-goog-api-key").or_else(|| query(&head.path, "key")),
        };
        matches!(self, Self::Health) || found == Some(key)
    }
}

/// `/v1beta/models/{model}:{method}`; `/v1` is the same API.
fn gemini(head: &Head, path: &str) -> Option<Route> {
    let rest = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))?;
    let (model, method) = rest.rsplit_once(':')?;
    let model = Some(decoded(model));
    let dialect = Dialect::Gemini;
    let chat =
        |stream, array| Route::Chat(ChatRoute { dialect, model: model.clone(), stream: Some(stream), array });
    match method {
        "generateContent" => Some(chat(false, false)),
        "streamGenerateContent" => Some(chat(true, query(&head.path, "alt") != Some("sse"))),
        "batchEmbedContents" | "embedContent" => Some(Route::Embeddings(dialect, model)),
        "countTokens" => Some(Route::Count(dialect)),
        _ => None,
    }
}

/// `/openai/deployments/{model}/...`, which is served only with an `api-version`.
fn azure(head: &Head, path: &str) -> Option<Route> {
    let (model, method) = path.strip_prefix("/openai/deployments/")?.split_once('/')?;
    query(&head.path, "api-version")?;
    let (dialect, model) = (Dialect::Azure, Some(decoded(model)));
    match method {
        "chat/completions" => Some(Route::Chat(ChatRoute { dialect, model, stream: None, array: false })),
        "embeddings" => Some(Route::Embeddings(dialect, model)),
        _ => None,
    }
}

fn unknown(head: &Head) -> Route {
    Route::Unknown(match head.path.as_str() {
        path if path.starts_with("/v1beta/") => Dialect::Gemini,
        path if path.starts_with("/openai/") => Dialect::Azure,
        path if path.starts_with("/api/") => Dialect::Ollama,
        _ if head.header("anthropic-version").is_some() => Dialect::Anthropic,
        _ => Dialect::OpenAi,
    })
}

fn decoded(model: &str) -> String {
    percent_decode_str(model).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::request::take_head;

    fn head(method: &str, path: &str, headers: &str) -> Head {
        let text = format!("{method} {path} HTTP/1.1\r\n{headers}\r\n");
        take_head(&mut BytesMut::from(text.as_str())).unwrap().unwrap()
    }

    #[test]
    fn a_path_names_model_and_manner_in_the_dialects_that_do_so() {
        let check = |path: &str, dialect, stream, array| {
            let model = Some("a/b".to_owned());
            let expected = Route::Chat(ChatRoute { dialect, model, stream, array });
            assert_eq!(Route::of(&head("POST", path, "")), expected, "{path}");
        };
        check("/v1beta/models/a%2Fb:generateContent", Dialect::Gemini, Some(false), false);
        check("/v1beta/models/a%2Fb:streamGenerateContent?alt=sse", Dialect::Gemini, Some(true), false);
        check("/v1beta/models/a%2Fb:streamGenerateContent", Dialect::Gemini, Some(true), true);
        check("/openai/deployments/a%2Fb/chat/completions?api-version=1", Dialect::Azure, None, false);
    }

    #[test]
    fn a_deployment_without_an_api_version_is_not_found() {
        let route = Route::of(&head("POST", "/openai/deployments/a/chat/completions", ""));
        assert_eq!(route, Route::Unknown(Dialect::Azure));
    }

    #[test]
    fn the_list_of_models_is_anthropics_for_who_says_its_version() {
        let of = |headers| Route::of(&head("GET", "/v1/models", headers));
        assert_eq!(of(""), Route::Models(Dialect::OpenAi));
        assert_eq!(of("anthropic-version: 2023-06-01\r\n"), Route::Models(Dialect::Anthropic));
    }

    #[test]
    fn a_key_counts_only_where_its_dialect_has_it() {
        let check = |path: &str, headers: &str, expected: bool| {
            let head = head("POST", path, headers);
            assert_eq!(Route::of(&head).has_key(&head, "k"), expected, "{path} {headers}");
        };
        check("/v1/chat/completions", "authorization: Bearer k\r\n", true);
        check("/v1/chat/completions", "x-api-key: k\r\n", false);
        check("/v1/messages", "x-api-key: k\r\n", true);
        check("/v1/messages", "x-api-key: other\r\n", false);
        check("/openai/v1/chat/completions", "api-key: k\r\n", true);
        check("/openai/v1/chat/completions", "x-api-key: k\r\n", false);
        check("/v1beta/models/m:generateContent", "x-goog-api-key: k\r\n", true);
        check("/v1beta/models/m:generateContent?key=k", "", true);
        check("/v1beta/models/m:generateContent", "authorization: Bearer k\r\n", false);
    }
}
