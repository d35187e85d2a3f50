//! A Gemini client's request, as an OpenAI request.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::contents_in::translate_contents;
use super::fields::{Fields, refuse};
use super::schema::json_schema;
use super::tools_in::translate_tools;
use crate::dropped::Dropped;
use crate::openai::ChatRequest;
use crate::{Original, Spoken, WireError, json};

/// Fields that say how a request is billed, stored or filtered at Google's: elsewhere they have no meaning.
const DROPPED: [&str; 4] = ["safetySettings", "labels", "serviceTier", "store"];
/// Fields of the generation config that are hints, or that shape answers other than text.
const DROPPED_CONFIG: [&str; 5] =
    ["mediaResolution", "enableEnhancedCivicAnswers", "speechConfig", "imageConfig", "audioTimestamp"];
/// Fields of the generation config that are OpenAI's under another name.
const RENAMED: [(&str, &str); 7] = [
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("maxOutputTokens", "max_tokens"),
    ("candidateCount", "n"),
    ("seed", "seed"),
    ("presencePenalty", "presence_penalty"),
    ("frequencyPenalty", "frequency_penalty"),
];

/// What a request says that OpenAI's dialect cannot.
#[derive(Default)]
pub(super) struct Unsaid {
    dropped: Dropped,
    missing: Option<WireError>,
}

impl Unsaid {
    /// A field without which an answer means the same; indices are left out.
    pub(super) fn drop(&mut self, path: &str) {
        let mut unindexed = String::with_capacity(path.len());
        for (position, piece) in path.split('[').enumerate() {
            match piece.split_once(']') {
                Some((_, rest)) if position > 0 => {
                    unindexed.push_str("[]");
                    unindexed.push_str(rest);
                }
                _ => unindexed.push_str(piece),
            }
        }
        self.dropped.name(unindexed);
    }

    /// A field without which an answer means something else. The first is told.
    pub(super) fn miss(&mut self, path: &str, expected: &str, got: &Value) {
        self.missing.get_or_insert_with(|| WireError::invalid(path, expected, json::shown_tree(got)));
    }
}

