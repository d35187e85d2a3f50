//! The conversation: OpenAI's messages as turns of Anthropic's.

use serde_json::{Map, Value, json};

use super::{blocks, refuse};
use crate::anthropic::REASONING_FORMAT;
use crate::dropped::{Dropped, says_nothing};
use crate::openai::{Content, Message, Part, Role};
use crate::{WireError, json};

/// A conversation in Anthropic's form.
#[derive(Default)]
pub(super) struct Conversation {
    /// Blocks of text.
    pub(super) system: Vec<Value>,
    /// Messages of the user and the assistant in turn.
    pub(super) turns: Vec<Value>,
}

/// Neighbours that speak for the same side become one turn; results of tools are said by the user. A message that says
/// nothing is left out, because Anthropic refuses empty ones. Of instructions alone the last are said by the user, because
/// Anthropic requires one.
pub(super) fn translate(messages: Vec<Message>, dropped: &mut Dropped) -> Result<Conversation, WireError> {
    let only_instructions = messages.iter().all(|message| message.role.instructs());
    let mut system: Vec<(usize, Vec<Value>)> = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for (index, message) in messages.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        let (side, blocks) = match message.role {
            Role::System | Role::Developer => {
                if !turns.is_empty() {
                    dropped.name("messages[].role");
                }
                let said = instructions(message, &at, dropped)?;
                if !said.is_empty() {
                    system.push((index, said));
                }
                continue;
            }
            Role::User => ("user", user(message, &at, dropped)?),
            Role::Tool => ("user", vec![tool_result(message, &at, dropped)?]),
            Role::Assistant => ("assistant", assistant(message, &at, dropped)?),
            Role::Function => {
                return refuse(&format!("{at}.role"), "tool in its place", &json!("function"));
            }
        };
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, said)) if *last == side => said.extend(blocks),
            _ => turns.push((side, blocks)),
        }
    }
    if only_instructions && let Some((index, said)) = system.pop() {
        dropped.name(format!("messages[{index}].role"));
        turns.push(("user", said));
    }
    if turns.is_empty() {
        let expected = "a message of the user that says something, which Anthropic requires";
        return refuse("messages", expected, &json!("none"));
    }
    let turns =
        turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
    Ok(Conversation { system: system.into_iter().flat_map(|(_, said)| said).collect(), turns })
}

/// What a message has besides its content, in either dialect's words.
struct Rest {
    cache_control: Option<Value>,
    extra: Map<String, Value>,
}

impl Rest {
    fn of(name: Option<String>, mut extra: Map<String, Value>, dropped: &mut Dropped) -> Self {
        if name.is_some() {
            dropped.name("messages[].name");
        }
        let cache_control = extra.remove("cache_control").filter(|value| !value.is_null());
        Self { cache_control, extra }
    }

    /// Names what is still there, and marks the last block where the message was marked.
    fn finish(self, blocks: &mut [Value], dropped: &mut Dropped) {
        for (name, value) in self.extra {
            dropped.name_unless_empty(format!("messages[].{name}"), &value);
        }
        let Some(mark) = self.cache_control else { return };
        match blocks.last_mut() {
            // Blocks of thinking cannot be marked.
            Some(Value::Object(block))
                if block
                    .get("type")
                    .is_some_and(|kind| kind != "thinking" && kind != "redacted_thinking") =>
            {
                block.entry("cache_control").or_insert(mark);
            }
            _ => dropped.name("messages[].cache_control"),
        }
    }
}

fn instructions(message: Message, at: &str, dropped: &mut Dropped) -> Result<Vec<Value>, WireError> {
    let rest = Rest::of(message.name, message.extra, dropped);
    let mut said = blocks::translate(message.content, at, dropped)?;
    if let Some(index) = said.iter().position(|block| block.get("type") != Some(&json!("text"))) {
        let kind = said.get(index).and_then(|block| block.get("type")).unwrap_or(&Value::Null);
        let expected = "text, because Anthropic's system prompt is text";
        return refuse(&format!("{at}.content[{index}].type"), expected, kind);
    }
    rest.finish(&mut said, dropped);
    Ok(said)
}

fn user(message: Message, at: &str, dropped: &mut Dropped) -> Result<Vec<Value>, WireError> {
    let rest = Rest::of(message.name, message.extra, dropped);
    let mut said = blocks::translate(message.content, at, dropped)?;
    rest.finish(&mut said, dropped);
    Ok(said)
}

fn tool_result(message: Message, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    let rest = Rest::of(message.name, message.extra, dropped);
    let Some(id) = message.tool_call_id else {
        return refuse(&format!("{at}.tool_call_id"), "the id of the call that it answers", &Value::Null);
    };
    let mut result = Map::new();
    result.insert("type".to_owned(), json!("tool_result"));
    result.insert("tool_use_id".to_owned(), json!(id));
    match message.content {
        Some(Content::Text(text)) if text.is_empty() => {}
        Some(Content::Text(text)) => _ = result.insert("content".to_owned(), json!(text)),
        parts => {
            let said = blocks::translate(parts, at, dropped)?;
            if !said.is_empty() {
                result.insert("content".to_owned(), Value::Array(said));
            }
        }
    }
    let mut result = [Value::Object(result)];
    rest.finish(&mut result, dropped);
    let [result] = result;
    Ok(result)
}

