//! Tools, and which of them the model is to call.

use serde_json::{Map, Value, json};

use super::refuse;
use crate::WireError;
use crate::dropped::Dropped;

/// What a client says of its tools, gathered from three fields.
#[derive(Default)]
pub(super) struct Choice {
    pub(super) tools: Vec<Value>,
    pub(super) wanted: Option<Value>,
    pub(super) one_at_a_time: bool,
}

impl Choice {
    pub(super) fn write(self, body: &mut Map<String, Value>) -> Result<(), WireError> {
        let choice = self.wanted.as_ref().map(translate_choice).transpose()?;
        if self.tools.is_empty() {
            // Anthropic refuses a choice among no tools; none of them says anything but one that forces a call.
            return match choice.as_ref().and_then(|choice| choice.get("type")?.as_str()) {
                Some("any" | "tool") => refuse("tools", "the tools that tool_choice speaks of", &json!([])),
                _ => Ok(()),
            };
        }
        body.insert("tools".to_owned(), Value::Array(self.tools));
        let mut choice = choice.unwrap_or_default();
        if self.one_at_a_time && choice.get("type") != Some(&json!("none")) {
            choice.entry("type").or_insert_with(|| json!("auto"));
            choice.insert("disable_parallel_tool_use".to_owned(), json!(true));
        }
        if !choice.is_empty() {
            body.insert("tool_choice".to_owned(), Value::Object(choice));
        }
        Ok(())
    }
}

fn translate_choice(choice: &Value) -> Result<Map<String, Value>, WireError> {
    let mut out = Map::new();
    let kind = match choice {
        Value::String(choice) => match choice.as_str() {
            "auto" => "auto",
            "required" => "any",
            "none" => "none",
            _ => return refuse("tool_choice", "auto, none, required or a function", &json!(choice)),
        },
        choice => match (choice.get("type").and_then(Value::as_str), choice.pointer("/function/name")) {
            (Some("function"), Some(name @ Value::String(_))) => {
                out.insert("name".to_owned(), name.clone());
                "tool"
            }
            (Some("function"), name) => {
                let name = name.unwrap_or(&Value::Null);
                return refuse("tool_choice.function.name", "the name of a function", name);
            }
            (_, _) => {
                let got = choice.get("type").unwrap_or(choice);
                return refuse(
                    "tool_choice.type",
                    "function, because Anthropic chooses all tools or one",
                    got,
                );
            }
        },
    };
    out.shift_insert(0, "type".to_owned(), json!(kind));
    Ok(out)
}

/// OpenAI's definitions as Anthropic's.
pub(super) fn translate(tools: Value, dropped: &mut Dropped) -> Result<Vec<Value>, WireError> {
    let Value::Array(tools) = tools else { return refuse("tools", "an array of tools", &tools) };
    tools
        .into_iter()
        .enumerate()
        .map(|(index, tool)| translate_tool(tool, &format!("tools[{index}]"), dropped))
        .collect()
}

fn translate_tool(tool: Value, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    let Value::Object(tool) = tool else { return refuse(at, "an object with a function", &tool) };
    let mut out = Map::new();
    let mut cache_control = None;
    let mut function = None;
    for (name, value) in tool {
        match name.as_str() {
            "type" if value == json!("function") => {}
            "type" => {
                return refuse(
                    &format!("{at}.type"),
                    "function, the one kind that can be translated",
                    &value,
                );
            }
            "function" => function = Some(value),
            "cache_control" => cache_control = Some(value),
            _ => dropped.name_unless_empty(format!("tools[].{name}"), &value),
        }
    }
    let Some(Value::Object(function)) = function else {
        return refuse(&format!("{at}.function"), "an object with a name", &function.unwrap_or(Value::Null));
    };
    for (name, value) in function {
        match name.as_str() {
            _ if value.is_null() => {}
            "name" | "description" | "strict" => _ = out.insert(name, value),
            "parameters" => _ = out.insert("input_schema".to_owned(), input_schema(value, at)?),
            "cache_control" => cache_control = Some(value),
            _ => dropped.name_unless_empty(format!("tools[].function.{name}"), &value),
        }
    }
    if !out.get("name").is_some_and(Value::is_string) {
        let name = out.get("name").unwrap_or(&Value::Null);
        return refuse(&format!("{at}.function.name"), "the name of the function", name);
    }
    // A function without parameters; Anthropic requires the schema all the same.
    out.entry("input_schema").or_insert_with(|| json!({ "type": "object", "properties": {} }));
    if let Some(cache_control) = cache_control.filter(|cache_control| !cache_control.is_null()) {
        out.insert("cache_control".to_owned(), cache_control);
    }
    Ok(Value::Object(out))
}

/// Anthropic requires the type that OpenAI implies.
fn input_schema(schema: Value, at: &str) -> Result<Value, WireError> {
    let Value::Object(mut schema) = schema else {
        return refuse(&format!("{at}.function.parameters"), "a JSON schema of an object", &schema);
    };
    match schema.get("type") {
        None => _ = schema.shift_insert(0, "type".to_owned(), json!("object")),
        Some(kind) if kind == "object" => {}
        Some(other) => {
            let field = format!("{at}.function.parameters.type");
            return refuse(&field, "object, which Anthropic requires", other);
        }
    }
    Ok(Value::Object(schema))
}
