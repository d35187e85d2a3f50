//! Ollama's chat: a document per line, calls always whole.

use bytes::Bytes;
use serde_json::{Value, json};

use super::cost::{Cost, finish_reason, with};
use super::{Asked, CREATED_AT, Script, line, object};
use crate::behaviour::{Answer, Part};

pub(super) fn script(asked: &Asked, answer: &Answer) -> Script {
    let parts = answer.parts(asked.covered);
    let parts = parts.iter().filter_map(|part| Some(piece(asked, message(answer, part)?))).collect();
    let finish = line(&end(asked, answer, json!({"role": "assistant", "content": ""})));
    Script { opening: None, parts, finish, end: Vec::new() }
}

pub(super) fn whole(asked: &Asked, answer: &Answer) -> Value {
    let mut message = json!({"role": "assistant", "content": &answer.full_text()[asked.covered..]});
    message = with(message, "thinking", answer.reasoning.as_ref().map(|text| json!(text)));
    if !answer.tool_calls.is_empty() {
        message["tool_calls"] = (0..answer.tool_calls.len()).map(|call| called(answer, call)).collect();
    }
    end(asked, answer, message)
}

/// One piece of text.
pub(super) fn content(asked: &Asked, text: &str) -> Bytes {
    piece(asked, json!({"role": "assistant", "content": text}))
}

fn piece(asked: &Asked, message: Value) -> Bytes {
    line(&json!({"model": asked.model, "created_at": CREATED_AT, "message": message, "done": false}))
}

fn message(answer: &Answer, part: &Part) -> Option<Value> {
    match part {
        Part::Reasoning(text) => Some(json!({"role": "assistant", "content": "", "thinking": text})),
        Part::Text(text) => Some(json!({"role": "assistant", "content": text})),
        Part::Call { call, last: true, .. } | Part::Arguments { call, last: true, .. } => {
            Some(json!({"role": "assistant", "content": "", "tool_calls": [called(answer, *call)]}))
        }
        Part::Call { .. } | Part::Arguments { .. } => None,
    }
}

fn called(answer: &Answer, call: usize) -> Value {
    let tool = &answer.tool_calls[call];
    let call = json!({"function": {"name": tool.name, "arguments": object(&tool.arguments)}});
    with(call, "id", tool.id.as_ref().map(|id| json!(id)))
}

fn end(asked: &Asked, answer: &Answer, message: Value) -> Value {
    let reason = finish_reason(answer).map(|reason| match reason {
        "tool_calls" => "stop",
        other => other,
    });
    let mut end = json!({"model": asked.model, "created_at": CREATED_AT, "message": message, "done": true});
    end = with(end, "done_reason", reason.map(|reason| json!(reason)));
    // Ollama's durations are nanoseconds, and its usage is no object of its own.
    let usage = Cost::of(asked, answer).written(|numbers| {
        json!({"total_duration": 1_000_000, "load_duration": 0, "prompt_eval_count": numbers.prompt,
            "prompt_eval_duration": 500_000, "eval_count": numbers.completion, "eval_duration": 500_000})
    });
    if let (Value::Object(end), Some(Value::Object(usage))) = (&mut end, usage) {
        end.extend(usage);
    }
    end
}
