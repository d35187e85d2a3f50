//! A chat-completion request as its client wrote it.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::Members;
use super::message::Message;
use super::options::SamplingOptions;
use super::scan::{Field, Scan, scan};
use super::splice::{Edit, With, member, span, splice};
use crate::{Original, WireError, json};

/// OpenAI's bound on `n`.
const MAX_N: i64 = 128;
/// OpenAI takes four stop strings; Ollama, vLLM and llama.cpp take any number. Sixteen serves every template seen, and
/// bounds the work that each token costs an engine.
const MAX_STOP: usize = 16;

/// A chat-completion request: the client's own bytes and the facts that a gateway needs. Fields unknown to this crate
/// stay in the bytes. Cloning is cheap.
#[derive(Clone)]
pub struct ChatRequest {
    body: Bytes,
    model: Arc<str>,
    model_at: Range<usize>,
    stream: bool,
    stream_at: Option<Range<usize>>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    n: u32,
    has_tools: bool,
    /// It ends with the beginning of its own answer.
    pub(super) continues: bool,
    /// The usage is asked for whether the client wants it or not.
    pub(super) counted: bool,
    /// Where it comes from, if it is a translation.
    pub(super) source: Option<Arc<Source>>,
}

/// What a request was translated from.
#[derive(Clone, Default)]
pub(super) struct Source {
    original: Option<Original>,
    dropped: Vec<String>,
    untranslatable: Option<WireError>,
    beta: Option<String>,
}

impl Source {
    /// Of a request that says something else than the document does.
    pub(super) fn without_original(&self) -> Self {
        Self { original: None, ..self.clone() }
    }
}

/// Where `stream_options` lies, and what it says.
#[derive(Debug, Clone)]
struct StreamOptions {
    at: Range<usize>,
    is_null: bool,
    include_usage: bool,
    include_usage_at: Option<Range<usize>>,
}

impl ChatRequest {
    /// Reads and checks a request in one pass over the body, whose messages are not decoded.
    ///
    /// `maxTokens` and `topP` are accepted beside `max_tokens` and `top_p` and rewritten in the body.
    ///
    /// # Errors
    /// [`WireError::Json`] where the body is not a JSON object; [`WireError::Invalid`] names the field that OpenAI's
    /// API would refuse, or that stands there twice.
    pub fn parse(body: Bytes) -> Result<Self, WireError> {
        let found = scan(&body)?;
        if found.camel_case {
            let body = snake_case(&body)?;
            let found = scan(&body)?;
            return Self::checked(&body, &found);
        }
        Self::checked(&body, &found)
    }

    fn checked(body: &Bytes, found: &Scan<'_>) -> Result<Self, WireError> {
        let (model, model_at) = model(body, found.written(Field::Model))?;
        for (field, name, range) in [
            (Field::TopP, "top_p", 0.0..=1.0),
            (Field::MinP, "min_p", 0.0..=1.0),
            (Field::FrequencyPenalty, "frequency_penalty", -2.0..=2.0),
            (Field::PresencePenalty, "presence_penalty", -2.0..=2.0),
        ] {
            number(found, field, name, range)?;
        }
        integer(found.get(Field::Seed), "seed", i64::MIN..=i64::MAX)?;
        // -1 and 0 are the ways of vLLM and llama.cpp to say "all tokens".
        integer(found.get(Field::TopK), "top_k", -1..=i64::MAX)?;
        stop(found)?;
        if let Some(format) = found.get(Field::ResponseFormat)
            && !format.get().starts_with('{')
        {
            return Err(WireError::invalid(
                "response_format",
                "an object with a type",
                json::shown(format.get()),
            ));
        }
        let max_tokens = integer(found.get(Field::MaxTokens), "max_tokens", 1..=i64::MAX)?;
        let max_completion =
            integer(found.get(Field::MaxCompletionTokens), "max_completion_tokens", 1..=i64::MAX)?;
        let n = integer(found.get(Field::N), "n", 1..=MAX_N)?.unwrap_or(1);
        Ok(Self {
            body: body.clone(),
            model,
            model_at,
            stream: boolean(found.get(Field::Stream), "stream")?.unwrap_or(false),
            stream_at: found.written(Field::Stream).map(|value| span(body, value)),
            stream_options: stream_options(body, found)?,
            max_tokens: max_completion.or(max_tokens).and_then(|tokens| u64::try_from(tokens).ok()),
            temperature: number(found, Field::Temperature, "temperature", 0.0..=2.0)?,
            n: u32::try_from(n).unwrap_or(1),
            has_tools: has_tools(found)?,
            continues: false,
            counted: false,
            source: None,
        })
    }

