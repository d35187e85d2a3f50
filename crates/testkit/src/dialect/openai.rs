//! OpenAI's chat completions, and Azure's, which adds what its content filter saw.

use bytes::Bytes;
use serde_json::{Value, json};

use super::cost::{Cost, Numbers, finish_reason, with};
use super::{Asked, CREATED, Dialect, Script, event};
use crate::behaviour::{Answer, Part};

pub(super) fn script(asked: &Asked, answer: &Answer) -> Script {
    let mut opening = Vec::new();
    if asked.dialect == Dialect::Azure {
        let seen = json!([{"prompt_index": 0, "content_filter_results": filtered()}]);
        let empty = json!({"id": "", "object": "", "created": 0, "model": "", "choices": [],
            "prompt_filter_results": seen});
        opening.extend_from_slice(&event(&empty));
    }
    opening.extend_from_slice(&chunk(asked, json!({"role": "assistant", "content": ""}), Value::Null));
    let parts = answer.parts(asked.covered).iter().map(|part| self::part(asked, answer, part)).collect();
    let mut end = Vec::new();
    let usage = Cost::of(asked, answer).written(usage).filter(|_| asked.include_usage);
    end.extend(usage.map(|usage| {
        event(&json!({"id": id(asked), "object": "chat.completion.chunk", "created": CREATED,
            "model": asked.model, "choices": [], "usage": usage}))
    }));
    end.push(Bytes::from_static(b"data: [DONE]\n\n"));
    let finish = chunk(asked, json!({}), json!(finish_reason(answer)));
    Script { opening: Some(opening.into()), parts, finish, end }
}

pub(super) fn whole(asked: &Asked, answer: &Answer) -> Value {
    let text = &answer.full_text()[asked.covered..];
    let content = if text.is_empty() && !answer.tool_calls.is_empty() { Value::Null } else { json!(text) };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    message = with(message, "reasoning_content", answer.reasoning.as_ref().map(|text| json!(text)));
    if !answer.tool_calls.is_empty() {
        let calls = (0..answer.tool_calls.len()).map(|call| {
            let arguments = &answer.tool_calls[call].arguments;
            called(answer, call, arguments)
        });
        message["tool_calls"] = calls.collect();
    }
    let mut choice = json!({"index": 0, "message": message, "finish_reason": finish_reason(answer)});
    if asked.dialect == Dialect::Azure {
        choice["content_filter_results"] = filtered();
    }
    let document = json!({"id": id(asked), "object": "chat.completion", "created": CREATED,
        "model": asked.model, "choices": [choice]});
    with(document, "usage", Cost::of(asked, answer).written(usage))
}

/// One piece of text.
pub(super) fn content(asked: &Asked, text: &str) -> Bytes {
    chunk(asked, json!({"content": text}), Value::Null)
}

fn part(asked: &Asked, answer: &Answer, part: &Part) -> Bytes {
    let delta = match part {
        Part::Reasoning(text) => json!({"reasoning_content": text}),
        Part::Text(text) => json!({"content": text}),
        Part::Call { call, arguments, .. } => {
            let mut named = json!({"index": call});
            if let (Value::Object(all), Value::Object(more)) = (&mut named, called(answer, *call, arguments))
            {
                all.extend(more);
            }
            json!({"tool_calls": [named]})
        }
        Part::Arguments { call, piece, .. } => {
            json!({"tool_calls": [{"index": call, "function": {"arguments": piece}}]})
        }
    };
    chunk(asked, delta, Value::Null)
}

fn called(answer: &Answer, call: usize, arguments: &str) -> Value {
    let tool = &answer.tool_calls[call];
    let id = tool.id.clone().unwrap_or_else(|| format!("call_{call}"));
    json!({"id": id, "type": "function", "function": {"name": tool.name, "arguments": arguments}})
}

fn chunk(asked: &Asked, delta: Value, finish_reason: Value) -> Bytes {
    let mut choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    if asked.dialect == Dialect::Azure && choice["delta"].get("content").is_some_and(|text| text != "") {
        choice["content_filter_results"] = filtered();
    }
    event(
        &json!({"id": id(asked), "object": "chat.completion.chunk", "created": CREATED, "model": asked.model,
        "choices": [choice]}),
    )
}

fn usage(numbers: &Numbers) -> Value {
    let &Numbers { prompt, completion, cached, reasoning } = numbers;
    let total = prompt.saturating_add(completion);
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total});
    let details = |name: &str, count: u64| (count > 0).then(|| json!({name: count}));
    let usage = with(usage, "prompt_tokens_details", details("cached_tokens", cached));
    with(usage, "completion_tokens_details", details("reasoning_tokens", reasoning))
}

/// What Azure's filter says of harmless text.
fn filtered() -> Value {
    let safe = json!({"filtered": false, "severity": "safe"});
    json!({"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe})
}

fn id(asked: &Asked) -> String {
    format!("chatcmpl-fake-{}", asked.index)
}
