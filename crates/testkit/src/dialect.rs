//! How each dialect writes the parts of an answer. Only this module knows the JSON.
//!
//! Written apart from `llm-wire` on purpose: a fake that shared the product's codecs would share their mistakes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::behaviour::Vectors;

/// The creation time of every fake answer, in seconds since 1970: fixed, so that runs compare byte for byte.
const CREATED: u64 = 1_700_000_000;
/// The same instant as Ollama writes it.
const CREATED_AT: &str = "2023-11-14T22:13:20Z";
/// Prompt tokens of every fake answer: the fake has no tokenizer.
const PROMPT_TOKENS: usize = 7;

/// The protocol that a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Ollama,
}

/// What of a chat request shapes the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) dialect: Dialect,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// Number of the request, which makes the identifier of the answer.
    pub(crate) index: u64,
}

impl Asked {
    /// Reads a chat request's body; the error is a sentence for the client.
    pub(crate) fn read(dialect: Dialect, body: &[u8], index: u64) -> Result<Self, String> {
        let json: Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
        let model = json.get("model").and_then(Value::as_str).ok_or("`model` must be a string")?.to_owned();
        if json.get("messages").and_then(Value::as_array).is_none() {
            return Err("`messages` must be an array".to_owned());
        }
        // Ollama streams unless told otherwise, OpenAI does not.
        let stream = json.get("stream").and_then(Value::as_bool).unwrap_or(dialect == Dialect::Ollama);
        let include_usage =
            json.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { dialect, model, stream, include_usage, index })
    }

    fn id(&self) -> String {
        format!("chatcmpl-fake-{}", self.index)
    }

    /// The content type of a streamed or whole answer.
    pub(crate) fn content_type(&self) -> &'static str {
        match (self.dialect, self.stream) {
            (_, false) => "application/json",
            (Dialect::OpenAi, true) => "text/event-stream",
            (Dialect::Ollama, true) => "application/x-ndjson",
        }
    }

    /// What comes before the first content: the role in OpenAI's dialect, nothing in Ollama's.
    pub(crate) fn opening(&self) -> Option<Bytes> {
        (self.dialect == Dialect::OpenAi)
            .then(|| self.openai_chunk(json!({"role": "assistant", "content": ""}), Value::Null))
    }

    /// One piece of content.
    pub(crate) fn content(&self, piece: &str) -> Bytes {
        match self.dialect {
            Dialect::OpenAi => self.openai_chunk(json!({"content": piece}), Value::Null),
            Dialect::Ollama => line(&json!({"model": self.model, "created_at": CREATED_AT,
                "message": {"role": "assistant", "content": piece}, "done": false})),
        }
    }

    /// What ends a stream whose content has all been sent.
    pub(crate) fn closing(&self, pieces: usize) -> Vec<Bytes> {
        match self.dialect {
            Dialect::OpenAi => {
                let mut out = vec![self.openai_chunk(json!({}), json!("stop"))];
                if self.include_usage {
                    out.push(event(
                        &json!({"id": self.id(), "object": "chat.completion.chunk", "created": CREATED,
                        "model": self.model, "choices": [], "usage": usage(pieces)}),
                    ));
                }
                out.push(Bytes::from_static(b"data: [DONE]\n\n"));
                out
            }
            Dialect::Ollama => vec![line(&self.ollama_end("", pieces))],
        }
    }

    /// The whole answer of a request that asked for no stream.
    pub(crate) fn whole(&self, text: &str, pieces: usize) -> Bytes {
        let body = match self.dialect {
            Dialect::OpenAi => json!({"id": self.id(), "object": "chat.completion", "created": CREATED,
                "model": self.model, "choices": [{"index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": null}, "finish_reason": "stop"}],
                "usage": usage(pieces)}),
            Dialect::Ollama => self.ollama_end(text, pieces),
        };
        body.to_string().into()
    }

    /// An error where a chunk was expected.
    pub(crate) fn error_event(&self) -> Bytes {
        let error = error_body(self.dialect, "the model failed while it answered", "server_error");
        match (self.dialect, self.stream) {
            (_, false) => error.to_string().into(),
            (Dialect::OpenAi, true) => event(&error),
            (Dialect::Ollama, true) => line(&error),
        }
    }

    /// Something that is not of the dialect.
    pub(crate) fn garbage(&self) -> Bytes {
        match (self.dialect, self.stream) {
            (Dialect::OpenAi, true) => {
                Bytes::from_static(b"data: {\"choices\": [{\"delta\": \xff\xfe not json\n\n")
            }
            _ => Bytes::from_static(b"<html>\xff\xfe this is not the JSON that you look for\n"),
        }
    }

    fn openai_chunk(&self, delta: Value, finish_reason: Value) -> Bytes {
        event(
            &json!({"id": self.id(), "object": "chat.completion.chunk", "created": CREATED, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}),
        )
    }

    fn ollama_end(&self, content: &str, pieces: usize) -> Value {
        // Ollama's durations are nanoseconds.
        json!({"model": self.model, "created_at": CREATED_AT, "message": {"role": "assistant", "content": content},
            "done": true, "done_reason": "stop", "total_duration": 1_000_000, "load_duration": 0,
            "prompt_eval_count": PROMPT_TOKENS, "prompt_eval_duration": 500_000,
            "eval_count": pieces, "eval_duration": 500_000})
    }
}

