//! Gemini's `generateContent`: parts of candidates, calls always whole.

use bytes::Bytes;
use serde_json::{Value, json};

use super::cost::{Cost, Numbers, finish_reason, with};
use super::{Asked, SIGNATURE, Script, event, object};
use crate::behaviour::{Answer, Part};

pub(super) fn script(asked: &Asked, answer: &Answer) -> Script {
    let parts = answer.parts(asked.covered).iter().filter_map(|part| self::part(answer, part)).collect();
    let parts: Vec<Value> = parts;
    let events = parts.into_iter().map(|part| document(asked, &json!([part]), None));
    let mut signed = json!({"text": ""});
    if answer.reasoning.is_some() && answer.tool_calls.is_empty() {
        signed["thoughtSignature"] = json!(SIGNATURE);
    }
    let finish = document(asked, &json!([signed]), reason(answer));
    let finish = with(finish, "usageMetadata", Cost::of(asked, answer).written(usage));
    if !asked.array {
        let parts = events.map(|json| event(&json)).collect();
        return Script { opening: None, parts, finish: event(&finish), end: Vec::new() };
    }
    let mut before = "[";
    let mut element = |json: Value| Bytes::from(format!("{}{json}", std::mem::replace(&mut before, ",\r\n")));
    let parts = events.map(&mut element).collect();
    Script { opening: None, parts, finish: element(finish), end: vec![Bytes::from_static(b"]")] }
}

pub(super) fn whole(asked: &Asked, answer: &Answer) -> Value {
    let mut parts = Vec::new();
    if let Some(thought) = &answer.reasoning {
        parts.push(json!({"text": thought, "thought": true}));
    }
    let text = &answer.full_text()[asked.covered..];
    if !text.is_empty() {
        parts.push(json!({"text": text}));
    }
    parts.extend((0..answer.tool_calls.len()).map(|call| function_call(answer, call)));
    let document = document(asked, &json!(parts), reason(answer));
    with(document, "usageMetadata", Cost::of(asked, answer).written(usage))
}

/// One piece of text.
pub(super) fn content(asked: &Asked, text: &str) -> Bytes {
    event(&document(asked, &json!([{"text": text}]), None))
}

fn part(answer: &Answer, part: &Part) -> Option<Value> {
    match part {
        Part::Reasoning(text) => Some(json!({"text": text, "thought": true})),
        Part::Text(text) => Some(json!({"text": text})),
        Part::Call { call, last: true, .. } | Part::Arguments { call, last: true, .. } => {
            Some(function_call(answer, *call))
        }
        Part::Call { .. } | Part::Arguments { .. } => None,
    }
}

fn function_call(answer: &Answer, call: usize) -> Value {
    let tool = &answer.tool_calls[call];
    let mut function = json!({"name": tool.name, "args": object(&tool.arguments)});
    function = with(function, "id", tool.id.as_ref().map(|id| json!(id)));
    // The first of parallel calls carries the signature of the thoughts before them.
    let signature = (call == 0 && answer.reasoning.is_some()).then(|| json!(SIGNATURE));
    with(json!({"functionCall": function}), "thoughtSignature", signature)
}

fn document(asked: &Asked, parts: &Value, reason: Option<Value>) -> Value {
    let candidate = json!({"content": {"parts": parts, "role": "model"}});
    let candidate = with(candidate, "finishReason", reason);
    json!({"candidates": [with(candidate, "index", Some(json!(0)))], "modelVersion": asked.model,
        "responseId": format!("fake-{}", asked.index)})
}

fn reason(answer: &Answer) -> Option<Value> {
    let reason = finish_reason(answer)?;
    Some(json!(match reason {
        "stop" | "tool_calls" => "STOP",
        "length" => "MAX_TOKENS",
        "content_filter" => "SAFETY",
        other => other,
    }))
}

fn usage(numbers: &Numbers) -> Value {
    let &Numbers { prompt, completion, cached, reasoning } = numbers;
    // Thoughts are not among the candidates' tokens here.
    let usage = json!({"promptTokenCount": prompt, "candidatesTokenCount": completion.saturating_sub(reasoning),
        "totalTokenCount": prompt.saturating_add(completion)});
    let some = |count: u64| (count > 0).then(|| json!(count));
    with(with(usage, "cachedContentTokenCount", some(cached)), "thoughtsTokenCount", some(reasoning))
}
