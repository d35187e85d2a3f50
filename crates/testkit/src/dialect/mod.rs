//! How each dialect reads a request and writes the parts of an answer. Only this module knows the JSON.
//!
//! Written apart from `llm-wire` on purpose: a fake that shared the product's codecs would share their mistakes.

mod anthropic;
mod asked;
mod cost;
mod embeddings;
mod errors;
mod gemini;
mod ollama;
mod openai;

use bytes::Bytes;
use serde_json::{Value, json};

pub(crate) use asked::{Asked, ChatRoute};
pub(crate) use embeddings::embeddings;
pub(crate) use errors::{error_body, refusal};

use crate::behaviour::{Answer, Preamble};

/// The creation time of every fake answer, in seconds since 1970: fixed, so that runs compare byte for byte.
const CREATED: u64 = 1_700_000_000;
/// The same instant as Ollama and Anthropic write it.
const CREATED_AT: &str = "2023-11-14T22:13:20Z";
/// Prompt tokens of every fake answer: the fake has no tokenizer.
const PROMPT_TOKENS: u64 = 7;
/// What a thought is signed with, in the dialects that sign; base64, as both demand.
const SIGNATURE: &str = "c2lnbmVkIGJ5IHRlc3RraXQ=";
/// Text that stands where bytes that are no UTF-8 are put afterwards.
const TO_SPOIL: &str = "@@spoilt@@";

/// The protocol that a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Azure,
    Anthropic,
    Gemini,
    Ollama,
}

/// A streamed answer, event by event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    /// What comes before the first content.
    pub(crate) opening: Option<Bytes>,
    /// The content chunks.
    pub(crate) parts: Vec<Bytes>,
    /// The event that carries the finish reason.
    pub(crate) finish: Bytes,
    /// What follows it.
    pub(crate) end: Vec<Bytes>,
}

impl Asked {
    /// The content type of a streamed or whole answer.
    pub(crate) fn content_type(&self) -> &'static str {
        match (self.dialect, self.stream) {
            (_, false) => "application/json",
            (Dialect::Ollama, true) => "application/x-ndjson",
            (Dialect::Gemini, true) if self.array => "application/json",
            (_, true) => "text/event-stream",
        }
    }

    /// The answer as a stream.
    pub(crate) fn script(&self, answer: &Answer) -> Script {
        match self.dialect {
            Dialect::OpenAi | Dialect::Azure => openai::script(self, answer),
            Dialect::Anthropic => anthropic::script(self, answer),
            Dialect::Gemini => gemini::script(self, answer),
            Dialect::Ollama => ollama::script(self, answer),
        }
    }

    /// The answer as one document.
    pub(crate) fn whole(&self, answer: &Answer) -> Bytes {
        let document = match self.dialect {
            Dialect::OpenAi | Dialect::Azure => openai::whole(self, answer),
            Dialect::Anthropic => anthropic::whole(self, answer),
            Dialect::Gemini => gemini::whole(self, answer),
            Dialect::Ollama => ollama::whole(self, answer),
        };
        document.to_string().into()
    }

    /// An error where a chunk was expected.
    pub(crate) fn error_event(&self) -> Bytes {
        let error = error_body(self.dialect, 500, "the model failed while it answered");
        match (self.dialect, self.stream) {
            (_, false) => error.to_string().into(),
            (Dialect::Anthropic, true) => named(&error),
            (Dialect::Ollama, true) => line(&error),
            (_, true) => event(&error),
        }
    }

    /// Something that is not of the dialect.
    pub(crate) fn garbage(&self) -> Bytes {
        if self.content_type() == "text/event-stream" {
            return Bytes::from_static(b"data: {\"choices\": [{\"delta\": \xff\xfe not json\n\n");
        }
        Bytes::from_static(b"<html>\xff\xfe this is not the JSON that you look for\n")
    }

    /// One content chunk that is a correct one but for two bytes.
    pub(crate) fn invalid_utf8(&self) -> Bytes {
        spoilt(&self.lone(TO_SPOIL))
    }

    /// A whole answer that is a correct one but for two bytes at the end of its text.
    pub(crate) fn whole_invalid_utf8(&self, answer: &Answer) -> Bytes {
        let text = answer.full_text() + TO_SPOIL;
        spoilt(&self.whole(&Answer { text: Some(text), ..answer.clone() }))
    }

    /// An event that breaks off within its JSON.
    pub(crate) fn wrong_json(&self) -> Bytes {
        let whole = self.lone("x");
        let mut half = whole[..whole.len() * 2 / 3].to_vec();
        half.extend_from_slice(if self.dialect == Dialect::Ollama { b"\n" } else { b"\n\n" });
        half.into()
    }

    /// An event that says nothing.
    pub(crate) fn silence(&self, events: Preamble) -> Bytes {
        match (events, self.dialect) {
            (Preamble::Comments, Dialect::Ollama) => Bytes::from_static(b"\n"),
            (Preamble::Comments, _) => Bytes::from_static(b": keep-alive\n\n"),
            (Preamble::EmptyEvents, Dialect::Anthropic) => anthropic::ping(),
            (Preamble::EmptyEvents, _) => self.lone(""),
        }
    }

    /// The beginning of an answer (one event of a stream, or a whole document) up to its text.
    pub(crate) fn up_to_text(&self) -> Bytes {
        let whole = if self.stream { self.lone(TO_SPOIL) } else { self.whole(&Answer::text(TO_SPOIL)) };
        let at = find(&whole, TO_SPOIL.as_bytes()).unwrap_or(whole.len());
        whole.slice(..at)
    }

    /// One content chunk of this text as it looks in the middle of an answer.
    pub(crate) fn lone(&self, text: &str) -> Bytes {
        match self.dialect {
            Dialect::OpenAi | Dialect::Azure => openai::content(self, text),
            Dialect::Anthropic => anthropic::text_delta(0, text),
            Dialect::Gemini => gemini::content(self, text),
            Dialect::Ollama => ollama::content(self, text),
        }
    }
}

