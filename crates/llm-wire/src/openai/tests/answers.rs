//! What chunks, answers and errors say, in the shapes that providers send them.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::WireError;
use crate::openai::{
    Answer, ChunkReader, Delta, ErrorBody, ModelEntry, UpstreamError, Usage, answer, chunk, chunk_facts,
    model_list, parse_error, response_facts, usage_chunk,
};

fn delta(delta: &str) -> bool {
    let chunk = format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
    chunk_facts(chunk.as_bytes()).unwrap().has_content
}

#[test]
fn a_chunk_has_content_once_it_carries_part_of_the_answer() {
    for nothing in [
        "{}",
        "null",
        r#"{"role":"assistant"}"#,
        r#"{"role":"assistant","content":""}"#,
        r#"{"content":null,"refusal":null,"tool_calls":[],"reasoning_content":"","function_call":null}"#,
        r#"{"obfuscation":"xyz"}"#,
    ] {
        assert!(!delta(nothing), "{nothing}");
    }
    for something in [
        r#"{"content":" "}"#,
        r#"{"content":"\u00e9"}"#,
        r#"{"reasoning_content":"Hm"}"#,
        r#"{"reasoning":"Hm","reasoning_content":"Hm"}"#,
        r#"{"tool_calls":[{"index":0}]}"#,
        r#"{"function_call":{"name":"f"}}"#,
        r#"{"refusal":"No."}"#,
    ] {
        assert!(delta(something), "{something}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_even_where_nobody_reads_them() {
    let with = |before: &str, after: &str| [before.as_bytes(), b"caf\xE9", after.as_bytes()].concat();
    let whole = with(r#"{"choices":[{"message":{"content":""#, r#""},"finish_reason":"stop"}]}"#);
    let error = response_facts(&whole).unwrap_err();
    assert!(matches!(error, WireError::Json { line: 1, column: 39, .. }), "{error:?}");
    let streamed = with(r#"{"choices":[{"delta":{"content":"a"}}],"obfuscation":""#, r#""}"#);
    assert!(matches!(chunk_facts(&streamed), Err(WireError::Json { .. })));
}

#[test]
fn a_finish_reason_is_content_and_ends_the_choice() {
    let facts = chunk_facts(br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).unwrap();
    assert!(facts.has_content && facts.finished);
    let facts =
        chunk_facts(br#"{"choices":[{"delta":{"content":"a"}},{"delta":{},"finish_reason":"length"}]}"#)
            .unwrap();
    assert!(facts.has_content && facts.finished);
    let facts = chunk_facts(br#"{"choices":[{"delta":{"content":"a"},"finish_reason":""}]}"#).unwrap();
    assert!(facts.has_content && !facts.finished);
}

#[test]
fn where_a_text_lies_is_told_where_it_is_all_that_the_chunk_says() {
    let text = |chunk: &str| {
        let range = chunk_facts(chunk.as_bytes()).unwrap().text?;
        Some(chunk[range].to_owned())
    };
    assert_eq!(text(r#"{"choices":[{"index":0,"delta":{"content":"a 空"}}]}"#).unwrap(), "a 空");
    for other in [
        r#"{"choices":[{"delta":{"content":"a\n"}}]}"#,
        r#"{"choices":[{"delta":{"content":""}}]}"#,
        r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#,
        r#"{"choices":[{"delta":{"content":"a","reasoning":"b"}}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"logprobs":{}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"a"}}]}"#,
    ] {
        assert_eq!(text(other), None, "{other}");
    }
}

#[test]
fn a_chunk_that_differs_in_its_text_alone_is_told_by_its_bytes() {
    let mut reader = ChunkReader::default();
    let texts =
        ["a", "b 空", "", r"\n", r#"","content":""#, r#"","refusal":"no"#, "\u{1}", r"\", r#"a"b"#, "c"];
    for text in texts {
        let chunk =
            format!(r#"{{"id":"1","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}],"usage":null}}"#);
        let (read, alone) = (reader.facts(chunk.as_bytes()), chunk_facts(chunk.as_bytes()));
        assert_eq!(read.ok(), alone.ok(), "{text:?}");
    }
    let otherwise = br#"{"id":"2","choices":[],"usage":null}"#;
    assert!(!reader.facts(otherwise).unwrap().has_content);
}

proptest! {
    #[test]
    fn chunks_are_read_one_after_another_as_each_by_itself(
        chunks in prop::collection::vec(
            ("[ab\\\\\"\n空]{0,4}", prop_oneof![Just(""), Just(r#","logprobs":{}"#), Just(r#","finish_reason":"stop""#)], prop::option::of(0u8..3)),
            1..12,
        ),
        junk in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut reader = ChunkReader::default();
        for (text, more, tokens) in chunks {
            let usage = tokens.map_or("null".to_owned(), |tokens| format!(r#"{{"completion_tokens":{tokens}}}"#));
            let mut chunk =
                format!(r#"{{"id":"1","choices":[{{"delta":{{"content":"{text}"}}{more}}}],"usage":{usage}}}"#)
                    .into_bytes();
            prop_assert_eq!(reader.facts(&chunk).ok(), chunk_facts(&chunk).ok());
            // The same with bytes of no meaning in its text.
            let at = chunk.windows(10).position(|bytes| bytes == br#""content":"#).unwrap() + 11;
            chunk.splice(at..at, junk.iter().copied());
            prop_assert_eq!(reader.facts(&chunk).ok(), chunk_facts(&chunk).ok());
        }
    }
}

#[test]
fn usage_is_read_as_far_as_it_is_there() {
    let usage =
        |usage: &str| chunk_facts(format!(r#"{{"choices":[],"usage":{usage}}}"#).as_bytes()).unwrap().usage;
    let all = Usage { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, ..Usage::default() };
    assert_eq!(
        usage(
            r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":1}}"#
        ),
        Some(all)
    );
    assert_eq!(usage(r#"{"prompt_tokens":3,"completion_tokens":4}"#), Some(all));
    assert_eq!(
        usage(r#"{"prompt_tokens":3,"completion_tokens":null}"#).map(|usage| usage.total_tokens),
        Some(3)
    );
    assert_eq!(usage("null"), None);
    assert_eq!(usage("{}"), None);
    let most = format!(r#"{{"prompt_tokens":{0},"completion_tokens":{0}}}"#, u64::MAX);
    assert_eq!(usage(&most).map(|usage| usage.total_tokens), Some(u64::MAX));
}

#[test]
fn an_error_inside_a_stream_is_reported() {
    let error = |chunk: &str| chunk_facts(chunk.as_bytes()).unwrap().error.unwrap();
    assert_eq!(
        error(
            r#"{"error":{"message":"overloaded","type":"server_error","code":503,"uat_code":"UAT_OVERLOADED"}}"#
        ),
        UpstreamError {
            message: "overloaded".into(),
            code: Some("503".into()),
            kind: Some("server_error".into()),
            uat_code: Some("UAT_OVERLOADED".into()),
            ..UpstreamError::default()
        },
    );
    assert_eq!(error(r#"{"error":"gone"}"#).message, "gone");
    assert_eq!(
        error(r#"{"object":"error","message":"bad","type":"BadRequestError","code":400}"#).code.as_deref(),
        Some("400")
    );
    assert_eq!(chunk_facts(br#"{"error":null,"choices":[]}"#).unwrap().error, None);
}

#[test]
fn what_is_no_chunk_is_an_error() {
    for garbage in ["", "[DONE]", "[]", "null", "7", "<html>", r#"{"choices":[{"delta":{"content":"a"}}"#] {
        assert!(matches!(chunk_facts(garbage.as_bytes()), Err(WireError::Json { .. })), "{garbage}");
    }
    let error = chunk_facts(br#"{"choices":"secret text"}"#).unwrap_err();
    let expected =
        "malformed JSON at choices (line 1, column 24): invalid type: a string, expected an array of choices";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_answer_tells_its_usage_and_its_finish_reason() {
    let usage = Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, ..Usage::default() };
    let facts = response_facts(&answer(
        "id",
        "m",
        7,
        &[Answer { content: Some("Hi"), finish: "length", ..Answer::default() }],
        usage,
    ))
    .unwrap();
    assert_eq!(
        (facts.usage, facts.finish_reason.as_deref(), facts.error),
        (Some(usage), Some("length"), None)
    );
}

#[test]
fn an_answer_without_choices_is_none() {
    for body in ["{}", r#"{"choices":[]}"#, r#"{"choices":null,"error":null}"#] {
        assert!(matches!(response_facts(body.as_bytes()), Err(WireError::Invalid { .. })), "{body}");
    }
    assert!(matches!(response_facts(b"[]"), Err(WireError::Json { .. })));
    let facts = response_facts(br#"{"error":{"message":"busy"}}"#).unwrap();
    assert_eq!(facts.error.unwrap().message, "busy");
}

#[test]
fn any_shape_of_an_error_body_gives_its_message() {
    for body in [
        r#"{"error":{"message":"m"}}"#,
        r#"{"error":"m"}"#,
        r#"{"message":"m"}"#,
        r#"{"detail":"m"}"#,
        r#"{"detail":[{"loc":["body"],"msg":"m"}]}"#,
        r#"{"errors":[{"message":"m"}]}"#,
        r#"[{"error":{"message":"m","status":"INVALID_ARGUMENT"}}]"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
        r#"{"error":null,"message":"m"}"#,
        " m\n",
    ] {
        assert_eq!(parse_error(body.as_bytes()).message, "m", "{body}");
    }
    assert_eq!(parse_error(b"").message, "an error without a body");
    assert_eq!(parse_error(br#"{"error":{"reason":1}}"#).message, r#"{"reason":1}"#);
    assert_eq!(parse_error(&[0xFF]).message, "\u{FFFD}");
}

#[test]
fn an_error_body_of_any_length_gives_a_short_message() {
    let long = "é".repeat(100_000);
    for body in [
        long.clone(),
        format!(r#"{{"error":{{"message":"{long}"}}}}"#),
        json!({ "error": [long] }).to_string(),
    ] {
        assert!(parse_error(body.as_bytes()).message.len() < 1100);
    }
}

#[test]
fn our_error_body_is_openais_with_two_more_fields() {
    let body = ErrorBody {
        message: "no model \"x\"".into(),
        kind: "invalid_request_error".into(),
        param: Some("model".into()),
        code: None,
        uat_code: "UAT_MODEL_NOT_FOUND".into(),
        retryable: false,
    };
    assert_eq!(
        body.to_json(),
        r#"{"error":{"message":"no model \"x\"","type":"invalid_request_error","param":"model","code":null,"uat_code":"UAT_MODEL_NOT_FOUND","retryable":false}}"#
    );
    assert_eq!(parse_error(&body.to_json()).uat_code.as_deref(), Some("UAT_MODEL_NOT_FOUND"));
}

#[test]
fn chunks_are_written_as_openai_writes_them() {
    let head = r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":"#;
    let check = |delta: Delta<'_>, finish: Option<&str>, expected: &str| {
        assert_eq!(chunk("c1", "m", 7, delta, finish), format!("{head}[{{\"index\":0,{expected}}}]}}"));
    };
    check(Delta::Role, None, r#""delta":{"role":"assistant","content":""},"finish_reason":null"#);
    check(Delta::Content("a\n\"é"), None, r#""delta":{"content":"a\n\"é"},"finish_reason":null"#);
    check(Delta::Reasoning("Hm"), None, r#""delta":{"reasoning_content":"Hm"},"finish_reason":null"#);
    check(
        Delta::ToolCalls(&[json!({"index":0})]),
        None,
        r#""delta":{"tool_calls":[{"index":0}]},"finish_reason":null"#,
    );
    check(Delta::Empty, Some("stop"), r#""delta":{},"finish_reason":"stop""#);
    let usage = Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, ..Usage::default() };
    assert_eq!(
        usage_chunk("c1", "m", 7, usage),
        format!(r#"{head}[],"usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}}}"#)
    );
}

#[test]
fn models_are_listed_as_openai_lists_them() {
    let list = model_list(&[ModelEntry { id: "m".into(), created: 7, owned_by: "us".into() }]);
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(
        list,
        json!({"object":"list","data":[{"object":"model","id":"m","created":7,"owned_by":"us"}]})
    );
}
