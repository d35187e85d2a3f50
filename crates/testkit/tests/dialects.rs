//! What the fake provider says in each dialect: its own requests, answers, streams and errors.

mod support;

use serde_json::{Value, json};
use support::{ANTHROPIC, CHAT, MESSAGES, ask, documents, json, provider_that, status};
use testkit::{Answer, Behaviour, Tokens, ToolCall};

const GEMINI: &str = "/v1beta/models/g-1:generateContent";
const GEMINI_STREAM: &str = "/v1beta/models/g-1:streamGenerateContent?alt=sse";
const AZURE: &str = "/openai/deployments/d-1/chat/completions?api-version=2024-10-21";

fn chat(stream: bool) -> String {
    json!({"model": "m", "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
}

fn contents() -> String {
    json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).to_string()
}

/// Two calls after a thought, with usage that has every number.
fn weather() -> Answer {
    let call = |city: &str| ToolCall::new("weather", json!({"city": city}).to_string()).in_pieces(3);
    Answer::calls([call("Rome"), call("Oslo").with_id("mine")])
        .reasoning("Two cities.")
        .usage(Tokens::Given { prompt: 30, completion: 12, cached: 8, reasoning: 5 })
}

fn at<'a>(documents: &'a [Value], pointer: &str) -> Vec<&'a Value> {
    documents.iter().filter_map(|document| document.pointer(pointer)).collect()
}

