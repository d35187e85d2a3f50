//! An OpenAI request, asked of Gemini.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::contents_out::translate_messages;
use super::fields::refuse;
use super::options_out::{response_format, thinking_config, tool_config};
use crate::openai::{ChatRequest, Message};
use crate::{Spoken, Translated, WireError, json};

/// Fields of OpenAI's that are in the generation config under another name.
const RENAMED: [(&str, &str); 4] = [
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
];
/// Fields that say who asks, how it is billed or cached, or how sampling is refined: the answer means the same without
/// them. The last come from llama.cpp, Ollama and vLLM.
const DROPPED: [&str; 19] = [
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
    "keep_alive",
    "num_ctx",
    "min_p",
    "typical_p",
    "tfs_z",
    "repeat_penalty",
    "repetition_penalty",
    "repeat_last_n",
    "penalize_newline",
];
/// Most stop sequences and candidates of a request: <https://ai.google.dev/api/generate-content#generationconfig>.
const MAX_STOP: usize = 5;
const MAX_CANDIDATES: u64 = 8;

/// The body of `POST /v1beta/models/{model}:generateContent`, or `:streamGenerateContent`, that asks the same of Gemini.
/// A request that came from a Gemini client is its own document. `model` is the one that stands in the address; it
/// decides how much thinking is asked for: by a budget of tokens up to Gemini 2.5, by a level since.
///
/// System messages become the system instruction, wherever they stand in the conversation.
///
/// # Errors
/// [`WireError::Invalid`] names what Gemini cannot be asked: a bias by token, one call at a time, a part that it does not
/// take, more stop strings or choices than it allows, and any field that this translation does not know.
pub fn generate_request(request: &ChatRequest, model: &str) -> Result<Translated, WireError> {
    #[derive(Deserialize)]
    struct Request {
        messages: Vec<Message>,
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    if let Some(original) = request.original().filter(|original| original.dialect == Spoken::Gemini) {
        return Ok(Translated::whole(original.body.clone()));
    }
    let Request { messages, mut fields } = request.decode()?;
    let mut dropped = Vec::new();
    let (system, contents) = translate_messages(messages, &mut dropped)?;
    let mut body = Map::new();
    if !system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({ "parts": system }));
    }
    body.insert("contents".to_owned(), json!(contents));
    if let Some((tools, config)) = tool_config(&mut fields, &mut dropped)? {
        body.insert("tools".to_owned(), tools);
        body.extend(config.map(|config| ("toolConfig".to_owned(), config)));
    }
    let config = generation_config(fields, model, &mut dropped)?;
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    Ok(Translated { body: json::encode(&body), dropped })
}

fn generation_config(
    fields: Map<String, Value>,
    model: &str,
    dropped: &mut Vec<String>,
) -> Result<Map<String, Value>, WireError> {
    let mut config = Map::new();
    for (name, value) in fields {
        if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == name) {
            if !value.is_null() {
                config.insert((*new).to_owned(), value);
            }
            continue;
        }
        match name.as_str() {
            _ if value.is_null() => {}
            // In the address, or never Gemini's to know.
            "model" | "stream" | "stream_options" => {}
            // No limit.
            "top_k" if value.as_i64().is_some_and(|k| k <= 0) => {}
            "top_k" => _ = config.insert("topK".to_owned(), value),
            // The newer name of the two wins, in whichever order they come.
            "max_completion_tokens" => _ = config.insert("maxOutputTokens".to_owned(), value),
            "max_tokens" => _ = config.entry("maxOutputTokens").or_insert(value),
            "seed" if value.as_i64().is_some_and(|seed| i32::try_from(seed).is_ok()) => {
                config.insert(name, value);
            }
            // Gemini's are 32 bits wide.
            "seed" => dropped.push(name),
            "stop" => _ = config.insert("stopSequences".to_owned(), stop(value)?),
            "n" if value == json!(1) => {}
            "n" if value.as_u64().is_some_and(|n| n <= MAX_CANDIDATES) => {
                config.insert("candidateCount".to_owned(), value);
            }
            "n" => {
                return refuse(&name, &format!("at most {MAX_CANDIDATES}, which is Gemini's bound"), &value);
            }
            "logprobs" if value == json!(false) => {}
            "logprobs" => _ = config.insert("responseLogprobs".to_owned(), value),
            "top_logprobs" if value == json!(0) => {}
            "top_logprobs" => _ = config.insert("logprobs".to_owned(), value),
            "response_format" => config.append(&mut response_format(&value, dropped)?),
            "reasoning_effort" => {
                config.insert("thinkingConfig".to_owned(), thinking_config(&value, model)?);
            }
            "modalities" => config.append(&mut modalities(&value)?),
            "parallel_tool_calls" if value == json!(true) => {}
            "parallel_tool_calls" => {
                // Named in both dialects that say it.
                let expected = "true, because Gemini cannot limit it (Anthropic's tool_choice.disable_parallel_tool_use: \
                                false)";
                return refuse(&name, expected, &value);
            }
            "logit_bias" if value == json!({}) => {}
            known if DROPPED.contains(&known) => dropped.push(name),
            _ => return refuse(&name, "it absent, because Gemini has no such field", &value),
        }
    }
    Ok(config)
}

fn stop(stop: Value) -> Result<Value, WireError> {
    let several = match stop {
        Value::Array(several) => several,
        one => vec![one],
    };
    if several.len() > MAX_STOP {
        let expected = format!("at most {MAX_STOP} strings, which is Gemini's bound");
        return Err(WireError::invalid("stop", expected, format!("{} strings", several.len())));
    }
    Ok(Value::Array(several))
}

fn modalities(modalities: &Value) -> Result<Map<String, Value>, WireError> {
    let mut names = Vec::new();
    for name in modalities.as_array().map_or(&[][..], Vec::as_slice) {
        match name.as_str() {
            Some("text") => names.push("TEXT"),
            Some("image") => names.push("IMAGE"),
            _ => {
                return refuse(
                    "modalities",
                    "text or image, because other answers have no translation",
                    name,
                );
            }
        }
    }
    match names.as_slice() {
        [] | ["TEXT"] => Ok(Map::new()),
        names => Ok(Map::from_iter([("responseModalities".to_owned(), json!(names))])),
    }
}
