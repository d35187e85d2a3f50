//! Anthropic's stream, as OpenAI's chunks.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;

use super::chunk_in::{DeltaOut, Head};
use super::event_in::{Delta, Event, Kind, Start};
use super::usage::{Counts, Written};
use super::{REASONING_FORMAT, stop};
use crate::openai::decode_object;
use crate::{WireError, json};

/// Most blocks that one answer may have: far above any seen, below what a runaway stream would take from the machine.
const MAX_BLOCKS: usize = 4_096;
/// Most bytes of thinking and of a call's input that are kept, because they are said again when their block ends. Above
/// what any model writes into one block.
const MAX_KEPT: usize = 16 << 20;

/// Translates the events of one streamed answer.
#[derive(Debug)]
pub struct ToOpenAi {
    head: Head,
    include_usage: bool,
    started: bool,
    finished: bool,
    done: bool,
    /// By index; `None` once it has ended.
    blocks: BTreeMap<u64, Option<Block>>,
    calls: usize,
    counts: Counts,
}

/// A block that is open.
#[derive(Debug)]
enum Block {
    Text,
    Thinking {
        thinking: String,
        signature: String,
    },
    Call {
        /// OpenAI's index among the calls.
        call: usize,
        /// Input that came whole with the start; it counts if no piece follows.
        whole: Option<String>,
        said: bool,
    },
    /// Of a kind that OpenAI has no word for.
    Other,
}

/// The events that say something here.
const KNOWN: [&str; 7] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
];

impl ToOpenAi {
    /// A translation whose chunks carry this `id`, `model` and `created` (seconds since 1970), and that ends with a
    /// usage chunk if asked to.
    pub fn new(id: String, model: String, created: u64, include_usage: bool) -> Self {
        Self {
            head: Head { id, model, created },
            include_usage,
            started: false,
            finished: false,
            done: false,
            blocks: BTreeMap::new(),
            calls: 0,
            counts: Counts::default(),
        }
    }

    /// The chunks that one event becomes; `event_name` counts where the data has no `type`. Pings and events of a kind
    /// that is not known become none, nor does anything after the end. An error in the stream becomes a chunk with
    /// OpenAI's error object, which [`chunk_facts`](crate::openai::chunk_facts) reports.
    ///
    /// # Errors
    /// [`WireError::Json`] where the data is not one of Anthropic's events; [`WireError::Invalid`] where the events
    /// contradict one another, as a block that starts twice does; [`WireError::TooLarge`] where a block is beyond all
    /// bounds.
    pub fn event(&mut self, event_name: Option<&str>, data: &[u8]) -> Result<Vec<Bytes>, WireError> {
        if event_name == Some("ping") || self.done {
            return Ok(Vec::new());
        }
        let Kind { kind } = decode_object(data)?;
        let Some(kind) = kind.as_deref().or(event_name).filter(|kind| KNOWN.contains(kind)) else {
            return Ok(Vec::new());
        };
        let event: Event<'_> = json::decode(data)?;
        let mut chunks = Vec::with_capacity(2);
        if kind == "error" {
            chunks.push(super::completion_in::error_chunk(event.error.unwrap_or_default()));
            return Ok(chunks);
        }
        if !std::mem::replace(&mut self.started, true) {
            let delta = DeltaOut { role: Some("assistant"), content: Some(""), ..DeltaOut::default() };
            chunks.push(self.head.chunk(delta));
        }
        match kind {
            "message_start" => self.count(event.message.and_then(|message| message.usage)),
            "content_block_start" => {
                let index = index_of(event.index)?;
                let Some(start) = event.content_block else {
                    return Err(WireError::invalid("content_block", "an object with a type", "nothing"));
                };
                self.start(index, start, &mut chunks)?;
            }
            "content_block_delta" => {
                self.delta(index_of(event.index)?, event.delta.unwrap_or_default(), &mut chunks)?;
            }
            "content_block_stop" => self.stop(index_of(event.index)?, &mut chunks),
            "message_delta" => {
                self.count(event.usage);
                self.end(event.delta.unwrap_or_default(), &mut chunks);
            }
            _ => {
                self.done = true;
                if self.include_usage {
                    chunks.push(self.head.usage(self.counts.openai()));
                }
            }
        }
        Ok(chunks)
    }

    /// Whether `message_stop` has come; a stream that ends without it was cut.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The completion that an answer without streaming becomes; an error in it becomes OpenAI's error object.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not one of Anthropic's, [`WireError::Invalid`] where it has no content.
    pub fn completion(body: &[u8], id: &str, model: &str, created: u64) -> Result<Bytes, WireError> {
        super::completion_in::completion(body, id, model, created)
    }

    fn count(&mut self, usage: Option<Written>) {
        if let Some(Written(usage)) = usage {
            self.counts = self.counts.then(Counts::from_anthropic(&usage));
        }
    }

