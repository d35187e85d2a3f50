//! One answer out of many chunks.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::WireError;
use crate::openai::{ChunkCollector, Delta, Usage, chunk, response_facts, usage_chunk};

fn collect(chunks: &[Value]) -> Value {
    let mut collector = ChunkCollector::new();
    for chunk in chunks {
        collector.push(chunk.to_string().as_bytes()).unwrap();
    }
    serde_json::from_slice(&collector.finish()).unwrap()
}

fn choice(index: u64, delta: Value, finish: Option<&str>) -> Value {
    json!({"id":"c","object":"chat.completion.chunk","created":7,"model":"m",
        "choices":[{"index":index,"delta":delta,"finish_reason":finish}]})
}

#[test]
fn text_and_reasoning_are_joined() {
    let body = collect(&[
        choice(0, json!({"role":"assistant","content":"","reasoning_content":"H"}), None),
        choice(0, json!({"role":"assistant","content":null,"reasoning_content":"m."}), None),
        choice(0, json!({"content":"Hel"}), None),
        choice(0, json!({"content":"lo"}), None),
        choice(0, json!({}), Some("stop")),
        json!({"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}),
    ]);
    assert_eq!(
        body,
        json!({"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,
            "message":{"role":"assistant","content":"Hello","reasoning_content":"Hm."},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}})
    );
}

#[test]
fn tool_calls_are_merged_by_their_index() {
    let body = collect(&[
        choice(
            0,
            json!({"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}),
            None,
        ),
        choice(0, json!({"tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]}), None),
        choice(
            0,
            json!({"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}),
            None,
        ),
        choice(
            0,
            json!({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":":1}"}}]}),
            None,
        ),
        choice(0, json!({}), Some("tool_calls")),
    ]);
    assert_eq!(
        body["choices"][0]["message"],
        json!({"role":"assistant","content":null,"tool_calls":[
            {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
            {"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]})
    );
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn whole_tool_calls_without_an_index_stand_for_themselves() {
    let call = |name: &str| json!({"id":name,"function":{"name":name,"arguments":"{}"}});
    let body = collect(&[choice(0, json!({"tool_calls":[call("f"), call("g")]}), Some("tool_calls"))]);
    assert_eq!(body["choices"][0]["message"]["tool_calls"], json!([call("f"), call("g")]));
}

#[test]
fn several_choices_stay_apart() {
    let body = collect(&[
        choice(1, json!({"content":"b"}), None),
        choice(0, json!({"content":"a"}), None),
        choice(1, json!({"content":"B"}), Some("length")),
        choice(0, json!({"refusal":"No."}), Some("stop")),
    ]);
    let expected = json!([
        {"index":0,"message":{"role":"assistant","content":"a","refusal":"No."},"finish_reason":"stop"},
        {"index":1,"message":{"role":"assistant","content":"bB"},"finish_reason":"length"}]);
    assert_eq!(body["choices"], expected);
}

#[test]
fn log_probabilities_are_joined_and_unknown_fields_kept() {
    let with = |token: &str| {
        json!({"system_fingerprint":"fp","x_extra":1,"choices":[{"index":0,"delta":{"content":token},
        "logprobs":{"content":[{"token":token}],"refusal":null},"finish_reason":null}]})
    };
    let body = collect(&[with("a"), with("b"), choice(0, json!({}), Some("stop"))]);
    assert_eq!(body["choices"][0]["logprobs"], json!({"content":[{"token":"a"},{"token":"b"}]}));
    assert_eq!((&body["system_fingerprint"], &body["x_extra"]), (&json!("fp"), &json!(1)));
}

#[test]
fn an_answer_is_finished_when_every_choice_is() {
    let mut collector = ChunkCollector::new();
    assert!(!collector.is_finished());
    collector.push(choice(0, json!({"content":"a"}), Some("stop")).to_string().as_bytes()).unwrap();
    assert!(collector.is_finished());
    collector.push(choice(1, json!({"content":"b"}), None).to_string().as_bytes()).unwrap();
    assert!(!collector.is_finished());
}

#[test]
fn an_error_is_not_part_of_an_answer() {
    let mut collector = ChunkCollector::new();
    let error = collector.push(br#"{"error":{"message":"overloaded"}}"#).unwrap_err();
    assert_eq!(error, WireError::invalid("error", "a chunk of the answer", "overloaded"));
    assert!(matches!(collector.push(b"[DONE]"), Err(WireError::Json { .. })));
    assert!(matches!(collector.push(br#"{"choices":[7]}"#), Err(WireError::Invalid { .. })));
    let error = ChunkCollector::with_limit(10).push(b"{\"choices\":[]}").unwrap_err();
    assert_eq!(error, WireError::TooLarge { what: "a streamed answer", limit: 10 });
}

proptest! {
    #[test]
    fn text_in_any_pieces_is_collected_whole(pieces in prop::collection::vec("\\PC{0,8}", 0..12)) {
        let mut collector = ChunkCollector::new();
        collector.push(&chunk("c", "m", 7, Delta::Role, None)).unwrap();
        for piece in &pieces {
            collector.push(&chunk("c", "m", 7, Delta::Content(piece), None)).unwrap();
        }
        collector.push(&chunk("c", "m", 7, Delta::Empty, Some("stop"))).unwrap();
        let usage = Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, ..Usage::default() };
        collector.push(&usage_chunk("c", "m", 7, usage)).unwrap();
        let body = collector.finish();
        prop_assert_eq!(response_facts(&body).unwrap().usage, Some(usage));
        let body: Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&body["choices"][0]["message"]["content"], &pieces.concat());
    }

    #[test]
    fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = (crate::openai::chunk_facts(&bytes), response_facts(&bytes), crate::openai::parse_error(&bytes));
        let _ = ChunkCollector::new().push(&bytes);
    }
}
