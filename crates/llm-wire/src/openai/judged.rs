//! A whole answer that is looked at before it is given: what it says, how sure the model was, and the same as a stream.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::plain_answer::PlainAnswer;
use crate::{WireError, json};

/// What the first choice of an answer says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// The text, or what it calls instead: a JSON list of the tools' names and arguments.
    pub text: Option<String>,
    /// The tokens of the text, where they were asked for and told.
    pub tokens: Vec<ChosenToken>,
}

/// A token of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChosenToken {
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The same of the likeliest one at its place that is not it; `None`: nobody said.
    pub runner_up: Option<f64>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    logprob: Option<f64>,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Token>>,
}

impl Token {
    fn is(&self, other: &Self) -> bool {
        match (&self.bytes, &other.bytes) {
            (Some(own), Some(others)) => own == others,
            _ => self.token == other.token,
        }
    }

    fn chosen(&self) -> Option<ChosenToken> {
        let others = self.top_logprobs.iter().flatten().filter(|other| !other.is(self));
        let runner_up = others.filter_map(|other| other.logprob).reduce(f64::max);
        Some(ChosenToken { logprob: self.logprob?, runner_up })
    }
}

/// Reads what a `chat.completion` says. Its log probabilities may be missing, or written as nobody does: then there are none.
///
/// # Errors
/// [`WireError::Json`] where it is no such document.
pub fn said(document: &[u8]) -> Result<Said, WireError> {
    let Document { choices } = json::decode(document)?;
    let Some(Choice { message: Some(message), logprobs }) = choices.into_iter().next() else {
        return Ok(Said::default());
    };
    let tokens = logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
    let calls = message.tool_calls.unwrap_or_default();
    let text = match message.content {
        _ if !calls.is_empty() => Some(Value::Array(calls.iter().map(called).collect()).to_string()),
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Ok(Said { text, tokens: tokens.iter().filter_map(Token::chosen).collect() })
}

/// A call without what differs from one answer to the next.
fn called(call: &Value) -> Value {
    let function = call.get("function").unwrap_or(call);
    let arguments = function.get("arguments").cloned().unwrap_or_default();
    let read = arguments.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({ "name": function.get("name"), "arguments": read.unwrap_or(arguments) })
}

/// The document without what was asked for only to look at it: its log probabilities, or of each token all but the `keep` likeliest.
///
/// # Errors
/// [`WireError::Json`] where it is no JSON object.
pub fn without_logprobs(document: &Bytes, keep: Option<u64>) -> Result<Bytes, WireError> {
    let mut body: Map<String, Value> = json::decode(document)?;
    for choice in body.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(logprobs) = choice.get_mut("logprobs") else { continue };
        let Some(keep) = keep else {
            *logprobs = Value::Null;
            continue;
        };
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let lists = logprobs.as_object_mut().into_iter().flat_map(|lists| lists.values_mut());
        for token in lists.filter_map(Value::as_array_mut).flatten() {
            if let Some(top) = token.get_mut("top_logprobs").and_then(Value::as_array_mut) {
                top.truncate(keep);
            }
        }
    }
    Ok(Value::Object(body).to_string().into())
}

/// The chunks of a stream that says the same as a whole answer. One that is only text comes in several pieces; another one, with calls
/// of tools say, in one for each choice.
///
/// # Errors
/// [`WireError::Json`] where it is no `chat.completion`.
pub fn chunks_of(document: &[u8], include_usage: bool) -> Result<Vec<Bytes>, WireError> {
    if let Some(answer) = PlainAnswer::read(document)? {
        return answer.chunks(include_usage);
    }
    let mut body: Map<String, Value> = json::decode(document)?;
    let usage = body.remove("usage").filter(|usage| !usage.is_null());
    let choices = match body.remove("choices") {
        Some(Value::Array(choices)) => choices,
        _ => Vec::new(),
    };
    body.insert("object".to_owned(), "chat.completion.chunk".into());
    let chunk = |choices: Vec<Value>, usage: Option<Value>| {
        let mut chunk = body.clone();
        chunk.insert("choices".to_owned(), choices.into());
        chunk.extend(usage.map(|usage| ("usage".to_owned(), usage)));
        Bytes::from(Value::Object(chunk).to_string())
    };
    let mut chunks = Vec::new();
    for choice in choices {
        let Value::Object(mut choice) = choice else { continue };
        let mut delta = choice.remove("message").unwrap_or_else(|| json!({}));
        for (index, call) in
            delta.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
        {
            if let Some(call) = call.as_object_mut() {
                call.entry("index").or_insert(index.into());
            }
        }
        let index = choice.get("index").cloned().unwrap_or(json!(0));
        let finish = choice.insert("finish_reason".to_owned(), Value::Null).unwrap_or_default();
        choice.insert("delta".to_owned(), delta);
        chunks.push(chunk(vec![Value::Object(choice)], None));
        chunks.push(chunk(vec![json!({ "index": index, "delta": {}, "finish_reason": finish })], None));
    }
    if let (true, Some(usage)) = (include_usage, usage) {
        chunks.push(chunk(Vec::new(), Some(usage)));
    }
    Ok(chunks)
}

