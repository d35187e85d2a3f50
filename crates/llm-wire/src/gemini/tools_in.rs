//! Gemini's tools and how they are called, in OpenAI's words.

use serde_json::{Map, Value, json};

use super::fields::{Fields, refuse};
use super::inbound::Unsaid;
use super::schema::json_schema;
use crate::WireError;

/// Translates `tools` and `toolConfig`. Tools that run at Google's, like its search, are missed.
pub(super) fn translate_tools(
    request: &mut Fields,
    out: &mut Map<String, Value>,
    unsaid: &mut Unsaid,
) -> Result<(), WireError> {
    let mut tools = Vec::new();
    for (at, tool) in request.list("tools") {
        let mut tool = Fields::of(tool, &at)?;
        for (at, declaration) in tool.list("functionDeclarations") {
            tools.push(function(declaration, &at, unsaid)?);
        }
        for path in tool.rest() {
            unsaid.miss(&path, "functions, because other tools run at Google's", &json!({}));
        }
    }
    let offered = !tools.is_empty();
    if offered {
        out.insert("tools".to_owned(), Value::Array(tools));
    }
    let Some(mut config) = request.object("toolConfig")? else { return Ok(()) };
    if let Some(calling) = config.object("functionCallingConfig")?
        && let Some(choice) = tool_choice(calling, unsaid)?
        && offered
    {
        out.insert("tool_choice".to_owned(), choice);
    }
    for path in config.rest() {
        unsaid.drop(&path);
    }
    Ok(())
}

fn function(declaration: Value, at: &str, unsaid: &mut Unsaid) -> Result<Value, WireError> {
    let mut declaration = Fields::of(declaration, at)?;
    let name_at = declaration.path("name");
    let Some(name) = declaration.text("name")? else {
        return refuse(&name_at, "the name of a function", &Value::Null);
    };
    let mut function = Map::from_iter([("name".to_owned(), json!(name))]);
    let description = declaration.text("description")?;
    function.extend(description.map(|text| ("description".to_owned(), json!(text))));
    let path = declaration.path("parameters");
    let openapi =
        declaration.take("parameters").map(|schema| json_schema(schema, &path, unsaid)).transpose()?;
    let parameters = declaration.take("parametersJsonSchema").or(openapi);
    function.extend(parameters.map(|schema| ("parameters".to_owned(), schema)));
    for path in declaration.rest() {
        // `behavior` is of live sessions only; the shape of a result is a hint.
        unsaid.drop(&path);
    }
    Ok(json!({ "type": "function", "function": function }))
}

fn tool_choice(mut calling: Fields, unsaid: &mut Unsaid) -> Result<Option<Value>, WireError> {
    let mode_at = calling.path("mode");
    let mode = calling.text("mode")?.unwrap_or_default().to_ascii_uppercase();
    let allowed = calling.list("allowedFunctionNames");
    let names: Vec<Value> = allowed.into_iter().map(|(_, name)| name).collect();
    for path in calling.rest() {
        unsaid.drop(&path);
    }
    let among = |mode: &str| {
        let function = |name: &Value| json!({ "type": "function", "function": { "name": name } });
        let tools: Vec<Value> = names.iter().map(function).collect();
        json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": tools } })
    };
    Ok(match (mode.as_str(), names.as_slice()) {
        ("" | "MODE_UNSPECIFIED" | "AUTO", _) => Some(json!("auto")),
        ("NONE", _) => Some(json!("none")),
        ("ANY", []) => Some(json!("required")),
        ("ANY", [name]) => Some(json!({ "type": "function", "function": { "name": name } })),
        ("ANY", _) => Some(among("required")),
        // As AUTO, but for the promise that arguments fit their schema.
        ("VALIDATED", _) => {
            unsaid.drop(&mode_at);
            Some(if names.is_empty() { json!("auto") } else { among("auto") })
        }
        _ => return refuse(&mode_at, "AUTO, ANY, NONE or VALIDATED", &json!(mode)),
    })
}
