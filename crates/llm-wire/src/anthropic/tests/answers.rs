use bytes::BytesMut;
use serde_json::json;

use super::{field_of, tree};
use crate::anthropic::{
    FromOpenAi, ToOpenAi, ends_stream, error_body, error_kind, event_facts, message_facts,
};
use crate::openai::{PromptDetails, UpstreamError, Usage, chunk_facts, parse_error, response_facts};
use crate::{WireError, sse};

fn to_openai() -> ToOpenAi {
    ToOpenAi::new("id".to_owned(), "m".to_owned(), 1, true)
}

#[test]
fn facts_of_events_are_those_of_their_translation() {
    let check = |event: serde_json::Value, content: bool, finished: bool| {
        let data = event.to_string();
        let facts = event_facts(None, data.as_bytes()).unwrap();
        assert_eq!((facts.has_content, facts.finished), (content, finished), "{data}");
        let named = event_facts(event["type"].as_str(), data.as_bytes()).unwrap();
        assert_eq!(named, facts);
        facts.usage
    };
    let start = json!({"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}});
    let details = Some(PromptDetails { cached_tokens: 4 });
    assert_eq!(
        check(start, false, false),
        Some(Usage {
            prompt_tokens: 7,
            completion_tokens: 1,
            total_tokens: 8,
            prompt_tokens_details: details
        })
    );
    let block =
        |block: serde_json::Value| json!({"type":"content_block_start","index":0,"content_block":block});
    check(block(json!({"type":"text","text":""})), false, false);
    check(block(json!({"type":"tool_use","name":"f","id":"1","input":{}})), true, false);
    check(block(json!({"type":"redacted_thinking","data":"x"})), true, false);
    let delta = |delta: serde_json::Value| json!({"type":"content_block_delta","index":0,"delta":delta});
    check(delta(json!({"type":"text_delta","text":""})), false, false);
    check(delta(json!({"type":"text_delta","text":"x"})), true, false);
    check(delta(json!({"type":"thinking_delta","thinking":"x"})), true, false);
    check(delta(json!({"type":"input_json_delta","partial_json":"{"})), true, false);
    check(delta(json!({"type":"signature_delta","signature":"x"})), false, false);
    check(json!({"type":"ping"}), false, false);
    check(json!({"type":"of_tomorrow","delta":{"text":"x"}}), false, false);
    let end = json!({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}});
    assert_eq!(check(end, true, true).map(|usage| usage.completion_tokens), Some(9));
    let wrong = json!({"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":-9}});
    assert_eq!(check(wrong, false, false), None);
}

#[test]
fn an_error_event_is_an_error_in_both_readings() {
    let data = error_body("overloaded_error", "Overloaded");
    let expected = UpstreamError {
        message: "Overloaded".to_owned(),
        kind: Some("overloaded_error".to_owned()),
        ..UpstreamError::default()
    };
    assert_eq!(event_facts(Some("error"), &data).unwrap().error, Some(expected.clone()));
    assert_eq!(message_facts(&data).unwrap().error, Some(expected.clone()));
    assert_eq!(parse_error(&data), expected);
    let chunks = to_openai().event(Some("error"), &data).unwrap();
    assert_eq!(chunk_facts(&chunks[0]).unwrap().error, Some(expected.clone()));
    let body = ToOpenAi::completion(&data, "id", "m", 1).unwrap();
    assert_eq!(response_facts(&body).unwrap().error, Some(expected));
}

#[test]
fn facts_of_a_message_are_in_openais_words() {
    let facts = |reason: &str| {
        let body = json!({"type":"message","content":[],"stop_reason":reason,"usage":{"input_tokens":1,"output_tokens":2}});
        let facts = message_facts(body.to_string().as_bytes()).unwrap();
        assert_eq!(facts.usage.map(|usage| usage.total_tokens), Some(3));
        facts.finish_reason.unwrap()
    };
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("of_tomorrow", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ] {
        assert_eq!(facts(reason), expected, "{reason}");
    }
    assert_eq!(field_of(message_facts(b"{}")), "content");
    assert_eq!(field_of(message_facts(b"[]")), "$");
}

#[test]
fn a_stream_ends_with_its_last_event_only() {
    let data = br#"{"type":"message_stop"}"#;
    assert!(ends_stream(Some("message_stop"), data) && ends_stream(None, data));
    assert!(!ends_stream(None, b"{}") && !ends_stream(Some("message_delta"), b"{}"));
}

