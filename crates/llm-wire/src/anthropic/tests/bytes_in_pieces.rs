//! Streams that are cut at any byte, and bytes that are no stream.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tree;
use crate::anthropic::{
    FromOpenAi, ToOpenAi, event_facts, message_facts, messages_request, parse_count_tokens, parse_messages,
};
use crate::openai::{ChatRequest, ChunkCollector};
use crate::sse;

/// Names and arguments of two calls whose pieces take turns.
const CALLS: [(&str, &str); 2] =
    [("weather", r#"{"city":"Rome – \"città\""}"#), ("time", r#"{"zone":"Europe/Oslo","n":[1,2.5]}"#)];

/// The stream of these calls, each cut into as many pieces.
fn interleaved(pieces: usize) -> Vec<u8> {
    let mut stream = BytesMut::new();
    let mut say = |delta: Value, finish: Option<&str>| {
        let chunk = json!({"choices":[{"index":0,"delta":delta,"finish_reason":finish}]});
        sse::append_data_frame(&mut stream, chunk.to_string().as_bytes());
    };
    for (index, (name, _)) in CALLS.into_iter().enumerate() {
        let id = format!("call_{index}");
        say(
            json!({"tool_calls":[{"index":index,"id":id,"type":"function","function":{"name":name,"arguments":""}}]}),
            None,
        );
    }
    for piece in 0..pieces {
        for (index, (_, arguments)) in CALLS.into_iter().enumerate() {
            let chars: Vec<char> = arguments.chars().collect();
            let size = chars.len().div_ceil(pieces);
            let text: String = chars.into_iter().skip(piece * size).take(size).collect();
            say(json!({"tool_calls":[{"index":index,"function":{"arguments":text}}]}), None);
        }
    }
    say(json!({}), Some("tool_calls"));
    sse::append_data_frame(&mut stream, sse::DONE);
    stream.to_vec()
}

/// What an Anthropic client sees of a stream that comes in these pieces, read again as OpenAI's completion.
fn there_and_back(pieces: &[&[u8]]) -> Value {
    let mut decoder = sse::Decoder::new(1 << 20);
    let mut outward = FromOpenAi::new("m".to_owned(), "r");
    let mut framed = BytesMut::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event() {
            let event = event.unwrap();
            if event.data == sse::DONE {
                outward.done(&mut framed);
            } else {
                outward.chunk(&event.data, &mut framed).unwrap();
            }
        }
    }
    read(&framed)
}

fn read(framed: &[u8]) -> Value {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(Bytes::copy_from_slice(framed));
    let mut inward = ToOpenAi::new("id".to_owned(), "m".to_owned(), 1, true);
    let mut collector = ChunkCollector::new();
    let mut open = None;
    while let Some(event) = decoder.next_event() {
        let event = event.unwrap();
        let name = std::str::from_utf8(event.event.as_deref().unwrap()).unwrap().to_owned();
        let data = tree(&event.data);
        assert_eq!(data["type"], name);
        match name.as_str() {
            "content_block_start" => {
                assert_eq!(open.replace(data["index"].clone()), None, "one block at a time")
            }
            "content_block_delta" => assert_eq!(open.as_ref(), Some(&data["index"])),
            "content_block_stop" => assert_eq!(open.take(), Some(data["index"].clone())),
            _ => assert_eq!(open, None),
        }
        for chunk in inward.event(Some(&name), &event.data).unwrap() {
            collector.push(&chunk).unwrap();
        }
    }
    assert!(inward.is_done());
    tree(&collector.finish())
}

#[track_caller]
fn has_both_calls(completion: &Value) {
    let choice = &completion["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), CALLS.len());
    for (index, (call, (name, arguments))) in calls.iter().zip(CALLS).enumerate() {
        assert_eq!(call["id"], format!("call_{index}"));
        assert_eq!(call["function"]["name"], name);
        assert_eq!(call["function"]["arguments"], arguments);
    }
}

#[test]
fn two_parallel_calls_survive_a_cut_at_every_byte() {
    let stream = interleaved(5);
    for cut in 0..=stream.len() {
        let (before, after) = stream.split_at(cut);
        has_both_calls(&there_and_back(&[before, after]));
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    has_both_calls(&there_and_back(&bytes));
}

#[test]
fn a_short_stream_survives_every_pair_of_cuts() {
    let stream = concat!(
        r#"data:{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},"#,
        r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\""}}]}}]}"#,
        "\n\n",
        r#"data:{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":":1}"}},"#,
        r#"{"index":0,"function":{"arguments":"}"}}]},"finish_reason":"tool_calls"}]}"#,
        "\n\ndata:[DONE]\n\n"
    )
    .as_bytes();
    let expected = json!([
        {"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},
        {"id":"b","type":"function","function":{"name":"g","arguments":"{\"x\":1}"}},
    ]);
    for first in 0..=stream.len() {
        let (before, rest) = stream.split_at(first);
        for second in 0..=rest.len() {
            let (middle, after) = rest.split_at(second);
            let completion = there_and_back(&[before, middle, after]);
            assert_eq!(completion["choices"][0]["message"]["tool_calls"], expected, "{first}, {second}");
        }
    }
}

