//! A client's `/api/generate`: one prompt, as a chat of one message.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::inbound::{refuse, translate, with_images};
use crate::openai::ChatRequest;
use crate::{WireError, json};

/// What the body of `POST /api/generate` asks for.
#[derive(Debug, Clone)]
pub enum Generate {
    /// An answer to a prompt.
    Answer(ChatRequest),
    /// Only that the model be loaded, for which a prompt is empty or absent. The request asks for one token, since
    /// whoever serves a model loads it to answer; its answer is not for the client, who gets [`loaded`].
    Load(ChatRequest),
}

/// Fields that this path has alone and that no chat can say, with what to do instead.
const REFUSED: [(&str, &str); 7] = [
    ("suffix", "it absent, because chats fill no gaps"),
    ("template", "it absent, because whoever serves the model applies its own; use system"),
    ("raw", "false, because whoever serves the model applies its template"),
    (
        "context",
        "it absent, because no conversations are kept as tokens here; send the messages to /api/chat",
    ),
    ("width", "it absent, because no images are made here"),
    ("height", "it absent, because no images are made here"),
    ("steps", "it absent, because no images are made here"),
];

/// Reads the body of `POST /api/generate`. A stream is wanted unless the client says otherwise.
///
/// What only places a model is left out and named in [`ChatRequest::dropped`], as for [`parse_chat`](super::parse_chat).
///
/// # Errors
/// As [`ChatRequest::parse`], with Ollama's names of the fields. `suffix`, `template`, `raw` and `context` are refused
/// where they say anything, and so is an empty prompt with `keep_alive` 0, which would unload a model.
pub fn parse_generate(body: Bytes) -> Result<Generate, WireError> {
    #[derive(Deserialize)]
    struct Request {
        #[serde(default)]
        prompt: Option<String>,
        #[serde(default)]
        system: Option<String>,
        #[serde(default)]
        images: Option<Value>,
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    let Request { prompt, system, images, mut fields } = json::decode(&body)?;
    for (name, expected) in REFUSED {
        match fields.shift_remove(name) {
            None => {}
            Some(nothing) if says_nothing(&nothing) => {}
            Some(value) => return refuse(name, expected, &value),
        }
    }
    for name in ["messages", "tools"] {
        if let Some(value) = fields.get(name) {
            return refuse(name, "it absent; it belongs to /api/chat", value);
        }
    }
    let mut messages = Vec::new();
    if let Some(system) = system.filter(|system| !system.is_empty()) {
        messages.push(json!({ "role": "system", "content": system }));
    }
    let prompt = prompt.unwrap_or_default();
    if prompt.is_empty() {
        return load(fields);
    }
    let content = match images {
        None => json!(prompt),
        Some(nothing) if says_nothing(&nothing) => json!(prompt),
        Some(images) => with_images(&prompt, images, "images")?,
    };
    messages.push(json!({ "role": "user", "content": content }));
    translate(messages, fields, "/api/generate").map(Generate::Answer)
}

/// The shortest question that there is.
fn load(mut fields: Map<String, Value>) -> Result<Generate, WireError> {
    if let Some(keep_alive) = fields.get("keep_alive")
        && is_zero(keep_alive)
    {
        let expected =
            "more than 0 with an empty prompt, because whoever serves a model decides when it is unloaded";
        return refuse("keep_alive", expected, keep_alive);
    }
    // The fields are checked, and then say nothing: what the model would answer is of no use.
    let messages = vec![json!({ "role": "user", "content": "Hi" })];
    let checked = translate(messages.clone(), fields.clone(), "/api/generate")?;
    fields.retain(|name, _| name == "model");
    fields.insert("stream".to_owned(), json!(false));
    fields.insert("options".to_owned(), json!({ "num_predict": 1 }));
    let request = translate(messages, fields, "/api/generate")?;
    Ok(Generate::Load(request.translated_from(None, checked.dropped().to_vec())))
}

/// The answer to a request that only loads a model, which is one document, streamed or not. `created_at` is the current
/// time in RFC 3339.
pub fn loaded(model: &str, created_at: &str) -> Bytes {
    json::encode(&json!({
        "model": model,
        "created_at": created_at,
        "response": "",
        "done": true,
        "done_reason": "load",
    }))
}

/// What clients send where they have nothing to say.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        _ => false,
    }
}

