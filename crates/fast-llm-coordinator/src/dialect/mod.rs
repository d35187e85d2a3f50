//! How a request is said to an endpoint and its answer understood: everything inside is in OpenAI's shape, and each
//! protocol translates at its own door, one file each. Pure but for the endpoint's API key, which is read once.

mod address;
mod anthropic;
mod azure;
mod gemini;
mod ollama;
mod openai;
mod translation;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use llm_wire::openai::{ChunkFacts, ResponseFacts};
use llm_wire::{Spoken, Translated, WireError};
use trace_context::{TRACEPARENT, TRACESTATE, TraceContext};

use crate::config::{EndpointConfig, Protocol};
use crate::error::CoordinatorError;
use crate::question::{Asked, Question};
use address::Key;

/// The longest single event or line of a stream, in bytes: room for a chunk that carries base64 audio.
const MAX_EVENT_BYTES: usize = 8 << 20;
/// Tells another `uat`, or the local engine, for how many milliseconds its answer is waited for, so that it drops what
/// nobody wants any more.
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-uat-timeout-ms");

/// What one protocol does. Implementations are stateless but for addresses, which are prepared once.
trait Speaks: Send + Sync + 'static {
    /// Where a question goes.
    fn uri(&self, question: Question<'_>, model: &str) -> Result<Uri, WireError>;

    /// The question's document, and what it could not say.
    fn body(&self, asked: Asked<'_>) -> Result<Translated, WireError>;

    /// The dialect in which a client's own document passes as it is; `None`: OpenAI's.
    fn spoken(&self) -> Option<Spoken> {
        None
    }

    /// What a stream's content type is.
    fn stream_type(&self) -> HeaderValue {
        HeaderValue::from_static("text/event-stream")
    }

    /// Headers that a request carries besides the usual ones.
    fn headers(&self, _question: Question<'_>, _headers: &mut HeaderMap) {}

    /// The pause that the body of an error asks for.
    fn pause(&self, _body: &[u8]) -> Option<Duration> {
        None
    }

    /// A whole answer, in OpenAI's shape unless the client asked in this protocol's own dialect.
    fn whole_answer(
        &self,
        question: Question<'_>,
        body: Bytes,
        names: AnswerNames<'_>,
    ) -> Result<Written, WireError>;

    /// A decoder for one streamed answer.
    fn decoder(&self, question: Question<'_>, names: AnswerNames<'_>) -> Box<dyn Decoder>;
}

/// A whole answer, as it goes out.
pub(crate) struct Written {
    pub(crate) body: Bytes,
    /// The dialect of `body`; `None`: OpenAI's.
    pub(crate) spoken: Option<Spoken>,
    /// What it says, where that was found out on the way.
    pub(crate) facts: Option<ResponseFacts>,
}

/// Turns the bytes of a streamed answer into [`Piece`]s.
pub(crate) trait Decoder: Send {
    fn push(&mut self, bytes: Bytes);

    /// The next piece that is complete; `None`: more bytes are needed.
    fn next_piece(&mut self) -> Option<Result<Piece, WireError>>;

    /// The end of the body was reached; where the protocol has no word for its end, more pieces may come of it.
    fn end(&mut self) {}

    /// The dialect of the pieces; `None`: OpenAI's.
    fn spoken(&self) -> Option<Spoken> {
        None
    }
}

/// One piece of a streamed answer.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one turn of a loop and nearly always is the large one"
)]
pub(crate) enum Piece {
    /// A chunk document in OpenAI's shape; a framed event, where the client asked in the endpoint's own dialect.
    Chunk { data: Bytes, facts: ChunkFacts },
    /// The endpoint said that this was all.
    Done,
}

/// What an endpoint expects, prepared once.
pub(crate) struct Dialect {
    protocol: Protocol,
    speaks: Box<dyn Speaks>,
    key: Key,
    is_tls: bool,
}

/// Names that a translated answer carries because the endpoint's own does not have them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerNames<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) model: &'a str,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

impl AnswerNames<'_> {
    fn chat_id(&self) -> String {
        format!("chatcmpl-{}", self.request_id)
    }
}

impl Dialect {
    pub(crate) fn new(config: &EndpointConfig) -> Result<Self, CoordinatorError> {
        let address = address::base(config)?;
        let speaks: Box<dyn Speaks> = match config.protocol {
            Protocol::OpenAi | Protocol::UatEngine => {
                Box::new(openai::OpenAi::below(config, &address, "/v1")?)
            }
            Protocol::Ollama => Box::new(ollama::Ollama::new(config, &address)?),
            Protocol::Azure => Box::new(azure::Azure::new(config, &address)?),
            Protocol::Anthropic => Box::new(anthropic::Anthropic::new(config, &address)?),
            Protocol::Gemini => Box::new(gemini::Gemini::new(config, &address)?),
        };
        let is_tls = address.is_tls();
        Ok(Self { protocol: config.protocol, speaks, key: Key::read(config)?, is_tls })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Reads the key again, after it was refused: its file may have been replaced.
    pub(crate) fn read_key_again(&self) {
        self.key.read_again();
    }

    /// The HTTP request that asks this there, and the fields of the question that it does not say.
    pub(crate) fn request(&self, asked: Asked<'_>) -> Result<(Request<Full<Bytes>>, Vec<String>), WireError> {
        let Asked { question, model, request_id, trace, time_left, .. } = asked;
        self.check_translatable(question)?;
        let Translated { body, dropped } = self.speaks.body(asked)?;
        let mut http = Request::new(Full::new(body));
        *http.method_mut() = Method::POST;
        *http.uri_mut() = self.speaks.uri(question, model)?;
        let headers = http.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = match question.stream() {
            true => self.speaks.stream_type(),
            false => HeaderValue::from_static("application/json"),
        };
        headers.insert(ACCEPT, accept);
        self.key.insert_into(headers);
        self.speaks.headers(question, headers);
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-request-id", id);
        }
        if let Some(trace) = trace {
            tell_trace(trace, headers);
        }
        if matches!(self.protocol, Protocol::UatEngine | Protocol::OpenAi) {
            let ms = u64::try_from(time_left.as_millis()).unwrap_or(u64::MAX);
            headers.insert(TIMEOUT_MS, HeaderValue::from(ms.max(1)));
        }
        Ok((http, dropped))
    }

