//! Our answer in OpenAI's dialect, as an Ollama client expects it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::openai::{CallDelta, Held, UpstreamError, parse_error};
use crate::{WireError, json};

/// Translates the chunks of one streamed answer into lines.
#[derive(Debug)]
pub struct FromOpenAi {
    model: String,
    path: Path,
    calls: BTreeMap<u64, PendingCall>,
    held: Held,
    finish_reason: Option<String>,
    usage: Counts,
}

/// What was asked, which decides where a line has its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// `/api/chat`: in a message.
    Chat,
    /// `/api/generate`: in `response`.
    Generate,
}

/// A tool call whose arguments arrive in pieces; Ollama's clients get it whole.
#[derive(Debug, Default)]
struct PendingCall {
    id: String,
    name: String,
    arguments: String,
}

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<ChunkChoice>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

/// A choice of a chunk (`delta`) or of a completion (`message`).
#[derive(Debug, Deserialize)]
struct ChunkChoice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<ChunkDelta>,
    #[serde(default)]
    message: Option<ChunkDelta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ChunkDelta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Serialize)]
struct LineOut<'a> {
    model: &'a str,
    created_at: &'a str,
    #[serde(flatten)]
    says: Says<'a>,
    done: bool,
    #[serde(flatten)]
    end: Option<End<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Says<'a> {
    Chat { message: MessageOut<'a> },
    Generate(GeneratedOut<'a>),
}

impl<'a> Says<'a> {
    fn new(path: Path, content: &'a str, thinking: &'a str, tool_calls: &'a [Value]) -> Self {
        match path {
            Path::Chat => {
                Self::Chat { message: MessageOut { role: "assistant", content, thinking, tool_calls } }
            }
            Path::Generate => Self::Generate(GeneratedOut { response: content, thinking, tool_calls }),
        }
    }
}

/// Without `context`, the tokens of a conversation: nobody who answers here tells them.
#[derive(Serialize)]
struct GeneratedOut<'a> {
    response: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    tool_calls: &'a [Value],
}

#[derive(Serialize)]
struct MessageOut<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    tool_calls: &'a [Value],
}

/// What the last line adds; durations in nanoseconds.
#[derive(Serialize)]
struct End<'a> {
    done_reason: &'a str,
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: u64,
    prompt_eval_duration: u64,
    eval_count: u64,
    /// OpenAI's answers do not say how long each part took, and clients divide by this one: it is the whole time.
    eval_duration: u64,
}

impl<'a> End<'a> {
    fn new(finish_reason: Option<&'a str>, usage: Counts, total: Duration) -> Self {
        let nanoseconds = u64::try_from(total.as_nanos()).unwrap_or(u64::MAX);
        Self {
            // Ollama has no reason of its own for tool calls.
            done_reason: match finish_reason {
                Some("length") => "length",
                _ => "stop",
            },
            total_duration: nanoseconds,
            load_duration: 0,
            prompt_eval_count: usage.prompt_tokens.unwrap_or(0),
            prompt_eval_duration: 0,
            eval_count: usage.completion_tokens.unwrap_or(0),
            eval_duration: nanoseconds,
        }
    }
}

impl FromOpenAi {
    /// A translation whose lines name this model, for those who asked at this path.
    pub fn new(model: String, path: Path) -> Self {
        let (calls, held) = (BTreeMap::new(), Held::default());
        Self { model, path, calls, held, finish_reason: None, usage: Counts::default() }
    }

