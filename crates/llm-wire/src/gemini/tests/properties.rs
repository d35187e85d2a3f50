use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tree;
use crate::gemini::{
    FromOpenAi, ToOpenAi, chunk_facts, embed_to_openai, generate_request, parse_batch_embed, parse_embed,
    parse_generate, response_facts, retry_delay,
};
use crate::openai::{ChatRequest, Encoding};

fn text() -> impl Strategy<Value = String> {
    "\\PC{1,12}"
}

fn object() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        text().prop_map(Value::from),
        prop::collection::vec(text(), 0..3).prop_map(Value::from),
    ];
    prop::collection::vec((text(), value), 0..4).prop_map(|fields| Value::Object(Map::from_iter(fields)))
}

fn signature() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[A-Za-z0-9+/]{8}")
}

fn signed(mut part: Value, signature: Option<String>) -> Value {
    if let Some(signature) = signature {
        part["thoughtSignature"] = json!(signature);
    }
    part
}

/// What a model says in one turn, in the order in which it says it: thoughts, text, calls with unique identifiers.
fn model_parts() -> impl Strategy<Value = Vec<Value>> {
    let thought = prop::option::of((text(), signature()));
    let said = prop::option::of((text(), signature()));
    let calls = prop::collection::vec(("[a-z]{1,8}", object(), signature()), 0..4);
    (thought, said, calls, any::<u64>()).prop_map(|(thought, said, calls, turn)| {
        let mut parts = Vec::new();
        parts.extend(thought.map(|(text, sign)| signed(json!({"text":text,"thought":true}), sign)));
        parts.extend(said.map(|(text, sign)| signed(json!({ "text": text }), sign)));
        parts.extend(calls.into_iter().enumerate().map(|(index, (name, args, sign))| {
            let call = json!({"id":format!("{turn}-{index}"),"name":name,"args":args});
            signed(json!({ "functionCall": call }), sign)
        }));
        parts
    })
}

fn user_parts() -> impl Strategy<Value = Vec<Value>> {
    let part = prop_oneof![
        text().prop_map(|text| json!({ "text": text })),
        "[A-Za-z0-9]{4}".prop_map(|data| json!({"inlineData":{"mimeType":"image/png","data":data}})),
        "[a-z]{1,8}".prop_map(
            |path| json!({"fileData":{"fileUri":format!("https://x/{path}.png"),"mimeType":"image/png"}})
        ),
    ];
    prop::collection::vec(part, 1..4)
}

/// Turns of both sides; every call is answered by the turn after it.
fn contents() -> impl Strategy<Value = Vec<Value>> {
    let turn = (
        user_parts(),
        model_parts(),
        prop::collection::vec(prop_oneof![object(), text().prop_map(|t| json!({"output":t}))], 4),
    );
    prop::collection::vec(turn, 1..4).prop_map(|turns| {
        let mut contents = Vec::new();
        for (user, model, results) in turns {
            contents.push(json!({"role":"user","parts":user}));
            if model.is_empty() {
                continue;
            }
            let calls: Vec<Value> =
                model.iter().filter_map(|part| part.get("functionCall")).cloned().collect();
            contents.push(json!({"role":"model","parts":model}));
            let answers: Vec<Value> = calls
                .iter()
                .zip(results)
                .map(|(call, response)| {
                    json!({"functionResponse":{"id":call["id"],"name":call["name"],"response":response}})
                })
                .collect();
            if !answers.is_empty() {
                contents.push(json!({"role":"user","parts":answers}));
            }
        }
        contents
    })
}

/// Neighbours of one kind are one turn to Gemini, however the client cut them.
fn merged(contents: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    let kind =
        |content: &Value| (content["role"].clone(), content["parts"][0].get("functionResponse").is_some());
    for content in contents {
        match merged.last_mut() {
            Some(last) if kind(last) == kind(content) => {
                let parts = content["parts"].as_array().unwrap().clone();
                last["parts"].as_array_mut().unwrap().extend(parts);
            }
            _ => merged.push(content.clone()),
        }
    }
    merged
}