    fn start(&mut self, index: u64, start: Start<'_>, chunks: &mut Vec<Bytes>) -> Result<(), WireError> {
        if self.blocks.contains_key(&index) {
            let got = format!("the start of block {index} a second time");
            return Err(WireError::invalid("index", "a block that has not started yet", got));
        }
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(WireError::TooLarge { what: "the number of blocks in an answer", limit: MAX_BLOCKS });
        }
        let block = match start.kind.as_str() {
            "text" => Block::Text,
            "thinking" => {
                Block::Thinking { thinking: String::new(), signature: start.signature.unwrap_or_default() }
            }
            "redacted_thinking" => {
                let detail = json!({
                    "type": "reasoning.encrypted",
                    "data": start.data.unwrap_or_default(),
                    "format": REASONING_FORMAT,
                });
                chunks.push(
                    self.head.chunk(DeltaOut { reasoning_details: Some([detail]), ..DeltaOut::default() }),
                );
                Block::Other
            }
            "tool_use" => {
                let call = self.calls;
                let id = start
                    .id
                    .filter(|id| !id.is_empty())
                    .unwrap_or_else(|| format!("call_{}_{call}", self.head.id));
                let Some(name) = start.name.filter(|name| !name.is_empty()) else {
                    return Err(WireError::invalid("content_block.name", "the name of a tool", "nothing"));
                };
                self.calls += 1;
                let function = json!({ "name": name, "arguments": "" });
                let begun = json!({ "index": call, "id": id, "type": "function", "function": function });
                chunks.push(self.head.chunk(DeltaOut { tool_calls: Some([begun]), ..DeltaOut::default() }));
                let whole = start.input.map(|input| input.get().to_owned());
                Block::Call { call, whole, said: false }
            }
            _ => Block::Other,
        };
        self.blocks.insert(index, Some(block));
        let said = Delta { text: start.text, thinking: start.thinking, ..Delta::default() };
        self.delta(index, said, chunks)
    }

    fn delta(&mut self, index: u64, delta: Delta, chunks: &mut Vec<Bytes>) -> Result<(), WireError> {
        fn some(text: Option<String>) -> Option<String> {
            text.filter(|text| !text.is_empty())
        }
        let Some(Some(block)) = self.blocks.get_mut(&index) else {
            let got = format!("a piece of block {index}, which is not open");
            return Err(WireError::invalid("index", "a block that has started", got));
        };
        match block {
            Block::Text => {
                if let Some(text) = some(delta.text) {
                    chunks.push(self.head.chunk(DeltaOut { content: Some(&text), ..DeltaOut::default() }));
                }
            }
            Block::Thinking { thinking, signature } => {
                signature.push_str(&delta.signature.unwrap_or_default());
                if let Some(piece) = some(delta.thinking) {
                    thinking.push_str(&piece);
                    bounded("a block of thinking", thinking.len())?;
                    chunks.push(
                        self.head.chunk(DeltaOut { reasoning_content: Some(&piece), ..DeltaOut::default() }),
                    );
                } else {
                    bounded("the signature of a block of thinking", signature.len())?;
                }
            }
            Block::Call { call, said, .. } => {
                if let Some(piece) = some(delta.partial_json) {
                    *said = true;
                    let piece = json!({ "index": *call, "function": { "arguments": piece } });
                    chunks
                        .push(self.head.chunk(DeltaOut { tool_calls: Some([piece]), ..DeltaOut::default() }));
                }
            }
            Block::Other => {}
        }
        Ok(())
    }

    /// A block that ends twice, or ends unbegun, has nothing to say.
    fn stop(&mut self, index: u64, chunks: &mut Vec<Bytes>) {
        match self.blocks.get_mut(&index).and_then(Option::take) {
            Some(Block::Thinking { thinking, signature }) if !signature.is_empty() => {
                let detail = json!({
                    "type": "reasoning.text",
                    "text": thinking,
                    "signature": signature,
                    "format": REASONING_FORMAT,
                });
                chunks.push(
                    self.head.chunk(DeltaOut { reasoning_details: Some([detail]), ..DeltaOut::default() }),
                );
            }
            Some(Block::Call { call, whole, said: false }) => {
                let arguments = whole.unwrap_or_else(|| "{}".to_owned());
                let piece = json!({ "index": call, "function": { "arguments": arguments } });
                chunks.push(self.head.chunk(DeltaOut { tool_calls: Some([piece]), ..DeltaOut::default() }));
            }
            _ => {}
        }
    }

    fn end(&mut self, delta: Delta, chunks: &mut Vec<Bytes>) {
        let Some(reason) = delta.stop_reason else { return };
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let explanation = delta.stop_details.and_then(|details| details.explanation);
        if let Some(refusal) = explanation.filter(|_| reason == "refusal") {
            chunks.push(self.head.chunk(DeltaOut { refusal: Some(&refusal), ..DeltaOut::default() }));
        }
        let finish_reason = stop::finish_reason(&reason);
        chunks.push(self.head.finish(finish_reason, delta.stop_sequence.as_deref()));
    }
}

fn index_of(index: Option<u64>) -> Result<u64, WireError> {
    index.ok_or_else(|| WireError::invalid("index", "the index of a block", "nothing"))
}

fn bounded(what: &'static str, bytes: usize) -> Result<(), WireError> {
    if bytes > MAX_KEPT { Err(WireError::TooLarge { what, limit: MAX_KEPT }) } else { Ok(()) }
}