    /// The line, with its newline, that one chunk becomes, if it says anything to an Ollama client. Tool calls come
    /// whole, with the finish reason; an error chunk becomes Ollama's `{"error": "..."}`. `created_at` is the current
    /// time in RFC 3339.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a chunk, [`WireError::Invalid`] where a tool call's arguments are not JSON,
    /// [`WireError::TooLarge`] where calls do not end.
    pub fn chunk(&mut self, data: &[u8], created_at: &str) -> Result<Option<Bytes>, WireError> {
        let chunk: Chunk = json::decode(data)?;
        if chunk.error.is_some() {
            let UpstreamError { message, .. } = parse_error(data);
            return Ok(Some(with_newline(&super::error_body(&message))));
        }
        if let Some(usage) = chunk.usage {
            self.usage = usage;
        }
        // An Ollama client gets one choice, and asked for one.
        let choice = chunk.choices.unwrap_or_default().into_iter().find(|choice| choice.index == 0);
        let Some(choice) = choice else { return Ok(None) };
        let delta = choice.delta.unwrap_or_default();
        for (position, call) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            self.collect(position, call)?;
        }
        let mut calls = Vec::new();
        if let Some(reason) = choice.finish_reason {
            self.finish_reason = Some(reason);
            for (index, call) in std::mem::take(&mut self.calls) {
                calls.push(call.translate(&format!("choices[0].delta.tool_calls[{index}]"))?);
            }
        }
        let text = delta.content.or(delta.refusal).unwrap_or_default();
        let thinking = delta.reasoning_content.or(delta.reasoning).unwrap_or_default();
        if text.is_empty() && thinking.is_empty() && calls.is_empty() {
            return Ok(None);
        }
        let says = Says::new(self.path, &text, &thinking, &calls);
        let line = LineOut { model: &self.model, created_at, says, done: false, end: None };
        Ok(Some(with_newline(&json::encode(&line))))
    }

    fn collect(&mut self, position: usize, delta: CallDelta) -> Result<(), WireError> {
        self.held.add(delta.len())?;
        let call = self.calls.entry(delta.index.unwrap_or(position as u64)).or_default();
        if let Some(id) = delta.id {
            call.id = id;
        }
        if let Some(function) = delta.function {
            if let Some(name) = function.name.filter(|name| !name.is_empty()) {
                call.name = name;
            }
            call.arguments.push_str(&function.arguments.unwrap_or_default());
        }
        Ok(())
    }

    /// The last line, with its newline. `total` is how long the request took; `created_at` as for
    /// [`chunk`](Self::chunk). To be asked for only after a stream that ended well: a tool call without a finish
    /// reason after it is not in it.
    pub fn done(&mut self, created_at: &str, total: Duration) -> Bytes {
        let says = Says::new(self.path, "", "", &[]);
        let end = End::new(self.finish_reason.as_deref(), self.usage, total);
        let line = LineOut { model: &self.model, created_at, says, done: true, end: Some(end) };
        with_newline(&json::encode(&line))
    }

    /// A complete answer for a client that did not want a stream, without a newline.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a completion, [`WireError::Invalid`] where it has no choices or a tool
    /// call's arguments are not JSON.
    pub fn completion(
        body: &[u8],
        model: &str,
        path: Path,
        created_at: &str,
        total: Duration,
    ) -> Result<Bytes, WireError> {
        let completion: Chunk = json::decode(body)?;
        if completion.error.is_some() {
            return Ok(super::error_body(&parse_error(body).message));
        }
        let Some(choice) = completion.choices.unwrap_or_default().into_iter().next() else {
            return Err(WireError::invalid("choices", "at least one choice", "none"));
        };
        let message = choice.message.unwrap_or_default();
        let mut calls = Vec::new();
        for (index, call) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let mut translation = Self::new(String::new(), path);
            translation.collect(index, call)?;
            for call in translation.calls.into_values() {
                calls.push(call.translate(&format!("choices[0].message.tool_calls[{index}]"))?);
            }
        }
        let text = message.content.or(message.refusal).unwrap_or_default();
        let thinking = message.reasoning_content.or(message.reasoning).unwrap_or_default();
        let says = Says::new(path, &text, &thinking, &calls);
        let end = End::new(choice.finish_reason.as_deref(), completion.usage.unwrap_or_default(), total);
        let line = LineOut { model, created_at, says, done: true, end: Some(end) };
        Ok(json::encode(&line))
    }
}

impl PendingCall {
    /// OpenAI writes a call's arguments as a string of JSON, Ollama as an object.
    fn translate(&self, at: &str) -> Result<Value, WireError> {
        let arguments = match self.arguments.trim() {
            "" => json!({}),
            text => match serde_json::from_str::<Value>(text) {
                Ok(object @ Value::Object(_)) => object,
                _ => {
                    return Err(WireError::invalid(
                        format!("{at}.function.arguments"),
                        "a string that holds a JSON object",
                        format!("a string of {} bytes", text.len()),
                    ));
                }
            },
        };
        Ok(json!({ "id": self.id, "function": { "name": self.name, "arguments": arguments } }))
    }
}

fn with_newline(document: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(document.len() + 1);
    line.extend_from_slice(document);
    line.put_u8(b'\n');
    line.freeze()
}
