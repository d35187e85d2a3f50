//! Tools, response formats and thinking, in Gemini's words.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fields::refuse;
use crate::{WireError, json};

/// Takes the tools and the choice among them. `None` where no tool is offered.
pub(super) fn tool_config(
    fields: &mut Map<String, Value>,
    dropped: &mut Vec<String>,
) -> Result<Option<(Value, Option<Value>)>, WireError> {
    let present = |value: Option<Value>| value.filter(|value| !value.is_null());
    // The order of the others stays as it is.
    let tools = present(fields.shift_remove("tools")).filter(|tools| *tools != json!([]));
    let choice = present(fields.shift_remove("tool_choice"));
    let Some(tools) = tools else {
        return match choice.as_ref().map(|choice| (choice, choice.as_str())) {
            None | Some((_, Some("auto" | "none"))) => Ok(None),
            Some((choice, _)) => refuse("tool_choice", "tools to choose from", choice),
        };
    };
    let mut declarations = declarations(tools, dropped)?;
    let config = choice.map(|choice| calling(&choice, &mut declarations)).transpose()?.flatten();
    let config = config.map(|config| json!({ "functionCallingConfig": config }));
    Ok(Some((json!([{ "functionDeclarations": declarations }]), config)))
}

fn declarations(tools: Value, dropped: &mut Vec<String>) -> Result<Vec<Map<String, Value>>, WireError> {
    #[derive(Deserialize)]
    struct Tool {
        r#type: String,
        #[serde(default)]
        function: Option<Function>,
        #[serde(default)]
        cache_control: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Function {
        name: String,
        #[serde(default)]
        description: Option<String>,
        #[serde(default)]
        parameters: Option<Value>,
        #[serde(default)]
        strict: Option<bool>,
    }
    let tools: Vec<Tool> = json::decode_tree(tools, "tools")?;
    let mut declarations = Vec::with_capacity(tools.len());
    let (mut strict_seen, mut cache_seen) = (false, false);
    for (index, tool) in tools.into_iter().enumerate() {
        cache_seen |= tool.cache_control.is_some();
        let Some(function) = tool.function.filter(|_| tool.r#type == "function") else {
            let expected = "function, because Gemini has no other tool of the client's own";
            return refuse(&format!("tools[{index}].type"), expected, &json!(tool.r#type));
        };
        let Function { name, description, parameters, strict } = function;
        let mut declaration = Map::from_iter([("name".to_owned(), json!(name))]);
        declaration.extend(description.map(|text| ("description".to_owned(), json!(text))));
        // A JSON schema as it is; the older `parameters` takes only a part of OpenAPI's.
        declaration.extend(parameters.map(|schema| ("parametersJsonSchema".to_owned(), schema)));
        strict_seen |= strict == Some(true);
        declarations.push(declaration);
    }
    for (seen, path) in [(strict_seen, "tools[].function.strict"), (cache_seen, "tools[].cache_control")] {
        dropped.extend(seen.then(|| path.to_owned()));
    }
    Ok(declarations)
}

/// How functions are called. Where the model may also answer in words, others than the allowed are not declared:
/// Gemini takes a list of names only where it must call one of them.
fn calling(choice: &Value, declarations: &mut Vec<Map<String, Value>>) -> Result<Option<Value>, WireError> {
    let expected = "auto, none, required, a function or allowed tools";
    let kind = choice.get("type").and_then(Value::as_str);
    match (choice.as_str(), kind) {
        (Some("auto"), _) => Ok(None),
        (Some("none"), _) => Ok(Some(json!({ "mode": "NONE" }))),
        (Some("required"), _) => Ok(Some(json!({ "mode": "ANY" }))),
        (_, Some("function")) => match choice.pointer("/function/name") {
            Some(name @ Value::String(_)) => {
                Ok(Some(json!({ "mode": "ANY", "allowedFunctionNames": [name] })))
            }
            other => {
                let got = other.unwrap_or(&Value::Null);
                refuse("tool_choice.function.name", "the name of a function", got)
            }
        },
        (_, Some("allowed_tools")) => {
            let tools = choice.pointer("/allowed_tools/tools").and_then(Value::as_array);
            let names =
                tools.into_iter().flatten().filter_map(|tool| tool.pointer("/function/name")?.as_str());
            let names: Vec<&str> = names.collect();
            match choice.pointer("/allowed_tools/mode").and_then(Value::as_str) {
                _ if names.is_empty() => refuse("tool_choice.allowed_tools.tools", "functions", choice),
                Some("required") => Ok(Some(json!({ "mode": "ANY", "allowedFunctionNames": names }))),
                Some("auto") => {
                    declarations.retain(|declaration| {
                        declaration
                            .get("name")
                            .and_then(Value::as_str)
                            .is_some_and(|name| names.contains(&name))
                    });
                    Ok(None)
                }
                _ => refuse("tool_choice.allowed_tools.mode", "auto or required", choice),
            }
        }
        _ => refuse("tool_choice", expected, choice),
    }
}

/// The fields of the generation config that stand for a `response_format`.
pub(super) fn response_format(
    format: &Value,
    dropped: &mut Vec<String>,
) -> Result<Map<String, Value>, WireError> {
    let json_type = ("responseMimeType".to_owned(), json!("application/json"));
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Map::new()),
        Some("json_object") => Ok(Map::from_iter([json_type])),
        Some("json_schema") => match format.pointer("/json_schema/schema") {
            Some(schema @ Value::Object(_)) => {
                let described = format.pointer("/json_schema/description");
                dropped.extend(described.map(|_| "response_format.json_schema.description".to_owned()));
                Ok(Map::from_iter([json_type, ("responseJsonSchema".to_owned(), schema.clone())]))
            }
            other => {
                refuse("response_format.json_schema.schema", "a JSON schema", other.unwrap_or(&Value::Null))
            }
        },
        _ => refuse(
            "response_format.type",
            "text, json_object or json_schema",
            format.get("type").unwrap_or(&Value::Null),
        ),
    }
}

/// What Gemini's own OpenAI endpoint makes of an effort: <https://ai.google.dev/gemini-api/docs/openai#thinking>. Up to
/// Gemini 2.5 it is a number of tokens; later models take it too, but are meant to be given a level. The thoughts are
/// asked for, as OpenAI's clients of reasoning models expect them.
pub(super) fn thinking_config(effort: &Value, model: &str) -> Result<Value, WireError> {
    let (budget, level) = match effort.as_str() {
        // Models that cannot but think refuse it themselves.
        Some("none") => return Ok(json!({ "thinkingBudget": 0 })),
        // The Pro models have no level below low.
        Some("minimal") => (1024, if model.contains("pro") { "LOW" } else { "MINIMAL" }),
        Some("low") => (1024, "LOW"),
        Some("medium") => (8192, "MEDIUM"),
        Some("high") => (24_576, "HIGH"),
        _ => return refuse("reasoning_effort", "none, minimal, low, medium or high", effort),
    };
    let name = model.rsplit('/').next().unwrap_or(model);
    let by_budget = name.starts_with("gemini-2") || name.starts_with("gemini-1");
    Ok(if by_budget {
        json!({ "thinkingBudget": budget, "includeThoughts": true })
    } else {
        json!({ "thinkingLevel": level, "includeThoughts": true })
    })
}
