//! Golden translations, both ways.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{FromOpenAi, Path, TagEntry, ToOpenAi, chat_request, error_body, parse_chat, parse_tags, tags};
use crate::WireError;
use crate::openai::{ChatRequest, chunk_facts, response_facts};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";

fn tree(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn request(fields: Value) -> ChatRequest {
    let mut body = json!({"model":"m","messages":[{"role":"user","content":"Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    ChatRequest::parse(body.to_string().into()).unwrap()
}

#[track_caller]
fn outbound(fields: Value, expected: Value) {
    outbound_without(fields, expected, &[]);
}

#[track_caller]
fn outbound_without(fields: Value, expected: Value, dropped: &[&str]) {
    let translated = chat_request(&request(fields), "llama3.2:3b", false).unwrap();
    assert_eq!(translated.dropped, dropped);
    let mut whole = json!({"model":"llama3.2:3b","messages":[{"role":"user","content":"Hi"}],"stream":false});
    whole.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
    assert_eq!(tree(&translated.body), whole);
}

#[track_caller]
fn field_of<T: std::fmt::Debug>(result: Result<T, WireError>) -> String {
    match result {
        Err(WireError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sampling_options_get_ollamas_names() {
    outbound(
        json!({"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"seed":7,"stop":"END","max_tokens":9,
            "frequency_penalty":1,"presence_penalty":-1,"repeat_penalty":1.1,"num_ctx":8192,"keep_alive":"5m","n":1}),
        json!({"options":{"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"seed":7,"stop":["END"],"num_predict":9,
            "frequency_penalty":1,"presence_penalty":-1,"repeat_penalty":1.1,"num_ctx":8192},"keep_alive":"5m"}),
    );
    for order in
        [r#""max_tokens":9,"max_completion_tokens":5"#, r#""max_completion_tokens":5,"max_tokens":9"#]
    {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],{order}}}"#);
        let request = ChatRequest::parse(body.into()).unwrap();
        assert_eq!(tree(&chat_request(&request, "m", true).unwrap().body)["options"]["num_predict"], 5);
    }
}

#[test]
fn response_formats_and_reasoning_are_translated() {
    outbound(json!({"response_format":{"type":"text"}}), json!({}));
    outbound(json!({"response_format":{"type":"json_object"}}), json!({"format":"json"}));
    outbound(
        json!({"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}}),
        json!({"format":{"type":"object"}}),
    );
    outbound(json!({"reasoning_effort":"none"}), json!({"think":false}));
    outbound(json!({"reasoning_effort":"high"}), json!({"think":"high"}));
}

#[test]
fn tools_are_offered_unless_none_is_chosen() {
    let tools = json!([{"type":"function","function":{"name":"f","parameters":{}}}]);
    outbound(json!({"tools":tools,"tool_choice":"auto"}), json!({"tools":tools}));
    outbound(json!({"tools":tools,"tool_choice":"none"}), json!({}));
}

#[test]
fn a_conversation_with_tools_and_images_is_translated() {
    let request = request(json!({"messages":[
        {"role":"developer","content":"Be brief."},
        {"role":"user","content":[{"type":"text","text":"What "},{"type":"image_url","image_url":{"url":format!("data:image/png;base64,{PNG}"),"detail":"auto"}},{"type":"text","text":"is it?"}]},
        {"role":"assistant","content":null,"refusal":null,"annotations":[],"reasoning_content":"Hm.","tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}}]},
        {"role":"tool","content":"a cat","tool_call_id":"c1"}]}));
    let translated = chat_request(&request, "m", true).unwrap();
    assert!(translated.dropped.is_empty());
    assert_eq!(
        tree(&translated.body),
        json!({"model":"m","stream":true,"messages":[
            {"role":"system","content":"Be brief."},
            {"role":"user","content":"What is it?","images":[PNG]},
            {"role":"assistant","content":"","thinking":"Hm.","tool_calls":[{"id":"c1","function":{"name":"look","arguments":{"at":1}}}]},
            {"role":"tool","content":"a cat","tool_name":"look","tool_call_id":"c1"}]})
    );
}

#[test]
fn what_ollama_cannot_say_is_refused_by_name() {
    for (fields, field) in [
        (json!({"n":2}), "n"),
        (json!({"logprobs":true}), "logprobs"),
        (json!({"top_logprobs":3}), "top_logprobs"),
        (json!({"logit_bias":{"5":1}}), "logit_bias"),
        (json!({"tool_choice":"required"}), "tool_choice"),
        (json!({"tool_choice":{"type":"function"}}), "tool_choice"),
        (json!({"parallel_tool_calls":false}), "parallel_tool_calls"),
        (json!({"reasoning_effort":"xhigh"}), "reasoning_effort"),
        (json!({"response_format":{"type":"grammar"}}), "response_format.type"),
        (json!({"response_format":{"type":"json_schema"}}), "response_format.json_schema.schema"),
        (json!({"modalities":["text","audio"]}), "modalities"),
    ] {
        assert_eq!(field_of(chat_request(&request(fields), "m", true)), field);
    }
    outbound(
        json!({"n":1,"logprobs":false,"top_logprobs":null,"logit_bias":{},"parallel_tool_calls":true,"modalities":["text"],
            "stream_options":{"include_usage":true},"store":false}),
        json!({}),
    );
}

#[test]
fn hints_are_left_out_by_name() {
    outbound_without(
        json!({"prediction":{"type":"content","content":"x"},"prompt_cache_options":{"mode":"explicit"},
            "prompt_cache_key":"k","prompt_cache_retention":"24h","store":true,"metadata":{"a":"b"},
            "service_tier":"flex","safety_identifier":"s","user":"u","verbosity":"low"}),
        json!({}),
        &[
            "prediction",
            "prompt_cache_options",
            "prompt_cache_key",
            "prompt_cache_retention",
            "store",
            "metadata",
            "service_tier",
            "safety_identifier",
            "user",
            "verbosity",
        ],
    );
    let image = json!({"url":format!("data:image/png;base64,{PNG}"),"detail":"low"});
    let details = json!([{"type":"reasoning.encrypted","data":"d"}]);
    outbound_without(
        json!({"messages":[
            {"role":"user","name":"Ann","content":[
                {"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}},
                {"type":"image_url","image_url":image}]},
            {"role":"assistant","content":"Well","reasoning_details":details}]}),
        json!({"messages":[
            {"role":"user","content":"Hi","images":[PNG]},
            {"role":"assistant","content":"Well"}]}),
        &[
            "messages[].content[].cache_control",
            "messages[].content[].image_url.detail",
            "messages[].name",
            "messages[].reasoning_details",
        ],
    );
}

#[test]
fn what_ollamas_messages_cannot_say_is_refused_where_it_stands() {
    for (message, field) in [
        (json!({"role":"assistant","content":"","audio":{"id":"a"}}), "messages[0].audio"),
        (json!({"role":"user","content":[{"type":"input_audio"}]}), "messages[0].content[0].type"),
        (
            json!({"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}),
            "messages[0].content[0].image_url.url",
        ),
        (
            json!({"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}),
            "messages[0].tool_calls[0].function.arguments",
        ),
    ] {
        assert_eq!(field_of(chat_request(&request(json!({"messages":[message]})), "m", true)), field);
    }
    let unnamed = json!({"messages":[{"role":"assistant","content":"","tool_calls":[{"function":{}}]}]});
    let error = chat_request(&request(unnamed), "m", true).unwrap_err();
    assert_eq!(error.param(), Some("messages[0].tool_calls[0].function"));
}

fn streamed(lines: &[Value], include_usage: bool) -> Vec<Value> {
    let mut translation = ToOpenAi::new("c1".into(), "m".into(), 7, include_usage);
    let chunks = lines.iter().flat_map(|line| translation.line(line.to_string().as_bytes()).unwrap());
    chunks.map(|chunk| tree(&chunk)).collect()
}

fn said(content: &str) -> Value {
    json!({"model":"x","created_at":"t","message":{"role":"assistant","content":content},"done":false})
}

#[test]
fn an_ollama_stream_becomes_chunks() {
    let chunks = streamed(
        &[
            json!({"message":{"role":"assistant","content":"","thinking":"Hm."},"done":false}),
            said("Hel"),
            said("lo"),
            json!({"message":{"role":"assistant","content":""},"done":true,"done_reason":"length","total_duration":9,"prompt_eval_count":3,"eval_count":4}),
        ],
        true,
    );
    let deltas: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    assert_eq!(
        deltas,
        [
            json!({"role":"assistant","content":""}),
            json!({"reasoning_content":"Hm."}),
            json!({"content":"Hel"}),
            json!({"content":"lo"}),
            json!({}),
            Value::Null,
        ]
    );
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[5]["usage"], json!({"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}));
    assert!(chunks.iter().all(|chunk| chunk["id"] == "c1" && chunk["model"] == "m" && chunk["created"] == 7));
}

#[test]
fn ollamas_tool_calls_become_openais() {
    let call = |name: &str| json!({"message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":name,"arguments":{"x":1}}}]},"done":false});
    let chunks = streamed(&[call("f"), call("g"), json!({"done":true,"done_reason":"stop"})], false);
    assert_eq!(
        chunks[2]["choices"][0]["delta"]["tool_calls"],
        json!([{"index":1,"id":"call_c1_1","type":"function","function":{"name":"g","arguments":"{\"x\":1}"}}])
    );
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks.len(), 4, "no usage unless it is asked for");
}

#[test]
fn an_error_in_an_ollama_stream_is_seen_as_one() {
    let mut translation = ToOpenAi::new("c1".into(), "m".into(), 7, true);
    translation.line(said("Hel").to_string().as_bytes()).unwrap();
    let chunks = translation.line(br#"{"error":"model runner has stopped"}"#).unwrap();
    let facts = chunk_facts(&chunks[0]).unwrap();
    assert_eq!(facts.error.unwrap().message, "model runner has stopped");
    assert!(!translation.is_finished() && !facts.finished);
    assert!(matches!(translation.line(b"<html>"), Err(WireError::Json { .. })));
}

#[test]
fn an_ollama_answer_becomes_a_completion() {
    let line = json!({"message":{"role":"assistant","content":"Hello","thinking":"Hm."},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4});
    let body = ToOpenAi::completion(line.to_string().as_bytes(), "c1", "m", 7).unwrap();
    assert_eq!(
        tree(&body),
        json!({"id":"c1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,
            "message":{"role":"assistant","content":"Hello","reasoning_content":"Hm."},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}})
    );
    let calls =
        json!({"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"done":true});
    let body = ToOpenAi::completion(calls.to_string().as_bytes(), "c1", "m", 7).unwrap();
    let choice = &tree(&body)["choices"][0];
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&Value::Null, &json!("tool_calls"))
    );
    let error = ToOpenAi::completion(br#"{"error":"no such model"}"#, "c1", "m", 7).unwrap();
    assert_eq!(response_facts(&error).unwrap().error.unwrap().message, "no such model");
    assert_eq!(field_of(ToOpenAi::completion(b"{}", "c1", "m", 7)), "message");
}

fn inbound(body: Value) -> Result<ChatRequest, WireError> {
    parse_chat(body.to_string().into())
}

#[test]
fn an_ollama_request_becomes_openais() {
    let request = inbound(json!({"model":"m","messages":[{"role":"user","content":"Hi"}],"think":true,"keep_alive":"5m",
        "format":{"type":"object"},"options":{"num_predict":9,"temperature":0.5,"top_k":40,"num_ctx":4096,"stop":["END"],"repeat_penalty":1.1,"num_gpu":1}}))
    .unwrap();
    assert!(request.stream() && request.include_usage());
    assert_eq!(request.dropped(), ["keep_alive", "options.num_ctx", "options.num_gpu"]);
    assert_eq!(
        tree(request.body()),
        json!({"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true},
            "reasoning_effort":"medium","max_tokens":9,"temperature":0.5,"top_k":40,"stop":["END"],"repeat_penalty":1.1,
            "response_format":{"type":"json_schema","json_schema":{"name":"response","schema":{"type":"object"}}}})
    );
    let request = inbound(
        json!({"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false,"format":"json",
        "options":{"num_predict":-1,"stop":[]}}),
    );
    assert_eq!(
        tree(request.unwrap().body()),
        json!({"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false,"response_format":{"type":"json_object"}})
    );
}

#[test]
fn an_ollama_conversation_becomes_openais() {
    let request = inbound(json!({"model":"m","messages":[
        {"role":"user","content":"What is it?","images":[PNG]},
        {"role":"assistant","content":"","thinking":"Hm.","tool_calls":[
            {"function":{"name":"look","arguments":{"at":1}}},{"function":{"name":"smell","arguments":{}}}]},
        {"role":"tool","content":"fish","tool_name":"smell"},
        {"role":"tool","content":"a cat"}]}));
    assert_eq!(
        tree(request.unwrap().body())["messages"],
        json!([
            {"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":format!("data:image/png;base64,{PNG}")}}]},
            {"role":"assistant","content":"","reasoning_content":"Hm.","tool_calls":[
                {"id":"call_1_0","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}},
                {"id":"call_1_1","type":"function","function":{"name":"smell","arguments":"{}"}}]},
            {"role":"tool","content":"fish","tool_call_id":"call_1_1"},
            {"role":"tool","content":"a cat","tool_call_id":"call_1_0"}])
    );
}

#[test]
fn an_ollama_request_is_refused_in_ollamas_words() {
    let hi = json!([{"role":"user","content":"Hi"}]);
    for (body, field) in [
        (json!({"messages":hi}), "model"),
        (json!({"model":"m"}), "messages"),
        (json!({"model":"m","messages":[{"role":"robot","content":"Hi"}]}), "messages[0].role"),
        (json!({"model":"m","messages":[{"role":"user","content":7}]}), "messages[0].content"),
        (
            json!({"model":"m","messages":[{"role":"user","content":"","images":["AAAA"]}]}),
            "messages[0].images[0]",
        ),
        (json!({"model":"m","messages":hi,"options":{"num_predict":0}}), "options.num_predict"),
        (json!({"model":"m","messages":hi,"options":{"temperature":3}}), "options.temperature"),
        (json!({"model":"m","messages":hi,"options":{"stop":[""]}}), "options.stop[0]"),
        (json!({"model":"m","messages":hi,"options":{"warmth":3}}), "options.warmth"),
        (json!({"model":"m","messages":hi,"options":[]}), "options"),
        (json!({"model":"m","messages":hi,"format":"xml"}), "format"),
        (json!({"model":"m","messages":hi,"think":"hard"}), "think"),
        (json!({"model":"m","messages":hi,"template":"x"}), "template"),
        (json!({"model":"m","messages":hi,"logprobs":true}), "logprobs"),
    ] {
        assert_eq!(field_of(inbound(body)), field);
    }
    assert!(matches!(parse_chat(Bytes::from_static(b"{")), Err(WireError::Json { .. })));
    assert!(matches!(parse_chat(Bytes::from_static(b"[]")), Err(WireError::Json { .. })));
}

#[test]
fn our_chunks_become_ollamas_lines() {
    let mut translation = FromOpenAi::new("m".into(), Path::Chat);
    let mut line = |chunk: Value| {
        let line = translation.chunk(chunk.to_string().as_bytes(), "t").unwrap();
        line.map(|line| {
            assert_eq!(line.last(), Some(&b'\n'));
            tree(&line)
        })
    };
    let delta =
        |delta: Value, finish: Value| json!({"choices":[{"index":0,"delta":delta,"finish_reason":finish}]});
    assert_eq!(line(delta(json!({"role":"assistant","content":""}), Value::Null)), None);
    assert_eq!(
        line(delta(json!({"content":"Hi"}), Value::Null)),
        Some(
            json!({"model":"m","created_at":"t","message":{"role":"assistant","content":"Hi"},"done":false})
        )
    );
    assert_eq!(
        line(delta(json!({"reasoning_content":"Hm"}), Value::Null)).unwrap()["message"],
        json!({"role":"assistant","content":"","thinking":"Hm"})
    );
    let call = |call: Value| delta(json!({"tool_calls":[call]}), Value::Null);
    assert_eq!(line(call(json!({"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}))), None);
    assert_eq!(line(call(json!({"index":0,"function":{"arguments":":1}"}}))), None);
    assert_eq!(
        line(delta(json!({}), json!("tool_calls"))).unwrap()["message"],
        json!({"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]})
    );
    assert_eq!(line(json!({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}})), None);
    assert_eq!(line(json!({"error":{"message":"overloaded"}})), Some(json!({"error":"overloaded"})));
    assert_eq!(
        tree(&translation.done("t", Duration::from_millis(5))),
        json!({"model":"m","created_at":"t","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",
            "total_duration":5_000_000,"load_duration":0,"prompt_eval_count":3,"prompt_eval_duration":0,"eval_count":4,"eval_duration":5_000_000})
    );
}

#[test]
fn a_call_whose_arguments_are_not_json_is_an_error() {
    let body = json!({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]},"finish_reason":"tool_calls"}]});
    let field = field_of(FromOpenAi::new("m".into(), Path::Chat).chunk(body.to_string().as_bytes(), "t"));
    assert_eq!(field, "choices[0].delta.tool_calls[0].function.arguments");
}

#[test]
fn our_completion_becomes_ollamas_answer() {
    let body = json!({"choices":[{"index":0,"message":{"role":"assistant","content":"Hello","tool_calls":[
        {"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{\"x\":1}"}}]},
        "finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4}});
    let answer =
        FromOpenAi::completion(body.to_string().as_bytes(), "m", Path::Chat, "t", Duration::from_nanos(7))
            .unwrap();
    assert_eq!(
        tree(&answer),
        json!({"model":"m","created_at":"t","message":{"role":"assistant","content":"Hello","tool_calls":[
            {"id":"a","function":{"name":"f","arguments":{}}},{"id":"b","function":{"name":"g","arguments":{"x":1}}}]},
            "done":true,"done_reason":"length","total_duration":7,"load_duration":0,"prompt_eval_count":3,
            "prompt_eval_duration":0,"eval_count":4,"eval_duration":7})
    );
    assert_eq!(field_of(FromOpenAi::completion(b"{}", "m", Path::Chat, "t", Duration::ZERO)), "choices");
    let error =
        FromOpenAi::completion(br#"{"error":{"message":"busy"}}"#, "m", Path::Chat, "t", Duration::ZERO)
            .unwrap();
    assert_eq!(error, error_body("busy"));
}

#[test]
fn models_are_listed_as_ollama_lists_them() {
    let entry = TagEntry {
        name: "m:1b".into(),
        size: 9,
        digest: "abc".into(),
        modified_at: "t".into(),
        family: "llama".into(),
        parameter_size: "1B".into(),
        quantization: "Q4_1".into(),
    };
    let list = tags(&[entry]);
    assert_eq!(
        tree(&list),
        json!({"models":[{"name":"m:1b","model":"m:1b","modified_at":"t","size":9,"digest":"abc","details":{"parent_model":"",
            "format":"gguf","family":"llama","families":["llama"],"parameter_size":"1B","quantization_level":"Q4_1"}}]})
    );
    assert_eq!(parse_tags(&list).unwrap(), ["m:1b"]);
    assert_eq!(parse_tags(br#"{"models":null}"#).unwrap(), [""; 0]);
    assert!(parse_tags(b"<html>").is_err());
}

#[test]
fn calls_that_do_not_end_are_not_held_for_ever() {
    let mut translation = FromOpenAi::new("m".into(), Path::Chat);
    let arguments = "x".repeat(1 << 20);
    let piece =
        json!({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":arguments}}]}}]});
    let piece = piece.to_string();
    let taken = (0..100).take_while(|_| translation.chunk(piece.as_bytes(), "t").is_ok()).count();
    assert_eq!(taken, 15);
}

proptest! {
    /// What an Ollama client says to the gateway reaches an Ollama server as it was said.
    #[test]
    fn a_request_survives_both_translations(
        texts in prop::collection::vec("\\PC{0,12}", 1..4),
        temperature in 0.0..2.0_f64,
        limit in 1_u64..10_000,
        stream in any::<bool>(),
    ) {
        let messages: Vec<_> = texts.iter().map(|text| json!({"role":"user","content":text})).collect();
        let body = json!({"model":"m","messages":messages,"stream":stream,
            "options":{"temperature":temperature,"num_predict":limit,"min_p":0.25},"format":"json"});
        let request = parse_chat(body.to_string().into()).unwrap();
        prop_assert_eq!(tree(&chat_request(&request, "m", stream).unwrap().body), body);
    }

    #[test]
    fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = (parse_chat(bytes.clone().into()), parse_tags(&bytes), FromOpenAi::new(String::new(), Path::Chat).chunk(&bytes, "t"));
        let _ = ToOpenAi::new(String::new(), String::new(), 0, true).line(&bytes);
    }
}