    /// The pause that the body of an error asks for.
    pub(crate) fn pause_asked_for(&self, body: &[u8]) -> Option<Duration> {
        self.speaks.pause(body)
    }

    /// What only the client's own dialect can say is refused by an endpoint of another one.
    fn check_translatable(&self, question: Question<'_>) -> Result<(), WireError> {
        let Some(request) = question.chat() else { return Ok(()) };
        let same = request.original().is_some_and(|original| Some(original.dialect) == self.speaks.spoken());
        match request.untranslatable() {
            Some(error) if !same => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// A whole answer, in OpenAI's shape unless the client asked in the endpoint's own dialect.
    pub(crate) fn whole_answer(
        &self,
        question: Question<'_>,
        body: Bytes,
        names: AnswerNames<'_>,
    ) -> Result<Written, WireError> {
        self.speaks.whole_answer(question, body, names)
    }

    /// A decoder for one streamed answer.
    pub(crate) fn decoder(&self, question: Question<'_>, names: AnswerNames<'_>) -> Box<dyn Decoder> {
        self.speaks.decoder(question, names)
    }
}

/// W3C's headers, from which the endpoint's own spans become part of the trace.
fn tell_trace(trace: &TraceContext, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(&trace.traceparent()) {
        headers.insert(TRACEPARENT, value);
    }
    if let Some(Ok(value)) = trace.tracestate().map(HeaderValue::from_str) {
        headers.insert(TRACESTATE, value);
    }
}

/// Whether the client asked in this dialect, so that its documents pass as they are.
fn is_spoken(question: Question<'_>, dialect: Spoken) -> bool {
    question.chat().and_then(|request| request.original()).is_some_and(|original| original.dialect == dialect)
}

/// A count is asked of endpoints alone that can count.
fn no_count() -> WireError {
    WireError::Invalid {
        field: "model".to_owned(),
        expected: "an endpoint that counts tokens".to_owned(),
        got: "one that does not".to_owned(),
    }
}

/// A whole answer in OpenAI's shape.
fn translated(body: Bytes) -> Written {
    Written { body, spoken: None, facts: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(protocol: Protocol, version: Option<&str>, base_url: &str, chat: &str, embeddings: &str) {
        let mut config = EndpointConfig::new("e", protocol, Some(base_url.to_owned()));
        config.api_version = version.map(str::to_owned);
        let dialect = Dialect::new(&config).unwrap();
        let chat_request = llm_wire::openai::ChatRequest::parse(
            br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.as_slice().into(),
        )
        .unwrap();
        let embeddings_request =
            llm_wire::openai::EmbeddingsRequest::parse(br#"{"model":"m","input":"Hi"}"#.as_slice().into())
                .unwrap();
        let uri = |question| dialect.speaks.uri(question, "m 1").unwrap().to_string();
        assert_eq!(uri(Question::Chat(&chat_request)), chat);
        assert_eq!(uri(Question::Embeddings(&embeddings_request)), embeddings);
    }

    #[test]
    fn the_path_follows_the_protocol_and_an_openai_path_is_kept() {
        check(
            Protocol::Ollama,
            None,
            "http://127.0.0.1:11434/",
            "http://127.0.0.1:11434/api/chat",
            "http://127.0.0.1:11434/api/embed",
        );
        check(
            Protocol::OpenAi,
            None,
            "http://127.0.0.1:1234",
            "http://127.0.0.1:1234/v1/chat/completions",
            "http://127.0.0.1:1234/v1/embeddings",
        );
        check(
            Protocol::OpenAi,
            None,
            "https://api.example/openai/v1/",
            "https://api.example/openai/v1/chat/completions",
            "https://api.example/openai/v1/embeddings",
        );
        check(
            Protocol::Azure,
            None,
            "https://x.example",
            "https://x.example/openai/v1/chat/completions",
            "https://x.example/openai/v1/embeddings",
        );
        check(
            Protocol::Azure,
            Some("2024-10-21"),
            "https://x.example/",
            "https://x.example/openai/deployments/m%201/chat/completions?api-version=2024-10-21",
            "https://x.example/openai/deployments/m%201/embeddings?api-version=2024-10-21",
        );
    }

    #[test]
    fn a_version_is_refused_where_the_protocol_has_none() {
        let mut config = EndpointConfig::new("e", Protocol::OpenAi, Some("http://h".into()));
        config.api_version = Some("2024-10-21".into());
        assert!(Dialect::new(&config).is_err_and(|e| e.to_string().contains("api_version")));
    }
}
