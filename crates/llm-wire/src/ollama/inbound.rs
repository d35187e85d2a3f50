//! An Ollama client's request, as an OpenAI request.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::SAMPLING_EXTENSIONS;
use crate::openai::{ChatRequest, Role};
use crate::{WireError, json};

/// Options that say on which part of a machine, and with how much memory, a model runs. Whoever serves it decides
/// that, so they are left out.
pub(super) const PLACEMENT: [&str; 13] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_keep",
    "low_vram",
    "use_mmap",
    "use_mlock",
    "numa",
    "f16_kv",
    "vocab_only",
    "logits_all",
];
/// Options of Ollama that are OpenAI's fields under the same name.
pub(super) const SAME_NAME: [&str; 6] =
    ["temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty"];

/// Fields that say how long a model stays loaded, and what happens to a context that is too long: it is never cut
/// silently here.
const KEEPING: [&str; 3] = ["keep_alive", "truncate", "shift"];

/// Reads the body of `POST /api/chat`. A stream is wanted unless the client says otherwise.
///
/// Tool calls get identifiers by position, and the answers to them are matched by name, then by order, because
/// Ollama's clients send neither. `keep_alive`, `truncate`, `shift` and the options that only place a model are left out
/// and named in [`ChatRequest::dropped`].
///
/// # Errors
/// As [`ChatRequest::parse`], with Ollama's names of the fields.
pub fn parse_chat(body: Bytes) -> Result<ChatRequest, WireError> {
    #[derive(Deserialize)]
    struct Request {
        #[serde(default)]
        messages: Vec<Map<String, Value>>,
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    let Request { messages, fields } = json::decode(&body)?;
    translate(translate_messages(messages)?, fields, "/api/chat")
}

/// A request of these messages and the fields that both paths have.
pub(super) fn translate(
    messages: Vec<Value>,
    mut fields: Map<String, Value>,
    path: &str,
) -> Result<ChatRequest, WireError> {
    let mut out = Map::new();
    let mut dropped = Vec::new();
    out.insert("model".to_owned(), fields.shift_remove("model").unwrap_or(Value::Null));
    out.insert("messages".to_owned(), Value::Array(messages));
    let stream = fields.shift_remove("stream").filter(|stream| !stream.is_null()).unwrap_or(json!(true));
    if stream == json!(true) {
        // The last line of an Ollama answer has the counts.
        out.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    out.insert("stream".to_owned(), stream);
    for (name, value) in fields {
        match name.as_str() {
            _ if value.is_null() => {}
            field if KEEPING.contains(&field) => dropped.push(name),
            "tools" if value == json!([]) => {}
            "tools" => _ = out.insert(name, value),
            "logprobs" if value == json!(false) => {}
            "top_logprobs" if value == json!(0) => {}
            "format" => {
                if let Some(format) = response_format(value)? {
                    out.insert("response_format".to_owned(), format);
                }
            }
            "think" => _ = out.insert("reasoning_effort".to_owned(), reasoning_effort(&value)?),
            "options" => match value {
                Value::Object(options) => translate_options(options, &mut out, &mut dropped)?,
                other => return refuse("options", "an object", &other),
            },
            _ => {
                let expected = format!("a field of Ollama's {path} that has a counterpart here");
                return refuse(&name, &expected, &value);
            }
        }
    }
    let request = ChatRequest::parse(json::encode(&out)).map_err(in_ollamas_words)?;
    Ok(if dropped.is_empty() { request } else { request.translated_from(None, dropped) })
}

pub(super) fn refuse<T>(field: &str, expected: &str, got: &Value) -> Result<T, WireError> {
    Err(WireError::invalid(field, expected, json::shown_tree(got)))
}

/// Errors of the translated request name the field that the client wrote.
fn in_ollamas_words(error: WireError) -> WireError {
    let WireError::Invalid { field, expected, got } = error else { return error };
    let name = field.split('[').next().unwrap_or_default();
    let field = match name {
        "max_tokens" => "options.num_predict".to_owned(),
        "response_format" => "format".to_owned(),
        name if SAME_NAME.contains(&name) || SAMPLING_EXTENSIONS.contains(&name) => {
            format!("options.{field}")
        }
        _ => field,
    };
    // A field that is absent was translated to null.
    let got = if field == "model" && got == "null" { "nothing".to_owned() } else { got };
    WireError::Invalid { field, expected, got }
}

fn translate_options(
    options: Map<String, Value>,
    out: &mut Map<String, Value>,
    dropped: &mut Vec<String>,
) -> Result<(), WireError> {
    for (name, value) in options {
        match name.as_str() {
            _ if value.is_null() => {}
            field if PLACEMENT.contains(&field) => dropped.push(format!("options.{field}")),
            // Ollama's way to say "without a limit" and "until the context is full".
            "num_predict" if value == json!(-1) || value == json!(-2) => {}
            "num_predict" => _ = out.insert("max_tokens".to_owned(), value),
            // No stop strings at all.
            "stop" if value == json!([]) => {}
            field if SAME_NAME.contains(&field) || SAMPLING_EXTENSIONS.contains(&field) => {
                out.insert(name, value);
            }
            _ => return refuse(&format!("options.{name}"), "an option of Ollama's", &value),
        }
    }
    Ok(())
}

fn response_format(format: Value) -> Result<Option<Value>, WireError> {
    match format {
        Value::String(name) if name.is_empty() => Ok(None),
        Value::String(name) if name == "json" => Ok(Some(json!({ "type": "json_object" }))),
        schema @ Value::Object(_) => Ok(Some(json!({
            "type": "json_schema",
            // OpenAI wants a name; Ollama's schemas have none.
            "json_schema": { "name": "response", "schema": schema },
        }))),
        other => refuse("format", "\"json\" or a JSON schema", &other),
    }
}

fn reasoning_effort(think: &Value) -> Result<Value, WireError> {
    match think {
        Value::Bool(false) => Ok(json!("none")),
        Value::Bool(true) => Ok(json!("medium")),
        Value::String(level) if ["low", "medium", "high"].contains(&level.as_str()) => Ok(json!(level)),
        other => refuse("think", "true, false, low, medium or high", other),
    }
}

/// Calls of tools that no message has answered yet, as (identifier, name).
type OpenCalls = VecDeque<(String, String)>;
/// Most calls that wait for an answer, each of which is looked for among them; beyond that the oldest has got none.
const MAX_OPEN_CALLS: usize = 1024;

fn translate_messages(messages: Vec<Map<String, Value>>) -> Result<Vec<Value>, WireError> {
    let mut open = OpenCalls::new();
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| translate_message(message, index, &mut open))
        .collect()
}

fn translate_message(
    mut message: Map<String, Value>,
    index: usize,
    open: &mut OpenCalls,
) -> Result<Value, WireError> {
    let at = format!("messages[{index}]");
    let mut out = Map::new();
    let role = message.remove("role").unwrap_or(Value::Null);
    let is_tool = role.as_str() == Some(Role::Tool.as_str());
    let content = message.remove("content").filter(|content| !content.is_null()).unwrap_or(json!(""));
    let Value::String(text) = content else {
        return refuse(&format!("{at}.content"), "a string", &content);
    };
    out.insert("role".to_owned(), role);
    out.insert("content".to_owned(), json!(text));
    let mut tool_name = None;
    let mut tool_call_id = None;
    for (name, value) in message {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("thinking", value) => _ = out.insert("reasoning_content".to_owned(), value),
            ("images", Value::Array(images)) if images.is_empty() => {}
            ("images", images) => {
                out.insert("content".to_owned(), with_images(&text, images, &format!("{at}.images"))?);
            }
            ("tool_calls", calls) => {
                let calls = translate_calls(calls, index, &at, open)?;
                if calls != json!([]) {
                    out.insert("tool_calls".to_owned(), calls);
                }
            }
            // `name` is what clients wrote before `tool_name` came.
            ("tool_name" | "name", Value::String(name)) if is_tool => tool_name = Some(name),
            ("tool_call_id", Value::String(id)) if is_tool => tool_call_id = Some(id),
            (_, value) => {
                let expected = "a field of Ollama's messages that has a counterpart here";
                return refuse(&format!("{at}.{name}"), expected, &value);
            }
        }
    }
    if is_tool && let Some(id) = answered_call(tool_call_id, tool_name.as_deref(), open) {
        out.insert("tool_call_id".to_owned(), json!(id));
    }
    Ok(Value::Object(out))
}

