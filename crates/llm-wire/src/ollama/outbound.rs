//! An OpenAI request, asked of an Ollama server.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::SAMPLING_EXTENSIONS;
use crate::dropped::Dropped;
use crate::openai::{ChatRequest, Content, Message, Part, Role};
use crate::{Translated, WireError, json};

/// Fields that say who asks, how it is billed or where it is cached, or hint at the answer: it means the same without
/// them.
const DROPPED: [&str; 10] = [
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "prediction",
    "verbosity",
];
/// The same of a message: hints, and what another provider's model needs to believe its thinking.
const DROPPED_OF_MESSAGES: [&str; 3] = ["annotations", "cache_control", "reasoning_details"];
/// OpenAI's fields that are options of Ollama under the same name.
const SAME_NAME: [&str; 5] = ["temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"];

/// The body of `POST /api/chat` that asks the same of an Ollama server.
///
/// # Errors
/// [`WireError::Invalid`] names what Ollama cannot be asked: several choices, log probabilities, a forced tool, an image
/// that would have to be fetched, and any field that this translation does not know.
pub fn chat_request(request: &ChatRequest, model: &str, stream: bool) -> Result<Translated, WireError> {
    #[derive(Deserialize)]
    struct Request {
        messages: Vec<Message>,
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    let Request { messages, fields } = request.decode()?;
    let mut dropped = Dropped::default();

    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("messages".to_owned(), Value::Array(translate_messages(messages, &mut dropped)?));
    body.insert("stream".to_owned(), json!(stream));
    let mut options = Map::new();
    let mut tools = None;
    let mut offer_tools = true;
    for (name, value) in fields {
        match name.as_str() {
            _ if value.is_null() => {}
            // What is set already, or concerns only the way of the answer.
            "model" | "stream" | "stream_options" => {}
            field if DROPPED.contains(&field) => dropped.name_unless_empty(name, &value),
            field
                if SAME_NAME.contains(&field)
                    || SAMPLING_EXTENSIONS.contains(&field)
                    || field == "num_ctx" =>
            {
                options.insert(name, value);
            }
            // The newer name of the two wins, in whichever order they come.
            "max_completion_tokens" => _ = options.insert("num_predict".to_owned(), value),
            "max_tokens" => _ = options.entry("num_predict").or_insert(value),
            "stop" => {
                let several = if value.is_array() { value } else { json!([value]) };
                options.insert("stop".to_owned(), several);
            }
            "keep_alive" => _ = body.insert(name, value),
            "tools" => tools = Some(value),
            "tool_choice" => match value.as_str() {
                Some("auto") => {}
                Some("none") => offer_tools = false,
                _ => return refuse(&name, "auto or none", &value),
            },
            "response_format" => {
                if let Some(format) = format_of(&value)? {
                    body.insert("format".to_owned(), format);
                }
            }
            "reasoning_effort" => _ = body.insert("think".to_owned(), think(&value)?),
            "n" if value == json!(1) => {}
            "modalities" if value == json!(["text"]) => {}
            "parallel_tool_calls" if value == json!(true) => {}
            "logprobs" if value == json!(false) => {}
            "top_logprobs" if value == json!(0) => {}
            "logit_bias" if value == json!({}) => {}
            "n" => return refuse(&name, "1, because Ollama gives one choice", &value),
            "parallel_tool_calls" => {
                // Named in both dialects that say it.
                let expected = "true, because Ollama cannot limit it (Anthropic's tool_choice.disable_parallel_tool_use: \
                                false)";
                return refuse(&name, expected, &value);
            }
            _ => return refuse(&name, "it absent, because Ollama has no such field", &value),
        }
    }
    if let Some(tools) = tools.filter(|tools| offer_tools && tools != &json!([])) {
        body.insert("tools".to_owned(), tools);
    }
    if !options.is_empty() {
        body.insert("options".to_owned(), Value::Object(options));
    }
    Ok(Translated { body: json::encode(&body), dropped: dropped.into_names() })
}

fn refuse<T>(field: &str, expected: &str, got: &Value) -> Result<T, WireError> {
    Err(WireError::invalid(field, expected, json::shown_tree(got)))
}

fn format_of(response_format: &Value) -> Result<Option<Value>, WireError> {
    match response_format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!("json"))),
        Some("json_schema") => match response_format.pointer("/json_schema/schema") {
            Some(schema @ Value::Object(_)) => Ok(Some(schema.clone())),
            other => {
                refuse("response_format.json_schema.schema", "a JSON schema", other.unwrap_or(&Value::Null))
            }
        },
        _ => refuse(
            "response_format.type",
            "text, json_object or json_schema",
            response_format.get("type").unwrap_or(&Value::Null),
        ),
    }
}

fn think(effort: &Value) -> Result<Value, WireError> {
    match effort.as_str() {
        Some("none") => Ok(json!(false)),
        Some("minimal" | "low") => Ok(json!("low")),
        Some("medium") => Ok(json!("medium")),
        Some("high") => Ok(json!("high")),
        _ => refuse("reasoning_effort", "none, minimal, low, medium or high", effort),
    }
}

