//! Tools, and which of them the model is to call.

use serde_json::{Map, Value, json};

use super::{Notes, refuse};
use crate::{WireError, json};

/// Anthropic's definitions as OpenAI's. A tool of Anthropic's own, which its servers or its models know, has no
/// counterpart.
pub(super) fn translate(
    tools: Value,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), WireError> {
    let Value::Array(tools) = tools else { return refuse("tools", "an array of tools", &tools) };
    let mut translated = Vec::with_capacity(tools.len());
    for (index, tool) in tools.into_iter().enumerate() {
        let at = format!("tools[{index}]");
        let Value::Object(tool) = tool else { return refuse(at, "an object with a name", &tool) };
        match tool.get("type") {
            None | Some(Value::Null) => {}
            Some(kind) if kind == "custom" => {}
            Some(kind @ Value::String(_)) => {
                let expected = "custom: other tools than the client's own are known to Anthropic only";
                notes.cannot(format!("{at}.type"), expected, json::shown_tree(kind));
                continue;
            }
            Some(kind) => return refuse(format!("{at}.type"), "a string", kind),
        }
        translated.push(translate_tool(tool, &at, notes)?);
    }
    if !translated.is_empty() {
        out.insert("tools".to_owned(), Value::Array(translated));
    }
    Ok(())
}

fn translate_tool(tool: Map<String, Value>, at: &str, notes: &mut Notes) -> Result<Value, WireError> {
    let mut function = Map::new();
    for (name, value) in tool {
        match (name.as_str(), &value) {
            ("type", _) | (_, Value::Null) => {}
            ("name", Value::String(text)) if !text.is_empty() => _ = function.insert(name, value),
            ("name", _) => return refuse(format!("{at}.name"), "the name of the tool", &value),
            ("description", Value::String(_)) | ("strict", Value::Bool(_)) => {
                _ = function.insert(name, value)
            }
            ("description", _) => return refuse(format!("{at}.description"), "a string", &value),
            ("strict", _) => return refuse(format!("{at}.strict"), "true or false", &value),
            ("input_schema", Value::Object(_)) => _ = function.insert("parameters".to_owned(), value),
            ("input_schema", _) => {
                return refuse(format!("{at}.input_schema"), "a JSON schema of an object", &value);
            }
            _ => notes.dropped.name_unless_empty(format!("tools[].{name}"), &value),
        }
    }
    for (ours, required) in [("name", "name"), ("parameters", "input_schema")] {
        if !function.contains_key(ours) {
            return refuse(format!("{at}.{required}"), "it, because Anthropic requires it", &Value::Null);
        }
    }
    Ok(json!({ "type": "function", "function": function }))
}

/// Which tools are to be called, and whether several at once.
pub(super) fn choose(choice: &Value, out: &mut Map<String, Value>) -> Result<(), WireError> {
    let kind = choice.get("type").unwrap_or(&Value::Null);
    let chosen = match (kind.as_str(), choice.get("name")) {
        (Some("auto"), _) => json!("auto"),
        (Some("any"), _) => json!("required"),
        (Some("none"), _) => json!("none"),
        (Some("tool"), Some(name @ Value::String(_))) => {
            json!({ "type": "function", "function": { "name": name } })
        }
        (Some("tool"), name) => {
            return refuse("tool_choice.name", "the name of a tool", name.unwrap_or(&Value::Null));
        }
        _ => return refuse("tool_choice.type", "auto, any, tool or none", kind),
    };
    out.insert("tool_choice".to_owned(), chosen);
    match choice.get("disable_parallel_tool_use") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => _ = out.insert("parallel_tool_calls".to_owned(), json!(false)),
        Some(other) => {
            return refuse("tool_choice.disable_parallel_tool_use", "true or false", other);
        }
    }
    Ok(())
}