/// The list of models, as each dialect writes it.
pub(crate) fn listing(dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAi | Dialect::Azure => json!({"object": "list", "data": [
            {"id": "fake-model", "object": "model", "created": CREATED, "owned_by": "testkit"}]}),
        Dialect::Anthropic => json!({"data": [{"type": "model", "id": "fake-model", "display_name": "Fake",
            "created_at": CREATED_AT}], "has_more": false, "first_id": "fake-model", "last_id": "fake-model"}),
        Dialect::Gemini => json!({"models": [{"name": "models/fake-model", "version": "001",
            "displayName": "Fake", "inputTokenLimit": 8192, "outputTokenLimit": 8192,
            "supportedGenerationMethods": ["generateContent", "countTokens"]}]}),
        Dialect::Ollama => json!({"models": [{"name": "fake-model", "model": "fake-model",
            "modified_at": CREATED_AT, "size": 1_048_576, "digest": "0".repeat(64),
            "details": {"parent_model": "", "format": "gguf", "family": "fake", "families": ["fake"],
                "parameter_size": "1M", "quantization_level": "Q4_0"}}]}),
    }
}

/// The answer to a request that only counts its tokens.
pub(crate) fn count(dialect: Dialect) -> Value {
    match dialect {
        Dialect::Gemini => json!({"totalTokens": PROMPT_TOKENS}),
        _ => json!({"input_tokens": PROMPT_TOKENS}),
    }
}

/// Arguments as the object that they are; a string of what is none.
fn object(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_else(|_| Value::String(arguments.to_owned()))
}

fn spoilt(bytes: &[u8]) -> Bytes {
    let Some(at) = find(bytes, TO_SPOIL.as_bytes()) else { return Bytes::copy_from_slice(bytes) };
    [&bytes[..at], b"\xff\xfe", &bytes[at + TO_SPOIL.len()..]].concat().into()
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// An event of a stream.
fn event(json: &Value) -> Bytes {
    format!("data: {json}\n\n").into()
}

/// An event that is named as its `type`.
fn named(json: &Value) -> Bytes {
    let name = json["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n").into()
}

fn line(json: &Value) -> Bytes {
    format!("{json}\n").into()
}