/// The answer to a request for embeddings; the error is a sentence for the client.
pub(crate) fn embeddings(dialect: Dialect, body: &[u8], shape: &Vectors) -> Result<Value, String> {
    let json: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let model = json.get("model").and_then(Value::as_str).ok_or("`model` must be a string")?;
    let inputs = match json.get("input") {
        Some(Value::Array(inputs)) if !inputs.first().is_some_and(Value::is_number) => inputs.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => return Err("`input` is missing".to_owned()),
    };
    let dimensions = json.get("dimensions").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let vector = |input| vector(input, dimensions.unwrap_or(shape.dimensions));
    let vectors: Vec<Vec<f32>> = inputs.iter().map(vector).collect::<Result<_, _>>()?;
    let sent = &vectors[..vectors.len().saturating_sub(shape.missing)];
    let tokens = PROMPT_TOKENS * inputs.len();
    if dialect == Dialect::Ollama {
        return Ok(
            json!({"model": model, "embeddings": sent, "total_duration": 1_000_000, "load_duration": 0,
            "prompt_eval_count": tokens}),
        );
    }
    let asked = json.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let written = |vector: &Vec<f32>| match shape.base64.unwrap_or(asked) {
        true => json!(STANDARD.encode(vector.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>())),
        false => json!(vector),
    };
    let entry =
        |(index, vector)| json!({"object": "embedding", "index": index, "embedding": written(vector)});
    let data: Vec<Value> = sent.iter().enumerate().map(entry).collect();
    Ok(json!({"object": "list", "data": data, "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}))
}

/// See [`Vectors`].
fn vector(input: &Value, dimensions: usize) -> Result<Vec<f32>, String> {
    let numbers: Option<Vec<u32>> = match input {
        Value::String(text) => Some(text.bytes().map(u32::from).collect()),
        Value::Array(tokens) => {
            tokens.iter().map(|t| t.as_u64().and_then(|t| u32::try_from(t).ok())).collect()
        }
        _ => None,
    };
    match numbers {
        Some(numbers) if !numbers.is_empty() => {
            Ok(numbers.iter().cycle().take(dimensions).map(|&number| number as f32 / 256.0).collect())
        }
        _ => Err("`input` must be texts or tokens that are not empty".to_owned()),
    }
}

/// The error object of a dialect.
pub(crate) fn error_body(dialect: Dialect, message: &str, kind: &str) -> Value {
    match dialect {
        Dialect::OpenAi => json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
        Dialect::Ollama => json!({"error": message}),
    }
}

/// The list of models, as each dialect writes it.
pub(crate) fn listing(dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAi => json!({"object": "list", "data": [
            {"id": "fake-model", "object": "model", "created": CREATED, "owned_by": "testkit"}]}),
        Dialect::Ollama => json!({"models": [{"name": "fake-model", "model": "fake-model",
            "modified_at": CREATED_AT, "size": 1_048_576, "digest": "0".repeat(64),
            "details": {"parent_model": "", "format": "gguf", "family": "fake", "families": ["fake"],
                "parameter_size": "1M", "quantization_level": "Q4_0"}}]}),
    }
}

fn usage(pieces: usize) -> Value {
    json!({"prompt_tokens": PROMPT_TOKENS, "completion_tokens": pieces, "total_tokens": PROMPT_TOKENS + pieces})
}

fn event(json: &Value) -> Bytes {
    format!("data: {json}\n\n").into()
}

fn line(json: &Value) -> Bytes {
    format!("{json}\n").into()
}
