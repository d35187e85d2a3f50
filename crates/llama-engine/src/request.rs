//! What one request asks for, out of OpenAI's fields and llama.cpp's `top_k`, `min_p` and `repeat_penalty`.

use llm_wire::openai::{ChatRequest, Content, Message, SamplingOptions};
use serde_json::Value;

use crate::EngineError;
use crate::sampler::Sampling;
use crate::template::TemplateMessage;
use crate::token::Token;

/// A stop string is a marker, not a document; the bound keeps the text that is held back small. In bytes.
const MAX_STOP_BYTES: usize = 1024;
/// OpenAI's bound.
const MAX_TOP_LOGPROBS: u8 = 20;
/// OpenAI's bound.
const MAX_BIASES: usize = 300;
/// Ten times less likely for each factor of the scores is far beyond any use.
const MAX_REPEAT_PENALTY: f32 = 10.0;

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Anything.
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON that a schema describes.
    JsonSchema(Value),
}

/// The tools of a request as its client wrote them.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolFields {
    /// `tools`.
    pub tools: Value,
    /// `tool_choice`.
    pub choice: Option<Value>,
    /// `parallel_tool_calls`.
    pub parallel: Option<Value>,
}

/// A chat request as the engine understands it.
#[derive(Debug, Clone)]
pub struct ChatJob {
    /// A catalogue name or the absolute path of a `.gguf` file.
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<TemplateMessage>,
    /// See [`Sampling`].
    pub sampling: Sampling,
    /// How many answers are wanted, at least one.
    pub choices: u32,
    /// See [`Format`].
    pub format: Format,
    /// See [`ToolFields`]; `None` if there are none.
    pub tools: Option<ToolFields>,
    /// The answer ends before the first of them.
    pub stops: Vec<String>,
    /// Most tokens of the answer; `None`: to the end of the context.
    pub max_tokens: Option<usize>,
}

impl ChatJob {
    /// Reads a validated request. `seed` is used where the client gives none.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] names the field; [`EngineError::Unsupported`] names a feature that would otherwise be ignored.
    pub fn read(request: &ChatRequest, seed: u64) -> Result<Self, EngineError> {
        let options = request.options()?;
        let format = format(options.response_format.as_ref())?;
        let messages = request.messages()?;
        refuse_unsupported(&options, &format, request.has_tools(), &messages)?;
        for (index, stop) in options.stop.iter().enumerate() {
            if stop.len() > MAX_STOP_BYTES {
                return Err(EngineError::invalid(
                    format!("stop[{index}]"),
                    format!("stop[{index}]: expected at most {MAX_STOP_BYTES} bytes, got {}", stop.len()),
                ));
            }
        }
        Ok(Self {
            model: request.model().to_owned(),
            messages: messages.iter().map(TemplateMessage::from).collect(),
            sampling: sampling(&options, seed)?,
            choices: request.n(),
            format,
            tools: request.has_tools().then(|| ToolFields {
                tools: options.tools.clone().unwrap_or_default(),
                choice: options.tool_choice.clone(),
                parallel: options.parallel_tool_calls.clone(),
            }),
            max_tokens: options.limit().map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX)),
            stops: options.stop,
        })
    }
}

/// Ranges of the older fields were checked when the request was parsed.
fn sampling(options: &SamplingOptions, seed: u64) -> Result<Sampling, EngineError> {
    let default = Sampling::default();
    let top_k = match options.top_k {
        None => default.top_k,
        // More candidates than any vocabulary has means all of them.
        Some(top_k) => i32::try_from(top_k).unwrap_or(0).max(0),
    };
    let or = |value: Option<f64>, default: f32| value.map_or(default, |value| value as f32);
    let repeat_penalty = or(options.repeat_penalty, 1.0);
    if !(repeat_penalty > 0.0 && repeat_penalty <= MAX_REPEAT_PENALTY) {
        return Err(EngineError::invalid(
            "repeat_penalty",
            format!(
                "repeat_penalty: expected a number above 0 and up to {MAX_REPEAT_PENALTY}, got {repeat_penalty}; 1 changes nothing"
            ),
        ));
    }
    Ok(Sampling {
        temperature: or(options.temperature, default.temperature),
        top_k,
        top_p: or(options.top_p, default.top_p),
        min_p: or(options.min_p, default.min_p),
        seed: options.seed.map_or(seed, i64::cast_unsigned),
        repeat_penalty,
        frequency_penalty: or(options.frequency_penalty, 0.0),
        presence_penalty: or(options.presence_penalty, 0.0),
        bias: bias(options.logit_bias.as_ref())?,
        logprobs: logprobs(options)?,
    })
}

