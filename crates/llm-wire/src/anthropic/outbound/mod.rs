//! An OpenAI request, asked of Anthropic.

mod blocks;
mod messages;
mod tools;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::dropped::{Dropped, says_nothing};
use crate::openai::splice::{Edit, With, span, splice};
use crate::openai::{ChatRequest, Members, Message};
use crate::{Spoken, Translated, WireError, json};

/// Fields that constrain or extend the answer and that Anthropic has no word for: left out, the answer would be another.
const REFUSED: [(&str, &str); 14] = [
    ("audio", "it absent, because Anthropic's models do not speak"),
    ("logit_bias", "it absent, because Anthropic cannot weigh single tokens"),
    ("logprobs", "false, because Anthropic gives no log probabilities"),
    ("top_logprobs", "0, because Anthropic gives no log probabilities"),
    ("functions", "tools in its place"),
    ("function_call", "tool_choice in its place"),
    ("web_search_options", "it absent: this translation has no web search"),
    ("grammar", "response_format with a JSON schema, the one constraint that Anthropic has"),
    ("guided_json", "response_format in its place"),
    ("guided_regex", "it absent, because Anthropic takes no regular expression"),
    ("guided_choice", "it absent, because Anthropic takes no list of choices"),
    ("guided_grammar", "it absent, because Anthropic takes no grammar"),
    ("structured_outputs", "response_format in its place"),
    ("json_schema", "response_format in its place"),
];

/// The body of `POST /v1/messages` that asks the same of Anthropic. Where the client asked in Anthropic's dialect, these
/// are its own bytes, with only the model's name and the stream flag changed.
///
/// `default_max_tokens` is what Anthropic is told where the client sets no limit, because it requires one.
///
/// # Errors
/// [`WireError::Invalid`] names what Anthropic cannot be asked: several choices, log probabilities, audio, a temperature
/// above 1, JSON without a schema, an image in a format that it does not read, a tool that is not a function.
pub fn messages_request(
    request: &ChatRequest,
    model: &str,
    stream: bool,
    default_max_tokens: u64,
) -> Result<Translated, WireError> {
    if let Some(original) = request.original().filter(|original| original.dialect == Spoken::Anthropic) {
        return Ok(Translated::whole(readdressed(&original.body, model, stream)?));
    }
    translate(request, model, stream, default_max_tokens)
}

