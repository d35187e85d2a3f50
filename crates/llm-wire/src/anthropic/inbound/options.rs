//! Everything but the conversation.

use serde_json::{Map, Value, json};

use super::{Notes, refuse, tools};
use crate::WireError;
use crate::dropped::says_nothing;

/// Below this budget in tokens thinking is `low`; 4,096 is what OpenAI's own low effort seldom exceeds.
const LOW_BELOW: u64 = 4_096;
/// Below this budget it is `medium`, else `high`: half of what a long answer may take.
const MEDIUM_BELOW: u64 = 16_384;
/// The least budget for thinking that Anthropic takes.
const LEAST_BUDGET: u64 = 1_024;

pub(super) fn translate(
    fields: Map<String, Value>,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), WireError> {
    let mut thinking = None;
    let mut effort = None;
    for (name, value) in fields {
        match name.as_str() {
            _ if value.is_null() => {}
            "temperature" | "top_p" => {
                if !value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)) {
                    return refuse(name, "a number from 0 to 1", &value);
                }
                out.insert(name, value);
            }
            "top_k" => {
                if !value.is_u64() {
                    return refuse(name, "an integer of at least 0", &value);
                }
                out.insert(name, value);
            }
            "stop_sequences" => stop(value, out)?,
            "tools" => tools::translate(value, out, notes)?,
            "tool_choice" => tools::choose(&value, out)?,
            "thinking" => thinking = think(&value, notes)?,
            "output_config" => effort = output_config(value, out, notes)?,
            // The name of its time as a beta.
            "output_format" => output_format(&value, "output_format", out)?,
            "metadata" => metadata(value, out, notes)?,
            "mcp_servers" | "container" | "inference_geo" | "thread" if !says_nothing(&value) => {
                notes.cannot(
                    name,
                    "it absent: only Anthropic's API has such a thing",
                    crate::json::shown_tree(&value),
                );
            }
            _ => notes.dropped.name_unless_empty(name, &value),
        }
    }
    // Effort says more about thinking than that there is some, and less than that there is none.
    let level = match (thinking, effort) {
        (Some("none"), _) => Some("none".to_owned()),
        (_, Some(effort)) => Some(effort),
        (budgeted, None) => budgeted.map(str::to_owned),
    };
    if let Some(level) = level {
        out.insert("reasoning_effort".to_owned(), json!(level));
    }
    Ok(())
}

fn stop(value: Value, out: &mut Map<String, Value>) -> Result<(), WireError> {
    let Value::Array(list) = value else {
        return refuse("stop_sequences", "an array of strings", &value);
    };
    let blank = |one: &Value| one.as_str().is_none_or(|text| text.trim().is_empty());
    if let Some(index) = list.iter().position(blank) {
        let got = list.get(index).unwrap_or(&Value::Null);
        return refuse(format!("stop_sequences[{index}]"), "text that is not only white space", got);
    }
    if !list.is_empty() {
        out.insert("stop".to_owned(), Value::Array(list));
    }
    Ok(())
}

/// The effort that stands for a way of thinking, where one does.
fn think(thinking: &Value, notes: &mut Notes) -> Result<Option<&'static str>, WireError> {
    match thinking.get("type").and_then(Value::as_str) {
        Some("enabled") => {
            let budget = thinking.get("budget_tokens").unwrap_or(&Value::Null);
            let Some(tokens) = budget.as_u64().filter(|tokens| *tokens >= LEAST_BUDGET) else {
                return refuse("thinking.budget_tokens", "an integer of at least 1024", budget);
            };
            notes.dropped.name("thinking.budget_tokens");
            Ok(Some(match tokens {
                0..LOW_BELOW => "low",
                LOW_BELOW..MEDIUM_BELOW => "medium",
                _ => "high",
            }))
        }
        Some("disabled" | "between_tools") => Ok(Some("none")),
        // As much as the model likes, which is what a model does that is told nothing.
        Some("adaptive") => Ok(None),
        _ if thinking.is_object() => {
            let got = thinking.get("type").unwrap_or(&Value::Null);
            refuse("thinking.type", "enabled, disabled, adaptive or between_tools", got)
        }
        _ => refuse("thinking", "an object with a type", thinking),
    }
}

fn output_config(
    config: Value,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<Option<String>, WireError> {
    let Value::Object(config) = config else { return refuse("output_config", "an object", &config) };
    let mut effort = None;
    for (name, value) in config {
        match name.as_str() {
            _ if value.is_null() => {}
            "effort" => match value.as_str() {
                Some(level @ ("low" | "medium" | "high")) => effort = Some(level.to_owned()),
                // The most that every backend knows.
                Some("xhigh" | "max") => {
                    notes.dropped.name("output_config.effort");
                    effort = Some("high".to_owned());
                }
                _ => return refuse("output_config.effort", "low, medium, high, xhigh or max", &value),
            },
            "format" => output_format(&value, "output_config.format", out)?,
            _ => notes.dropped.name_unless_empty(format!("output_config.{name}"), &value),
        }
    }
    Ok(effort)
}

fn output_format(format: &Value, at: &str, out: &mut Map<String, Value>) -> Result<(), WireError> {
    match (format.get("type").and_then(Value::as_str), format.get("schema")) {
        (Some("json_schema"), Some(schema @ Value::Object(_))) => {
            // OpenAI wants a name; Anthropic's schemas have none.
            let json_schema = json!({ "name": "response", "strict": true, "schema": schema });
            out.insert(
                "response_format".to_owned(),
                json!({ "type": "json_schema", "json_schema": json_schema }),
            );
            Ok(())
        }
        (Some("json_schema"), schema) => {
            refuse(format!("{at}.schema"), "a JSON schema", schema.unwrap_or(&Value::Null))
        }
        (_, _) => refuse(format!("{at}.type"), "json_schema", format.get("type").unwrap_or(&Value::Null)),
    }
}

fn metadata(metadata: Value, out: &mut Map<String, Value>, notes: &mut Notes) -> Result<(), WireError> {
    let Value::Object(metadata) = metadata else { return refuse("metadata", "an object", &metadata) };
    for (name, value) in metadata {
        match (name.as_str(), &value) {
            (_, Value::Null) => {}
            ("user_id", Value::String(_)) => _ = out.insert("user".to_owned(), value),
            ("user_id", _) => return refuse("metadata.user_id", "a string", &value),
            _ => notes.dropped.name_unless_empty(format!("metadata.{name}"), &value),
        }
    }
    Ok(())
}