fn whole(stream: &[u8]) -> Vec<Bytes> {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(Bytes::copy_from_slice(stream));
    std::iter::from_fn(|| decoder.next_event()).map(|event| event.unwrap().data).collect()
}

/// Documents in which members that mean something have any value.
fn odd_document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(1.5)),
        Just(json!(u64::MAX)),
        Just(json!("")),
        Just(json!("text")),
        Just(json!("tool_use")),
        Just(json!("thinking")),
        Just(json!("message_start")),
        Just(json!("content_block_start")),
        Just(json!("content_block_delta")),
        Just(json!("content_block_stop")),
        Just(json!("message_delta")),
        Just(json!("message_stop")),
        Just(json!("error")),
        Just(json!("user")),
        Just(json!("assistant")),
        Just(json!("{}")),
    ];
    let key = prop::sample::select(vec![
        "type",
        "index",
        "delta",
        "content_block",
        "message",
        "usage",
        "error",
        "text",
        "thinking",
        "signature",
        "data",
        "partial_json",
        "id",
        "name",
        "input",
        "stop_reason",
        "choices",
        "content",
        "tool_calls",
        "function",
        "arguments",
        "finish_reason",
        "reasoning_content",
        "reasoning_details",
        "messages",
        "model",
        "max_tokens",
        "role",
        "source",
        "system",
        "tools",
        "tool_choice",
        "input_tokens",
        "prompt_tokens",
    ]);
    scalar
        .prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::hash_map(key.clone(), inner, 0..6).prop_map(|members| {
                    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
                }),
            ]
        })
        .prop_map(|document| document.to_string())
}

fn read_as_everything(documents: &[Vec<u8>]) {
    let mut inward = ToOpenAi::new("id".to_owned(), "m".to_owned(), 1, true);
    let mut outward = FromOpenAi::new("m".to_owned(), "r");
    let mut out = BytesMut::new();
    for document in documents {
        let _ = inward.event(None, document);
        let _ = outward.chunk(document, &mut out);
        let _ = event_facts(None, document);
        let _ = message_facts(document);
        let _ = ToOpenAi::completion(document, "id", "m", 1);
        let _ = FromOpenAi::completion(document, "r");
        let _ = parse_count_tokens(document.clone().into());
        for request in [parse_messages(document.clone().into()), ChatRequest::parse(document.clone().into())]
        {
            let _ = request.map(|request| messages_request(&request, "n", true, 9));
        }
    }
    outward.done(&mut out);
    // What was written are events, whatever was read.
    for event in whole(&out) {
        tree(&event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_panic(documents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..4)) {
        read_as_everything(&documents);
    }

    #[test]
    fn no_documents_panic(documents in prop::collection::vec(odd_document(), 0..6)) {
        let documents: Vec<Vec<u8>> = documents.into_iter().map(String::into_bytes).collect();
        read_as_everything(&documents);
    }
}
