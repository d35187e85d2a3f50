//! Answers that keep to a grammar: JSON, schemas, calls of tools.

use std::fs;
use std::path::PathBuf;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Engine, model_file};

/// Writes calls as Qwen2.5 and Hermes do.
const TOOLS_TEMPLATE: &str = r#"{%- if tools %}{{- '<|im_start|>system\nFunctions:\n' }}{%- for tool in tools %}{{- tool | tojson }}{{- '\n' }}{%- endfor %}{{- 'Call one so: <tool_call>\n{"name": <name>, "arguments": <arguments>}\n</tool_call><|im_end|>\n' }}{%- endif %}{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + (message.content or '') }}{%- for call in message.tool_calls or [] %}{{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"#;

/// The test model with another chat template, in a folder of its own.
fn with_template(template: &str) -> (tempfile::TempDir, PathBuf) {
    let mut bytes = fs::read(model_file()).expect("reads");
    let key = b"tokenizer.chat_template";
    let at =
        bytes.windows(key.len()).position(|window| window == key).expect("it has a template") + key.len() + 4;
    let length = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let old = usize::try_from(length).expect("small");
    // A comment makes the difference a multiple of the alignment, so that the tensors stay aligned.
    let mut template = format!("{template}{{#{}#}}", " ".repeat(28));
    while template.len() % 32 != old % 32 {
        template.insert(template.len() - 2, ' ');
    }
    let mut fresh = (template.len() as u64).to_le_bytes().to_vec();
    fresh.extend_from_slice(template.as_bytes());
    bytes.splice(at..at + 8 + old, fresh);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tools.gguf");
    fs::write(&path, bytes).expect("writes");
    (folder, path)
}

fn weather() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": false,
    });
    json!([{"type": "function", "function": {"name": "weather", "description": "Tells the weather.", "parameters": parameters}}])
}

fn check_call(call: &Value) {
    assert_eq!(call["type"], "function");
    assert_eq!(call["function"]["name"], "weather");
    assert!(call["id"].as_str().is_some_and(|id| !id.is_empty()));
    let arguments = call["function"]["arguments"].as_str().expect("a text");
    let arguments: Value =
        serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{error}: {arguments}"));
    assert!(["Paris", "Rome"].contains(&arguments["city"].as_str().expect("a city")), "{arguments}");
    assert!((1..=9).contains(&arguments["days"].as_u64().expect("a number")), "{arguments}");
}

async fn formatted(client: &mut Client, format: Value, more: Value) -> (Value, String) {
    let mut fields = json!({"response_format": format, "max_tokens": 200});
    fields.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    let (text, reason) = client.answer(fields).await;
    let value = if reason == "stop" {
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    } else {
        Value::Null
    };
    (value, reason)
}

#[tokio::test]
async fn a_json_object_is_one_wherever_the_answer_ends_by_itself() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    for seed in 0..4 {
        let (value, reason) =
            formatted(&mut client, json!({"type": "json_object"}), json!({"temperature": 1, "seed": seed}))
                .await;
        assert!(reason == "length" || value.is_object(), "{value}");
    }
}

#[tokio::test]
async fn an_answer_validates_against_its_schema() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Z][a-z]{2,8}$"},
            "kind": {"enum": ["city", "river"]},
            "scores": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 10}, "minItems": 2, "maxItems": 3},
        },
        "required": ["name", "kind", "scores"],
        "additionalProperties": false,
    });
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "place", "strict": true, "schema": schema}});
    for temperature in [0.0, 1.0] {
        let (value, reason) =
            formatted(&mut client, format.clone(), json!({"temperature": temperature, "seed": 1})).await;
        assert_eq!(reason, "stop", "so small an answer ends by itself");
        let name = value["name"].as_str().expect("a name");
        assert!(name.len() >= 3 && name.chars().all(|letter| letter.is_ascii_alphabetic()), "{value}");
        assert!(["city", "river"].contains(&value["kind"].as_str().expect("a kind")), "{value}");
        assert!((2..=3).contains(&value["scores"].as_array().expect("scores").len()), "{value}");
    }
}