    /// The model that the client asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the client wants a stream.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Whether the usage is wanted at the end of the stream: the client says so (`stream_options.include_usage`), or the
    /// request is [`counted`](Self::counted).
    pub fn include_usage(&self) -> bool {
        self.counted || self.client_wants_usage()
    }

    fn client_wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }

    /// The same request of a gateway that has to know what a stream took: endpoints are asked for the usage.
    #[must_use]
    pub fn counted(self) -> Self {
        Self { counted: true, ..self }
    }

    /// Whether the client must not see the usage at the end of its stream, which it did not ask for.
    pub fn hides_usage(&self) -> bool {
        self.counted && !self.client_wants_usage()
    }

    /// The most tokens the client will take: `max_completion_tokens`, else `max_tokens`.
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// The temperature, 0 to 2.
    pub fn temperature(&self) -> Option<f64> {
        self.temperature
    }

    /// How many choices the client wants; 1 unless it says so.
    pub fn n(&self) -> u32 {
        self.n
    }

    /// Whether the model is offered any tool.
    pub fn has_tools(&self) -> bool {
        self.has_tools
    }

    /// The same request, as the translation of `original` that could not keep the fields `dropped`.
    #[must_use]
    pub fn translated_from(self, original: Option<Original>, dropped: Vec<String>) -> Self {
        self.with_source(|source| Source { original, dropped, ..source })
    }

    /// The same request, as a translation that misses something which would change the answer, and which `missing`
    /// names. Only an endpoint that gets the [`original`](Self::original) as it is may be asked.
    #[must_use]
    pub fn with_untranslatable(self, missing: WireError) -> Self {
        self.with_source(|source| Source { untranslatable: Some(missing), ..source })
    }

    /// The same request of a client that named beta features of its dialect, as the header `anthropic-beta` does.
    #[must_use]
    pub fn with_beta(self, beta: String) -> Self {
        self.with_source(|source| Source { beta: Some(beta), ..source })
    }

    /// The beta features that the client named, for endpoints of its own dialect.
    pub fn beta(&self) -> Option<&str> {
        self.source.as_ref()?.beta.as_deref()
    }

    fn with_source(self, change: impl FnOnce(Source) -> Source) -> Self {
        let source = self.source.as_deref().cloned().unwrap_or_default();
        Self { source: Some(Arc::new(change(source))), ..self }
    }

    /// Why no endpoint of another dialect than the [`original`](Self::original)'s may be asked: what the client wants
    /// cannot be said in OpenAI's dialect. To be checked before [`to_body`](Self::to_body); whatever decodes the
    /// request, like [`messages`](Self::messages), answers with this error.
    pub fn untranslatable(&self) -> Option<&WireError> {
        self.source.as_ref()?.untranslatable.as_ref()
    }

    /// The client's own document, if it asked in another dialect that endpoints speak too.
    pub fn original(&self) -> Option<&Original> {
        self.source.as_ref()?.original.as_ref()
    }

    /// Fields of the client's document that this request does not say, because OpenAI's dialect cannot. An endpoint
    /// that gets the [`original`](Self::original) is told them all the same.
    pub fn dropped(&self) -> &[String] {
        self.source.as_ref().map_or(&[], |source| &source.dropped)
    }

    /// The body as the client wrote it, but for camelCase names.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same bytes asking for this model, as a stream or not. `stream_options` goes where a stream is turned into
    /// none, because OpenAI's API refuses it there; every other byte stays. A body that already says all that is
    /// returned without copying it.
    pub fn to_body(&self, model: &str, stream: bool) -> Bytes {
        self.edited(model, stream, (self.counted && stream).then_some(true))
    }

    /// The same bytes asking for a stream from this model, with or without the usage at its end, whatever the client
    /// asked: a gateway counts tokens for itself.
    pub fn to_stream_body(&self, model: &str, include_usage: bool) -> Bytes {
        self.edited(model, true, Some(include_usage))
    }

    fn edited(&self, model: &str, stream: bool, include_usage: Option<bool>) -> Bytes {
        // What is missing is inserted after the model, which is always there.
        let end = self.model_at.end..self.model_at.end;
        let mut edits = [Edit::default(), Edit::default(), Edit::default()];
        let [model_edit, stream_edit, options_edit] = &mut edits;
        if model != &*self.model {
            *model_edit = Edit { at: self.model_at.clone(), with: With::Quoted(model) };
        }
        if stream != self.stream {
            *stream_edit = match &self.stream_at {
                Some(at) => Edit { at: at.clone(), with: With::Text(if stream { "true" } else { "false" }) },
                None => Edit { at: end.clone(), with: With::Text(r#","stream":true"#) },
            };
        }
        match (&self.stream_options, include_usage) {
            (Some(options), _) if self.stream && !stream => {
                options_edit.at = member(&self.body, options.at.clone());
            }
            (Some(options), Some(wanted)) if wanted != options.include_usage => {
                *options_edit = options.with_usage(&self.body, wanted);
            }
            (None, Some(true)) => {
                let text = r#","stream_options":{"include_usage":true}"#;
                *options_edit = Edit { at: end, with: With::Text(text) };
            }
            _ => {}
        }
        if edits.iter().all(|edit| *edit == Edit::default()) {
            return self.body.clone();
        }
        splice(&self.body, &mut edits)
    }

    /// The same bytes for vLLM and SGLang where the request is one for the rest of an answer: they close an assistant's
    /// last message unless they are told not to.
    pub fn to_continuation_body(&self, model: &str, stream: bool) -> Bytes {
        let body = self.to_body(model, stream);
        if !self.continues {
            return body;
        }
        let inside = body.iter().position(|byte| *byte == b'{').map_or(0, |brace| brace + 1);
        let text = r#""continue_final_message":true,"add_generation_prompt":false,"#;
        splice(&body, &mut [Edit { at: inside..inside, with: With::Text(text) }])
    }

    /// The messages, decoded: for another dialect or a chat template.
    ///
    /// # Errors
    /// [`WireError::Json`] where a part of a message that [`parse`](Self::parse) only skims is not as it should be;
    /// what [`untranslatable`](Self::untranslatable) says.
    pub fn messages(&self) -> Result<Vec<Message>, WireError> {
        #[derive(Deserialize)]
        struct Messages {
            messages: Vec<Message>,
        }
        self.decode::<Messages>().map(|request| request.messages)
    }

    /// The parameters of sampling, decoded.
    ///
    /// # Errors
    /// [`WireError::Json`] where an extension like `repeat_penalty` has the wrong type; what
    /// [`untranslatable`](Self::untranslatable) says.
    pub fn options(&self) -> Result<SamplingOptions, WireError> {
        self.decode()
    }

    pub(crate) fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, WireError> {
        match self.untranslatable() {
            Some(missing) => Err(missing.clone()),
            None => json::decode(&self.body),
        }
    }
}

impl fmt::Debug for ChatRequest {
    /// Without the body: prompts do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRequest")
            .field("model", &self.model)
            .field("stream", &self.stream)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl StreamOptions {
    fn with_usage(&self, body: &[u8], wanted: bool) -> Edit<'static> {
        match &self.include_usage_at {
            None if self.is_null => {
                Edit { at: self.at.clone(), with: With::Text(r#"{"include_usage":true}"#) }
            }
            Some(at) => Edit { at: at.clone(), with: With::Text(if wanted { "true" } else { "false" }) },
            None => {
                let inside = self.at.start + 1;
                let empty = body
                    .get(inside..self.at.end)
                    .is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b'}'));
                let text = if empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
                Edit { at: inside..inside, with: With::Text(text) }
            }
        }
    }
}

/// The longest name of a model, in bytes: the longest path of Linux, because a model may be named by its file. Whoever
/// does not know it compares it with every name there is.
pub(crate) const MAX_MODEL_NAME: usize = 4096;

/// The name of the model, and where it lies.
pub(super) fn model(body: &[u8], written: Option<&RawValue>) -> Result<(Arc<str>, Range<usize>), WireError> {
    let refused = |got: &str| WireError::invalid("model", "the name of a model", got);
    let written = written.ok_or_else(|| refused("nothing"))?;
    match serde_json::from_str::<String>(written.get()) {
        Ok(name) if name.len() > MAX_MODEL_NAME => {
            let expected = format!("the name of a model, of at most {MAX_MODEL_NAME} bytes");
            Err(WireError::invalid("model", expected, json::shown(written.get())))
        }
        Ok(name) if !name.trim().is_empty() => Ok((name.into(), span(body, written))),
        _ => Err(refused(&json::shown(written.get()))),
    }
}

fn number(
    found: &Scan<'_>,
    field: Field,
    name: &str,
    range: RangeInclusive<f64>,
) -> Result<Option<f64>, WireError> {
    let Some(value) = found.get(field) else { return Ok(None) };
    match serde_json::from_str::<f64>(value.get()) {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(WireError::invalid(
            name,
            format!("a number from {} to {}", range.start(), range.end()),
            json::shown(value.get()),
        )),
    }
}

pub(super) fn integer(
    value: Option<&RawValue>,
    name: &str,
    range: RangeInclusive<i64>,
) -> Result<Option<i64>, WireError> {
    let Some(value) = value else { return Ok(None) };
    match serde_json::from_str::<i64>(value.get()) {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let expected = match (*range.start(), *range.end()) {
                (i64::MIN, _) => "an integer".to_owned(),
                (least, i64::MAX) => format!("an integer of at least {least}"),
                (least, most) => format!("an integer from {least} to {most}"),
            };
            Err(WireError::invalid(name, expected, json::shown(value.get())))
        }
    }
}

