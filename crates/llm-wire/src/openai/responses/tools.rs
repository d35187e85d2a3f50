//! The functions that a model may call.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::echo::Echo;
use super::{Dropped, refuse};
use crate::WireError;

const CHOICES: &str = "auto, none, required, one function, or allowed_tools";

/// Writes `tools`, `tool_choice` and `parallel_tool_calls` of a chat, as far as they say anything: OpenAI's API refuses
/// the other two without the first.
pub(super) fn translate(
    tools: Option<Value>,
    choice: Option<Value>,
    parallel: Option<Value>,
    out: &mut Map<String, Value>,
    echo: &mut Echo,
    dropped: &mut Dropped,
) -> Result<(), WireError> {
    let mut functions = match tools {
        None => Vec::new(),
        Some(Value::Array(tools)) => tools
            .into_iter()
            .enumerate()
            .map(|(index, tool)| function(tool, &format!("tools[{index}]"), dropped))
            .collect::<Result<Vec<_>, _>>()?,
        Some(other) => return refuse("tools", "an array of functions", &other),
    };
    let choice = match choice {
        Some(Value::Object(choice)) => chosen(&choice, &mut functions)?,
        Some(choice) if ["auto", "none", "required"].iter().any(|known| choice == *known) => Some(choice),
        Some(other) => return refuse("tool_choice", CHOICES, &other),
        None => None,
    };
    let parallel = match parallel {
        Some(Value::Bool(parallel)) => {
            echo.repeat("parallel_tool_calls", &json!(parallel));
            parallel
        }
        Some(other) => return refuse("parallel_tool_calls", "true or false", &other),
        None => true,
    };
    if functions.is_empty() {
        return match choice {
            Some(choice) if choice != "auto" && choice != "none" => {
                refuse("tool_choice", "auto or none, because there are no tools", &choice)
            }
            _ => Ok(()),
        };
    }
    out.insert("tools".to_owned(), Value::Array(functions));
    if let Some(choice) = choice {
        out.insert("tool_choice".to_owned(), choice);
    }
    if !parallel {
        out.insert("parallel_tool_calls".to_owned(), json!(false));
    }
    Ok(())
}

/// The fields of a function stand beside its type here, and one level deeper in chats.
fn function(tool: Value, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    let Value::Object(mut tool) = tool else { return refuse(at, "an object with a type", &tool) };
    tool.retain(|_, value| !value.is_null());
    let kind = tool.shift_remove("type").unwrap_or_default();
    if kind != "function" {
        let expected = "function, because tools that OpenAI runs itself do not run here; offer a function and run it yourself";
        return refuse(&format!("{at}.type"), expected, &kind);
    }
    if !tool.get("name").is_some_and(Value::is_string) {
        return refuse(&format!("{at}.name"), "a string", tool.get("name").unwrap_or(&Value::Null));
    }
    let mut function = Map::new();
    for (name, value) in tool {
        match name.as_str() {
            "name" | "description" | "parameters" | "strict" => _ = function.insert(name, value),
            "defer_loading" if value == json!(false) => {}
            "allowed_callers" if value == json!(["direct"]) => {}
            // It describes what the tool answers, to those who write programs that call it.
            "output_schema" => dropped.note("tools[].output_schema"),
            _ => return refuse(&format!("{at}.{name}"), "name, description, parameters or strict", &value),
        }
    }
    Ok(json!({ "type": "function", "function": function }))
}

fn name_of(function: &Value) -> Option<&str> {
    function.pointer("/function/name")?.as_str()
}

/// One function, or some of them: then only those are offered, which every endpoint understands.
fn chosen(choice: &Map<String, Value>, functions: &mut Vec<Value>) -> Result<Option<Value>, WireError> {
    let whole = || Value::Object(choice.clone());
    match choice.get("type").and_then(Value::as_str) {
        Some("function") => match choice.get("name") {
            Some(name @ Value::String(_)) => {
                Ok(Some(json!({ "type": "function", "function": { "name": name } })))
            }
            other => refuse("tool_choice.name", "the name of a function", other.unwrap_or(&Value::Null)),
        },
        Some("allowed_tools") => {
            let Some(Value::Array(allowed)) = choice.get("tools") else {
                let got = choice.get("tools").unwrap_or(&Value::Null);
                return refuse("tool_choice.tools", "an array of functions", got);
            };
            let known: HashSet<&str> = functions.iter().filter_map(name_of).collect();
            let mut names = HashSet::with_capacity(allowed.len());
            for (index, tool) in allowed.iter().enumerate() {
                match tool.get("name").and_then(Value::as_str).filter(|name| known.contains(name)) {
                    Some(name) => _ = names.insert(name),
                    None => {
                        let field = format!("tool_choice.tools[{index}].name");
                        let got = tool.get("name").unwrap_or(tool);
                        return refuse(&field, "the name of a function among tools", got);
                    }
                }
            }
            functions.retain(|function| name_of(function).is_some_and(|name| names.contains(name)));
            match choice.get("mode") {
                Some(mode) if mode == "auto" || mode == "required" => Ok(Some(mode.clone())),
                other => refuse("tool_choice.mode", "auto or required", other.unwrap_or(&Value::Null)),
            }
        }
        _ => refuse("tool_choice.type", "function or allowed_tools", choice.get("type").unwrap_or(&whole())),
    }
}