fn assistant(message: Message, at: &str, dropped: &mut Dropped) -> Result<Vec<Value>, WireError> {
    let mut rest = Rest::of(message.name, message.extra, dropped);
    for said_elsewhere in ["audio", "function_call"] {
        if let Some(value) = rest.extra.remove(said_elsewhere).filter(|value| !says_nothing(value)) {
            let expected = "it absent, because Anthropic's messages have no such thing";
            return refuse(&format!("{at}.{said_elsewhere}"), expected, &value);
        }
    }
    let mut said = match rest.extra.remove("reasoning_details") {
        Some(Value::Array(details)) => thinking(details, dropped),
        _ => Vec::new(),
    };
    let signed = !said.is_empty();
    for text in ["reasoning_content", "reasoning"] {
        // The same text again, where the details have it; without a signature Anthropic does not take it.
        if signed || rest.extra.get(text).is_some_and(says_nothing) {
            rest.extra.remove(text);
        }
    }
    said.extend(blocks::translate(message.content, at, dropped)?);
    if let Some(Value::String(refusal)) =
        rest.extra.remove("refusal").filter(|refusal| !says_nothing(refusal))
    {
        said.push(json!({ "type": "text", "text": refusal }));
    }
    match message.tool_calls {
        None | Some(Value::Null) => {}
        Some(calls) => said.extend(tool_uses(calls, at, dropped)?),
    }
    rest.finish(&mut said, dropped);
    Ok(said)
}

/// Blocks of thinking out of `reasoning_details`. A stream's pieces that were only put one after another are joined:
/// text without a signature belongs to what follows.
fn thinking(details: Vec<Value>, dropped: &mut Dropped) -> Vec<Value> {
    let mut out = Vec::new();
    let mut unsigned = String::new();
    for detail in details {
        let text = |key: &str| detail.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let ours = text("format").is_none_or(|format| format == REASONING_FORMAT);
        match (text("type"), ours) {
            (Some("reasoning.text"), true) => {
                unsigned.push_str(text("text").unwrap_or_default());
                if let Some(signature) = text("signature") {
                    let thinking = std::mem::take(&mut unsigned);
                    out.push(json!({ "type": "thinking", "thinking": thinking, "signature": signature }));
                }
            }
            (Some("reasoning.encrypted"), true) if text("data").is_some() => {
                out.push(json!({ "type": "redacted_thinking", "data": text("data") }));
            }
            _ => dropped.name("messages[].reasoning_details"),
        }
    }
    if !unsigned.is_empty() {
        dropped.name("messages[].reasoning_details");
    }
    out
}

/// OpenAI writes a call's arguments as a string of JSON, Anthropic as an object.
fn tool_uses(calls: Value, at: &str, dropped: &mut Dropped) -> Result<Vec<Value>, WireError> {
    let Value::Array(calls) = calls else {
        return refuse(&format!("{at}.tool_calls"), "an array of calls", &calls);
    };
    let mut out = Vec::with_capacity(calls.len());
    for (index, call) in calls.into_iter().enumerate() {
        let at = format!("{at}.tool_calls[{index}]");
        let text = |pointer: &str, field: &str, what: &str| match call.pointer(pointer) {
            Some(Value::String(text)) => Ok(text.clone()),
            other => refuse(&format!("{at}.{field}"), what, other.unwrap_or(&Value::Null)),
        };
        if let Some(kind) = call.get("type").filter(|kind| !kind.is_null() && *kind != "function") {
            return refuse(&format!("{at}.type"), "function, the one kind that can be translated", kind);
        }
        let id = text("/id", "id", "the id of the call, which its result refers to")?;
        let name = text("/function/name", "function.name", "the name of the function")?;
        let arguments = match call.pointer("/function/arguments") {
            None | Some(Value::Null) => String::new(),
            Some(_) => {
                text("/function/arguments", "function.arguments", "a string that holds a JSON object")?
            }
        };
        let input = match arguments.trim() {
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
        let mut block = json!({ "type": "tool_use", "id": id, "name": name, "input": input });
        if let (Some(mark), Value::Object(block)) = (call.get("cache_control"), &mut block) {
            block.insert("cache_control".to_owned(), mark.clone());
        }
        for name in call.as_object().into_iter().flat_map(Map::keys) {
            if !["id", "type", "function", "index", "cache_control"].contains(&name.as_str()) {
                let value = call.get(name).unwrap_or(&Value::Null);
                dropped.name_unless_empty(format!("messages[].tool_calls[].{name}"), value);
            }
        }
        out.push(block);
    }
    Ok(out)
}

/// What a part is called in errors.
pub(super) fn shown_kind(part: &Part) -> String {
    json::shown_tree(&json!(part.kind()))
}