fn boolean(value: Option<&RawValue>, name: &str) -> Result<Option<bool>, WireError> {
    match value.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(WireError::invalid(name, "true or false", json::shown(other))),
    }
}

fn stop(found: &Scan<'_>) -> Result<(), WireError> {
    let Some(value) = found.get(Field::Stop) else { return Ok(()) };
    let expected = format!("a non-empty string, or an array of at most {MAX_STOP} of them");
    let refused = |field: String, got: String| Err(WireError::invalid(field, expected.clone(), got));
    if let Ok(one) = serde_json::from_str::<String>(value.get()) {
        return if one.is_empty() { refused("stop".to_owned(), "\"\"".to_owned()) } else { Ok(()) };
    }
    let Ok(several) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        return refused("stop".to_owned(), json::shown(value.get()));
    };
    if several.len() > MAX_STOP {
        return refused("stop".to_owned(), format!("{} strings", several.len()));
    }
    let unfit =
        |one: &&RawValue| serde_json::from_str::<String>(one.get()).map_or(true, |one| one.is_empty());
    match several.iter().position(unfit) {
        Some(index) => refused(
            format!("stop[{index}]"),
            several.get(index).map_or_else(String::new, |one| json::shown(one.get())),
        ),
        None => Ok(()),
    }
}