fn joined(documents: &[Value], pointer: &str) -> String {
    at(documents, pointer).into_iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn openai_streams_the_name_of_a_call_and_then_its_arguments_by_index() {
    let provider = provider_that(Behaviour::Answer(weather())).await;
    let whole = json(&ask(&provider, CHAT, "", &chat(false)).await);
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    assert_eq!(message["reasoning_content"], "Two cities.");
    assert_eq!(
        message["tool_calls"][1],
        json!({"id": "mine", "type": "function",
        "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}})
    );
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        whole["usage"],
        json!({"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42,
        "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 5}})
    );
    let stream = documents(&ask(&provider, CHAT, "", &chat(true)).await);
    let calls = at(&stream, "/choices/0/delta/tool_calls/0");
    assert_eq!(calls.len(), 8, "a name and three pieces, twice");
    assert_eq!(
        calls[0],
        &json!({"index": 0, "id": "call_0", "type": "function",
        "function": {"name": "weather", "arguments": ""}})
    );
    let of = |index: u64| calls.iter().filter(move |call| call["index"] == index);
    for (index, city) in [(0, "Rome"), (1, "Oslo")] {
        let arguments: String = of(index).filter_map(|call| call["function"]["arguments"].as_str()).collect();
        assert_eq!(arguments, json!({"city": city}).to_string());
    }
}

#[tokio::test]
async fn anthropic_opens_fills_and_closes_a_block_for_each_thing() {
    let answer = Answer { text: Some("Let me look.".to_owned()), chunks: 2, ..weather() };
    let provider = provider_that(Behaviour::Answer(answer)).await;
    let whole = json(&ask(&provider, MESSAGES, ANTHROPIC, &chat(false)).await);
    let types: Vec<_> = whole["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(types, ["thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(whole["content"][2]["input"], json!({"city": "Rome"}));
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["usage"]["input_tokens"], 22, "those from the cache are counted apart");
    let answer = ask(&provider, MESSAGES, ANTHROPIC, &chat(true)).await;
    let stream = documents(&answer);
    for document in &stream {
        let kind = document["type"].as_str().unwrap();
        assert!(answer.contains(&format!("event: {kind}\ndata: {{\"type\":\"{kind}\"")), "{kind}");
    }
    let outline: Vec<String> = stream
        .iter()
        .filter(|document| document["type"] != "content_block_delta")
        .map(|document| {
            format!("{}{}", document["type"].as_str().unwrap(), document.get("index").unwrap_or(&json!("")))
        })
        .collect();
    let block = |index| [format!("content_block_start{index}"), format!("content_block_stop{index}")];
    let blocks: Vec<String> = (0..4).flat_map(block).collect();
    let around = |text: &str| format!("{text}\"\"");
    let mut expected = vec![around("message_start"), around("ping")];
    expected.extend(blocks);
    expected.extend([around("message_delta"), around("message_stop")]);
    assert_eq!(outline, expected);
    assert_eq!(joined(&stream, "/delta/thinking"), "Two cities.");
    assert_eq!(joined(&stream, "/delta/text"), "Let me look.");
    assert_eq!(joined(&stream, "/delta/partial_json"), r#"{"city":"Rome"}{"city":"Oslo"}"#);
    assert!(!joined(&stream, "/delta/signature").is_empty());
    let end = stream.iter().find(|document| document["type"] == "message_delta").unwrap();
    assert_eq!(
        (&end["delta"]["stop_reason"], &end["usage"]["output_tokens"]),
        (&json!("tool_use"), &json!(12))
    );
}

#[tokio::test]
async fn interleaved_calls_are_open_at_the_same_time() {
    let provider = provider_that(Behaviour::Answer(weather().interleaved())).await;
    let stream = documents(&ask(&provider, MESSAGES, ANTHROPIC, &chat(true)).await);
    let deltas = stream.iter().filter(|document| document.pointer("/delta/partial_json").is_some());
    let order: Vec<u64> = deltas.map(|document| document["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 2, 1, 2, 1, 2, 1, 2], "an empty piece and three, by turns");
}

#[tokio::test]
async fn gemini_sends_whole_calls_and_says_what_it_thought() {
    let provider = provider_that(Behaviour::Answer(weather())).await;
    let whole = json(&ask(&provider, GEMINI, "", &contents()).await);
    let parts = &whole["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0], json!({"text": "Two cities.", "thought": true}));
    assert_eq!(parts[1]["functionCall"], json!({"name": "weather", "args": {"city": "Rome"}}));
    assert!(parts[1]["thoughtSignature"].is_string() && parts[2]["thoughtSignature"].is_null());
    assert_eq!(parts[2]["functionCall"]["id"], "mine");
    assert_eq!(
        (&whole["candidates"][0]["finishReason"], &whole["modelVersion"]),
        (&json!("STOP"), &json!("g-1"))
    );
    assert_eq!(
        whole["usageMetadata"],
        json!({"promptTokenCount": 30, "candidatesTokenCount": 7,
        "totalTokenCount": 42, "cachedContentTokenCount": 8, "thoughtsTokenCount": 5})
    );
    let answer = ask(&provider, GEMINI_STREAM, "", &contents()).await;
    assert!(answer.contains("content-type: text/event-stream") && !answer.contains("[DONE]"), "{answer}");
    let stream = documents(&answer);
    assert_eq!(at(&stream, "/candidates/0/content/parts/0/functionCall").len(), 2);
    assert_eq!(at(&stream, "/candidates/0/finishReason"), ["STOP"]);
    assert_eq!(at(&stream, "/usageMetadata").len(), 1);
}

#[tokio::test]
async fn gemini_without_alt_sse_streams_one_array() {
    let provider = provider_that(Behaviour::Answer(Answer::tokens(3))).await;
    let path = "/v1beta/models/g-1:streamGenerateContent";
    let answer = ask(&provider, path, "", &contents()).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    // Framed by hand: each HTTP chunk is a line with its size and then the bytes.
    let mut rest = body;
    let mut text = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text += &after[..size];
        rest = &after[size + 2..];
    }
    let array: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(joined(&array, "/candidates/0/content/parts/0/text"), "t0 t1 t2");
}

#[tokio::test]
async fn azure_adds_what_its_filter_saw_and_takes_the_model_from_the_path() {
    let provider = provider_that(Behaviour::Answer(Answer::tokens(3))).await;
    let body = json!({"stream": true, "messages": []}).to_string();
    let stream = documents(&ask(&provider, AZURE, "api-key: k\r\n", &body).await);
    assert_eq!(stream[0]["choices"], json!([]));
    assert!(stream[0]["prompt_filter_results"].is_array());
    assert_eq!(stream[1]["model"], "d-1");
    assert_eq!(joined(&stream, "/choices/0/delta/content"), "t0 t1 t2");
    let whole = json(&ask(&provider, "/openai/v1/chat/completions", "", &chat(false)).await);
    assert_eq!(whole["choices"][0]["content_filter_results"]["hate"]["severity"], "safe");
    let unversioned = ask(&provider, "/openai/deployments/d-1/chat/completions", "", &body).await;
    assert_eq!((status(&unversioned), &json(&unversioned)["error"]["code"]), (404, &json!("404")));
    assert_eq!(provider.requests()[0].header("api-key"), Some("k"));
}

#[tokio::test]
async fn ollama_sends_whole_calls_and_thinks_in_a_field_of_its_own() {
    let provider = provider_that(Behaviour::Answer(weather())).await;
    let stream = documents(&ask(&provider, "/api/chat", "", &chat(true)).await);
    assert_eq!(joined(&stream, "/message/thinking"), "Two cities.");
    let calls = at(&stream, "/message/tool_calls/0/function");
    assert_eq!(
        calls,
        [
            &json!({"name": "weather", "arguments": {"city": "Rome"}}),
            &json!({"name": "weather", "arguments": {"city": "Oslo"}})
        ]
    );
    let end = stream.last().unwrap();
    assert_eq!((&end["done_reason"], &end["eval_count"]), (&json!("stop"), &json!(12)));
}

#[tokio::test]
async fn a_finish_reason_is_said_in_the_words_of_the_dialect_or_not_at_all() {
    let check = async |reason: &str, expected: [Value; 4]| {
        let provider = provider_that(Behaviour::Answer(Answer::tokens(1).finish(reason))).await;
        let openai = json(&ask(&provider, CHAT, "", &chat(false)).await);
        let anthropic = json(&ask(&provider, MESSAGES, ANTHROPIC, &chat(false)).await);
        let gemini = json(&ask(&provider, GEMINI, "", &contents()).await);
        let ollama = json(&ask(&provider, "/api/chat", "", &chat(false)).await);
        let said = [
            openai["choices"][0]["finish_reason"].clone(),
            anthropic["stop_reason"].clone(),
            gemini["candidates"][0]["finishReason"].clone(),
            ollama["done_reason"].clone(),
        ];
        assert_eq!(said, expected, "{reason:?}");
    };
    check("length", [json!("length"), json!("max_tokens"), json!("MAX_TOKENS"), json!("length")]).await;
    check(
        "content_filter",
        [json!("content_filter"), json!("refusal"), json!("SAFETY"), json!("content_filter")],
    )
    .await;
    check("odd", [json!("odd"), json!("odd"), json!("odd"), json!("odd")]).await;
    check("", [Value::Null, Value::Null, Value::Null, Value::Null]).await;
}

#[tokio::test]
async fn usage_is_wrong_or_missing_as_told() {
    let pointers = [(CHAT, "", "/usage"), (MESSAGES, ANTHROPIC, "/usage"), (GEMINI, "", "/usageMetadata")];
    for (path, headers, pointer) in pointers {
        let body = if path == GEMINI { contents() } else { chat(false) };
        let raw = json!({"prompt_tokens": "seven", "input_tokens": -1});
        let provider =
            provider_that(Behaviour::Answer(Answer::tokens(1).usage(Tokens::Raw(raw.clone())))).await;
        provider.enqueue(Behaviour::Answer(Answer::tokens(1).usage(Tokens::Missing)));
        assert_eq!(json(&ask(&provider, path, headers, &body).await).pointer(pointer), None, "{path}");
        assert_eq!(json(&ask(&provider, path, headers, &body).await).pointer(pointer), Some(&raw), "{path}");
    }
}

#[tokio::test]
async fn an_error_has_the_shape_of_its_dialect_before_and_within_a_stream() {
    let check = async |path: &str, body: String, whole: Value, pointer: &str| {
        let provider = provider_that(Behaviour::status(429)).await;
        let error = ask(&provider, path, ANTHROPIC, &body).await;
        assert_eq!(status(&error), 429);
        assert_eq!(json(&error), whole, "{path}");
        provider.set_default(Behaviour::ErrorEventAfter { chunks: 1, answer: Answer::tokens(3) });
        let stream = documents(&ask(&provider, path, ANTHROPIC, &body).await);
        assert!(stream.last().unwrap().pointer(pointer).is_some(), "{path}: {stream:?}");
    };
    let message = "the fake provider was told to answer 429";
    let openai =
        json!({"error": {"message": message, "type": "rate_limit_error", "param": null, "code": null}});
    check(CHAT, chat(true), openai, "/error/message").await;
    let azure = json!({"error": {"code": "429", "message": message}});
    check(AZURE, chat(true), azure, "/error/message").await;
    let anthropic = json!({"type": "error", "error": {"type": "rate_limit_error", "message": message},
        "request_id": "req_fake"});
    check(MESSAGES, chat(true), anthropic, "/error/type").await;
    let gemini = json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}});
    check(GEMINI_STREAM, contents(), gemini, "/error/status").await;
    check("/api/chat", chat(true), json!({"error": message}), "/error").await;
}

#[tokio::test]
async fn a_request_that_the_real_server_would_refuse_is_refused() {
    let provider = provider_that(Behaviour::default()).await;
    let check = async |path: &str, headers: &str, body: Value, expected: &str| {
        let answer = ask(&provider, path, headers, &body.to_string()).await;
        assert!(status(&answer) == 400 && answer.contains(expected), "{answer}");
    };
    let user = json!([{"role": "user", "content": "x"}]);
    check(MESSAGES, "", json!({"model": "m", "messages": user}), "anthropic-version").await;
    check(MESSAGES, ANTHROPIC, json!({"model": "m", "messages": user}), "max_tokens").await;
    let system = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "system", "content": "x"}]});
    check(MESSAGES, ANTHROPIC, system, "Unexpected role").await;
    check(GEMINI, "", json!({"contents": [{"role": "assistant", "parts": []}]}), "valid role").await;
    check(GEMINI, "", json!({"messages": []}), "`contents` must be an array").await;
}

