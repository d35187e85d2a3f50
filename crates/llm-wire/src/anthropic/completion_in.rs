//! Anthropic's whole answer, as OpenAI's completion.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::event_in::StopDetails;
use super::usage::{Counts, OpenAiUsage, Written};
use super::{REASONING_FORMAT, stop};
use crate::openai::decode_object;
use crate::{WireError, json};

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    content: Option<Vec<Block<'a>>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default)]
    stop_details: Option<StopDetails>,
    #[serde(default)]
    usage: Option<Written>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Serialize, Default)]
struct MessageOut {
    role: &'static str,
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
}

#[derive(Serialize)]
struct ChoiceOut {
    index: u32,
    message: MessageOut,
    finish_reason: &'static str,
    /// vLLM's field for the stop text that was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<String>,
}

#[derive(Serialize)]
struct CompletionOut<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [ChoiceOut; 1],
    usage: OpenAiUsage,
}

/// OpenAI's error object for an error of Anthropic's.
pub(super) fn error_chunk(error: Value) -> Bytes {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    json::encode(&json!({ "error": {
        "message": text("message").map_or_else(|| error.to_string(), str::to_owned),
        "type": text("type").unwrap_or("upstream_error"),
        "param": null,
        "code": null,
    }}))
}

pub(super) fn completion(body: &[u8], id: &str, model: &str, created: u64) -> Result<Bytes, WireError> {
    let answer: Message<'_> = decode_object(body)?;
    if let Some(error) = answer.error {
        return Ok(error_chunk(error));
    }
    let Some(blocks) = answer.content else {
        return Err(WireError::invalid("content", "an array of blocks", "nothing"));
    };
    let mut message = MessageOut { role: "assistant", ..MessageOut::default() };
    for (index, block) in blocks.into_iter().enumerate() {
        take(block, index, id, &mut message)?;
    }
    if message.content.is_none() && message.tool_calls.is_empty() {
        message.content = Some(String::new());
    }
    let reason = answer.stop_reason.as_deref().unwrap_or("end_turn");
    if reason == "refusal" {
        message.refusal = answer.stop_details.and_then(|details| details.explanation);
    }
    let choice = ChoiceOut {
        index: 0,
        message,
        finish_reason: stop::finish_reason(reason),
        stop_reason: answer.stop_sequence,
    };
    let Written(usage) = answer.usage.unwrap_or_default();
    let usage = Counts::from_anthropic(&usage).openai();
    Ok(json::encode(&CompletionOut {
        id,
        object: "chat.completion",
        created,
        model,
        choices: [choice],
        usage,
    }))
}

fn take(block: Block<'_>, index: usize, answer_id: &str, message: &mut MessageOut) -> Result<(), WireError> {
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    match block.kind.as_str() {
        "text" => message.content.get_or_insert_default().push_str(&block.text.unwrap_or_default()),
        "thinking" => {
            let thinking = block.thinking.unwrap_or_default();
            if !thinking.is_empty() {
                message.reasoning_content.get_or_insert_default().push_str(&thinking);
            }
            if let Some(signature) = some(block.signature) {
                message.reasoning_details.push(json!({
                    "type": "reasoning.text",
                    "text": thinking,
                    "signature": signature,
                    "format": REASONING_FORMAT,
                }));
            }
        }
        "redacted_thinking" => message.reasoning_details.push(json!({
            "type": "reasoning.encrypted",
            "data": block.data.unwrap_or_default(),
            "format": REASONING_FORMAT,
        })),
        "tool_use" => {
            let call = message.tool_calls.len();
            let id = some(block.id).unwrap_or_else(|| format!("call_{answer_id}_{call}"));
            let Some(name) = some(block.name) else {
                return Err(WireError::invalid(
                    format!("content[{index}].name"),
                    "the name of a tool",
                    "nothing",
                ));
            };
            // As it was written: no number in it changes.
            let arguments = block.input.map_or("{}", RawValue::get);
            let function = json!({ "name": name, "arguments": arguments });
            message.tool_calls.push(json!({ "id": id, "type": "function", "function": function }));
        }
        // Uses and results of Anthropic's own tools, which no request in OpenAI's dialect offers.
        _ => {}
    }
    Ok(())
}