fn answered_call(id: Option<String>, name: Option<&str>, open: &mut OpenCalls) -> Option<String> {
    let matching = |(known, called): &(String, String)| match (&id, name) {
        (Some(id), _) => known == id,
        (None, Some(name)) => called == name,
        (None, None) => true,
    };
    let position = open.iter().position(matching);
    match position.and_then(|position| open.remove(position)) {
        Some((known, _)) => Some(known),
        None => id,
    }
}

/// Ollama writes a call's arguments as an object, OpenAI as a string of JSON.
fn translate_calls(calls: Value, message: usize, at: &str, open: &mut OpenCalls) -> Result<Value, WireError> {
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
        arguments: Map<String, Value>,
    }
    let calls: Vec<Call> = json::decode_tree(calls, &format!("{at}.tool_calls"))?;
    let translated = calls.into_iter().enumerate().map(|(position, Call { id, function })| {
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{message}_{position}"));
        if open.len() == MAX_OPEN_CALLS {
            open.pop_front();
        }
        open.push_back((id.clone(), function.name.clone()));
        let arguments = Value::Object(function.arguments).to_string();
        json!({ "id": id, "type": "function", "function": { "name": function.name, "arguments": arguments } })
    });
    Ok(Value::Array(translated.collect()))
}

/// A text with images, which stand `at` this field.
pub(super) fn with_images(text: &str, images: Value, at: &str) -> Result<Value, WireError> {
    let images: Vec<String> = json::decode_tree(images, at)?;
    let mut parts = Vec::with_capacity(images.len() + 1);
    if !text.is_empty() {
        parts.push(json!({ "type": "text", "text": text }));
    }
    for (index, image) in images.into_iter().enumerate() {
        let Some(media) = media_type(&image) else {
            let got = format!("a string of {} bytes", image.len());
            let expected = "base64 of a PNG, JPEG, GIF or WebP image";
            return Err(WireError::invalid(format!("{at}[{index}]"), expected, got));
        };
        let url = format!("data:{media};base64,{image}");
        parts.push(json!({ "type": "image_url", "image_url": { "url": url } }));
    }
    Ok(Value::Array(parts))
}

/// The type of an image by the first bytes of its base64, which stand for the signature of the file format.
fn media_type(base64: &str) -> Option<&'static str> {
    let signatures = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
    ];
    signatures.iter().find(|(start, _)| base64.starts_with(start)).map(|(_, media)| *media)
}
