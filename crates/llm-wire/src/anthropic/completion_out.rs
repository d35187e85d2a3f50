//! Our whole answer in OpenAI's dialect, as an Anthropic client expects it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer_out::Detail;
use super::usage::{AnthropicUsage, Counts, Written};
use super::{error, stop};
use crate::openai::{UpstreamError, decode_object, parse_error};
use crate::{WireError, json};

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Written>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Deserialize, Default)]
struct Message {
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
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Serialize)]
struct MessageOut<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block>,
    stop_reason: &'static str,
    stop_sequence: Option<String>,
    usage: AnthropicUsage,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text { text: String },
    Thinking { thinking: String, signature: String },
    RedactedThinking { data: String },
    ToolUse { id: String, name: String, input: Box<RawValue> },
}

pub(super) fn completion(body: &[u8], id: &str) -> Result<Bytes, WireError> {
    let completion: Completion = decode_object(body)?;
    if completion.error.is_some() {
        let UpstreamError { message, kind, .. } = parse_error(body);
        return Ok(error::error_body(error::known_kind(kind.as_deref()), &message));
    }
    let Some(choice) = completion.choices.unwrap_or_default().into_iter().next() else {
        return Err(WireError::invalid("choices", "at least one choice", "none"));
    };
    let content = blocks(choice.message.unwrap_or_default(), id)?;
    let called = content.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    let stop_sequence = match choice.stop_reason {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let stop_reason = stop::stop_reason(choice.finish_reason.as_deref(), called, stop_sequence.is_some());
    let Written(usage) = completion.usage.unwrap_or_default();
    Ok(json::encode(&MessageOut {
        id,
        kind: "message",
        role: "assistant",
        model: completion.model.as_deref().unwrap_or_default(),
        content,
        stop_reason,
        stop_sequence,
        usage: Counts::from_openai(&usage).anthropic(),
    }))
}

fn blocks(message: Message, id: &str) -> Result<Vec<Block>, WireError> {
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut content = Vec::new();
    let mut signed = false;
    for detail in message.reasoning_details.unwrap_or_default() {
        if !detail.is_anthropics() {
            continue;
        }
        match (detail.kind.as_str(), some(detail.signature), some(detail.data)) {
            ("reasoning.text", Some(signature), _) => {
                signed = true;
                content.push(Block::Thinking { thinking: detail.text.unwrap_or_default(), signature });
            }
            ("reasoning.encrypted", _, Some(data)) => content.push(Block::RedactedThinking { data }),
            _ => {}
        }
    }
    // The details have the same text, if they have any.
    if let Some(thinking) = some(message.reasoning_content).or(some(message.reasoning)).filter(|_| !signed) {
        content.insert(0, Block::Thinking { thinking, signature: String::new() });
    }
    for text in [some(message.content), some(message.refusal)].into_iter().flatten() {
        content.push(Block::Text { text });
    }
    for (index, call) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
        let id = some(call.id).unwrap_or_else(|| format!("toolu_{}_{index}", id.trim_start_matches("msg_")));
        let input = input(call.function.arguments.as_deref().unwrap_or_default(), index)?;
        content.push(Block::ToolUse { id, name: call.function.name, input });
    }
    Ok(content)
}

/// OpenAI writes a call's arguments as a string of JSON, Anthropic as an object: the same bytes, unquoted.
fn input(arguments: &str, index: usize) -> Result<Box<RawValue>, WireError> {
    let text = match arguments.trim() {
        "" => "{}",
        text => text,
    };
    let refused = || {
        WireError::invalid(
            format!("choices[0].message.tool_calls[{index}].function.arguments"),
            "a string that holds a JSON object",
            format!("a string of {} bytes", text.len()),
        )
    };
    if !text.starts_with('{') {
        return Err(refused());
    }
    RawValue::from_string(text.to_owned()).map_err(|_| refused())
}