/// What an answer has to be: the request's `response_format`; its `logprobs`; how many likeliest tokens it wants told; its seed.
#[derive(Debug, Deserialize)]
pub struct Wanted<'a> {
    /// As the client wrote it.
    #[serde(borrow, default)]
    pub response_format: Option<&'a RawValue>,
    /// Whether the tokens' probabilities are wanted.
    #[serde(default)]
    pub logprobs: Option<bool>,
    /// How many of the likeliest at each place.
    #[serde(default)]
    pub top_logprobs: Option<u64>,
    /// Where the sampling begins.
    #[serde(default)]
    pub seed: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::super::ChunkCollector;
    use super::*;

    fn bytes(document: &Value) -> Bytes {
        document.to_string().into()
    }

    fn answer(message: &Value, finish: &str, logprobs: &Value) -> Value {
        json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{ "index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish }],
                "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 } })
    }

    fn collected(chunks: Vec<Bytes>) -> Value {
        let mut collector = ChunkCollector::new();
        for chunk in chunks {
            collector.push(&chunk).unwrap();
        }
        serde_json::from_slice(&collector.finish()).unwrap()
    }

    #[test]
    fn a_text_is_said_with_its_tokens_and_their_next_best() {
        let token = |text: &str, logprob: f64, top: Value| json!({ "token": text, "logprob": logprob, "bytes": text.as_bytes(), "top_logprobs": top });
        let other =
            |text: &str, logprob: f64| json!({ "token": text, "logprob": logprob, "bytes": text.as_bytes() });
        let content = json!([
            token("a", -0.1, json!([other("a", -0.1), other("b", -2.5)])),
            token("c", -3.0, json!([other("d", -0.2), other("e", -1.9)])),
            token("f", -0.5, json!([other("f", -0.5)])),
            token("g", -0.5, json!([])),
        ]);
        let message = json!({ "role": "assistant", "content": "acfg" });
        let said = said(&bytes(&answer(&message, "stop", &json!({ "content": content })))).unwrap();
        assert_eq!(said.text.as_deref(), Some("acfg"));
        let runners: Vec<Option<f64>> = said.tokens.iter().map(|token| token.runner_up).collect();
        assert_eq!(runners, [Some(-2.5), Some(-0.2), None, None]);
        assert_eq!(said.tokens[1].logprob, -3.0);
    }

    #[test]
    fn calls_are_said_without_their_identifiers() {
        let call = |id: &str, arguments: &str| {
            let calls = json!([{ "id": id, "type": "function", "function": { "name": "f", "arguments": arguments } }]);
            let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
            said(&bytes(&answer(&message, "tool_calls", &Value::Null))).unwrap().text
        };
        assert_eq!(call("1", r#"{"a":1}"#), call("2", "{ \"a\": 1 }"));
        assert_ne!(call("1", r#"{"a":1}"#), call("1", r#"{"a":2}"#));
        assert!(said(br#"{"choices":[]}"#).unwrap() == Said::default() && said(b"[").is_err());
    }

    #[test]
    fn probabilities_that_nobody_wanted_are_taken_out() {
        let top = json!([{ "token": "a", "logprob": -0.1 }, { "token": "b", "logprob": -2.5 }]);
        let logprobs = json!({ "content": [{ "token": "a", "logprob": -0.1, "top_logprobs": top }] });
        let document = bytes(&answer(&json!({ "role": "assistant", "content": "a" }), "stop", &logprobs));
        let read =
            |keep| -> Value { serde_json::from_slice(&without_logprobs(&document, keep).unwrap()).unwrap() };
        assert_eq!(read(None)["choices"][0]["logprobs"], Value::Null);
        let kept = read(Some(1));
        assert_eq!(kept["choices"][0]["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap().len(), 1);
        assert_eq!(kept["usage"]["total_tokens"], 5);
    }

    #[test]
    fn an_answer_as_chunks_is_the_same_answer() {
        let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
        for (message, finish) in [
            (
                json!({ "role": "assistant", "content": "a few words, and some more of them, so that there are pieces" }),
                "stop",
            ),
            (json!({ "role": "assistant", "content": "cut" }), "length"),
            (json!({ "role": "assistant", "content": null, "tool_calls": [call, call] }), "tool_calls"),
        ] {
            let document = answer(&message, finish, &Value::Null);
            let again = collected(chunks_of(&bytes(&document), true).unwrap());
            let (again, document) = (&again["choices"][0], &document["choices"][0]);
            assert_eq!(again["message"], document["message"]);
            assert_eq!(again["finish_reason"], document["finish_reason"]);
        }
        let document =
            bytes(&answer(&json!({ "role": "assistant", "content": "cut" }), "length", &Value::Null));
        assert!(collected(chunks_of(&document, false).unwrap())["usage"].is_null());
        assert_eq!(collected(chunks_of(&document, true).unwrap())["usage"]["total_tokens"], 5);
    }
}
