//! A client's request, as a chat.

use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::echo::Echo;
use super::{Dropped, items, refuse, tools};
use crate::openai::ChatRequest;
use crate::{WireError, json};

/// OpenAI's bound on `top_logprobs`.
const MAX_TOP_LOGPROBS: u64 = 20;
/// Fields that chat completions have under the same name.
const SAME_NAME: [&str; 8] = [
    "model",
    "stream",
    "temperature",
    "top_p",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];
/// Fields that would be looked up later, and what to do instead.
const REMEMBERED: [(&str, &str); 4] = [
    (
        "previous_response_id",
        "it absent, because nothing is stored here; send the whole conversation in input",
    ),
    ("conversation", "it absent, because nothing is stored here; send the whole conversation in input"),
    ("prompt", "it absent, because no templates are stored here; send instructions and input"),
    ("context_management", "it absent, because nothing is compacted here; send a shorter input"),
];
/// What `include` may name beside log probabilities: reasoning, which is always included, a client's own images, and
/// the results of tools that cannot be offered here.
const INCLUDABLE: [&str; 7] = [
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];

/// A request and what its answer repeats.
#[derive(Clone)]
pub struct ResponsesRequest {
    /// What the core is asked.
    pub chat: ChatRequest,
    /// For [`FromOpenAi`](super::FromOpenAi).
    pub echo: Echo,
}

impl fmt::Debug for ResponsesRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponsesRequest").field("chat", &self.chat).finish_non_exhaustive()
    }
}

/// Reads the body of `POST /v1/responses`.
///
/// `instructions` become the first message. What belongs to one turn of the assistant (its reasoning, its text, its
/// calls of functions) becomes one message. A function is strict only where its client says so, because not every
/// endpoint can be.
///
/// # Errors
/// As [`ChatRequest::parse`], with the names that the fields have here, and [`WireError::Invalid`] for what a chat cannot
/// say: built-in tools and their calls, files and conversations that OpenAI stores, and fields that are not known.
pub fn parse(body: Bytes) -> Result<ResponsesRequest, WireError> {
    let mut fields: Map<String, Value> = json::decode(&body)?;
    fields.retain(|_, value| !value.is_null());
    let mut dropped = Dropped::default();
    let mut out = Map::new();
    let instructions = fields.shift_remove("instructions");
    let input = fields.shift_remove("input");
    out.insert("model".to_owned(), fields.shift_remove("model").unwrap_or(Value::Null));
    let messages = items::messages(instructions.as_ref(), input, &mut dropped)?;
    out.insert("messages".to_owned(), Value::Array(messages));
    let offered = fields.shift_remove("tools");
    let choice = fields.shift_remove("tool_choice");
    let mut echo = Echo::new(out.get("model"), instructions, offered.as_ref(), choice.as_ref());
    tools::translate(
        offered,
        choice,
        fields.shift_remove("parallel_tool_calls"),
        &mut out,
        &mut echo,
        &mut dropped,
    )?;
    if fields.get("stream") == Some(&json!(true)) {
        // The last event has the counts.
        out.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    for (name, value) in fields {
        field(&name, value, &mut out, &mut echo, &mut dropped)?;
    }
    let chat = ChatRequest::parse(json::encode(&out)).map_err(in_the_clients_words)?;
    Ok(ResponsesRequest { chat: chat.translated_from(None, dropped.0), echo })
}

fn field(
    name: &str,
    value: Value,
    out: &mut Map<String, Value>,
    echo: &mut Echo,
    dropped: &mut Dropped,
) -> Result<(), WireError> {
    if let Some((_, expected)) = REMEMBERED.iter().find(|(field, _)| *field == name) {
        return refuse(name, expected, &value);
    }
    match name {
        name if SAME_NAME.contains(&name) => {
            echo.repeat(name, &value);
            out.insert(name.to_owned(), value);
        }
        "max_output_tokens" => {
            echo.repeat(name, &value);
            out.insert("max_completion_tokens".to_owned(), value);
        }
        "text" => text(value, out, echo)?,
        "reasoning" => reasoning(value, out, echo, dropped)?,
        "include" => include(&value, out)?,
        "top_logprobs" => top_logprobs(value, out, echo)?,
        // It is repeated, which is all that a label is for; OpenAI's chats take none without storing them.
        "metadata" if value.is_object() => echo.repeat(name, &value),
        "metadata" => return refuse(name, "an object of strings", &value),
        // It limits built-in tools only.
        "max_tool_calls" => echo.repeat(name, &value),
        "service_tier" if value == json!("auto") => {}
        "service_tier" => _ = out.insert(name.to_owned(), value),
        "store" | "background" if value == json!(false) => {}
        "store" if value == json!(true) => dropped.note(name),
        "store" => return refuse(name, "true or false", &value),
        "background" => {
            return refuse(name, "false, because nothing is stored here; ask for a stream, or wait", &value);
        }
        "truncation" if value == json!("disabled") => {}
        // What is too long is refused, and never cut here.
        "truncation" if value == json!("auto") => dropped.note(name),
        "truncation" => return refuse(name, "auto or disabled", &value),
        "stream_options" => stream_options(value, dropped)?,
        "prompt_cache_options" => dropped.note(name),
        _ => return refuse(name, "a field of OpenAI's Responses that has a counterpart here", &value),
    }
    Ok(())
}

fn text(text: Value, out: &mut Map<String, Value>, echo: &mut Echo) -> Result<(), WireError> {
    let Value::Object(text) = text else { return refuse("text", "an object", &text) };
    for (name, value) in text {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("verbosity", value) => {
                if !["low", "medium", "high"].iter().any(|known| value == *known) {
                    return refuse("text.verbosity", "low, medium or high", &value);
                }
                echo.repeat_in("text", "verbosity", &value);
                // What a model does by itself need not be said to those that could not do otherwise.
                if value != "medium" {
                    out.insert(name, value);
                }
            }
            ("format", format) => {
                echo.repeat_in("text", "format", &format);
                if let Some(format) = response_format(format)? {
                    out.insert("response_format".to_owned(), format);
                }
            }
            (_, value) => return refuse(&format!("text.{name}"), "format or verbosity", &value),
        }
    }
    Ok(())
}