fn translate_messages(messages: Vec<Message>, dropped: &mut Dropped) -> Result<Vec<Value>, WireError> {
    // Ollama's templates want the name of the tool that answers; OpenAI's messages have only the call's identifier.
    let mut calls = HashMap::new();
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| {
            translate_message(message, &format!("messages[{index}]"), &mut calls, dropped)
        })
        .collect()
}

fn translate_message(
    message: Message,
    at: &str,
    calls: &mut HashMap<String, String>,
    dropped: &mut Dropped,
) -> Result<Value, WireError> {
    let mut out = Map::new();
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool | Role::Function => "tool",
    };
    out.insert("role".to_owned(), json!(role));

    let (text, images) = translate_content(message.content, at, dropped)?;
    out.insert("content".to_owned(), json!(text));
    if !images.is_empty() {
        out.insert("images".to_owned(), json!(images));
    }

    let is_tool = role == "tool";
    match message.name {
        Some(name) if is_tool => _ = out.insert("tool_name".to_owned(), json!(name)),
        Some(_) => dropped.name("messages[].name"),
        None => {}
    }
    if let Some(id) = message.tool_call_id {
        if let Some(name) = calls.get(&id)
            && is_tool
        {
            out.entry("tool_name").or_insert_with(|| json!(name));
        }
        out.insert("tool_call_id".to_owned(), json!(id));
    }
    if let Some(tool_calls) = message.tool_calls {
        out.insert("tool_calls".to_owned(), translate_calls(tool_calls, at, calls)?);
    }
    for (name, value) in message.extra {
        match (name.as_str(), &value) {
            ("reasoning_content" | "reasoning", Value::String(thinking)) => {
                out.insert("thinking".to_owned(), json!(thinking));
            }
            (_, Value::Null) => {}
            // Answers are sent back with the fields that they came with, empty where they say nothing.
            (_, Value::Array(list)) if list.is_empty() => {}
            (name, value) if DROPPED_OF_MESSAGES.contains(&name) => {
                dropped.name_unless_empty(format!("messages[].{name}"), value);
            }
            (_, value) => {
                let expected = "it absent, because Ollama's messages have no such field";
                return refuse(&format!("{at}.{name}"), expected, value);
            }
        }
    }
    Ok(Value::Object(out))
}

fn translate_content(
    content: Option<Content>,
    at: &str,
    dropped: &mut Dropped,
) -> Result<(String, Vec<String>), WireError> {
    let parts = match content {
        None => return Ok((String::new(), Vec::new())),
        Some(Content::Text(text)) => return Ok((text, Vec::new())),
        Some(Content::Parts(parts)) => parts,
    };
    let mut text = String::new();
    let mut images = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match (part.text(), part.image_url()) {
            (Some(piece), _) => text.push_str(piece),
            (_, Some(url)) => match base64_of(url) {
                Some(image) => images.push(image.to_owned()),
                None => {
                    return refuse(
                        &format!("{at}.content[{index}].image_url.url"),
                        "the image itself as data:image/...;base64,..., because Ollama fetches none",
                        &json!(url),
                    );
                }
            },
            _ => return unknown_part(part, at, index),
        }
        for (name, value) in &part.0 {
            match (name.as_str(), value.get("detail")) {
                ("image_url", Some(detail)) if detail != "auto" => {
                    dropped.name_unless_empty("messages[].content[].image_url.detail", detail);
                }
                ("type" | "text" | "image_url", _) => {}
                _ => dropped.name_unless_empty(format!("messages[].content[].{name}"), value),
            }
        }
    }
    Ok((text, images))
}

fn unknown_part<T>(part: &Part, at: &str, index: usize) -> Result<T, WireError> {
    let field = format!("{at}.content[{index}].type");
    refuse(&field, "text or image_url, which are what Ollama takes", &json!(part.kind()))
}

/// The payload of a `data:` URL of an image.
fn base64_of(url: &str) -> Option<&str> {
    let (media, payload) = url.strip_prefix("data:")?.split_once(',')?;
    (media.starts_with("image/") && media.ends_with(";base64")).then_some(payload)
}

/// OpenAI writes a call's arguments as a string of JSON, Ollama as an object.
fn translate_calls(
    tool_calls: Value,
    at: &str,
    calls: &mut HashMap<String, String>,
) -> Result<Value, WireError> {
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
        arguments: String,
    }
    let list: Vec<Call> = json::decode_tree(tool_calls, &format!("{at}.tool_calls"))?;
    let mut translated = Vec::with_capacity(list.len());
    for (index, Call { id, function }) in list.into_iter().enumerate() {
        let arguments = match function.arguments.trim() {
            "" => json!({}),
            text => match serde_json::from_str::<Value>(text) {
                Ok(object @ Value::Object(_)) => object,
                _ => {
                    return Err(WireError::invalid(
                        format!("{at}.tool_calls[{index}].function.arguments"),
                        "a string that holds a JSON object",
                        format!("a string of {} bytes", text.len()),
                    ));
                }
            },
        };
        let mut call = Map::new();
        if let Some(id) = &id {
            call.insert("id".to_owned(), json!(id));
            calls.entry(id.clone()).or_insert_with(|| function.name.clone());
        }
        call.insert("function".to_owned(), json!({ "name": function.name, "arguments": arguments }));
        translated.push(Value::Object(call));
    }
    Ok(Value::Array(translated))
}