/// Reads the body of `POST /v1beta/models/{model}:generateContent`, or of `:streamGenerateContent`, which is what
/// `stream` says. Names in either spelling are taken (`topP`, `top_p`).
///
/// The request keeps the client's document, so that Gemini can be asked without translation; what would be missing
/// elsewhere, like a tool that runs at Google's, is told by [`ChatRequest::untranslatable`]. Calls without an identifier
/// get one by position, and results without one are matched by name, then by order.
///
/// # Errors
/// As [`ChatRequest::parse`], with Gemini's names of the fields.
pub fn parse_generate(body: Bytes, model: &str, stream: bool) -> Result<ChatRequest, WireError> {
    let mut request = Fields::of(json::decode(&body)?, "")?;
    let mut unsaid = Unsaid::default();
    let mut out = Map::new();
    out.insert("model".to_owned(), json!(model));
    // The address counts; the SDKs of some languages repeat it here.
    request.take("model");
    out.insert("messages".to_owned(), Value::Array(translate_contents(&mut request, &mut unsaid)?));
    out.insert("stream".to_owned(), json!(stream));
    if stream {
        // The last document of a Gemini stream has the counts.
        out.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    translate_tools(&mut request, &mut out, &mut unsaid)?;
    if let Some(config) = request.object("generationConfig")? {
        translate_config(config, &mut out, &mut unsaid)?;
    }
    for name in DROPPED {
        if request.take(name).is_some() {
            unsaid.drop(name);
        }
    }
    if let Some(name) = request.take("cachedContent") {
        unsaid.miss(
            "cachedContent",
            "the contents themselves, because only Google has what is cached",
            &name,
        );
    }
    if let Some(path) = request.rest().first() {
        let expected = "a field of Gemini's generateContent that has a counterpart here";
        unsaid.miss(path, expected, &request.take(path).unwrap_or_default());
    }
    let Unsaid { dropped, missing } = unsaid;
    if missing.is_some() && out.get("messages") == Some(&json!([])) {
        // Nobody reads them, but a request has to have some.
        out.insert("messages".to_owned(), json!([{ "role": "user", "content": "" }]));
    }
    let original = Original { dialect: Spoken::Gemini, body };
    let request = ChatRequest::parse(json::encode(&out)).map_err(in_geminis_words)?;
    let request = request.translated_from(Some(original), dropped.into_names());
    Ok(match missing {
        Some(missing) => request.with_untranslatable(missing),
        None => request,
    })
}

/// Errors of the translated request name the field that the client wrote.
fn in_geminis_words(error: WireError) -> WireError {
    let WireError::Invalid { field, expected, got } = error else { return error };
    let renamed = RENAMED.iter().find(|(_, name)| *name == field).map(|(theirs, _)| *theirs);
    let field = match (renamed, field.strip_prefix("stop")) {
        (Some(theirs), _) => format!("generationConfig.{theirs}"),
        (None, Some(at)) => format!("generationConfig.stopSequences{at}"),
        (None, None) if field == "top_k" => "generationConfig.topK".to_owned(),
        (None, None) => field,
    };
    WireError::Invalid { field, expected, got }
}

fn translate_config(
    mut config: Fields,
    out: &mut Map<String, Value>,
    unsaid: &mut Unsaid,
) -> Result<(), WireError> {
    for (theirs, ours) in RENAMED {
        out.extend(config.take(theirs).map(|value| (ours.to_owned(), value)));
    }
    if let Some(k) = config.take("topK") {
        // Google's SDKs write it as a decimal number, too.
        let whole = k.as_f64().filter(|k| k.fract() == 0.0).and_then(|k| i64::try_from(k as i128).ok());
        out.insert("top_k".to_owned(), whole.map_or(k, |k| json!(k)));
    }
    if let Some(stop) = config.take("stopSequences").filter(|stop| *stop != json!([])) {
        out.insert("stop".to_owned(), stop);
    }
    if config.flag("responseLogprobs")? {
        out.insert("logprobs".to_owned(), json!(true));
    }
    if let Some(top) = config.take("logprobs") {
        out.insert("top_logprobs".to_owned(), top);
    }
    response_format(&mut config, out, unsaid)?;
    if let Some(thinking) = config.object("thinkingConfig")? {
        reasoning_effort(thinking, out, unsaid)?;
    }
    for (at, modality) in config.list("responseModalities") {
        if !modality.as_str().is_some_and(|name| name.eq_ignore_ascii_case("text")) {
            unsaid.miss(&at, "TEXT, because other answers have no translation", &modality);
        }
    }
    for name in DROPPED_CONFIG {
        if config.take(name).is_some() {
            unsaid.drop(&config.path(name));
        }
    }
    if let Some(path) = config.rest().first() {
        unsaid.miss(path, "a field of the generation config that has a counterpart here", &Value::Null);
    }
    Ok(())
}

fn response_format(
    config: &mut Fields,
    out: &mut Map<String, Value>,
    unsaid: &mut Unsaid,
) -> Result<(), WireError> {
    let at = config.path("responseMimeType");
    let mime_type = config.text("responseMimeType")?;
    let plain = config.take("responseJsonSchema").or_else(|| config.take("_responseJsonSchema"));
    let path = config.path("responseSchema");
    let openapi =
        config.take("responseSchema").map(|schema| json_schema(schema, &path, unsaid)).transpose()?;
    let schema = plain.or(openapi);
    let format = match (mime_type.as_deref(), schema) {
        (None | Some("" | "text/plain"), None) => return Ok(()),
        (Some("application/json"), None) => json!({ "type": "json_object" }),
        // OpenAI wants a name; Gemini's schemas have none.
        (Some("application/json"), Some(schema)) => {
            json!({ "type": "json_schema", "json_schema": { "name": "response", "schema": schema } })
        }
        (other, Some(_)) if other != Some("text/x.enum") => {
            return refuse(&at, "application/json, which a schema needs", &json!(other));
        }
        (other, _) => {
            unsaid.miss(&at, "text/plain or application/json", &json!(other));
            return Ok(());
        }
    };
    out.insert("response_format".to_owned(), format);
    Ok(())
}

/// The effort that Gemini's own OpenAI endpoint takes for a level or a budget. A budget between two efforts is rounded
/// up, and named.
fn reasoning_effort(
    mut thinking: Fields,
    out: &mut Map<String, Value>,
    unsaid: &mut Unsaid,
) -> Result<(), WireError> {
    let budget_at = thinking.path("thinkingBudget");
    let level_at = thinking.path("thinkingLevel");
    let effort = match (thinking.text("thinkingLevel")?, thinking.take("thinkingBudget")) {
        (Some(_), Some(budget)) => return refuse(&budget_at, "it absent beside thinkingLevel", &budget),
        (Some(level), None) => match level.to_ascii_lowercase().as_str() {
            "thinking_level_unspecified" => None,
            level @ ("minimal" | "low" | "medium" | "high") => Some(level.to_owned()),
            _ => return refuse(&level_at, "MINIMAL, LOW, MEDIUM or HIGH", &json!(level)),
        },
        (None, Some(budget)) => {
            let Some(tokens) = budget.as_i64().filter(|tokens| *tokens >= -1) else {
                return refuse(&budget_at, "a number of tokens, or -1", &budget);
            };
            if ![-1, 0, 1024, 8192, 24_576].contains(&tokens) {
                unsaid.drop(&budget_at);
            }
            match tokens {
                // The model decides.
                -1 => None,
                0 => Some("none".to_owned()),
                1..=1024 => Some("low".to_owned()),
                1025..=8192 => Some("medium".to_owned()),
                _ => Some("high".to_owned()),
            }
        }
        (None, None) => None,
    };
    thinking.flag("includeThoughts")?;
    out.extend(effort.map(|effort| ("reasoning_effort".to_owned(), json!(effort))));
    if let Some(path) = thinking.rest().first() {
        unsaid.miss(path, "a field of the thinking config that has a counterpart here", &Value::Null);
    }
    Ok(())
}
