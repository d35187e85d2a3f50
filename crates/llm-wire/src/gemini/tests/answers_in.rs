use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{field_of, tree};
use crate::gemini::{ToOpenAi, chunk_facts, response_facts, retry_delay};
use crate::openai::{self, parse_error};
use crate::{WireError, sse};

fn translation() -> ToOpenAi {
    ToOpenAi::new("c1".into(), "m".into(), 7, true)
}

fn streamed(documents: &[Value]) -> Vec<Value> {
    let mut translation = translation();
    let mut chunks: Vec<Bytes> = documents
        .iter()
        .flat_map(|document| translation.chunk(document.to_string().as_bytes()).unwrap())
        .collect();
    chunks.append(&mut translation.finish());
    chunks.iter().map(|chunk| tree(chunk)).collect()
}

fn deltas(chunks: &[Value]) -> Vec<Value> {
    chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect()
}

fn said(parts: Value) -> Value {
    json!({"candidates":[{"content":{"role":"model","parts":parts},"index":0}]})
}

fn ended(reason: &str) -> Value {
    json!({"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":reason,"index":0}]})
}

#[test]
fn a_gemini_stream_becomes_chunks() {
    // Some models write the finish reason into every document, and all write the usage so far.
    let mut first = said(json!([{"text":"Hm.","thought":true}]));
    first["candidates"][0]["finishReason"] = json!("STOP");
    first["usageMetadata"] = json!({"promptTokenCount":3});
    let mut last = ended("MAX_TOKENS");
    last["usageMetadata"] = json!({"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":5,
        "cachedContentTokenCount":2,"totalTokenCount":12});
    let chunks = streamed(&[first, said(json!([{"text":"Hel"}])), said(json!([{"text":"lo"}])), last]);
    assert_eq!(
        deltas(&chunks),
        [
            json!({"role":"assistant","content":""}),
            json!({"reasoning_content":"Hm."}),
            json!({"content":"Hel"}),
            json!({"content":"lo"}),
            json!({}),
            Value::Null,
        ]
    );
    let reasons: Vec<_> = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(reasons[4], "length");
    assert_eq!(reasons.iter().filter(|reason| !reason.is_null()).count(), 1);
    assert_eq!(
        chunks[5]["usage"],
        json!({"prompt_tokens":3,"completion_tokens":9,"total_tokens":12,
            "prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":5}})
    );
    assert!(chunks.iter().all(|chunk| chunk["id"] == "c1" && chunk["model"] == "m" && chunk["created"] == 7));
}

#[test]
fn parallel_calls_are_counted_and_signed() {
    let chunks = streamed(&[
        said(json!([{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"s"}])),
        said(json!([{"functionCall":{"id":"b","name":"g"}},{"functionCall":{"name":"h","args":{}}}])),
        ended("STOP"),
    ]);
    let call = |index: usize, id: &str, name: &str, arguments: &str| json!([{"index":index,"id":id,"type":"function","function":{"name":name,"arguments":arguments}}]);
    let deltas = deltas(&chunks);
    assert_eq!(deltas[1]["tool_calls"], call(0, "call_c1_0", "f", "{\"x\":1}"));
    assert_eq!(
        deltas[1]["reasoning_details"],
        json!([{"type":"reasoning.encrypted","data":"s","format":"google-gemini-v1","id":"call_c1_0"}])
    );
    assert_eq!(deltas[2]["tool_calls"], call(1, "b", "g", "{}"));
    assert_eq!(deltas[3]["tool_calls"], call(2, "call_c1_2", "h", "{}"));
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn every_candidate_is_a_choice() {
    let both = json!({"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"},
        {"content":{"parts":[{"functionCall":{"name":"f"}}]},"index":0,"finishReason":"STOP"}]});
    let body = tree(&ToOpenAi::completion(both.to_string().as_bytes(), "c1", "m", 7).unwrap());
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(body["choices"][1]["message"], json!({"role":"assistant","content":"b"}));
    assert_eq!(body["choices"][1]["finish_reason"], "stop");
}