#[tokio::test]
async fn a_required_key_counts_only_in_its_dialects_header() {
    let provider = provider_that(Behaviour::default()).await;
    provider.require_key(Some("k"));
    let check = async |path: &str, headers: &str, expected: u16| {
        let body = if path == GEMINI { contents() } else { chat(false) };
        let answer = ask(&provider, path, headers, &body).await;
        assert_eq!(status(&answer), expected, "{path} {headers}: {answer}");
    };
    check(CHAT, "authorization: Bearer k\r\n", 200).await;
    check(CHAT, "authorization: Bearer wrong\r\n", 401).await;
    check(AZURE, "api-key: k\r\n", 200).await;
    check(AZURE, "x-api-key: k\r\n", 401).await;
    check(MESSAGES, "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n", 200).await;
    check(MESSAGES, "", 401).await;
    check(GEMINI, "x-goog-api-key: k\r\n", 200).await;
    check(GEMINI, "", 400).await;
    provider.require_key(None);
    check(CHAT, "", 200).await;
}

#[tokio::test]
async fn tokens_are_counted_and_models_are_listed_in_each_dialect() {
    let provider = provider_that(Behaviour::default()).await;
    let anthropic = json(&ask(&provider, "/v1/messages/count_tokens", ANTHROPIC, &chat(false)).await);
    assert_eq!(anthropic, json!({"input_tokens": 7}));
    let gemini = json(&ask(&provider, "/v1beta/models/g-1:countTokens", "", &contents()).await);
    assert_eq!(gemini, json!({"totalTokens": 7}));
    let listed = async |path: &str, headers: &str, pointer: &str| {
        json(&ask(&provider, path, headers, "").await).pointer(pointer).cloned()
    };
    assert_eq!(listed("/v1/models", ANTHROPIC, "/data/0/type").await, Some(json!("model")));
    assert_eq!(listed("/v1/models", "", "/data/0/object").await, Some(json!("model")));
    assert_eq!(listed("/v1beta/models", "", "/models/0/name").await, Some(json!("models/fake-model")));
    assert_eq!(listed("/openai/v1/models", "", "/data/0/id").await, Some(json!("fake-model")));
}

#[tokio::test]
async fn gemini_embeds_a_batch_or_one() {
    let provider = provider_that(Behaviour::default()).await;
    let one = |text: &str, dimensions: u8| json!({"model": "models/e-1", "content": {"parts": [{"text": text}]}, "outputDimensionality": dimensions});
    let batch = json!({"requests": [one("@", 2), one("\u{80}", 1)]}).to_string();
    let many = json(&ask(&provider, "/v1beta/models/e-1:batchEmbedContents", "", &batch).await);
    assert_eq!(many, json!({"embeddings": [{"values": [0.25, 0.25]}, {"values": [0.757_812_5]}]}));
    let single = ask(&provider, "/v1beta/models/e-1:embedContent", "", &one("@", 1).to_string()).await;
    assert_eq!(json(&single), json!({"embedding": {"values": [0.25]}}));
}
