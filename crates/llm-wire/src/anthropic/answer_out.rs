//! Our stream in OpenAI's dialect, as an Anthropic client expects it.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;

use super::block_order::Blocks;
use super::frames::{self, Event, MessageStart, Stop};
use super::usage::{Counts, Written};
use super::{REASONING_FORMAT, error, stop};
use crate::WireError;
use crate::openai::{CallDelta, UpstreamError, decode_object, parse_error};

/// Most calls of one answer: far above any seen.
const MAX_CALLS: usize = 1_024;
/// Most bytes of arguments that may come before the name of their function, which all known servers send first.
const MAX_UNNAMED: usize = 1 << 20;

/// Translates the chunks of one streamed answer into framed events.
#[derive(Debug)]
pub struct FromOpenAi {
    model: String,
    id: String,
    started: bool,
    ended: bool,
    blocks: Blocks,
    calls: Vec<Call>,
    finish_reason: Option<String>,
    stop_sequence: Option<String>,
    counts: Counts,
}

/// A call as far as it is known.
#[derive(Debug)]
struct Call {
    index: u64,
    id: String,
    /// It has a name, so that its block has begun.
    begun: bool,
    /// Arguments that came before the name.
    arguments: String,
}

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Written>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
    /// vLLM's: the stop text that was met, or a token's number.
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    reasoning_details: Option<Vec<Detail>>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

/// An entry of `reasoning_details`.
#[derive(Debug, Deserialize)]
pub(super) struct Detail {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) signature: Option<String>,
    #[serde(default)]
    pub(super) data: Option<String>,
    #[serde(default)]
    pub(super) format: Option<String>,
}

impl Detail {
    /// Whether Anthropic would know it again.
    pub(super) fn is_anthropics(&self) -> bool {
        self.format.as_deref().is_none_or(|format| format == REASONING_FORMAT)
    }
}

impl FromOpenAi {
    /// A translation whose message names this model, and whose id is made from that of the request.
    pub fn new(model: String, request_id: &str) -> Self {
        Self {
            model,
            id: message_id(request_id),
            started: false,
            ended: false,
            blocks: Blocks::default(),
            calls: Vec::new(),
            finish_reason: None,
            stop_sequence: None,
            counts: Counts::default(),
        }
    }