#[test]
fn a_gemini_answer_becomes_a_completion() {
    let answer = json!({"candidates":[{"content":{"role":"model","parts":[
            {"text":"Hm.","thought":true,"thoughtSignature":"1"},{"text":"Hel"},{"text":"lo","thoughtSignature":"2"},
            {"inlineData":{"mimeType":"image/png","data":"iVBO"}}]},"finishReason":"STOP",
            "logprobsResult":{"chosenCandidates":[{"token":"é","tokenId":5,"logProbability":-0.5}],
                "topCandidates":[{"candidates":[{"token":"e","logProbability":-1.5}]}]}}],
        "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"toolUsePromptTokenCount":1},"modelVersion":"x"});
    assert_eq!(
        tree(&ToOpenAi::completion(answer.to_string().as_bytes(), "c1", "m", 7).unwrap()),
        json!({"id":"c1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,
            "message":{"role":"assistant","content":"Hello","reasoning_content":"Hm.","reasoning_details":[
                {"type":"reasoning.text","text":"Hm.","signature":"1","format":"google-gemini-v1"},
                {"type":"reasoning.encrypted","data":"2","format":"google-gemini-v1","id":"content"}],
                "images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}}]},
            "logprobs":{"content":[{"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[
                {"token":"e","logprob":-1.5,"bytes":[101]}]}]},
            "finish_reason":"stop"}],
            "usage":{"prompt_tokens":4,"completion_tokens":4,"total_tokens":8}})
    );
}

#[test]
fn reasons_to_end_become_openais() {
    for (reason, expected) in [
        ("STOP", Some("stop")),
        ("MAX_TOKENS", Some("length")),
        ("SAFETY", Some("content_filter")),
        ("RECITATION", Some("content_filter")),
        ("BLOCKLIST", Some("content_filter")),
        ("PROHIBITED_CONTENT", Some("content_filter")),
        ("SPII", Some("content_filter")),
        ("LANGUAGE", Some("content_filter")),
        ("MALFORMED_FUNCTION_CALL", None),
        ("UNEXPECTED_TOOL_CALL", None),
        ("OTHER", None),
    ] {
        let document = ended(reason).to_string();
        let facts = response_facts(document.as_bytes()).unwrap();
        assert_eq!(facts.finish_reason.as_deref(), expected);
        assert_eq!(facts.error.is_some(), expected.is_none());
        let body = ToOpenAi::completion(document.as_bytes(), "c1", "m", 7).unwrap();
        let translated = openai::response_facts(&body).unwrap();
        assert_eq!(translated.finish_reason.as_deref(), expected, "{reason}");
        let told = translated.error.map(|error| (error.code.unwrap(), error.message.contains(reason)));
        assert_eq!(told, expected.is_none().then(|| (reason.to_owned(), true)));
    }
}

#[test]
fn a_blocked_prompt_is_an_answer_that_refuses() {
    let blocked =
        json!({"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":3}});
    let chunks = streamed(std::slice::from_ref(&blocked));
    assert!(chunks[1]["choices"][0]["delta"]["refusal"].as_str().unwrap().contains("PROHIBITED_CONTENT"));
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "content_filter");
    let facts = response_facts(blocked.to_string().as_bytes()).unwrap();
    assert_eq!((facts.finish_reason.as_deref(), facts.error), (Some("content_filter"), None));
    assert!(chunk_facts(blocked.to_string().as_bytes()).unwrap().finished);
}