/// The schema and its name stand beside the type here, and one level deeper in chats.
fn response_format(format: Value) -> Result<Option<Value>, WireError> {
    let Value::Object(mut format) = format else {
        return refuse("text.format", "an object with a type", &format);
    };
    match format.shift_remove("type").as_ref().and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({ "type": "json_object" }))),
        Some("json_schema") => {
            format.retain(|_, value| !value.is_null());
            for (name, value) in &format {
                if !["name", "schema", "strict", "description"].contains(&name.as_str()) {
                    let field = format!("text.format.{name}");
                    return refuse(&field, "name, schema, strict or description", value);
                }
            }
            match format.get("schema") {
                Some(Value::Object(_)) => {
                    Ok(Some(json!({ "type": "json_schema", "json_schema": Value::Object(format) })))
                }
                other => refuse("text.format.schema", "a JSON schema", other.unwrap_or(&Value::Null)),
            }
        }
        other => refuse("text.format.type", "text, json_object or json_schema", &json!(other)),
    }
}

fn reasoning(
    reasoning: Value,
    out: &mut Map<String, Value>,
    echo: &mut Echo,
    dropped: &mut Dropped,
) -> Result<(), WireError> {
    let Value::Object(reasoning) = reasoning else { return refuse("reasoning", "an object", &reasoning) };
    for (name, value) in reasoning {
        let field = format!("reasoning.{name}");
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("effort", effort @ Value::String(_)) => {
                echo.repeat_in("reasoning", "effort", &effort);
                out.insert("reasoning_effort".to_owned(), effort);
            }
            ("effort", value) => return refuse(&field, "none, minimal, low, medium, high or xhigh", &value),
            // Reasoning is told in full, where it is told.
            ("summary" | "generate_summary", Value::String(_)) => dropped.note(&field),
            ("context", value) if value == "auto" => {}
            ("mode", value) if value == "standard" => {}
            (_, value) => return refuse(&field, "effort or summary", &value),
        }
    }
    Ok(())
}

fn include(include: &Value, out: &mut Map<String, Value>) -> Result<(), WireError> {
    let Value::Array(names) = include else { return refuse("include", "an array of names", include) };
    for (index, name) in names.iter().enumerate() {
        match name.as_str() {
            Some("message.output_text.logprobs") => _ = out.insert("logprobs".to_owned(), json!(true)),
            Some(name) if INCLUDABLE.contains(&name) => {}
            _ => return refuse(&format!("include[{index}]"), "a name that OpenAI's Responses know", name),
        }
    }
    Ok(())
}

fn top_logprobs(value: Value, out: &mut Map<String, Value>, echo: &mut Echo) -> Result<(), WireError> {
    match value.as_u64() {
        Some(0) => Ok(()),
        Some(1..=MAX_TOP_LOGPROBS) => {
            echo.repeat("top_logprobs", &value);
            out.insert("logprobs".to_owned(), json!(true));
            out.insert("top_logprobs".to_owned(), value);
            Ok(())
        }
        _ => refuse("top_logprobs", &format!("an integer from 0 to {MAX_TOP_LOGPROBS}"), &value),
    }
}

fn stream_options(options: Value, dropped: &mut Dropped) -> Result<(), WireError> {
    let Value::Object(options) = options else { return refuse("stream_options", "an object", &options) };
    for (name, value) in options {
        let field = format!("stream_options.{name}");
        match (name.as_str(), value) {
            (_, Value::Null) | ("include_obfuscation", Value::Bool(false)) => {}
            // It hides lengths from those who listen, and no length here tells more than the text.
            ("include_obfuscation", Value::Bool(true)) => dropped.note(&field),
            (_, value) => return refuse(&field, "include_obfuscation, true or false", &value),
        }
    }
    Ok(())
}

/// Errors of the translated request name the field that the client wrote.
fn in_the_clients_words(error: WireError) -> WireError {
    let WireError::Invalid { field, expected, got } = error else { return error };
    let field = match field.as_str() {
        "max_completion_tokens" => "max_output_tokens".to_owned(),
        "response_format" => "text.format".to_owned(),
        _ => field,
    };
    // A field that is absent was translated to null.
    let got = if field == "model" && got == "null" { "nothing".to_owned() } else { got };
    WireError::Invalid { field, expected, got }
}
