//! What one request asks of the sampler, out of OpenAI's fields and llama.cpp's `top_k` and `min_p`.

use llm_wire::openai::{ChatRequest, SamplingOptions};
use serde_json::Value;

use crate::EngineError;
use crate::template::TemplateMessage;

/// OpenAI's default.
const TEMPERATURE: f32 = 1.0;
/// llama.cpp's default: the 40 most likely tokens, which also keeps sampling cheap.
const TOP_K: i32 = 40;
/// llama.cpp's default. OpenAI's is 1.0, which small models answer badly.
const TOP_P: f32 = 0.95;
/// llama.cpp's default: no token less than a twentieth as likely as the best one.
const MIN_P: f32 = 0.05;
/// A stop string is a marker, not a document; the bound keeps the text that is held back small. In bytes.
const MAX_STOP_BYTES: usize = 1024;

/// How the next token is chosen. Nothing is penalised for repeating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token always.
    pub temperature: f32,
    /// Only this many of the most likely tokens are considered; 0 considers all.
    pub top_k: i32,
    /// Only the most likely tokens that together have this probability are considered.
    pub top_p: f32,
    /// Only tokens with at least this share of the best one's probability are considered.
    pub min_p: f32,
    /// The same seed gives the same answer as long as the batches are computed alike.
    pub seed: u32,
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
    pub fn read(request: &ChatRequest, seed: u32) -> Result<Self, EngineError> {
        let options = request.options()?;
        refuse_unsupported(request, &options)?;
        for (index, stop) in options.stop.iter().enumerate() {
            if stop.len() > MAX_STOP_BYTES {
                return Err(EngineError::invalid(
                    format!("stop[{index}]"),
                    format!("stop[{index}]: expected at most {MAX_STOP_BYTES} bytes, got {}", stop.len()),
                ));
            }
        }
        let messages = request.messages()?.iter().map(TemplateMessage::from).collect();
        Ok(Self {
            model: request.model().to_owned(),
            messages,
            sampling: sampling(&options, seed),
            max_tokens: options.limit().map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX)),
            stops: options.stop,
        })
    }
}

/// Ranges were checked when the request was parsed.
fn sampling(options: &SamplingOptions, seed: u32) -> Sampling {
    let top_k = match options.top_k {
        None => TOP_K,
        // More candidates than any vocabulary has means all of them.
        Some(top_k) => i32::try_from(top_k).unwrap_or(0).max(0),
    };
    Sampling {
        temperature: options.temperature.map_or(TEMPERATURE, |temperature| temperature as f32),
        top_k,
        top_p: options.top_p.map_or(TOP_P, |top_p| top_p as f32),
        min_p: options.min_p.map_or(MIN_P, |min_p| min_p as f32),
        seed: options.seed.map_or(seed, fold_seed),
    }
}

/// llama.cpp takes 32 bits, and reads all ones as "choose one at random".
fn fold_seed(seed: i64) -> u32 {
    let folded = (seed ^ (seed >> 32)) as u32;
    if folded == u32::MAX { 0 } else { folded }
}

/// A feature that is silently ignored would be a wrong answer.
fn refuse_unsupported(request: &ChatRequest, options: &SamplingOptions) -> Result<(), EngineError> {
    let differs = |value: Option<f64>, neutral: f64| value.is_some_and(|value| value != neutral);
    let format = options.response_format.as_ref().filter(|format| !format.is_null());
    let asked = [
        ("n", request.n() > 1, "send the request several times"),
        ("tools", request.has_tools(), "use an endpoint whose model calls tools"),
        (
            "response_format",
            format.is_some_and(|format| format.get("type").and_then(Value::as_str) != Some("text")),
            "ask for the format in the prompt",
        ),
        ("frequency_penalty", differs(options.frequency_penalty, 0.0), "leave it out"),
        ("presence_penalty", differs(options.presence_penalty, 0.0), "leave it out"),
        ("repeat_penalty", differs(options.repeat_penalty, 1.0), "leave it out"),
        ("logprobs", options.logprobs == Some(true), "leave it out"),
        ("logit_bias", options.logit_bias.as_ref().is_some_and(has_entries), "leave it out"),
    ];
    match asked.into_iter().find(|(_, asked, _)| *asked) {
        Some((feature, _, hint)) => Err(EngineError::Unsupported { feature, hint }),
        None => Ok(()),
    }
}

fn has_entries(bias: &Value) -> bool {
    bias.as_object().is_some_and(|entries| !entries.is_empty())
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
        let expected = Sampling { temperature: 1.0, top_k: 40, top_p: 0.95, min_p: 0.05, seed: 77 };
        assert_eq!(job.sampling, expected);
        assert_eq!((job.max_tokens, job.stops.len()), (None, 0));
    }

    #[test]
    fn what_the_client_says_is_taken() {
        let job = read(
            json!({"temperature": 0, "top_k": -1, "top_p": 1, "min_p": 0, "seed": 5, "stop": "x", "max_completion_tokens": 9, "max_tokens": 3}),
        );
        let job = job.expect("is valid");
        assert_eq!(job.sampling, Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 5 });
        assert_eq!((job.max_tokens, job.stops), (Some(9), vec!["x".to_owned()]));
    }

    #[test]
    fn no_seed_means_random_to_llama_cpp() {
        for seed in [-1, i64::MIN, i64::MAX, 0xffff_ffff] {
            assert_ne!(fold_seed(seed), u32::MAX);
        }
    }

    #[test]
    fn a_feature_that_would_be_ignored_is_refused_by_name() {
        check_refused(json!({"n": 2}), "UAT_UNSUPPORTED", "n");
        check_refused(
            json!({"response_format": {"type": "json_object"}}),
            "UAT_UNSUPPORTED",
            "response_format",
        );
        check_refused(json!({"frequency_penalty": 0.5}), "UAT_UNSUPPORTED", "frequency_penalty");
        check_refused(json!({"logprobs": true}), "UAT_UNSUPPORTED", "logprobs");
    }

    #[test]
    fn neutral_values_of_unsupported_features_pass() {
        let neutral = json!({"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logprobs": false, "response_format": {"type": "text"}, "logit_bias": {}});
        assert!(read(neutral).is_ok());
    }

    #[test]
    fn a_stop_string_that_would_hold_back_too_much_is_refused() {
        check_refused(json!({"stop": ["ok", "x".repeat(2000)]}), "UAT_INVALID_INPUT", "stop[1]");
    }
}