#[test]
fn errors_are_seen_in_every_shape() {
    let error = json!({"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.Help"},
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}});
    for body in [error.to_string(), format!("[{error}\n]")] {
        let told = parse_error(body.as_bytes());
        assert_eq!(
            (told.message.as_str(), told.code.as_deref(), told.kind.as_deref()),
            ("Quota exceeded.", Some("429"), Some("RESOURCE_EXHAUSTED"))
        );
        assert_eq!(retry_delay(body.as_bytes()), Some(Duration::from_millis(34_500)));
        assert_eq!(chunk_facts(body.as_bytes()).unwrap().error.unwrap(), told);
        assert_eq!(response_facts(body.as_bytes()).unwrap().error.unwrap(), told);
        let mut translation = translation();
        translation.chunk(said(json!([{"text":"Hel"}])).to_string().as_bytes()).unwrap();
        let chunks = translation.chunk(body.as_bytes()).unwrap();
        assert_eq!(openai::chunk_facts(&chunks[0]).unwrap().error.unwrap(), told);
        assert!(!translation.is_finished() && translation.finish().is_empty());
    }
    assert_eq!(retry_delay(b"{}"), None);
    assert_eq!(retry_delay(br#"{"error":{"details":[{"retryDelay":"-1s"}]}}"#), None);
}

#[test]
fn a_cut_stream_has_no_end() {
    let mut translation = translation();
    assert!(!translation.is_finished());
    translation.chunk(said(json!([{"text":"Hel"}])).to_string().as_bytes()).unwrap();
    assert!(!translation.is_finished() && translation.finish().is_empty());
}

#[test]
fn what_is_no_answer_of_geminis_is_an_error() {
    for document in ["<html>", "[]", "7", r#"[{"candidates":[]}]"#, r#"{"candidates":7}"#] {
        assert!(
            matches!(translation().chunk(document.as_bytes()), Err(WireError::Json { .. })),
            "{document}"
        );
        assert!(chunk_facts(document.as_bytes()).is_err());
    }
    assert_eq!(field_of(ToOpenAi::completion(b"{}", "c1", "m", 7)), "candidates");
    assert_eq!(field_of(response_facts(b"{}")), "candidates");
    let code = said(json!([{"text":"a"},{"executableCode":{"language":"PYTHON","code":"1"}}]));
    assert_eq!(field_of(translation().chunk(code.to_string().as_bytes())), "candidates[0].content.parts[1]");
    let sound = said(json!([{"inlineData":{"mimeType":"audio/wav","data":"UklG"}}]));
    let field = field_of(translation().chunk(sound.to_string().as_bytes()));
    assert_eq!(field, "candidates[0].content.parts[0].inlineData.mimeType");
}

#[test]
fn counts_that_are_none_are_not_known() {
    let mut document = ended("STOP");
    document["usageMetadata"] = json!({"promptTokenCount":-3,"candidatesTokenCount":"many"});
    assert_eq!(chunk_facts(document.to_string().as_bytes()).unwrap().usage, None);
    document["usageMetadata"] = json!({"promptTokenCount":3,"candidatesTokenCount":null});
    assert_eq!(chunk_facts(document.to_string().as_bytes()).unwrap().usage.unwrap().total_tokens, 3);
}

/// The bytes of a stream know nothing of documents.
#[test]
fn a_stream_may_be_cut_at_any_byte() {
    let documents = [
        said(json!([{"text":"Größe","thought":true}])),
        said(
            json!([{"functionCall":{"name":"f","args":{"a":"\n\n"}},"thoughtSignature":"s"},{"functionCall":{"name":"g","args":{}}}]),
        ),
        ended("STOP"),
    ];
    let expected = streamed(&documents);
    let bytes: Vec<u8> =
        documents.iter().flat_map(|document| format!("data: {document}\r\n\r\n").into_bytes()).collect();
    for cut in 0..=bytes.len() {
        let mut decoder = sse::Decoder::new(1 << 20);
        let mut translation = translation();
        let mut chunks = Vec::new();
        for piece in [&bytes[..cut], &bytes[cut..]] {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next_event() {
                chunks.append(&mut translation.chunk(&event.unwrap().data).unwrap());
            }
        }
        chunks.append(&mut translation.finish());
        let chunks: Vec<Value> = chunks.iter().map(|chunk| tree(chunk)).collect();
        assert_eq!(chunks, expected, "cut at {cut}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_even_where_nobody_reads_them() {
    let before =
        br#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"responseId":""#;
    let answer = [before.as_slice(), b"\xE9", br#""}"#].concat();
    assert!(matches!(response_facts(&answer), Err(WireError::Json { .. })));
    assert!(matches!(chunk_facts(&answer), Err(WireError::Json { .. })));
}