    /// Appends the events that one chunk becomes. The first call of a tool is written as it comes; what follows it
    /// waits, 16 MiB at most, until the finish reason shows that it has ended, because Anthropic's blocks do not
    /// interleave. An error chunk becomes an `error` event.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a chunk; [`WireError::Invalid`] where a call has no name, or goes on after
    /// its end; [`WireError::TooLarge`] where more would have to wait.
    pub fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), WireError> {
        let document: Chunk = decode_object(chunk)?;
        if document.error.is_some() {
            let UpstreamError { message, kind, .. } = parse_error(chunk);
            self.failed(out, error::known_kind(kind.as_deref()), &message);
            return Ok(());
        }
        if self.ended {
            return Ok(());
        }
        self.start(out);
        if let Some(Written(usage)) = document.usage {
            self.counts = self.counts.then(Counts::from_openai(&usage));
        }
        // An Anthropic client gets one choice, and asked for one.
        let choice = document.choices.unwrap_or_default().into_iter().find(|choice| choice.index == 0);
        let Some(choice) = choice else { return Ok(()) };
        self.say(choice.delta.unwrap_or_default(), out)?;
        if let Some(Value::String(text)) = choice.stop_reason {
            self.stop_sequence = Some(text);
        }
        if let Some(reason) = choice.finish_reason {
            self.finish_reason = Some(reason);
            self.blocks.finish(out);
            if let Some(call) = self.calls.iter().position(|call| !call.begun) {
                let field = format!("choices[0].delta.tool_calls[{call}].function.name");
                return Err(WireError::invalid(field, "the name of a function", "nothing"));
            }
        }
        Ok(())
    }

    /// Appends the end of the message: why it ended, what it took, and `message_stop`. To be asked for after a
    /// stream that ended well; the second time appends nothing.
    pub fn done(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.start(out);
        self.blocks.finish(out);
        let called = !self.calls.is_empty();
        let stop_sequence = self.stop_sequence.as_deref();
        let stop_reason = stop::stop_reason(self.finish_reason.as_deref(), called, stop_sequence.is_some());
        let delta = Stop { stop_reason, stop_sequence };
        Event::MessageDelta { delta, usage: self.counts.anthropic() }.append(out);
        Event::MessageStop.append(out);
    }

    /// Appends an `error` event of this class, like `overloaded_error`; chunks after it, and [`done`](Self::done), append
    /// nothing.
    pub fn failed(&mut self, out: &mut BytesMut, kind: &str, message: &str) {
        self.ended = true;
        frames::error(out, kind, message);
    }

    /// Appends a `ping`, which keeps the connection alive and says nothing.
    pub fn ping(&self, out: &mut BytesMut) {
        frames::ping(out);
    }

    /// A complete answer for a client that did not want a stream; an error in it becomes Anthropic's.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a completion, [`WireError::Invalid`] where it has no choices or a call's
    /// arguments are no JSON object.
    pub fn completion(body: &[u8], request_id: &str) -> Result<Bytes, WireError> {
        super::completion_out::completion(body, &message_id(request_id))
    }

    fn start(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        // What it took is known at the end, and said there.
        let usage = self.counts.anthropic();
        let message = MessageStart {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage,
        };
        Event::MessageStart { message }.append(out);
    }

    fn say(&mut self, delta: Delta, out: &mut BytesMut) -> Result<(), WireError> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let thinking = some(delta.reasoning_content).or(some(delta.reasoning));
        if let Some(piece) = &thinking {
            self.blocks.thinking(piece, out)?;
        }
        for detail in delta.reasoning_details.unwrap_or_default() {
            self.detail(detail, thinking.is_some(), out)?;
        }
        for piece in [some(delta.content), some(delta.refusal)].into_iter().flatten() {
            self.blocks.text(&piece, out)?;
        }
        for (position, call) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            self.call(position, call, out)?;
        }
        Ok(())
    }

    /// `said` is whether this chunk has the text of the thinking besides.
    fn detail(&mut self, detail: Detail, said: bool, out: &mut BytesMut) -> Result<(), WireError> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        if !detail.is_anthropics() {
            return Ok(());
        }
        match detail.kind.as_str() {
            "reasoning.text" => {
                // Where thinking goes on, its text has come already.
                if let Some(text) = some(detail.text).filter(|_| !said && !self.blocks.is_thinking()) {
                    self.blocks.thinking(&text, out)?;
                }
                match some(detail.signature) {
                    Some(signature) => self.blocks.signature(&signature, out),
                    None => Ok(()),
                }
            }
            "reasoning.encrypted" => match some(detail.data) {
                Some(data) => self.blocks.redacted(&data, out),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn call(&mut self, position: usize, delta: CallDelta, out: &mut BytesMut) -> Result<(), WireError> {
        let index = delta.index.unwrap_or(position as u64);
        let id = delta.id.filter(|id| !id.is_empty());
        let function = delta.function.unwrap_or_default();
        let name = function.name.filter(|name| !name.is_empty());
        let known = self.calls.iter().rposition(|call| {
            // Some servers give all calls the index 0; another id together with a name begins another call.
            let another = name.is_some() && id.as_ref().is_some_and(|id| call.begun && *id != call.id);
            call.index == index && !another
        });
        let at = match known {
            Some(at) => at,
            None if self.calls.len() >= MAX_CALLS => {
                return Err(WireError::TooLarge {
                    what: "the number of calls in an answer",
                    limit: MAX_CALLS,
                });
            }
            None => {
                let id = format!("toolu_{}_{}", self.id.trim_start_matches("msg_"), self.calls.len());
                self.calls.push(Call { index, id, begun: false, arguments: String::new() });
                self.calls.len() - 1
            }
        };
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
        if let Some(id) = id.filter(|_| !call.begun) {
            call.id = id;
        }
        if let Some(name) = name.filter(|_| !call.begun) {
            call.begun = true;
            self.blocks.call(at, &call.id, &name, out)?;
            let early = std::mem::take(&mut call.arguments);
            if !early.is_empty() {
                self.blocks.arguments(at, &early, out)?;
            }
        }
        let piece = function.arguments.unwrap_or_default();
        if call.begun && !piece.is_empty() {
            return self.blocks.arguments(at, &piece, out);
        }
        call.arguments.push_str(&piece);
        if call.arguments.len() > MAX_UNNAMED {
            return Err(WireError::TooLarge { what: "arguments before their function", limit: MAX_UNNAMED });
        }
        Ok(())
    }
}

fn message_id(request_id: &str) -> String {
    if request_id.starts_with("msg_") { request_id.to_owned() } else { format!("msg_{request_id}") }
}