/// A duration of nothing, as a number of seconds or a text like `0s`.
fn is_zero(duration: &Value) -> bool {
    match duration {
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => {
            let number = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
            number.parse::<f64>() == Ok(0.0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ollama::{FromOpenAi, Path};

    const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";

    fn tree(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[track_caller]
    fn asked(body: Value) -> ChatRequest {
        match parse_generate(body.to_string().into()).unwrap() {
            Generate::Answer(request) => request,
            Generate::Load(_) => panic!("{body} asks for an answer"),
        }
    }

    #[track_caller]
    fn refused(body: Value, field: &str) {
        let error = parse_generate(body.to_string().into()).unwrap_err();
        assert_eq!(error.param(), Some(field), "{error}");
    }

    #[test]
    fn a_prompt_becomes_a_chat_of_one_message() {
        let request =
            asked(json!({"model":"m","prompt":"Why?","system":"Be brief.","images":[PNG],"format":"json",
            "think":true,"keep_alive":"5m","raw":false,"context":[],"suffix":"","template":"",
            "options":{"temperature":0.5,"num_predict":9,"num_ctx":4096}}));
        assert_eq!(
            tree(request.body()),
            json!({"model":"m","messages":[
                {"role":"system","content":"Be brief."},
                {"role":"user","content":[{"type":"text","text":"Why?"},
                    {"type":"image_url","image_url":{"url":format!("data:image/png;base64,{PNG}")}}]}],
                "stream_options":{"include_usage":true},"stream":true,"response_format":{"type":"json_object"},
                "reasoning_effort":"medium","temperature":0.5,"max_tokens":9})
        );
        assert_eq!(request.dropped(), ["keep_alive", "options.num_ctx"]);
        let request = asked(json!({"model":"m","prompt":"Why?","stream":false}));
        assert_eq!(
            tree(request.body()),
            json!({"model":"m","messages":[{"role":"user","content":"Why?"}],"stream":false})
        );
    }

    #[test]
    fn an_empty_prompt_only_loads_the_model() {
        for body in [json!({"model":"m"}), json!({"model":"m","prompt":"","keep_alive":-1,"stream":true})] {
            match parse_generate(body.to_string().into()).unwrap() {
                Generate::Load(request) => {
                    assert_eq!(
                        (request.model(), request.stream(), request.max_tokens()),
                        ("m", false, Some(1))
                    );
                }
                Generate::Answer(_) => panic!("{body} asks for no answer"),
            }
        }
        assert_eq!(
            tree(&loaded("m", "t")),
            json!({"model":"m","created_at":"t","response":"","done":true,"done_reason":"load"})
        );
        for nothing in [json!(0), json!("0"), json!("0s"), json!("0m")] {
            refused(json!({"model":"m","prompt":"","keep_alive":nothing}), "keep_alive");
        }
    }

    #[test]
    fn what_a_chat_cannot_say_is_refused_by_name() {
        for (field, value) in [
            ("suffix", json!("return x")),
            ("template", json!("{{ .Prompt }}")),
            ("raw", json!(true)),
            ("context", json!([1, 2, 3])),
            ("width", json!(512)),
            ("messages", json!([])),
            ("tools", json!([])),
            ("grammar", json!("root")),
            ("logprobs", json!(true)),
        ] {
            let mut body = json!({"model":"m","prompt":"Why?"});
            body[field] = value;
            refused(body, field);
        }
        refused(json!({"model":"m","prompt":"Why?","images":["AAAA"]}), "images[0]");
        refused(json!({"prompt":"Why?"}), "model");
        refused(json!({"model":"m","options":{"temperature":9}}), "options.temperature");
    }

    #[test]
    fn an_answer_has_its_text_in_response() {
        let mut lines = FromOpenAi::new("m".into(), Path::Generate);
        let mut line = |delta: Value| {
            let chunk = json!({"choices":[{"delta":delta}]}).to_string();
            tree(&lines.chunk(chunk.as_bytes(), "t").unwrap().unwrap())
        };
        assert_eq!(
            line(json!({"content":"Hel"})),
            json!({"model":"m","created_at":"t","response":"Hel","done":false})
        );
        assert_eq!(
            line(json!({"reasoning_content":"Hm"})),
            json!({"model":"m","created_at":"t","response":"","thinking":"Hm","done":false})
        );
        let usage = json!({"choices":[{"delta":{},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4}});
        assert_eq!(lines.chunk(usage.to_string().as_bytes(), "t").unwrap(), None);
        let end = json!({"model":"m","created_at":"t","response":"","done":true,"done_reason":"length","total_duration":7,
            "load_duration":0,"prompt_eval_count":3,"prompt_eval_duration":0,"eval_count":4,"eval_duration":7});
        assert_eq!(tree(&lines.done("t", std::time::Duration::from_nanos(7))), end);

        let body =
            json!({"choices":[{"message":{"content":"Hello","reasoning":"Hm"},"finish_reason":"stop"}]});
        let whole = FromOpenAi::completion(
            body.to_string().as_bytes(),
            "m",
            Path::Generate,
            "t",
            std::time::Duration::from_nanos(7),
        );
        let whole = tree(&whole.unwrap());
        assert_eq!(
            (&whole["response"], &whole["thinking"], &whole["done"], &whole["context"]),
            (&json!("Hello"), &json!("Hm"), &json!(true), &Value::Null)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_generate(bytes.into());
        }

        #[test]
        fn a_prompt_arrives_as_it_was_written(prompt in "\\PC{1,20}") {
            let request = asked(json!({"model":"m","prompt":prompt}));
            prop_assert_eq!(&request.messages().unwrap()[0].text(), &prompt);
        }
    }
}