/// The client's bytes, asking this model for a stream or not.
fn readdressed(body: &Bytes, model: &str, stream: bool) -> Result<Bytes, WireError> {
    let Members(members) = json::decode(body)?;
    let find = |name: &str| {
        let named = |key: &str| serde_json::from_str::<String>(key).is_ok_and(|key| key == name);
        members.iter().find(|(key, _)| named(key.get())).map(|(_, value)| *value)
    };
    let Some(old_model) = find("model") else {
        return Err(WireError::invalid("model", "the name of a model", "nothing"));
    };
    let at = span(body, old_model);
    let end = at.end..at.end;
    let mut edits = [Edit::default(), Edit::default()];
    let [model_edit, stream_edit] = &mut edits;
    if serde_json::from_str::<String>(old_model.get()).map_or(true, |old| old != model) {
        *model_edit = Edit { at, with: With::Quoted(model) };
    }
    match (find("stream"), stream) {
        (Some(old), _) if old.get() != if stream { "true" } else { "false" } => {
            let text = if stream { "true" } else { "false" };
            *stream_edit = Edit { at: span(body, old), with: With::Text(text) };
        }
        (None, true) => *stream_edit = Edit { at: end, with: With::Text(r#","stream":true"#) },
        _ => {}
    }
    if edits.iter().all(|edit| *edit == Edit::default()) {
        return Ok(body.clone());
    }
    Ok(splice(body, &mut edits))
}

fn translate(
    request: &ChatRequest,
    model: &str,
    stream: bool,
    default_max_tokens: u64,
) -> Result<Translated, WireError> {
    #[derive(Deserialize)]
    struct Request {
        messages: Vec<Message>,
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    let Request { messages, fields } = request.decode()?;
    let mut dropped = Dropped::default();
    let conversation = messages::translate(messages, &mut dropped)?;

    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("max_tokens".to_owned(), json!(request.max_tokens().unwrap_or(default_max_tokens)));
    if !conversation.system.is_empty() {
        body.insert("system".to_owned(), Value::Array(conversation.system));
    }
    body.insert("messages".to_owned(), Value::Array(conversation.turns));
    if stream {
        body.insert("stream".to_owned(), json!(true));
    }
    translate_fields(fields, &mut body, &mut dropped)?;
    Ok(Translated { body: json::encode(&body), dropped: dropped.into_names() })
}

fn refuse<T>(field: &str, expected: &str, got: &Value) -> Result<T, WireError> {
    Err(WireError::invalid(field, expected, json::shown_tree(got)))
}

fn translate_fields(
    fields: Map<String, Value>,
    body: &mut Map<String, Value>,
    dropped: &mut Dropped,
) -> Result<(), WireError> {
    let mut choice = tools::Choice::default();
    let mut output = Map::new();
    let mut thinking = None;
    let mut effort = None;
    let mut user = None;
    for (name, value) in fields {
        match name.as_str() {
            _ if value.is_null() => {}
            // What is set already, or concerns only the way of the answer.
            "model" | "stream" | "stream_options" | "max_tokens" | "max_completion_tokens" => {}
            "temperature" if value.as_f64().is_some_and(|temperature| temperature > 1.0) => {
                return refuse(&name, "a number from 0 to 1, which is what Anthropic takes", &value);
            }
            "temperature" | "top_p" | "cache_control" => _ = body.insert(name, value),
            "top_k" => {
                // -1 and 0 mean all tokens, which is what Anthropic does without the field.
                if value.as_u64().is_some_and(|tokens| tokens > 0) {
                    body.insert(name, value);
                }
            }
            "stop" => _ = body.insert("stop_sequences".to_owned(), stop_sequences(value)?),
            "tools" => choice.tools = tools::translate(value, dropped)?,
            "tool_choice" => choice.wanted = Some(value),
            "parallel_tool_calls" => choice.one_at_a_time = value == json!(false),
            "response_format" => {
                if let Some(format) = output_format(&value, dropped)? {
                    output.insert("format".to_owned(), format);
                }
            }
            "reasoning_effort" => effort = Some(value),
            "thinking" if value.is_object() => thinking = Some(value),
            "user" => {
                if user.replace(value).is_some() {
                    dropped.name("safety_identifier");
                }
            }
            "safety_identifier" if user.is_none() => user = Some(value),
            "n" if value == json!(1) => {}
            "n" => return refuse(&name, "1, because Anthropic gives one choice", &value),
            "modalities" if value == json!(["text"]) => {}
            "modalities" => return refuse(&name, "[\"text\"], because Anthropic answers in text", &value),
            field => match REFUSED.iter().find(|(refused, _)| *refused == field) {
                Some(_) if says_nothing(&value) || value == json!(0) => {}
                Some((_, expected)) => return refuse(&name, expected, &value),
                None => dropped.name_unless_empty(name, &value),
            },
        }
    }
    if let Some(effort) = effort {
        think(&effort, &mut thinking, &mut output)?;
    }
    if let Some(thinking) = thinking {
        body.insert("thinking".to_owned(), thinking);
    }
    if !output.is_empty() {
        body.insert("output_config".to_owned(), Value::Object(output));
    }
    if let Some(user) = user {
        body.insert("metadata".to_owned(), json!({ "user_id": user }));
    }
    choice.write(body)
}

/// Effort, and the thinking that comes with it unless the client has said itself how the model is to think.
fn think(
    effort: &Value,
    thinking: &mut Option<Value>,
    output: &mut Map<String, Value>,
) -> Result<(), WireError> {
    let level = match effort.as_str() {
        Some("none") => {
            thinking.get_or_insert_with(|| json!({ "type": "disabled" }));
            return Ok(());
        }
        Some("minimal" | "low") => "low",
        Some(level @ ("medium" | "high" | "xhigh" | "max")) => level,
        _ => return refuse("reasoning_effort", "none, minimal, low, medium, high, xhigh or max", effort),
    };
    output.insert("effort".to_owned(), json!(level));
    thinking.get_or_insert_with(|| json!({ "type": "adaptive" }));
    Ok(())
}

fn stop_sequences(stop: Value) -> Result<Value, WireError> {
    let (one, list) = match stop {
        Value::Array(list) => (false, list),
        stop => (true, vec![stop]),
    };
    let blank = list.iter().position(|stop| stop.as_str().is_none_or(|stop| stop.trim().is_empty()));
    match blank {
        None => Ok(Value::Array(list)),
        Some(index) => {
            let field = if one { "stop".to_owned() } else { format!("stop[{index}]") };
            let got = list.get(index).unwrap_or(&Value::Null);
            refuse(&field, "text that is not only white space, which Anthropic requires", got)
        }
    }
}

/// Anthropic's schemas are always strict and have no name.
fn output_format(format: &Value, dropped: &mut Dropped) -> Result<Option<Value>, WireError> {
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_schema") => match format.pointer("/json_schema/schema") {
            Some(schema @ Value::Object(_)) => {
                if let Some(description) = format.pointer("/json_schema/description") {
                    dropped.name_unless_empty("response_format.json_schema.description", description);
                }
                Ok(Some(json!({ "type": "json_schema", "schema": schema })))
            }
            other => {
                refuse("response_format.json_schema.schema", "a JSON schema", other.unwrap_or(&Value::Null))
            }
        },
        _ => refuse(
            "response_format.type",
            "text or json_schema, because Anthropic has no JSON without a schema",
            format.get("type").unwrap_or(&Value::Null),
        ),
    }
}
