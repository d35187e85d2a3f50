use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::snapshot::added_up;
use super::{delta, finish, parse, streamed, translation, tree};
use crate::openai::ChunkCollector;

/// What one chunk may say.
fn any_delta() -> impl Strategy<Value = Value> {
    let text = "\\PC{0,6}";
    prop_oneof![
        text.prop_map(|text| json!({ "content": text })),
        text.prop_map(|text| json!({ "reasoning_content": text })),
        text.prop_map(|text| json!({ "refusal": text })),
        text.prop_map(
            |data| json!({ "reasoning_details": [{ "type": "reasoning.encrypted", "data": data }] })
        ),
        (0_u64..3, text).prop_map(|(index, arguments)| {
            json!({ "tool_calls": [{ "index": index, "id": format!("call_{index}"),
                "function": { "name": format!("f{index}"), "arguments": arguments } }] })
        }),
    ]
}

/// What a chat's message or a response says, kind by kind.
fn said(output: &Value) -> (String, String, String, Vec<Value>) {
    let (mut text, mut reasoning, mut refusal, mut calls) = Default::default();
    for item in output.as_array().unwrap() {
        if item["type"] == "function_call" {
            Vec::push(&mut calls, json!([item["call_id"], item["name"], item["arguments"]]));
            continue;
        }
        for part in item["content"].as_array().unwrap() {
            let (into, field): (&mut String, _) = match part["type"].as_str().unwrap() {
                "output_text" => (&mut text, "text"),
                "reasoning_text" => (&mut reasoning, "text"),
                _ => (&mut refusal, "refusal"),
            };
            into.push_str(part[field].as_str().unwrap());
        }
    }
    calls.sort_by_key(|call: &Value| call[0].as_str().unwrap().to_owned());
    (text, reasoning, refusal, calls)
}

proptest! {
    /// Whatever a chat streams, OpenAI's client adds the events up to the response that the last one carries, and that
    /// says what the chat said.
    #[test]
    fn the_events_add_up_to_what_the_chat_said(deltas in prop::collection::vec(any_delta(), 0..12)) {
        let mut chunks: Vec<Value> = deltas.into_iter().map(delta).collect();
        chunks.push(finish("stop"));
        let events = streamed(&chunks);
        let output = events.last().unwrap()["response"]["output"].clone();
        prop_assert_eq!(&added_up(&events), &output);

        let mut collector = ChunkCollector::new();
        for chunk in &chunks {
            collector.push(chunk.to_string().as_bytes()).unwrap();
        }
        let completion = collector.finish();
        let whole = tree(&translation().completion(&completion, 1007).unwrap());
        prop_assert_eq!(said(&whole["output"]), said(&output));

        let message = &tree(&completion)["choices"][0]["message"];
        let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
        let calls = message["tool_calls"].as_array().cloned().unwrap_or_default().into_iter();
        let calls = calls.map(|call| json!([call["id"], call["function"]["name"], call["function"]["arguments"]]));
        prop_assert_eq!(
            said(&output),
            (text("content"), text("reasoning_content"), text("refusal"), calls.collect::<Vec<_>>())
        );
    }

    /// What a provider encrypted comes back in the next request, in its order.
    #[test]
    fn what_is_sealed_comes_back(deltas in prop::collection::vec(any_delta(), 0..12)) {
        let sealed = |deltas: &[Value]| -> Vec<Value> {
            deltas.iter().filter_map(|delta| delta["reasoning_details"].as_array()).flatten().cloned().collect()
        };
        let mut chunks: Vec<Value> = deltas.iter().cloned().map(delta).collect();
        chunks.push(finish("stop"));
        let output = streamed(&chunks).last().unwrap()["response"]["output"].clone();
        let request = parse(json!({ "model": "m", "input": output }).to_string().into()).unwrap();
        let messages = tree(request.chat.body())["messages"].as_array().unwrap().clone();
        prop_assert_eq!(sealed(&messages), sealed(&deltas));
        prop_assert!(request.chat.dropped().is_empty());
    }

    #[test]
    fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = parse(bytes.clone().into());
        let mut out = BytesMut::new();
        let mut translation = translation();
        let _ = translation.chunk(&bytes, &mut out);
        translation.done(1, &mut out);
        let _ = super::translation().completion(&bytes, 1);
    }

    /// Items of any shape are refused or understood.
    #[test]
    fn any_item_is_answered(
        kind in "(message|function_call|function_call_output|reasoning|item_reference|x)",
        field in "(role|content|call_id|name|arguments|output|summary|encrypted_content|caller)",
        value in prop_oneof![Just(json!(null)), Just(json!(1)), Just(json!("uat.1.W10")), Just(json!([])), Just(json!([{}])), Just(json!({}))],
    ) {
        let mut item = json!({"type":kind,"role":"user","content":"x"});
        item[field] = value;
        let _ = parse(json!({"model":"m","input":[item]}).to_string().into());
    }
}
