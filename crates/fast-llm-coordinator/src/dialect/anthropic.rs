//! Anthropic's messages. A client that asked in this dialect gets the endpoint's own events.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Uri};
use llm_wire::openai::Usage;
use llm_wire::{Spoken, Translated, WireError, anthropic, sse};

use super::address::Base;
use super::translation::{self, Translation};
use super::{AnswerNames, Decoder, MAX_EVENT_BYTES, Piece, Speaks, Written, is_spoken, translated};
use crate::config::EndpointConfig;
use crate::error::CoordinatorError;
use crate::question::{Asked, Question};

/// What Anthropic is told where neither the client nor the configuration sets a limit: every model of theirs gives as
/// much.
const DEFAULT_MAX_TOKENS: u64 = 4096;
/// The version of the interface that `llm_wire` speaks.
const VERSION: &str = "2023-06-01";

pub(super) struct Anthropic {
    messages: Uri,
    count: Uri,
    version: HeaderValue,
}

impl Anthropic {
    pub(super) fn new(config: &EndpointConfig, base: &Base) -> Result<Self, CoordinatorError> {
        let version = config.api_version.as_deref().unwrap_or(VERSION);
        Ok(Self {
            messages: base.versioned(config, "/v1", "/messages")?,
            count: base.versioned(config, "/v1", "/messages/count_tokens")?,
            version: HeaderValue::from_str(version).map_err(|_| CoordinatorError::Config {
                message: format!("endpoint `{}`: api_version is none", config.name),
            })?,
        })
    }
}

impl Speaks for Anthropic {
    fn spoken(&self) -> Option<Spoken> {
        Some(Spoken::Anthropic)
    }

    fn uri(&self, question: Question<'_>, _model: &str) -> Result<Uri, WireError> {
        match question {
            Question::Chat(_) => Ok(self.messages.clone()),
            Question::Count(_) => Ok(self.count.clone()),
            Question::Embeddings(_) => Err(no_embeddings()),
        }
    }

    fn body(&self, asked: Asked<'_>) -> Result<Translated, WireError> {
        match asked.question {
            Question::Chat(request) => anthropic::messages_request(
                request,
                asked.model,
                request.stream(),
                asked.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            ),
            Question::Count(request) => anthropic::count_request(request, asked.model),
            Question::Embeddings(_) => Err(no_embeddings()),
        }
    }

    fn headers(&self, question: Question<'_>, headers: &mut HeaderMap) {
        headers.insert("anthropic-version", self.version.clone());
        // A client's own document may say what only a beta of the interface knows.
        let beta = match is_spoken(question, Spoken::Anthropic) {
            true => question.chat().and_then(|request| request.beta()),
            false => None,
        };
        if let Some(Ok(beta)) = beta.map(HeaderValue::from_str) {
            headers.insert("anthropic-beta", beta);
        }
    }

    fn whole_answer(
        &self,
        question: Question<'_>,
        body: Bytes,
        names: AnswerNames<'_>,
    ) -> Result<Written, WireError> {
        if matches!(question, Question::Count(_)) {
            return Ok(translated(body));
        }
        if is_spoken(question, Spoken::Anthropic) {
            let facts = Some(anthropic::message_facts(&body)?);
            return Ok(Written { body, spoken: Some(Spoken::Anthropic), facts });
        }
        anthropic::ToOpenAi::completion(&body, &names.chat_id(), names.model, names.created).map(translated)
    }

    fn decoder(&self, question: Question<'_>, names: AnswerNames<'_>) -> Box<dyn Decoder> {
        let events = sse::Decoder::new(MAX_EVENT_BYTES);
        if is_spoken(question, Spoken::Anthropic) {
            return Box::new(Events { events, usage: Usage::default(), done: false });
        }
        let to_openai = anthropic::ToOpenAi::new(
            names.chat_id(),
            names.model.to_owned(),
            names.created,
            question.include_usage(),
        );
        Translation::of(ToChunks { events, to_openai })
    }
}

fn no_embeddings() -> WireError {
    WireError::Invalid {
        field: "model".to_owned(),
        expected: "a model at an endpoint that gives embeddings".to_owned(),
        got: "one at an endpoint with protocol anthropic, which has none".to_owned(),
    }
}

/// Events that become OpenAI's chunks.
struct ToChunks {
    events: sse::Decoder,
    to_openai: anthropic::ToOpenAi,
}

impl translation::ToChunks for ToChunks {
    fn push(&mut self, bytes: Bytes) {
        self.events.push(bytes);
    }

    fn next_chunks(&mut self) -> Option<Result<Vec<Bytes>, WireError>> {
        let event = self.events.next_event()?;
        Some(event.and_then(|event| self.to_openai.event(name(&event), &event.data)))
    }

    fn is_done(&self) -> bool {
        self.to_openai.is_done()
    }
}

/// Events that pass as they are.
struct Events {
    events: sse::Decoder,
    /// The first event counts the prompt, the last the answer.
    usage: Usage,
    done: bool,
}

impl Decoder for Events {
    fn push(&mut self, bytes: Bytes) {
        self.events.push(bytes);
    }

    fn next_piece(&mut self) -> Option<Result<Piece, WireError>> {
        if self.done {
            return Some(Ok(Piece::Done));
        }
        let event = match self.events.next_event()? {
            Ok(event) => event,
            Err(error) => return Some(Err(error)),
        };
        let name = name(&event);
        self.done = anthropic::ends_stream(name, &event.data);
        let mut facts = match anthropic::event_facts(name, &event.data) {
            Ok(facts) => facts,
            Err(error) => return Some(Err(error)),
        };
        if let Some(usage) = facts.usage {
            let Usage { prompt_tokens, completion_tokens, .. } = self.usage;
            let prompt_tokens = prompt_tokens.max(usage.prompt_tokens);
            let completion_tokens = completion_tokens.max(usage.completion_tokens);
            let total_tokens = prompt_tokens.saturating_add(completion_tokens);
            self.usage = Usage { prompt_tokens, completion_tokens, total_tokens, ..usage };
            facts.usage = Some(self.usage);
        }
        Some(Ok(Piece::Chunk { data: framed(name, &event.data), facts }))
    }

    fn spoken(&self) -> Option<Spoken> {
        Some(Spoken::Anthropic)
    }
}

fn name(event: &sse::Event) -> Option<&str> {
    event.event.as_deref().and_then(|name| std::str::from_utf8(name).ok())
}

/// The event with its framing.
fn framed(name: Option<&str>, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 64);
    if let Some(name) = name {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_slice(b"\n");
    }
    sse::append_data_frame(&mut out, data);
    out.freeze()
}