proptest! {
    /// What a Gemini client says to the gateway reaches Gemini as it was said, by way of OpenAI's dialect.
    #[test]
    fn a_request_survives_both_translations(
        contents in contents(),
        system in prop::option::of(text()),
        schema in object(),
        temperature in 0.0..2.0_f64,
        limit in 1_u64..10_000,
        seed in any::<i32>(),
        stop in prop::collection::vec(text(), 1..6),
        mode in prop::sample::select(vec!["ANY", "NONE"]),
    ) {
        let mut body = json!({});
        if let Some(system) = system {
            body["systemInstruction"] = json!({"parts":[{"text":system}]});
        }
        body["contents"] = json!(contents);
        body["tools"] = json!([{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":schema},{"name":"g"}]}]);
        body["toolConfig"] = json!({"functionCallingConfig":{"mode":mode}});
        body["generationConfig"] = json!({"temperature":temperature,"maxOutputTokens":limit,"seed":seed,"stopSequences":stop,
            "topP":0.5,"topK":7,"candidateCount":2,"presencePenalty":1.5,"frequencyPenalty":-1.5,"responseLogprobs":true,
            "logprobs":3,"responseMimeType":"application/json","responseJsonSchema":schema});
        let request = parse_generate(body.to_string().into(), "m", true).unwrap();
        prop_assert!(request.dropped().is_empty());
        // Without its original, as any other client's request.
        let request = ChatRequest::parse(request.body().clone()).unwrap();
        let translated = generate_request(&request, "gemini-2.5-pro").unwrap();
        prop_assert!(translated.dropped.is_empty(), "{:?}", translated.dropped);
        body["contents"] = json!(merged(&contents));
        prop_assert_eq!(tree(&translated.body), body);
    }

    /// What Gemini answers reaches a Gemini client by way of OpenAI's dialect, whole or as a stream.
    #[test]
    fn an_answer_survives_both_translations(
        parts in model_parts(),
        reason in prop::sample::select(vec!["STOP", "MAX_TOKENS", "SAFETY"]),
        (prompt, candidates, thoughts, cached) in (0_u32..999, 0_u32..999, 0_u32..999, 0_u32..999),
    ) {
        let usage = json!({"promptTokenCount":prompt,"candidatesTokenCount":candidates,
            "totalTokenCount":prompt + candidates + thoughts,"thoughtsTokenCount":thoughts,"cachedContentTokenCount":cached});
        let answer = json!({"candidates":[{"content":{"role":"model","parts":parts},"index":0,"finishReason":reason}],
            "usageMetadata":usage,"modelVersion":"m","responseId":"r1"});
        let ours = ToOpenAi::completion(answer.to_string().as_bytes(), "c1", "m", 7).unwrap();
        let theirs = tree(&FromOpenAi::completion(&ours, "m", "r1").unwrap());
        prop_assert_eq!(&theirs, &answer);

        let mut translation = ToOpenAi::new("c1".into(), "m".into(), 7, true);
        let mut back = FromOpenAi::new("m".into(), "r1".into()).as_array();
        let mut out = BytesMut::new();
        let mut chunks = translation.chunk(answer.to_string().as_bytes()).unwrap();
        chunks.append(&mut translation.finish());
        for chunk in chunks {
            back.chunk(&chunk, &mut out).unwrap();
        }
        back.done(&mut out);
        let documents: Vec<Value> = serde_json::from_slice(&out).unwrap();
        let last = documents.last().unwrap();
        prop_assert_eq!(&last["usageMetadata"], &usage);
        prop_assert_eq!(&last["candidates"][0]["finishReason"], reason);
        let streamed: Vec<Value> = documents
            .iter()
            .flat_map(|document| document["candidates"][0]["content"]["parts"].as_array().unwrap().clone())
            .filter(|part| part != &json!({"text":""}))
            .collect();
        prop_assert_eq!(streamed, parts);
    }

    #[test]
    fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        check_no_panic(&bytes);
    }

    /// Bytes that are nearly a document get further.
    #[test]
    fn any_document_is_answered_and_never_panics(
        value in object(),
        name in prop::sample::select(vec!["contents", "candidates", "generationConfig", "error", "choices", "requests", "tools"]),
        inner in prop::sample::select(vec!["parts", "content", "thinkingConfig", "functionDeclarations", "delta", "functionCall"]),
        listed in any::<bool>(),
    ) {
        let value = if listed { json!([value]) } else { value };
        let mut nested = json!({});
        nested[inner] = value.clone();
        for body in [json!({name:value}), json!({name:nested}), json!({name:[nested]}), json!({"contents":"a",name:nested})] {
            check_no_panic(body.to_string().as_bytes());
        }
    }
}

fn check_no_panic(bytes: &[u8]) {
    if let Ok(request) = parse_generate(bytes.to_vec().into(), "m", false) {
        let _ = ChatRequest::parse(request.body().clone()).map(|request| generate_request(&request, "m"));
    }
    let _ = (
        parse_embed(bytes, "m"),
        parse_batch_embed(bytes, "m"),
        embed_to_openai(bytes, "m", Encoding::Float),
    );
    let _ = (chunk_facts(bytes), response_facts(bytes), retry_delay(bytes));
    let _ = ToOpenAi::completion(bytes, "", "", 0);
    let mut out = BytesMut::new();
    let _ = FromOpenAi::completion(bytes, "m", "r");
    let mut translation = FromOpenAi::new(String::new(), String::new());
    let _ = translation.chunk(bytes, &mut out);
    translation.done(&mut out);
}
