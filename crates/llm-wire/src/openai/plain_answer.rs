//! An answer that can be given again: whole as it is, or as the stream that would have said the same. What
//! [`ChunkCollector`](super::ChunkCollector) does, the other way round.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::chunk::{Usage, UsageView};
use super::members::Members;
use crate::{WireError, json};

/// About as many pieces as an answer is replayed in, so that it is seen to stream.
const PIECES: usize = 8;
/// Bytes of a piece: a few words at least, and not so many that a long answer comes in lumps.
const PIECE_BYTES: Range<usize> = 24..512;

/// A finished answer of one choice that says something and calls no tool, borrowed from its document.
#[derive(Debug)]
pub struct PlainAnswer<'a> {
    head: Members<'a>,
    choice: Members<'a>,
    message: Members<'a>,
}

impl<'a> PlainAnswer<'a> {
    /// Reads a `chat.completion`; `None` where it is one of another kind: cut off, several choices, without text, with
    /// calls of tools or with an error.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is no such document.
    pub fn read(document: &'a [u8]) -> Result<Option<Self>, WireError> {
        let head: Members<'a> = json::decode(document)?;
        if head.has("error") {
            return Ok(None);
        }
        let choices: Vec<&RawValue> = match head.get("choices") {
            Some(choices) => json::decode(choices.get().as_bytes())?,
            None => return Ok(None),
        };
        let [choice] = choices.as_slice() else { return Ok(None) };
        let choice: Members<'a> = json::decode(choice.get().as_bytes())?;
        let Some(message) = choice.get("message") else { return Ok(None) };
        let message: Members<'a> = json::decode(message.get().as_bytes())?;
        let plain = choice.get("finish_reason").map(RawValue::get) == Some("\"stop\"")
            && !message.has("tool_calls")
            && !message.has("function_call")
            && message.get("content").is_some_and(|text| text.get().starts_with('"') && text.get() != "\"\"");
        Ok(plain.then_some(Self { head, choice, message }))
    }

    /// What it says.
    ///
    /// # Errors
    /// [`WireError::Json`] where the text is none.
    pub fn text(&self) -> Result<String, WireError> {
        let content = self.message.get("content").map_or("\"\"", RawValue::get);
        json::decode(content.as_bytes())
    }

    /// The usage, where it was counted.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not written as OpenAI does.
    pub fn usage(&self) -> Result<Option<Usage>, WireError> {
        let Some(usage) = self.head.get("usage") else { return Ok(None) };
        Ok(json::decode::<Option<UsageView>>(usage.get().as_bytes())?.and_then(UsageView::usage))
    }

    /// The chunks of a stream that says the same: the role, the reasoning, whatever else belongs to the message, the
    /// text in several pieces cut between words, the finish reason, and the usage where it is wanted and known.
    ///
    /// # Errors
    /// [`WireError::Json`] where a text is not one.
    pub fn chunks(&self, include_usage: bool) -> Result<Vec<Bytes>, WireError> {
        let mut out = Chunks::begin(self);
        out.chunk(&self.head.others(&["id", "object", "created", "model", "choices", "usage"]), |out| {
            out.extend_from_slice(br#"{"role":"#);
            out.extend_from_slice(self.message.get("role").map_or("\"assistant\"", RawValue::get).as_bytes());
            out.extend_from_slice(br#","content":""},"finish_reason":null"#);
        });
        for name in ["reasoning_content", "reasoning"] {
            if let Some(text) = self.message.get(name).filter(|text| text.get().starts_with('"')) {
                out.text(name, text, None)?;
            }
        }
        let others = self.message.others(&["role", "content", "reasoning_content", "reasoning"]);
        if !others.is_empty() {
            out.chunk("", |out| {
                out.push(b'{');
                out.extend_from_slice(others.trim_start_matches(',').as_bytes());
                out.extend_from_slice(br#"},"finish_reason":null"#);
            });
        }
        if let Some(text) = self.message.get("content") {
            out.text("content", text, self.choice.get("logprobs"))?;
        }
        let others = self.choice.others(&["index", "message", "logprobs", "finish_reason"]);
        out.chunk("", |out| {
            out.extend_from_slice(br#"{},"finish_reason":"stop""#);
            out.extend_from_slice(others.as_bytes());
        });
        if let (true, Some(usage)) = (include_usage, self.head.get("usage")) {
            out.usage(usage);
        }
        Ok(out.finish())
    }
}

/// Chunks written one after the other into one buffer.
struct Chunks {
    /// What every chunk begins with.
    beginning: Vec<u8>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Chunks {
    fn begin(answer: &PlainAnswer<'_>) -> Self {
        let mut beginning = br#"{"id":"#.to_vec();
        let raw = |name| answer.head.get(name).map_or("null", RawValue::get).as_bytes();
        beginning.extend_from_slice(raw("id"));
        beginning.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        beginning.extend_from_slice(raw("created"));
        beginning.extend_from_slice(br#","model":"#);
        beginning.extend_from_slice(raw("model"));
        Self { beginning, bytes: Vec::new(), ends: Vec::new() }
    }

    /// A chunk with further members of its own, whose choice's delta and what follows it `write` writes.
    fn chunk(&mut self, members: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(&self.beginning);
        self.bytes.extend_from_slice(members.as_bytes());
        self.bytes.extend_from_slice(br#","choices":[{"index":0,"delta":"#);
        write(&mut self.bytes);
        self.bytes.extend_from_slice(b"}]}");
        self.ends.push(self.bytes.len());
    }

    /// A text of the message in pieces; the first one carries its log probabilities.
    fn text(
        &mut self,
        name: &str,
        text: &RawValue,
        mut logprobs: Option<&RawValue>,
    ) -> Result<(), WireError> {
        let Text(text) = json::decode(text.get().as_bytes())?;
        for piece in pieces(&text) {
            let logprobs = logprobs.take();
            self.chunk("", |out| {
                out.extend_from_slice(b"{\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                json::append_string(out, piece);
                out.extend_from_slice(b"},");
                if let Some(logprobs) = logprobs {
                    out.extend_from_slice(br#""logprobs":"#);
                    out.extend_from_slice(logprobs.get().as_bytes());
                    out.push(b',');
                }
                out.extend_from_slice(br#""finish_reason":null"#);
            });
        }
        Ok(())
    }

    fn usage(&mut self, usage: &RawValue) {
        self.bytes.extend_from_slice(&self.beginning);
        self.bytes.extend_from_slice(br#","choices":[],"usage":"#);
        self.bytes.extend_from_slice(usage.get().as_bytes());
        self.bytes.push(b'}');
        self.ends.push(self.bytes.len());
    }

    fn finish(self) -> Vec<Bytes> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let slice = |end| bytes.slice(std::mem::replace(&mut start, end)..end);
        self.ends.into_iter().map(slice).collect()
    }
}

/// A text that is copied only where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The pieces of a text, cut before the white space between words; a word without an end is cut anyway.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let size = (text.len() / PIECES).clamp(PIECE_BYTES.start, PIECE_BYTES.end);
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let least = rest.ceil_char_boundary(size);
        let most = rest.ceil_char_boundary(size * 2);
        let window = rest.get(least..most).unwrap_or_default();
        let end = window.find(char::is_whitespace).map_or(most, |at| least + at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}
