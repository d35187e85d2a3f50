//! An Anthropic client's request, as an OpenAI request.

mod blocks;
mod messages;
mod options;
mod tools;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::dropped::Dropped;
use crate::openai::{ChatRequest, Members};
use crate::{Original, Spoken, WireError, json};

/// Reads the body of `POST /v1/messages`. The request keeps the body as its
/// [`original`](ChatRequest::original).
///
/// # Errors
/// [`WireError::Json`] where the body is not a JSON object; [`WireError::Invalid`] names, in Anthropic's words like
/// `messages[0].content[1].source`, what Anthropic's API would refuse. What only the translation lacks is no error here
/// but [`untranslatable`](ChatRequest::untranslatable).
pub fn parse_messages(body: Bytes) -> Result<ChatRequest, WireError> {
    parse(body, true)
}

/// Reads the body of `POST /v1/messages/count_tokens`, which is that of a message without a limit.
///
/// # Errors
/// As [`parse_messages`].
pub fn parse_count_tokens(body: Bytes) -> Result<ChatRequest, WireError> {
    parse(body, false)
}

/// The answer to `POST /v1/messages/count_tokens`.
pub fn token_count(input_tokens: u64) -> Bytes {
    json::encode(&json!({ "input_tokens": input_tokens }))
}

/// What a translation gathers beside its result.
#[derive(Debug, Default)]
struct Notes {
    dropped: Dropped,
    /// The first thing that changes the answer and that OpenAI's dialect cannot say.
    missing: Option<WireError>,
}

impl Notes {
    fn cannot(&mut self, field: impl Into<String>, expected: &str, got: impl Into<String>) {
        self.missing.get_or_insert_with(|| WireError::invalid(field, expected, got));
    }
}

fn refuse<T>(field: impl Into<String>, expected: &str, got: &Value) -> Result<T, WireError> {
    let got = if got.is_null() { "nothing".to_owned() } else { json::shown_tree(got) };
    Err(WireError::invalid(field, expected, got))
}

fn parse(body: Bytes, limited: bool) -> Result<ChatRequest, WireError> {
    let mut fields = members(&body)?;
    let mut notes = Notes::default();
    let mut out = Map::new();

    let model = fields.shift_remove("model").unwrap_or(Value::Null);
    if model.as_str().is_none_or(|model| model.trim().is_empty()) {
        return refuse("model", "the name of a model", &model);
    }
    out.insert("model".to_owned(), model);
    let system = fields.shift_remove("system").unwrap_or(Value::Null);
    let messages = fields.shift_remove("messages").unwrap_or(Value::Null);
    out.insert("messages".to_owned(), messages::translate(system, messages, &mut notes)?);

    let stream = fields.shift_remove("stream").unwrap_or(Value::Null);
    match stream.as_bool() {
        Some(true) => {
            out.insert("stream".to_owned(), json!(true));
            // The end of an Anthropic stream has the counts.
            out.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        }
        None if !stream.is_null() => return refuse("stream", "true or false", &stream),
        _ => {}
    }
    max_tokens(fields.shift_remove("max_tokens").unwrap_or(Value::Null), limited, &mut out, &mut notes)?;
    options::translate(fields, &mut out, &mut notes)?;
    if !out.contains_key("tools") {
        // A choice among no tools; OpenAI's API refuses it.
        out.shift_remove("tool_choice");
        out.shift_remove("parallel_tool_calls");
    }

    let (request, missing) = match ChatRequest::parse(json::encode(&out)) {
        Ok(request) => (request, None),
        Err(error) => (without_content(out)?, Some(in_anthropics_words(error))),
    };
    let original = Original { dialect: Spoken::Anthropic, body };
    let request = request.translated_from(Some(original), notes.dropped.into_names());
    Ok(match notes.missing.or(missing) {
        Some(missing) => request.with_untranslatable(missing),
        None => request,
    })
}

/// The members of the document, each once: which of two counts differs among parsers.
fn members(body: &[u8]) -> Result<Map<String, Value>, WireError> {
    let Members(written) = json::decode(body)?;
    let mut fields = Map::new();
    for (key, value) in written {
        let key: String = json::decode_value(key.get().as_bytes(), "$")?;
        let value = json::decode_value(value.get().as_bytes(), &key)?;
        if fields.contains_key(&key) {
            return Err(WireError::invalid(key, "the field at most once", "it twice"));
        }
        fields.insert(key, value);
    }
    Ok(fields)
}

fn max_tokens(
    limit: Value,
    required: bool,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), WireError> {
    match limit.as_i64() {
        Some(0) => {
            let expected = "at least 1: only Anthropic's API reads a prompt without answering it";
            notes.cannot("max_tokens", expected, "0");
        }
        Some(tokens) if tokens > 0 => _ = out.insert("max_tokens".to_owned(), limit),
        None if limit.is_null() && !required => {}
        _ => return refuse("max_tokens", "an integer of at least 1, which Anthropic requires", &limit),
    }
    Ok(())
}

/// A request of which only the facts count, because its messages are not to be read: OpenAI's dialect has a bound that
/// Anthropic's has not.
fn without_content(mut out: Map<String, Value>) -> Result<ChatRequest, WireError> {
    out.retain(|name, _| {
        ["model", "stream", "stream_options", "max_tokens", "temperature"].contains(&name.as_str())
    });
    out.insert("messages".to_owned(), json!([{ "role": "user", "content": "" }]));
    ChatRequest::parse(json::encode(&out))
}

/// Errors of the translated request name the field that the client wrote.
fn in_anthropics_words(error: WireError) -> WireError {
    let WireError::Invalid { field, expected, got } = error else { return error };
    let field = match field.strip_prefix("stop") {
        Some(index) if index.is_empty() || index.starts_with('[') => format!("stop_sequences{index}"),
        _ => field,
    };
    WireError::Invalid { field, expected, got }
}