#[tokio::test]
async fn a_continued_answer_goes_on_where_its_beginning_stands_in_the_schema() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let schema = json!({"type": "object", "properties": {"capital": {"enum": ["Paris", "Rome"]}}, "required": ["capital"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let begun = |text: &str| json!({"response_format": format, "messages": [{"role": "user", "content": "The capital of Italy?"}, {"role": "assistant", "content": text}]});
    let (rest, reason) = client.answer(begun("{\"capital\": \"Ro")).await;
    assert_eq!((rest.as_str().trim_end(), reason.as_str()), ("me\"}", "stop"));
    let (status, body) = client.chat(begun("{\"capital\": \"Berlin")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["error"]["param"], "messages[1].content");
}

#[tokio::test]
async fn schemas_that_are_none_or_cannot_be_held_to_are_refused_while_others_are_answered() {
    let engine = Engine::start(&[]).await;
    let (mut client, mut streams) = (engine.client().await, engine.client().await);
    let mut stream = streams.stream(json!({"max_tokens": 2000, "messages": [{"role": "user", "content": "Count from 1 to 5000, one number per line: 1"}]})).await;
    stream.next().await.expect("it runs");
    let mut deep = json!({"type": "integer"});
    for _ in 0..2000 {
        deep = json!({"type": "array", "items": deep});
    }
    for (schema, code) in [
        (json!({"type": "objekt"}), "UAT_INVALID_INPUT"),
        (json!(7), "UAT_INVALID_INPUT"),
        (json!({"type": "string", "pattern": "(a{1000}){1000}"}), "UAT_INVALID_INPUT"),
        (json!({"type": "string", "pattern": "(?<=a)b"}), "UAT_UNSUPPORTED"),
        (json!({"type": "array", "uniqueItems": true}), "UAT_UNSUPPORTED"),
        (json!({"$ref": "https://example.org/schema.json"}), "UAT_UNSUPPORTED"),
        (deep, "UAT_INVALID_INPUT"),
    ] {
        let shown = schema.to_string();
        let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
        let (status, body) = client.chat(json!({"response_format": format})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(body["error"]["uat_code"], code, "{}: {body}", &shown[..shown.len().min(80)]);
        assert!(
            body["error"]["param"].as_str().is_some_and(|param| param.starts_with("response_format")),
            "{body}"
        );
    }
    assert!(stream.next().await.is_some(), "the stream runs on");
}

#[tokio::test]
async fn a_model_whose_template_knows_tools_calls_them_with_valid_arguments() {
    let (_folder, path) = with_template(TOOLS_TEMPLATE);
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let ask = |choice: Value| {
        json!({
            "model": path.to_str().expect("UTF-8"), "tools": weather(), "tool_choice": choice, "max_tokens": 120,
            "messages": [{"role": "user", "content": "How is the weather in Rome for the next 3 days?"}],
        })
    };
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "weather"}})] {
        let (status, answer) = client.chat(ask(choice.clone())).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let message = &answer["choices"][0]["message"];
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls", "{answer}");
        message["tool_calls"].as_array().expect("calls").iter().for_each(check_call);

        let chunks = client.stream(ask(choice)).await.chunks().await;
        let deltas: Vec<&Value> = chunks
            .iter()
            .flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array())
            .flatten()
            .collect();
        let mut call = deltas[0].clone();
        let arguments: String = deltas
            .iter()
            .filter(|delta| delta["index"] == 0)
            .filter_map(|delta| delta["function"]["arguments"].as_str())
            .collect();
        call["function"]["arguments"] = json!(arguments);
        check_call(&call);
        assert!(deltas.len() > 3, "the arguments come in pieces");
        assert!(chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "tool_calls"));
    }
    let (status, answer) = client.chat(ask(json!("auto"))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (status, body) = client.chat(ask(json!({"type": "function", "function": {"name": "whether"}}))).await;
    assert_eq!(
        (status, body["error"]["param"].as_str().map(|param| param.starts_with("tool_choice"))),
        (StatusCode::BAD_REQUEST, Some(true)),
        "{body}"
    );
}

#[tokio::test]
async fn a_model_whose_template_knows_no_tools_refuses_them_by_name() {
    let engine = Engine::start(&[]).await;
    let (status, body) = engine.client().await.chat(json!({"tools": weather()})).await;
    assert_eq!((status, body["error"]["param"].as_str()), (StatusCode::BAD_REQUEST, Some("tools")), "{body}");
    assert_eq!(body["error"]["uat_code"], "UAT_UNSUPPORTED");
}