fn bias(written: Option<&Value>) -> Result<Vec<(Token, f32)>, EngineError> {
    let refused = |got: String| {
        EngineError::invalid(
            "logit_bias",
            format!(
                "logit_bias: expected an object of at most {MAX_BIASES} token numbers with a bias from -100 to 100 each, got {got}"
            ),
        )
    };
    let entries = match written {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(entries)) => entries,
        Some(_) => return Err(refused("something else".to_owned())),
    };
    if entries.len() > MAX_BIASES {
        return Err(refused(format!("{} of them", entries.len())));
    }
    let entry = |(token, bias): (&String, &Value)| {
        let number = token.parse::<Token>().ok().filter(|token| *token >= 0);
        match (number, bias.as_f64()) {
            (Some(token), Some(bias)) if (-100.0..=100.0).contains(&bias) => Ok((token, bias as f32)),
            _ => Err(refused(format!("{token:?}: {bias}"))),
        }
    };
    entries.iter().map(entry).collect()
}

fn logprobs(options: &SamplingOptions) -> Result<Option<u8>, EngineError> {
    let top = options.top_logprobs.unwrap_or(0);
    let top = u8::try_from(top).ok().filter(|top| *top <= MAX_TOP_LOGPROBS).ok_or_else(|| {
        EngineError::invalid(
            "top_logprobs",
            format!("top_logprobs: expected an integer from 0 to {MAX_TOP_LOGPROBS}, got {top}"),
        )
    })?;
    match options.logprobs {
        Some(true) => Ok(Some(top)),
        _ if top > 0 => {
            Err(EngineError::invalid("top_logprobs", "top_logprobs: expected \"logprobs\": true beside it"))
        }
        _ => Ok(None),
    }
}

fn format(written: Option<&Value>) -> Result<Format, EngineError> {
    let Some(written) = written.filter(|written| !written.is_null()) else { return Ok(Format::Text) };
    match written.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(match written.get("schema") {
            // llama.cpp's older way to give a schema.
            Some(schema) => Format::JsonSchema(schema.clone()),
            None => Format::JsonObject,
        }),
        Some("json_schema") => {
            let described = written.get("json_schema");
            let schema = described.and_then(|described| described.get("schema")).ok_or_else(|| {
                EngineError::invalid(
                    "response_format.json_schema.schema",
                    "response_format.json_schema.schema: expected a JSON Schema, got nothing",
                )
            })?;
            // Whether `strict` or not, an answer keeps to the schema.
            Ok(Format::JsonSchema(schema.clone()))
        }
        other => Err(EngineError::invalid(
            "response_format.type",
            format!(
                "response_format.type: expected \"text\", \"json_object\" or \"json_schema\", got {}",
                other.map_or_else(|| "nothing".to_owned(), |other| format!("\"{other}\""))
            ),
        )),
    }
}