fn has_tools(found: &Scan<'_>) -> Result<bool, WireError> {
    let Some(tools) = found.get(Field::Tools) else { return Ok(false) };
    match tools.get().strip_prefix('[') {
        Some(rest) => Ok(!rest.trim_start().starts_with(']')),
        None => Err(WireError::invalid("tools", "an array of tools", json::shown(tools.get()))),
    }
}

fn stream_options(body: &[u8], found: &Scan<'_>) -> Result<Option<StreamOptions>, WireError> {
    let Some(options) = found.written(Field::StreamOptions) else { return Ok(None) };
    let at = span(body, options);
    if options.get() == "null" {
        return Ok(Some(StreamOptions { at, is_null: true, include_usage: false, include_usage_at: None }));
    }
    let refused = || WireError::invalid("stream_options", "an object", json::shown(options.get()));
    if !options.get().starts_with('{') {
        return Err(refused());
    }
    let Members(members) = serde_json::from_str(options.get()).map_err(|_| refused())?;
    let mut named = members
        .iter()
        .filter(|(key, _)| serde_json::from_str::<String>(key.get()).is_ok_and(|key| key == "include_usage"));
    let include_usage = named.next().map(|(_, value)| *value);
    if named.next().is_some() {
        return Err(WireError::invalid("stream_options.include_usage", "the field at most once", "it twice"));
    }
    Ok(Some(StreamOptions {
        at,
        is_null: false,
        include_usage: boolean(include_usage, "stream_options.include_usage")?.unwrap_or(false),
        include_usage_at: include_usage.map(|value| span(body, value)),
    }))
}

/// The body with `maxTokens` and `topP` under the names that every backend knows.
fn snake_case(body: &[u8]) -> Result<Bytes, WireError> {
    let Members(members) = json::decode(body)?;
    let mut edits = Vec::new();
    for (key, _) in members {
        let with = match serde_json::from_str::<String>(key.get()).as_deref() {
            Ok("maxTokens") => "max_tokens",
            Ok("topP") => "top_p",
            _ => continue,
        };
        edits.push(Edit { at: span(body, key), with: With::Quoted(with) });
    }
    Ok(splice(body, &mut edits))
}
