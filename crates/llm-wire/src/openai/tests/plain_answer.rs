//! A whole answer given again, as it is or as a stream.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::openai::{ChunkCollector, PlainAnswer, chunk_facts};

fn document(message: Value, finish: &str) -> Value {
    json!({"id":"c","object":"chat.completion","created":7,"model":"m","system_fingerprint":"f","choices":[{"index":0,
        "message":message,"finish_reason":finish}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}})
}

fn said(text: &str) -> Value {
    document(json!({"role":"assistant","content":text}), "stop")
}

fn chunks(document: &Value, include_usage: bool) -> Vec<Vec<u8>> {
    let document = document.to_string();
    let answer = PlainAnswer::read(document.as_bytes()).unwrap().expect("a plain answer");
    answer.chunks(include_usage).unwrap().into_iter().map(|chunk| chunk.to_vec()).collect()
}

#[track_caller]
fn check_round_trip(document: &Value) {
    let mut collector = ChunkCollector::new();
    for chunk in chunks(document, true) {
        collector.push(&chunk).unwrap();
    }
    assert!(collector.is_finished());
    assert_eq!(&serde_json::from_slice::<Value>(&collector.finish()).unwrap(), document);
}

#[test]
fn only_a_finished_answer_that_says_something_and_calls_no_tool_is_plain() {
    let call = json!([{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]);
    let message = |more: &Value| {
        let mut message = json!({"role":"assistant","content":"Hi"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let mut two = said("Hi");
    two["choices"] = json!([two["choices"][0], two["choices"][0]]);
    let mut failed = said("Hi");
    failed["error"] = json!({"message":"no"});
    for (document, plain) in [
        (said("Hi"), true),
        (document(message(&json!({"tool_calls":[],"refusal":null,"function_call":null})), "stop"), true),
        (document(message(&json!({"reasoning_content":"Hm"})), "stop"), true),
        (said(""), false),
        (document(json!({"role":"assistant","content":null}), "stop"), false),
        (document(message(&json!({})), "length"), false),
        (document(message(&json!({})), "content_filter"), false),
        (document(message(&json!({"tool_calls":call})), "stop"), false),
        (document(message(&json!({"function_call":{"name":"f","arguments":"{}"}})), "stop"), false),
        (two, false),
        (failed, false),
        (json!({"choices":[]}), false),
        (json!({"data":[]}), false),
    ] {
        let text = document.to_string();
        assert_eq!(PlainAnswer::read(text.as_bytes()).unwrap().is_some(), plain, "{text}");
    }
    assert!(PlainAnswer::read(b"[]").is_err());
    assert!(PlainAnswer::read(b"{\"choices\":[{").is_err());
}

#[test]
fn a_replayed_answer_is_a_stream_of_several_pieces_cut_between_words() {
    let text = "word ".repeat(100);
    let all = chunks(&said(&text), false);
    let pieces: Vec<String> = all
        .iter()
        .map(|chunk| serde_json::from_slice::<Value>(chunk).unwrap())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .filter(|piece| !piece.is_empty())
        .collect();
    assert!((4..=12).contains(&pieces.len()), "{pieces:?}");
    assert!(pieces.iter().skip(1).all(|piece| piece.starts_with(' ')), "{pieces:?}");
    assert_eq!(pieces.concat(), text);
    let facts: Vec<_> = all.iter().map(|chunk| chunk_facts(chunk).unwrap()).collect();
    assert!(facts.iter().all(|facts| facts.usage.is_none()), "nobody asked for the usage");
    assert!(facts.last().unwrap().finished);
}

#[test]
fn everything_that_the_document_says_is_in_the_stream() {
    let message = json!({"role":"assistant","content":"1, 2 \"3\" ünd 🙂","reasoning_content":"Hm.\n",
        "annotations":[{"type":"url"}],"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]});
    let mut whole = document(message, "stop");
    whole["choices"][0]["logprobs"] = json!({"content":[{"token":"1","logprob":-0.5}]});
    whole["choices"][0]["stop_reason"] = json!("END");
    whole["service_tier"] = json!("default");
    whole["usage"]["prompt_tokens_details"] = json!({"cached_tokens":1});
    check_round_trip(&whole);
}

proptest! {
    #[test]
    fn the_pieces_of_a_replayed_answer_join_to_its_text(text in ".{1,400}", reasoning in "\\PC{1,60}") {
        check_round_trip(&said(&text));
        check_round_trip(&document(json!({"role":"assistant","content":text,"reasoning_content":reasoning}), "stop"));
    }
}