/// A feature that is silently ignored would be a wrong answer.
fn refuse_unsupported(
    options: &SamplingOptions,
    format: &Format,
    has_tools: bool,
    messages: &[Message],
) -> Result<(), EngineError> {
    let is_text = |message: &Message| match &message.content {
        Some(Content::Parts(parts)) => parts.iter().all(|part| part.text().is_some()),
        _ => true,
    };
    let asked = [
        (
            "grammar",
            options.grammar.as_ref().is_some_and(|grammar| !grammar.is_null()),
            "use response_format with a JSON Schema",
        ),
        (
            "stop",
            *format != Format::Text && !options.stop.is_empty(),
            "beside a response_format of JSON it could end the answer in the middle; leave one of the two out",
        ),
        ("logprobs", has_tools && options.logprobs == Some(true), "beside tools; leave one of the two out"),
        (
            "response_format",
            has_tools && *format != Format::Text,
            "beside tools, whose calls have their own format; leave one of the two out",
        ),
        ("messages", !messages.iter().all(is_text), "its models read text, no images, sound or files"),
    ];
    match asked.into_iter().find(|(_, asked, _)| *asked) {
        Some((feature, _, hint)) => Err(EngineError::Unsupported { feature, hint }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    /// Reads a request with these fields beside model and messages.
    fn read(fields: Value) -> Result<ChatJob, EngineError> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        let object = body.as_object_mut().expect("an object");
        object.extend(fields.as_object().expect("fields").clone());
        let request = ChatRequest::parse(Bytes::from(body.to_string())).expect("a valid request");
        ChatJob::read(&request, 77)
    }

    fn check_refused(fields: Value, code: &str, names: &str) {
        let error = read(fields).expect_err("is refused");
        assert_eq!(error.code(), code);
        assert_eq!(error.body().param.as_deref(), Some(names));
    }

    #[test]
    fn what_the_client_leaves_out_has_the_documented_defaults() {
        let job = read(json!({})).expect("is valid");
        let sampling = Sampling { seed: 77, ..Sampling::default() };
        assert_eq!(job.sampling, sampling);
        assert_eq!(
            (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p),
            (1.0, 40, 0.95, 0.05)
        );
        assert_eq!((job.max_tokens, job.stops.len(), job.choices), (None, 0, 1));
        assert_eq!((job.format, job.tools), (Format::Text, None));
    }

    #[test]
    fn what_the_client_says_is_taken() {
        let job = read(json!({
            "temperature": 0, "top_k": -1, "top_p": 1, "min_p": 0, "seed": -5, "stop": "x", "max_completion_tokens": 9,
            "max_tokens": 3, "n": 2, "frequency_penalty": 0.5, "presence_penalty": -1, "repeat_penalty": 1.1,
            "logit_bias": {"7": -100}, "logprobs": true, "top_logprobs": 2,
        }));
        let job = job.expect("is valid");
        let expected = Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: (-5i64).cast_unsigned(),
            repeat_penalty: 1.1,
            frequency_penalty: 0.5,
            presence_penalty: -1.0,
            bias: vec![(7, -100.0)],
            logprobs: Some(2),
        };
        assert_eq!(job.sampling, expected);
        assert_eq!((job.max_tokens, job.stops, job.choices), (Some(9), vec!["x".to_owned()], 2));
    }

    #[test]
    fn a_schema_is_found_wherever_clients_write_it() {
        let schema = json!({"type": "object"});
        let expected = Format::JsonSchema(schema.clone());
        for (format, expected) in [
            (json!({"type": "json_object"}), Format::JsonObject),
            (json!({"type": "json_object", "schema": schema}), expected.clone()),
            (
                json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}),
                expected.clone(),
            ),
            (
                json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}}),
                expected.clone(),
            ),
            (json!({"type": "text"}), Format::Text),
        ] {
            assert_eq!(read(json!({"response_format": format})).expect("is valid").format, expected);
        }
    }

    #[test]
    fn a_feature_that_would_be_ignored_is_refused_by_name() {
        check_refused(json!({"grammar": "root ::= \"a\""}), "UAT_UNSUPPORTED", "grammar");
        check_refused(
            json!({"stop": "x", "response_format": {"type": "json_object"}}),
            "UAT_UNSUPPORTED",
            "stop",
        );
        let image =
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]);
        check_refused(json!({"messages": image}), "UAT_UNSUPPORTED", "messages");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (fields, names) in [
            (json!({"response_format": {"type": "xml"}}), "response_format.type"),
            (json!({"response_format": {}}), "response_format.type"),
            (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema.schema"),
            (json!({"top_logprobs": 2}), "top_logprobs"),
            (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
            (json!({"logit_bias": {"seven": 1}}), "logit_bias"),
            (json!({"logit_bias": {"7": 101}}), "logit_bias"),
            (json!({"logit_bias": [7]}), "logit_bias"),
            (json!({"repeat_penalty": 0}), "repeat_penalty"),
        ] {
            check_refused(fields, "UAT_INVALID_INPUT", names);
        }
    }

    #[test]
    fn a_stop_string_that_would_hold_back_too_much_is_refused() {
        check_refused(json!({"stop": ["ok", "x".repeat(2000)]}), "UAT_INVALID_INPUT", "stop[1]");
    }
}
