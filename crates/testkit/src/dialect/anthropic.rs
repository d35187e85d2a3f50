//! Anthropic's messages: content blocks that are opened, filled and closed.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::cost::{Cost, Numbers, finish_reason, with};
use super::{Asked, SIGNATURE, Script, named, object};
use crate::behaviour::{Answer, Part};

pub(super) fn script(asked: &Asked, answer: &Answer) -> Script {
    let cost = Cost::of(asked, answer);
    // The usage of the start counts no more than the first token of the answer.
    let first = cost.written(|numbers| usage(&Numbers { completion: numbers.completion.min(1), ..*numbers }));
    let message = with(message(asked, &json!([]), Value::Null), "usage", first);
    let start = named(&json!({"type": "message_start", "message": message}));
    let mut blocks = Blocks::default();
    let all = answer.parts(asked.covered);
    let parts = all.iter().enumerate().map(|(at, part)| blocks.part(answer, part, all.get(at + 1))).collect();
    let delta = json!({"type": "message_delta",
        "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null}});
    let finish = named(&with(delta, "usage", cost.written(usage)));
    let end = vec![named(&json!({"type": "message_stop"}))];
    Script { opening: Some([start, ping()].concat().into()), parts, finish, end }
}

pub(super) fn whole(asked: &Asked, answer: &Answer) -> Value {
    let mut content = Vec::new();
    if let Some(thinking) = &answer.reasoning {
        content.push(json!({"type": "thinking", "thinking": thinking, "signature": SIGNATURE}));
    }
    let text = &answer.full_text()[asked.covered..];
    if !text.is_empty() {
        content.push(json!({"type": "text", "text": text}));
    }
    content.extend((0..answer.tool_calls.len()).map(|call| {
        let mut block = tool_use(answer, call);
        block["input"] = object(&answer.tool_calls[call].arguments);
        block
    }));
    let message = message(asked, &json!(content), stop_reason(answer));
    with(message, "usage", Cost::of(asked, answer).written(usage))
}

/// What keeps a connection alive.
pub(super) fn ping() -> Bytes {
    named(&json!({"type": "ping"}))
}

/// One piece of the text of a block.
pub(super) fn text_delta(index: usize, text: &str) -> Bytes {
    delta(index, &json!({"type": "text_delta", "text": text}))
}

/// The blocks of a message as it is streamed.
#[derive(Debug, Default)]
struct Blocks {
    /// Blocks begun.
    begun: usize,
    /// Whether the latest of text or thinking is open.
    open: bool,
    /// The number of each call's block.
    calls: Vec<usize>,
}

impl Blocks {
    /// The events of one part: a block's start where it is the first of one, and its stop where it is the last.
    fn part(&mut self, answer: &Answer, part: &Part, next: Option<&Part>) -> Bytes {
        let mut events = BytesMut::new();
        match part {
            Part::Reasoning(text) => {
                let empty = json!({"type": "thinking", "thinking": "", "signature": ""});
                let index = self.opened(&empty, &mut events);
                events.extend(delta(index, &json!({"type": "thinking_delta", "thinking": text})));
                if !matches!(next, Some(Part::Reasoning(_))) {
                    events.extend(delta(index, &json!({"type": "signature_delta", "signature": SIGNATURE})));
                    self.close(index, &mut events);
                }
            }
            Part::Text(text) => {
                let index = self.opened(&json!({"type": "text", "text": ""}), &mut events);
                events.extend(text_delta(index, text));
                if !matches!(next, Some(Part::Text(_))) {
                    self.close(index, &mut events);
                }
            }
            Part::Call { call, arguments, last } => {
                let index = self.begin(&tool_use(answer, *call), &mut events);
                self.calls.push(index);
                self.arguments(*call, arguments, *last, &mut events);
            }
            Part::Arguments { call, piece, last } => self.arguments(*call, piece, *last, &mut events),
        }
        events.freeze()
    }

    fn arguments(&mut self, call: usize, piece: &str, last: bool, events: &mut BytesMut) {
        // Calls begin in their order, so that their blocks are listed in it.
        let index = self.calls[call];
        events.extend(delta(index, &json!({"type": "input_json_delta", "partial_json": piece})));
        if last {
            events.extend(named(&json!({"type": "content_block_stop", "index": index})));
        }
    }

    /// The number of the open block, begun now if none is open.
    fn opened(&mut self, empty: &Value, events: &mut BytesMut) -> usize {
        if !self.open {
            self.begin(empty, events);
            self.open = true;
        }
        self.begun - 1
    }

    fn begin(&mut self, empty: &Value, events: &mut BytesMut) -> usize {
        let index = self.begun;
        self.begun += 1;
        events.extend(named(&json!({"type": "content_block_start", "index": index, "content_block": empty})));
        index
    }

    fn close(&mut self, index: usize, events: &mut BytesMut) {
        self.open = false;
        events.extend(named(&json!({"type": "content_block_stop", "index": index})));
    }
}

fn delta(index: usize, delta: &Value) -> Bytes {
    named(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn tool_use(answer: &Answer, call: usize) -> Value {
    let tool = &answer.tool_calls[call];
    let id = tool.id.clone().unwrap_or_else(|| format!("toolu_{call}"));
    json!({"type": "tool_use", "id": id, "name": tool.name, "input": {}})
}

fn message(asked: &Asked, content: &Value, stop_reason: Value) -> Value {
    json!({"id": format!("msg_fake_{}", asked.index), "type": "message", "role": "assistant",
        "model": asked.model, "content": content, "stop_reason": stop_reason, "stop_sequence": null})
}

fn stop_reason(answer: &Answer) -> Value {
    json!(finish_reason(answer).map(|reason| match reason {
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        other => other,
    }))
}

fn usage(numbers: &Numbers) -> Value {
    // Tokens from the cache are not among the input tokens here.
    json!({"input_tokens": numbers.prompt.saturating_sub(numbers.cached), "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": numbers.cached, "output_tokens": numbers.completion})
}
