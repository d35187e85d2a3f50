//! The conversation: Anthropic's turns as OpenAI's messages.

use serde_json::{Map, Value, json};

use super::{Notes, blocks, refuse};
use crate::WireError;

/// All messages, the instructions first.
pub(super) fn translate(system: Value, messages: Value, notes: &mut Notes) -> Result<Value, WireError> {
    let mut out = Vec::new();
    if !system.is_null() {
        let content = instructions(system, "system", notes)?;
        if content != json!([]) && content != json!("") {
            out.push(json!({ "role": "system", "content": content }));
        }
    }
    let Value::Array(messages) = messages else {
        return refuse("messages", "a non-empty array of messages", &messages);
    };
    if messages.is_empty() {
        return Err(WireError::invalid("messages", "a non-empty array of messages", "an empty array"));
    }
    for (index, message) in messages.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        let Value::Object(mut message) = message else {
            return refuse(at, "an object with role and content", &message);
        };
        let role = message.remove("role").unwrap_or(Value::Null);
        let content = message.remove("content").unwrap_or(Value::Null);
        match role.as_str() {
            Some("user") => user(content, &at, &mut out, notes)?,
            Some("assistant") => out.push(assistant(content, &at, notes)?),
            Some("system") => {
                let content = instructions(content, &format!("{at}.content"), notes)?;
                out.push(json!({ "role": "system", "content": content }));
            }
            _ => return refuse(format!("{at}.role"), "user, assistant or system", &role),
        }
        for (name, value) in message {
            notes.dropped.name_unless_empty(format!("messages[].{name}"), &value);
        }
    }
    Ok(Value::Array(out))
}

/// The blocks of a content, a string being one block of text.
fn blocks_of(content: Value, at: &str) -> Result<Vec<Map<String, Value>>, WireError> {
    let list = match content {
        Value::String(text) => vec![json!({ "type": "text", "text": text })],
        Value::Array(list) => list,
        other => return refuse(at, "a string or an array of blocks", &other),
    };
    list.into_iter()
        .enumerate()
        .map(|(index, block)| match block {
            Value::Object(block) if block.get("type").is_some_and(Value::is_string) => Ok(block),
            Value::Object(block) => {
                let kind = block.get("type").unwrap_or(&Value::Null);
                refuse(format!("{at}[{index}].type"), "a string like \"text\"", kind)
            }
            other => refuse(format!("{at}[{index}]"), "an object with a type", &other),
        })
        .collect()
}

fn kind(block: &Map<String, Value>) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// A string where one is enough, so that backends that know no parts of content understand it.
fn shortest(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [Value::Object(part)] if part.len() == 2 && part.get("type") == Some(&json!("text")) => {
            part.remove("text").unwrap_or_default()
        }
        _ => Value::Array(parts),
    }
}

fn instructions(content: Value, at: &str, notes: &mut Notes) -> Result<Value, WireError> {
    let mut parts = Vec::new();
    for (index, block) in blocks_of(content, at)?.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        if kind(&block) != "text" {
            return refuse(format!("{at}.type"), "text", block.get("type").unwrap_or(&Value::Null));
        }
        parts.push(blocks::text(block, &at, notes)?);
    }
    Ok(shortest(parts))
}

/// What the user said: results of tools are messages of their own, and come first, where OpenAI wants them.
fn user(content: Value, at: &str, out: &mut Vec<Value>, notes: &mut Notes) -> Result<(), WireError> {
    let content_at = format!("{at}.content");
    let mut parts = Vec::new();
    // What of the results OpenAI's tools cannot say.
    let mut moved = Vec::new();
    let mut results = 0;
    for (index, block) in blocks_of(content, &content_at)?.into_iter().enumerate() {
        let at = format!("{content_at}[{index}]");
        if kind(&block) == "tool_result" {
            out.push(tool_result(block, &at, &mut moved, notes)?);
            results += 1;
        } else {
            parts.extend(blocks::part(block, &at, notes)?);
        }
    }
    moved.append(&mut parts);
    if results == 0 || !moved.is_empty() {
        out.push(json!({ "role": "user", "content": shortest(moved) }));
    }
    Ok(())
}

fn tool_result(
    mut block: Map<String, Value>,
    at: &str,
    moved: &mut Vec<Value>,
    notes: &mut Notes,
) -> Result<Value, WireError> {
    let id = block.remove("tool_use_id").unwrap_or(Value::Null);
    let Some(call) = id.as_str() else {
        return refuse(format!("{at}.tool_use_id"), "the id of the call that it answers", &id);
    };
    let mut texts = Vec::new();
    let mut others = Vec::new();
    let content = block.remove("content").filter(|content| !content.is_null());
    let content_at = format!("{at}.content");
    for (index, inner) in blocks_of(content.unwrap_or(json!("")), &content_at)?.into_iter().enumerate() {
        let at = format!("{content_at}[{index}]");
        for part in blocks::part(inner, &at, notes)? {
            let is_text = part.get("type") == Some(&json!("text"));
            if is_text { texts.push(part) } else { others.push(part) }
        }
    }
    if !others.is_empty() {
        moved.push(json!({ "type": "text", "text": format!("From the result of tool call {call}:") }));
        moved.append(&mut others);
    }
    let content = if texts.is_empty() { json!("") } else { shortest(texts) };
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("tool"));
    message.insert("tool_call_id".to_owned(), json!(call));
    message.insert("content".to_owned(), content);
    for (name, value) in block {
        match name.as_str() {
            "type" => {}
            "is_error" if !value.is_boolean() && !value.is_null() => {
                return refuse(format!("{at}.is_error"), "true or false", &value);
            }
            _ => notes.dropped.name_unless_empty(format!("messages[].content[].{name}"), &value),
        }
    }
    Ok(Value::Object(message))
}

/// What the assistant said. OpenAI's message says it in one order: thinking, text, calls.
fn assistant(content: Value, at: &str, notes: &mut Notes) -> Result<Value, WireError> {
    let content_at = format!("{at}.content");
    let mut parts = Vec::new();
    let mut calls = Vec::new();
    let mut thoughts = blocks::Thoughts::default();
    for (index, block) in blocks_of(content, &content_at)?.into_iter().enumerate() {
        let at = format!("{content_at}[{index}]");
        match kind(&block) {
            "text" => parts.push(blocks::text(block, &at, notes)?),
            "tool_use" => calls.push(blocks::call(block, &at, notes)?),
            "thinking" | "redacted_thinking" => thoughts.take(&block, &at)?,
            "tool_result" => {
                return refuse(format!("{at}.type"), "a block that an assistant says", &json!("tool_result"));
            }
            _ => {
                // An assistant of OpenAI's says text; whatever else it is, this checks what can be checked.
                let said = blocks::part(block.clone(), &at, notes)?;
                if !said.is_empty() {
                    let expected = "text, thinking or tool_use, which an assistant of OpenAI's says";
                    notes.cannot(format!("{at}.type"), expected, format!("{:?}", kind(&block)));
                }
            }
        }
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    let content = match parts.is_empty() {
        true if calls.is_empty() => json!(""),
        true => Value::Null,
        false => shortest(parts),
    };
    message.insert("content".to_owned(), content);
    thoughts.write(&mut message);
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Ok(Value::Object(message))
}
