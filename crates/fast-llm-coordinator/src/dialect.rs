//! How a request is said to an endpoint and its answer understood: everything inside is in OpenAI's shape, and each
//! protocol translates at its own door. Pure but for the endpoint's API key, which is read once.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use llm_wire::{WireError, ndjson, ollama, sse};

use crate::attempt::Asked;
use crate::config::{EndpointConfig, Protocol};
use crate::error::CoordinatorError;
use crate::question::Question;

/// The longest single event or line of a stream, in bytes: room for a chunk that carries base64 audio.
const MAX_EVENT_BYTES: usize = 8 << 20;
/// Tells the local engine for how many milliseconds its answer is waited for, so that it drops what nobody wants any more.
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-uat-timeout-ms");

/// What an endpoint expects, prepared once.
pub(crate) struct Dialect {
    protocol: Protocol,
    uris: Uris,
    authorization: Option<HeaderValue>,
}

/// Where each kind of question goes.
#[derive(Debug)]
struct Uris {
    chat: Uri,
    embeddings: Uri,
}

/// Names that a translated answer carries because the endpoint's own does not have them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerNames<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) model: &'a str,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

impl Dialect {
    pub(crate) fn new(config: &EndpointConfig) -> Result<Self, CoordinatorError> {
        Ok(Self { protocol: config.protocol, uris: uris(config)?, authorization: authorization(config)? })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.uris.chat.scheme() == Some(&http::uri::Scheme::HTTPS)
    }

    /// The HTTP request that asks this there.
    pub(crate) fn request(&self, asked: Asked<'_>) -> Result<Request<Full<Bytes>>, WireError> {
        let Asked { question, model, request_id, time_left, .. } = asked;
        let stream = question.stream();
        let (uri, body) = match (question, self.protocol) {
            (Question::Chat(request), Protocol::OpenAi | Protocol::UatEngine) => {
                (&self.uris.chat, request.to_body(model, stream))
            }
            (Question::Chat(request), Protocol::Ollama) => {
                (&self.uris.chat, ollama::chat_request(request, model, stream)?)
            }
            (Question::Embeddings(request), Protocol::OpenAi | Protocol::UatEngine) => {
                (&self.uris.embeddings, request.to_body(model))
            }
            (Question::Embeddings(request), Protocol::Ollama) => {
                (&self.uris.embeddings, ollama::embed_request(request, model)?)
            }
        };
        let mut http = Request::new(Full::new(body));
        *http.method_mut() = Method::POST;
        *http.uri_mut() = uri.clone();
        let headers = http.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = match (stream, self.protocol) {
            (true, Protocol::OpenAi | Protocol::UatEngine) => "text/event-stream",
            (true, Protocol::Ollama) => "application/x-ndjson",
            (false, _) => "application/json",
        };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-request-id", id);
        }
        if self.protocol == Protocol::UatEngine {
            let ms = u64::try_from(time_left.as_millis()).unwrap_or(u64::MAX);
            headers.insert(TIMEOUT_MS, HeaderValue::from(ms.max(1)));
        }
        Ok(http)
    }

    /// A whole answer in OpenAI's shape.
    pub(crate) fn whole_answer(
        &self,
        question: Question<'_>,
        body: Bytes,
        names: AnswerNames<'_>,
    ) -> Result<Bytes, WireError> {
        match (question, self.protocol) {
            (_, Protocol::OpenAi | Protocol::UatEngine) => Ok(body),
            (Question::Chat(_), Protocol::Ollama) => ollama::ToOpenAi::completion(
                &body,
                &format!("chatcmpl-{}", names.request_id),
                names.model,
                names.created,
            ),
            (Question::Embeddings(request), Protocol::Ollama) => {
                ollama::embed_to_openai(&body, names.model, request.encoding())
            }
        }
    }

    /// A decoder for one streamed answer.
    pub(crate) fn stream_decoder(&self, include_usage: bool, names: AnswerNames<'_>) -> StreamDecoder {
        match self.protocol {
            Protocol::OpenAi | Protocol::UatEngine => StreamDecoder::Sse(sse::Decoder::new(MAX_EVENT_BYTES)),
            Protocol::Ollama => StreamDecoder::Ollama {
                lines: ndjson::Decoder::new(MAX_EVENT_BYTES),
                to_openai: ollama::ToOpenAi::new(
                    format!("chatcmpl-{}", names.request_id),
                    names.model.to_owned(),
                    names.created,
                    include_usage,
                ),
                ready: VecDeque::new(),
            },
        }
    }
}

/// One piece of a streamed answer.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A chunk document in OpenAI's shape.
    Chunk(Bytes),
    /// The endpoint said that this was all.
    Done,
}

/// Turns the bytes of a streamed answer into [`Piece`]s.
pub(crate) enum StreamDecoder {
    Sse(sse::Decoder),
    Ollama { lines: ndjson::Decoder, to_openai: ollama::ToOpenAi, ready: VecDeque<Bytes> },
}