#[test]
fn events_that_contradict_one_another_are_refused() {
    let start =
        json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}).to_string();
    let stop = json!({"type":"content_block_stop","index":0}).to_string();
    let delta = json!({"type":"content_block_delta","index":0,"delta":{"text":"x"}}).to_string();
    let check = |events: &[&str], field: &str| {
        let mut translation = to_openai();
        let (last, before) = events.split_last().unwrap();
        for event in before {
            translation.event(None, event.as_bytes()).unwrap();
        }
        assert_eq!(field_of(translation.event(None, last.as_bytes())), field);
    };
    check(&[&start, &start], "index");
    check(&[&start, &stop, &start], "index");
    check(&[&delta], "index");
    check(&[&start, &stop, &delta], "index");
    check(&[r#"{"type":"content_block_start","index":0}"#], "content_block");
    check(&[r#"{"type":"content_block_start","content_block":{"type":"text"}}"#], "index");
    check(
        &[r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use"}}"#],
        "content_block.name",
    );
    check(&[r#"{"type":"content_block_delta","index":-1}"#], "index");
    check(&["{"], "$");
    check(&["[]"], "$");
}

#[test]
fn the_input_of_a_call_that_comes_whole_is_said_once() {
    let start = json!({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"1","name":"f","input":{"a":1}}});
    let delta = json!({"type":"content_block_delta","index":0,"delta":{"partial_json":"{\"b\":2}"}});
    let stop = json!({"type":"content_block_stop","index":0});
    let arguments = |events: &[&serde_json::Value]| {
        let mut translation = to_openai();
        let mut said = String::new();
        for event in events {
            for chunk in translation.event(None, event.to_string().as_bytes()).unwrap() {
                let piece = tree(&chunk);
                said += piece
                    .pointer("/choices/0/delta/tool_calls/0/function/arguments")
                    .map_or("", |a| a.as_str().unwrap());
            }
        }
        said
    };
    assert_eq!(arguments(&[&start, &stop]), r#"{"a":1}"#);
    assert_eq!(arguments(&[&start, &delta, &stop]), r#"{"b":2}"#);
}

#[test]
fn numbers_in_arguments_come_through_to_the_last_digit() {
    let arguments = r#"{"n": 12345678901234567890.123456789, "s": "\u00e9"}"#;
    let completion = json!({"choices":[{"message":{"tool_calls":[{"id":"1","function":{"name":"f","arguments":arguments}}]}}]});
    let message = FromOpenAi::completion(completion.to_string().as_bytes(), "r").unwrap();
    assert!(std::str::from_utf8(&message).unwrap().contains(&format!(r#""input":{arguments}"#)));
    let back = ToOpenAi::completion(&message, "id", "m", 1).unwrap();
    assert_eq!(tree(&back)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], arguments);
}

#[test]
fn a_call_without_a_name_is_refused_at_the_end() {
    let mut translation = FromOpenAi::new("m".to_owned(), "r");
    let mut out = BytesMut::new();
    let chunk = json!({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":"tool_calls"}]});
    let refused = translation.chunk(chunk.to_string().as_bytes(), &mut out);
    assert_eq!(field_of(refused), "choices[0].delta.tool_calls[0].function.name");
}

#[test]
fn what_has_to_wait_is_bounded() {
    let mut translation = FromOpenAi::new("m".to_owned(), "r");
    let mut out = BytesMut::new();
    let call = json!({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":""}}]}}]});
    translation.chunk(call.to_string().as_bytes(), &mut out).unwrap();
    let text = json!({"choices":[{"delta":{"content":"x".repeat(1 << 20)}}]}).to_string();
    let refused = (0..20).find_map(|_| translation.chunk(text.as_bytes(), &mut out).err());
    assert!(matches!(refused, Some(WireError::TooLarge { .. })), "{refused:?}");
}

#[test]
fn a_failed_stream_says_nothing_more() {
    let mut translation = FromOpenAi::new("m".to_owned(), "r");
    let mut out = BytesMut::new();
    translation.ping(&mut out);
    translation.failed(&mut out, error_kind(529), "later");
    translation.chunk(br#"{"choices":[{"delta":{"content":"x"}}]}"#, &mut out).unwrap();
    translation.done(&mut out);
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(out.freeze());
    let names: Vec<_> =
        std::iter::from_fn(|| decoder.next_event()).map(|event| event.unwrap().event.unwrap()).collect();
    assert_eq!(names, ["ping", "error"]);
}

#[test]
fn statuses_have_anthropics_classes() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (409, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ] {
        assert_eq!(error_kind(status), kind, "{status}");
    }
}
