use bytes::Bytes;
use serde_json::{Value, json};

use super::{field_of, tree};
use crate::anthropic::{messages_request, parse_count_tokens, parse_messages, token_count};
use crate::openai::ChatRequest;
use crate::{Spoken, Translated, WireError, gemini, ollama};

fn openai(fields: Value) -> ChatRequest {
    let mut body = json!({"model":"m","messages":[{"role":"user","content":"Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    ChatRequest::parse(body.to_string().into()).unwrap()
}

fn anthropic(fields: Value) -> Bytes {
    let mut body = json!({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body.to_string().into()
}

fn said(role: &str, content: Value) -> Value {
    json!({"messages":[{"role":role,"content":content}]})
}

#[track_caller]
fn refused_out(fields: Value, field: &str) {
    assert_eq!(field_of(messages_request(&openai(fields), "claude", false, 1)), field);
}

#[track_caller]
fn refused_in(fields: Value, field: &str) {
    assert_eq!(field_of(parse_messages(anthropic(fields))), field);
}

#[track_caller]
fn untranslatable(fields: Value, field: &str) {
    let request = parse_messages(anthropic(fields.clone())).unwrap();
    assert_eq!(request.untranslatable().and_then(|error| error.param()), Some(field));
    assert_eq!(field_of(request.messages()), field, "whoever decodes it is told");
    assert_eq!(field_of(ollama::chat_request(&request, "m", false)), field);
    let passed_on = messages_request(&request, "m", false, 1).unwrap();
    assert_eq!(tree(&passed_on.body), tree(&anthropic(fields)), "Anthropic gets it all the same");
    assert!(passed_on.dropped.is_empty());
}

#[test]
fn an_anthropic_endpoint_gets_the_clients_own_bytes() {
    let check = |body: &str, stream: bool, expected: &str| {
        let request = parse_messages(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        assert_eq!(request.original().map(|original| original.dialect), Some(Spoken::Anthropic));
        let passed_on = messages_request(&request, "claude", stream, 1).unwrap();
        assert_eq!(std::str::from_utf8(&passed_on.body).unwrap(), expected);
    };
    let tail = r#""max_tokens" : 9,"messages":[ {"role":"user","content":[{"type":"text","text":"\u0041","cache_control":{"type":"ephemeral"}}]}],"mcp_servers":[{"x":1}] }"#;
    check(&format!(r#"{{ "model": "fast",{tail}"#), false, &format!(r#"{{ "model": "claude",{tail}"#));
    check(
        &format!(r#"{{ "model": "fast",{tail}"#),
        true,
        &format!(r#"{{ "model": "claude","stream":true,{tail}"#),
    );
    check(
        &format!(r#"{{"stream" :  true,"mod\u0065l": "fast",{tail}"#),
        false,
        &format!(r#"{{"stream" :  false,"mod\u0065l": "claude",{tail}"#),
    );
    check(&format!(r#"{{"model":"claude",{tail}"#), false, &format!(r#"{{"model":"claude",{tail}"#));
}

#[test]
fn what_anthropic_cannot_be_asked_is_refused_by_name() {
    refused_out(json!({"n":2}), "n");
    refused_out(json!({"logprobs":true}), "logprobs");
    refused_out(json!({"top_logprobs":3}), "top_logprobs");
    refused_out(json!({"temperature":1.5}), "temperature");
    refused_out(json!({"modalities":["text","audio"]}), "modalities");
    refused_out(json!({"audio":{"voice":"v"}}), "audio");
    refused_out(json!({"logit_bias":{"1":2}}), "logit_bias");
    refused_out(json!({"response_format":{"type":"json_object"}}), "response_format.type");
    refused_out(json!({"response_format":{"type":"json_schema"}}), "response_format.json_schema.schema");
    refused_out(json!({"stop":["a"," "]}), "stop[1]");
    refused_out(json!({"reasoning_effort":"some"}), "reasoning_effort");
    refused_out(json!({"tools":[{"type":"custom"}]}), "tools[0].type");
    refused_out(json!({"tools":[{"type":"function","function":{}}]}), "tools[0].function.name");
    refused_out(
        json!({"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"array"}}}]}),
        "tools[0].function.parameters.type",
    );
    let tools = json!([{"type":"function","function":{"name":"f"}}]);
    refused_out(json!({"tools":tools,"tool_choice":{"type":"allowed_tools"}}), "tool_choice.type");
    refused_out(json!({"tool_choice":"required"}), "tools");
    refused_out(said("user", json!("")), "messages");
    refused_out(said("system", json!("")), "messages");
    let part = |part: Value| said("user", json!([{"type":"text","text":"Hi"}, part]));
    refused_out(part(json!({"type":"input_audio"})), "messages[0].content[1].type");
    let image = |url: &str| part(json!({"type":"image_url","image_url":{"url":url}}));
    refused_out(image("data:image/bmp;base64,AA=="), "messages[0].content[1].image_url.url");
    refused_out(image("ftp://x"), "messages[0].content[1].image_url.url");
    refused_out(part(json!({"type":"file","file":{"file_id":"f"}})), "messages[0].content[1].file.file_id");
    refused_out(
        part(json!({"type":"file","file":{"file_data":"x"}})),
        "messages[0].content[1].file.file_data",
    );
    refused_out(said("tool", json!("4 C")), "messages[0].tool_call_id");
    let call = |call: Value| json!({"messages":[{"role":"assistant","tool_calls":[call]}]});
    refused_out(call(json!({"function":{"name":"f"}})), "messages[0].tool_calls[0].id");
    refused_out(
        call(json!({"id":"1","function":{"name":"f","arguments":"[]"}})),
        "messages[0].tool_calls[0].function.arguments",
    );
}

#[test]
fn what_anthropic_would_refuse_is_refused_in_its_words() {
    refused_in(json!({"model":" "}), "model");
    refused_in(json!({"max_tokens":null}), "max_tokens");
    refused_in(json!({"max_tokens":-1}), "max_tokens");
    refused_in(json!({"messages":[]}), "messages");
    refused_in(json!({"messages":{}}), "messages");
    refused_in(json!({"messages":["Hi"]}), "messages[0]");
    refused_in(said("tool", json!("x")), "messages[0].role");
    refused_in(said("user", json!(7)), "messages[0].content");
    refused_in(said("user", json!(["x"])), "messages[0].content[0]");
    refused_in(said("user", json!([{"text":"x"}])), "messages[0].content[0].type");
    refused_in(said("user", json!([{"type":"text"}])), "messages[0].content[0].text");
    refused_in(said("user", json!([{"type":"image"}])), "messages[0].content[0].source");
    refused_in(said("user", json!([{"type":"document","source":{}}])), "messages[0].content[0].source.type");
    refused_in(said("user", json!([{"type":"tool_use"}])), "messages[0].content[0].type");
    refused_in(said("user", json!([{"type":"tool_result"}])), "messages[0].content[0].tool_use_id");
    refused_in(
        said("user", json!([{"type":"tool_result","tool_use_id":"1","content":[{"type":"text"}]}])),
        "messages[0].content[0].content[0].text",
    );
    refused_in(
        said("assistant", json!([{"type":"tool_result","tool_use_id":"1"}])),
        "messages[0].content[0].type",
    );
    refused_in(
        said("assistant", json!([{"type":"tool_use","id":"1","name":"f","input":"{}"}])),
        "messages[0].content[0].input",
    );
    refused_in(json!({"system":[{"type":"image"}]}), "system[0].type");
    refused_in(json!({"temperature":1.5}), "temperature");
    refused_in(json!({"top_k":-1}), "top_k");
    refused_in(json!({"stop_sequences":"x"}), "stop_sequences");
    refused_in(json!({"stop_sequences":["x","\n"]}), "stop_sequences[1]");
    refused_in(json!({"stream":"yes"}), "stream");
    refused_in(json!({"thinking":{"type":"enabled","budget_tokens":5}}), "thinking.budget_tokens");
    refused_in(json!({"tools":[{"name":"f"}]}), "tools[0].input_schema");
    refused_in(json!({"tool_choice":{"type":"tool"}}), "tool_choice.name");
    refused_in(json!({"metadata":{"user_id":7}}), "metadata.user_id");
    refused_in(json!({"output_config":{"format":{"type":"json_schema"}}}), "output_config.format.schema");
    let twice = r#"{"model":"m","model":"n","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(field_of(parse_messages(twice.into())), "model");
    assert_eq!(field_of(parse_messages("[]".into())), "$");
    assert_eq!(field_of(parse_messages(r#"{"model":"m","messages":[{"#.into())), "messages[0]");
}

#[test]
fn what_only_the_translation_lacks_stops_no_anthropic_endpoint() {
    untranslatable(json!({"max_tokens":0}), "max_tokens");
    untranslatable(json!({"tools":[{"type":"bash_20250124","name":"bash"}]}), "tools[0].type");
    untranslatable(json!({"mcp_servers":[{"url":"u"}]}), "mcp_servers");
    untranslatable(json!({"container":"c"}), "container");
    untranslatable(json!({"inference_geo":"us"}), "inference_geo");
    untranslatable(json!({"thread":{"id":"t"}}), "thread");
    untranslatable(said("user", json!([{"type":"search_result"}])), "messages[0].content[0].type");
    untranslatable(said("assistant", json!([{"type":"server_tool_use"}])), "messages[0].content[0].type");
    let image = json!([{"type":"image","source":{"type":"file","file_id":"f"}}]);
    untranslatable(said("user", image.clone()), "messages[0].content[0].source.type");
    untranslatable(
        said("user", json!([{"type":"tool_result","tool_use_id":"1","content":image}])),
        "messages[0].content[0].content[0].source.type",
    );
    untranslatable(
        said("assistant", json!([{"type":"image","source":{"type":"url","url":"https://x"}}])),
        "messages[0].content[0].type",
    );
    let document = json!([{"type":"document","source":{"type":"url","url":"https://x"}}]);
    untranslatable(said("user", document), "messages[0].content[0].source.url");
    // OpenAI's dialect has a bound that Anthropic's has not.
    untranslatable(json!({"stop_sequences":vec!["x"; 17]}), "stop_sequences");
}

#[test]
fn marks_for_anthropics_cache_reach_only_anthropic() {
    let mark = json!({"type":"ephemeral"});
    let schema = json!({"type":"object"});
    let fields = json!({
        "system":[{"type":"text","text":"Be brief.","cache_control":mark}],
        "tools":[{"name":"f","input_schema":schema,"cache_control":mark}],
        "messages":[
            {"role":"user","content":[{"type":"text","text":"Hi","cache_control":mark}]},
            {"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{},"cache_control":mark}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x","cache_control":mark}]},
        ],
    });
    let request = parse_messages(anthropic(fields.clone())).unwrap();
    assert!(!std::str::from_utf8(request.body()).unwrap().contains("cache_control"));
    let names = ["system[].cache_control", "messages[].content[].cache_control", "tools[].cache_control"];
    assert_eq!(request.dropped(), names);
    let passed_on = messages_request(&request, "m", false, 1).unwrap();
    assert_eq!(tree(&passed_on.body), tree(&anthropic(fields)));
}

#[test]
fn a_client_that_wants_one_call_at_a_time_reads_its_own_word_where_that_is_refused() {
    let request = parse_messages(anthropic(json!({
        "tools":[{"name":"f","input_schema":{"type":"object"}}],
        "tool_choice":{"type":"auto","disable_parallel_tool_use":true},
    })))
    .unwrap();
    let check = |refused: Result<Translated, WireError>| {
        let error = refused.unwrap_err();
        assert_eq!(error.param(), Some("parallel_tool_calls"));
        assert!(error.to_string().contains("tool_choice.disable_parallel_tool_use"), "{error}");
    };
    check(ollama::chat_request(&request, "m", false));
    check(gemini::generate_request(&request, "m"));
}

#[test]
fn the_last_of_nothing_but_instructions_is_said_by_the_user() {
    let check = |messages: Value, system: Value, said: &str, dropped: &str| {
        let asked = messages_request(&openai(json!({ "messages": messages })), "claude", false, 1).unwrap();
        let body = tree(&asked.body);
        assert_eq!(body["system"], system);
        assert_eq!(body["messages"], json!([{"role":"user","content":[{"type":"text","text":said}]}]));
        assert_eq!(asked.dropped, [dropped]);
    };
    let one = json!({"role":"system","content":"Be brief."});
    let other = json!({"role":"developer","content":"Tell a joke."});
    let empty = json!({"role":"system","content":""});
    check(json!([one]), Value::Null, "Be brief.", "messages[0].role");
    let first = json!([{"type":"text","text":"Be brief."}]);
    check(json!([one, other]), first.clone(), "Tell a joke.", "messages[1].role");
    check(json!([one, other, empty]), first, "Tell a joke.", "messages[1].role");
    refused_out(json!({"messages":[one, {"role":"user","content":""}]}), "messages");
}

#[test]
fn hints_are_left_out_by_name_and_text_is_the_answer_anyway() {
    let hints = json!({
        "prediction":{"type":"content","content":"x"},"prompt_cache_options":{"mode":"explicit"},
        "prompt_cache_key":"k","prompt_cache_retention":"24h","store":true,"metadata":{"a":"b"},
        "service_tier":"flex","verbosity":"low","safety_identifier":"s","user":"u",
    });
    let asked = messages_request(&openai(hints), "claude", false, 1).unwrap();
    let mut named = asked.dropped;
    named.sort();
    let expected = [
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
    ];
    assert_eq!(named, expected);
    assert_eq!(tree(&asked.body)["metadata"], json!({"user_id":"u"}));
    let text = messages_request(&openai(json!({"modalities":["text"]})), "claude", false, 1).unwrap();
    assert!(text.dropped.is_empty());
    let named = json!({"messages":[{"role":"user","content":"Hi","name":"Ann"}]});
    let asked = messages_request(&openai(named), "claude", false, 1).unwrap();
    assert_eq!(asked.dropped, ["messages[].name"]);
}

#[test]
fn facts_of_an_untranslatable_request_are_known() {
    let request = parse_messages(anthropic(json!({"stop_sequences":vec!["x"; 17],"stream":true}))).unwrap();
    assert_eq!((request.model(), request.stream(), request.max_tokens()), ("m", true, Some(9)));
}

#[test]
fn a_temperature_above_one_is_allowed_only_where_it_means_something() {
    let body = messages_request(&openai(json!({"temperature":1})), "claude", false, 1).unwrap().body;
    assert_eq!(tree(&body)["temperature"], 1);
    let body = messages_request(&openai(json!({"top_k":-1})), "claude", false, 7).unwrap().body;
    assert_eq!((tree(&body).get("top_k"), &tree(&body)["max_tokens"]), (None, &json!(7)));
}

#[test]
fn pieces_of_a_streams_reasoning_become_one_block() {
    let details = json!([
        {"type":"reasoning.text","text":"Two "},
        {"type":"reasoning.text","text":"cities."},
        {"type":"reasoning.text","signature":"c2ln"},
    ]);
    let messages = json!([{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes","reasoning_details":details}]);
    let translated = messages_request(&openai(json!({"messages":messages})), "claude", false, 1).unwrap();
    assert_eq!(
        tree(&translated.body)["messages"][1]["content"][0],
        json!({"type":"thinking","thinking":"Two cities.","signature":"c2ln"})
    );
    assert!(translated.dropped.is_empty());
}

#[test]
fn thinking_that_anthropic_would_not_believe_is_left_out_by_name() {
    let messages = json!([{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes","reasoning_content":"Hm."}]);
    let translated = messages_request(&openai(json!({"messages":messages})), "claude", false, 1).unwrap();
    assert_eq!(translated.dropped, ["messages[].reasoning_content"]);
}

#[test]
fn tokens_are_counted_without_a_limit() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(parse_count_tokens(body.into()).unwrap().max_tokens(), None);
    assert_eq!(field_of(parse_messages(body.into())), "max_tokens");
    assert_eq!(token_count(12), br#"{"input_tokens":12}"#.as_slice());
}