impl StreamDecoder {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        match self {
            Self::Sse(events) => events.push(bytes),
            Self::Ollama { lines, .. } => lines.push(bytes),
        }
    }

    /// The next piece that is complete; `None`: more bytes are needed.
    pub(crate) fn next_piece(&mut self) -> Option<Result<Piece, WireError>> {
        match self {
            Self::Sse(events) => {
                let event = match events.next_event()? {
                    Ok(event) => event,
                    Err(e) => return Some(Err(e)),
                };
                Some(Ok(if event.data.as_ref() == sse::DONE {
                    Piece::Done
                } else {
                    Piece::Chunk(event.data)
                }))
            }
            Self::Ollama { lines, to_openai, ready } => loop {
                if let Some(chunk) = ready.pop_front() {
                    return Some(Ok(Piece::Chunk(chunk)));
                }
                let translated = lines.next_line()?.and_then(|line| to_openai.line(&line));
                match translated {
                    Ok(chunks) => ready.extend(chunks),
                    Err(e) => return Some(Err(e)),
                }
            },
        }
    }
}

fn uris(config: &EndpointConfig) -> Result<Uris, CoordinatorError> {
    let invalid = |message: String| CoordinatorError::Config { message };
    let name = &config.name;
    if config.protocol == Protocol::UatEngine {
        // The host is not looked up: the connector goes to the engine's socket whatever it says.
        return if config.base_url.is_none() {
            Ok(Uris {
                chat: Uri::from_static("http://localhost/v1/chat/completions"),
                embeddings: Uri::from_static("http://localhost/v1/embeddings"),
            })
        } else {
            Err(invalid(format!(
                "endpoint `{name}`: the local engine has no base_url; remove it, or use protocol = \"openai\""
            )))
        };
    }
    let base = config.base_url.as_deref().ok_or_else(|| {
        invalid(format!(
            "endpoint `{name}`: base_url is missing; expected something like \"http://127.0.0.1:11434\""
        ))
    })?;
    let uri: Uri = base.parse().map_err(|e| {
        invalid(format!(
            "endpoint `{name}`: base_url {base:?} is not a URL ({e}); expected \"http://HOST:PORT\""
        ))
    })?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(invalid(format!(
            "endpoint `{name}`: base_url {base:?} must begin with http:// or https:// and name a host"
        )));
    }
    let root = base.trim_end_matches('/');
    let version = if uri.path().trim_end_matches('/').is_empty() { "/v1" } else { "" };
    let at = |path: String| {
        path.parse().map_err(|e| invalid(format!("endpoint `{name}`: base_url {base:?}: {e}")))
    };
    match config.protocol {
        Protocol::Ollama => {
            Ok(Uris { chat: at(format!("{root}/api/chat"))?, embeddings: at(format!("{root}/api/embed"))? })
        }
        Protocol::OpenAi | Protocol::UatEngine => Ok(Uris {
            chat: at(format!("{root}{version}/chat/completions"))?,
            embeddings: at(format!("{root}{version}/embeddings"))?,
        }),
    }
}

fn authorization(config: &EndpointConfig) -> Result<Option<HeaderValue>, CoordinatorError> {
    let invalid = |message: String| CoordinatorError::Config { message };
    let name = &config.name;
    let key = match (&config.api_key_env, &config.api_key_file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(invalid(format!(
                "endpoint `{name}`: api_key_env and api_key_file exclude each other; keep one"
            )));
        }
        (Some(variable), None) => std::env::var(variable).map_err(|_| {
            invalid(format!(
                "endpoint `{name}`: the environment variable {variable} (api_key_env) is not set"
            ))
        })?,
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|e| {
            invalid(format!("endpoint `{name}`: api_key_file {} cannot be read: {e}", file.display()))
        })?,
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|_| {
        invalid(format!("endpoint `{name}`: its API key holds characters that a header cannot carry"))
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(protocol: Protocol, base_url: &str, chat: &str, embeddings: &str) {
        let config = EndpointConfig::new("e", protocol, Some(base_url.to_owned()));
        let uris = uris(&config).unwrap();
        assert_eq!(
            (uris.chat.to_string().as_str(), uris.embeddings.to_string().as_str()),
            (chat, embeddings)
        );
    }

    #[test]
    fn the_path_follows_the_protocol_and_an_openai_path_is_kept() {
        check(
            Protocol::Ollama,
            "http://127.0.0.1:11434/",
            "http://127.0.0.1:11434/api/chat",
            "http://127.0.0.1:11434/api/embed",
        );
        check(
            Protocol::OpenAi,
            "http://127.0.0.1:1234",
            "http://127.0.0.1:1234/v1/chat/completions",
            "http://127.0.0.1:1234/v1/embeddings",
        );
        check(
            Protocol::OpenAi,
            "https://api.example/openai/v1/",
            "https://api.example/openai/v1/chat/completions",
            "https://api.example/openai/v1/embeddings",
        );
    }

    #[test]
    fn a_base_url_that_is_none_is_refused_by_name() {
        for base in ["127.0.0.1:80", "ftp://host", "http://", "not a url"] {
            let config = EndpointConfig::new("gpu-7", Protocol::OpenAi, Some(base.to_owned()));
            assert!(uris(&config).unwrap_err().to_string().contains("gpu-7"), "{base}");
        }
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let mut config = EndpointConfig::new("e", Protocol::OpenAi, Some("http://h".into()));
        config.api_key_env = Some("PATH".into());
        let value = authorization(&config).unwrap().unwrap();
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
