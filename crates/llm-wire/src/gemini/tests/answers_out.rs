use bytes::BytesMut;
use serde_json::{Value, json};

use super::{field_of, tree};
use crate::gemini::{FromOpenAi, error_body, status_name};

fn delta(delta: Value, finish: Value) -> Value {
    json!({"choices":[{"index":0,"delta":delta,"finish_reason":finish}]})
}

fn call(index: usize, fields: Value) -> Value {
    let mut call = fields;
    call["index"] = json!(index);
    delta(json!({"tool_calls":[call]}), Value::Null)
}

/// The documents of the whole stream.
fn streamed(mut translation: FromOpenAi, chunks: &[Value]) -> Vec<Value> {
    let mut out = BytesMut::new();
    for chunk in chunks {
        translation.chunk(chunk.to_string().as_bytes(), &mut out).unwrap();
    }
    translation.done(&mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    if text.starts_with('[') {
        return serde_json::from_str::<Vec<Value>>(&text).unwrap();
    }
    let events = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n\r\n");
    events.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn sse() -> FromOpenAi {
    FromOpenAi::new("m".into(), "r1".into())
}

fn document(parts: Value) -> Value {
    json!({"candidates":[{"content":{"role":"model","parts":parts},"index":0}],"modelVersion":"m","responseId":"r1"})
}

#[test]
fn our_chunks_become_geminis_documents() {
    let chunks = [
        delta(json!({"role":"assistant","content":""}), Value::Null),
        delta(json!({"reasoning_content":"Hm."}), Value::Null),
        delta(json!({"content":"Hi"}), Value::Null),
        delta(json!({}), json!("length")),
        json!({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12,
            "prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":5}}}),
    ];
    let expected = [
        document(json!([{"text":"Hm.","thought":true}])),
        document(json!([{"text":"Hi"}])),
        json!({"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"index":0,"finishReason":"MAX_TOKENS"}],
            "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":12,"thoughtsTokenCount":5,
                "cachedContentTokenCount":2},"modelVersion":"m","responseId":"r1"}),
    ];
    assert_eq!(streamed(sse(), &chunks), expected);
    assert_eq!(streamed(sse().as_array(), &chunks), expected);
    assert_eq!(streamed(sse().with_thoughts(false), &chunks), expected[1..]);
}

#[test]
fn calls_in_pieces_come_whole_and_signed() {
    let mut signed = call(1, json!({"id":"b","type":"function","function":{"name":"g","arguments":""}}));
    signed["choices"][0]["delta"]["reasoning_details"] = json!([{"type":"reasoning.encrypted","id":"b","data":"s","format":"google-gemini-v1"},
            {"type":"reasoning.encrypted","id":"a","data":"theirs","format":"anthropic-claude-v1"}]);
    let documents = streamed(
        sse(),
        &[
            call(0, json!({"id":"a","function":{"name":"f","arguments":"{\"x\""}})),
            signed,
            call(0, json!({"function":{"arguments":":1}"}})),
            delta(json!({}), json!("tool_calls")),
        ],
    );
    assert_eq!(
        documents[0],
        document(json!([{"functionCall":{"id":"a","name":"f","args":{"x":1}}},
            {"functionCall":{"id":"b","name":"g","args":{}},"thoughtSignature":"s"}]))
    );
    assert_eq!(documents[1]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(documents.len(), 2);
}

#[test]
fn a_call_whose_arguments_are_not_json_is_an_error() {
    let body = json!({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]},"finish_reason":"tool_calls"}]});
    let field = field_of(sse().chunk(body.to_string().as_bytes(), &mut BytesMut::new()));
    assert_eq!(field, "choices[0].tool_calls[0].function.arguments");
}

#[test]
fn calls_that_do_not_end_are_not_held_for_ever() {
    let piece =
        call(0, json!({"id":"c","function":{"name":"f","arguments":"x".repeat(1 << 20)}})).to_string();
    let (mut translation, mut out) = (sse(), BytesMut::new());
    let taken = (0..100).take_while(|_| translation.chunk(piece.as_bytes(), &mut out).is_ok()).count();
    assert_eq!(taken, 15);
    // Neither are calls or choices without a text.
    for piece in
        [r#"{"choices":[{"index":#,"delta":{}}]}"#, r#"{"choices":[{"delta":{"tool_calls":[{"index":#}]}}]}"#]
    {
        let mut translation = sse();
        let taken = (0..1_000_000)
            .take_while(|n| {
                translation.chunk(piece.replace('#', &n.to_string()).as_bytes(), &mut out).is_ok()
            })
            .count();
        assert!((100_000..200_000).contains(&taken), "{taken}");
    }
}

#[test]
fn errors_are_googles() {
    let mut out = BytesMut::new();
    sse().failed(&mut out, 503, "no endpoint");
    assert_eq!(
        out,
        "data: {\"error\":{\"code\":503,\"message\":\"no endpoint\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n"
    );
    let mut out = BytesMut::new();
    let mut array = sse().as_array();
    array.chunk(delta(json!({"content":"Hi"}), Value::Null).to_string().as_bytes(), &mut out).unwrap();
    array.failed(&mut out, 429, "busy");
    let list = tree(&out);
    assert_eq!(list[1], tree(&error_body(429, "RESOURCE_EXHAUSTED", "busy")));
    let mut out = BytesMut::new();
    sse().chunk(br#"{"error":{"message":"overloaded","code":503}}"#, &mut out).unwrap();
    assert!(out.starts_with(b"data: {\"error\":{\"code\":503,\"message\":\"overloaded\""));
    for (code, name) in
        [(400, "INVALID_ARGUMENT"), (422, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (500, "INTERNAL")]
    {
        assert_eq!(status_name(code), name);
    }
}

#[test]
fn our_completion_becomes_geminis_answer() {
    let body = json!({"choices":[{"index":0,"message":{"role":"assistant","content":"Hello","reasoning":"Hm.","tool_calls":[
            {"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{\"x\":1}"}}],
            "images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}}]},
            "logprobs":{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]}]},"finish_reason":"tool_calls"},
        {"index":1,"message":{"role":"assistant","content":null,"refusal":"No."},"finish_reason":"content_filter"}],
        "usage":{"prompt_tokens":3,"completion_tokens":4}});
    assert_eq!(
        tree(&FromOpenAi::completion(body.to_string().as_bytes(), "m", "r1").unwrap()),
        json!({"candidates":[{"content":{"role":"model","parts":[{"text":"Hm.","thought":true},{"text":"Hello"},
                {"inlineData":{"mimeType":"image/png","data":"iVBO"}},
                {"functionCall":{"id":"a","name":"f","args":{}}},{"functionCall":{"id":"b","name":"g","args":{"x":1}}}]},
                "index":0,"finishReason":"STOP",
                "logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-0.5}],"topCandidates":[{"candidates":[]}]}},
            {"content":{"role":"model","parts":[{"text":"No."}]},"index":1,"finishReason":"SAFETY"}],
            "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7},
            "modelVersion":"m","responseId":"r1"})
    );
    let quiet = sse().with_thoughts(false).whole(body.to_string().as_bytes()).unwrap();
    assert_eq!(tree(&quiet)["candidates"][0]["content"]["parts"][0], json!({"text":"Hello"}));
    assert_eq!(field_of(FromOpenAi::completion(b"{}", "m", "r1")), "choices");
    let error = FromOpenAi::completion(br#"{"error":{"message":"busy"}}"#, "m", "r1").unwrap();
    assert_eq!(error, error_body(500, "INTERNAL", "busy"));
}
