use serde_json::{Value, json};

use super::{field_of, tree};
use crate::gemini::{generate_request, parse_generate};
use crate::openai::ChatRequest;

fn request(fields: Value) -> ChatRequest {
    let mut body = json!({"model":"m","messages":[{"role":"user","content":"Hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    ChatRequest::parse(body.to_string().into()).unwrap()
}

/// What `fields` become beside the one message, and which of them are named as left out.
#[track_caller]
fn outbound(fields: Value, expected: Value, dropped: &[&str]) {
    let translated = generate_request(&request(fields), "gemini-2.5-flash").unwrap();
    let mut whole = json!({"contents":[{"role":"user","parts":[{"text":"Hi"}]}]});
    whole.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
    assert_eq!(tree(&translated.body), whole);
    assert_eq!(translated.dropped, dropped);
}

#[track_caller]
fn contents(messages: Value, expected: Value) {
    let translated = generate_request(&request(json!({ "messages": messages })), "m").unwrap();
    assert_eq!(tree(&translated.body)["contents"], expected);
}

#[test]
fn parameters_get_geminis_names() {
    outbound(
        json!({"temperature":0.5,"top_p":0.9,"top_k":40,"max_tokens":9,"stop":"END","n":3,"seed":7,
            "presence_penalty":-1,"frequency_penalty":1,"logprobs":true,"top_logprobs":2,"stream":true}),
        json!({"generationConfig":{"temperature":0.5,"topP":0.9,"topK":40,"maxOutputTokens":9,"stopSequences":["END"],
            "candidateCount":3,"seed":7,"presencePenalty":-1,"frequencyPenalty":1,"responseLogprobs":true,"logprobs":2}}),
        &[],
    );
    outbound(
        json!({"n":1,"logprobs":false,"top_logprobs":0,"logit_bias":{},"parallel_tool_calls":true,"top_k":-1,
            "response_format":{"type":"text"},"modalities":["text"],"tools":[],"tool_choice":"auto","temperature":null}),
        json!({}),
        &[],
    );
    for order in
        [r#""max_tokens":9,"max_completion_tokens":5"#, r#""max_completion_tokens":5,"max_tokens":9"#]
    {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],{order}}}"#);
        let request = ChatRequest::parse(body.into()).unwrap();
        let body = generate_request(&request, "m").unwrap().body;
        assert_eq!(tree(&body)["generationConfig"]["maxOutputTokens"], 5);
    }
}

#[test]
fn what_changes_no_meaning_is_left_out_and_named() {
    outbound(
        json!({"user":"u","metadata":{},"seed":3_000_000_000_u64,"min_p":0.1,"service_tier":"flex",
            "tools":[{"type":"function","function":{"name":"f","strict":true},"cache_control":{"type":"ephemeral"}}]}),
        json!({"tools":[{"functionDeclarations":[{"name":"f"}]}]}),
        &[
            "tools[].function.strict",
            "tools[].cache_control",
            "user",
            "metadata",
            "seed",
            "min_p",
            "service_tier",
        ],
    );
    let messages = json!([{"role":"user","name":"Ann","content":[{"type":"text","text":"a","cache_control":{}},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO","detail":"low"}}]}]);
    let translated = generate_request(&request(json!({ "messages": messages })), "m").unwrap();
    let expected =
        ["messages[].content[].cache_control", "messages[].content[].image_url.detail", "messages[].name"];
    assert_eq!(translated.dropped, expected);
}

#[test]
fn hints_of_every_kind_are_left_out_by_name() {
    outbound(
        json!({"prediction":{"type":"content","content":"x"},"prompt_cache_options":{"mode":"explicit"},
            "prompt_cache_key":"k","prompt_cache_retention":"24h","store":true,"safety_identifier":"s","verbosity":"low",
            "modalities":["text"]}),
        json!({}),
        &[
            "prediction",
            "prompt_cache_options",
            "prompt_cache_key",
            "prompt_cache_retention",
            "store",
            "safety_identifier",
            "verbosity",
        ],
    );
}

#[test]
fn the_last_of_nothing_but_instructions_is_said_by_the_user() {
    let check = |messages: Value, system: Value, said: &str, dropped: &str| {
        let translated = generate_request(&request(json!({ "messages": messages })), "m").unwrap();
        let body = tree(&translated.body);
        assert_eq!(body["systemInstruction"]["parts"], system);
        assert_eq!(body["contents"], json!([{"role":"user","parts":[{"text":said}]}]));
        assert_eq!(translated.dropped, [dropped]);
    };
    let one = json!({"role":"system","content":"Be brief."});
    let other = json!({"role":"developer","content":"Tell a joke."});
    check(json!([one]), Value::Null, "Be brief.", "messages[0].role");
    check(json!([one, other]), json!([{"text":"Be brief."}]), "Tell a joke.", "messages[1].role");
}

#[test]
fn schemas_pass_unchanged() {
    let schema = json!({"type":"object","properties":{"z":{"$ref":"#/$defs/z"}},"$defs":{"z":{"type":["string","null"]}},
        "additionalProperties":false});
    let tools = json!([{"type":"function","function":{"name":"f","description":"d","parameters":schema}}]);
    outbound(
        json!({"tools":tools,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":schema}}}),
        json!({"tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":schema}]}],
            "generationConfig":{"responseMimeType":"application/json","responseJsonSchema":schema}}),
        &[],
    );
    outbound(
        json!({"response_format":{"type":"json_object"}}),
        json!({"generationConfig":{"responseMimeType":"application/json"}}),
        &[],
    );
}

#[test]
fn every_choice_of_a_tool_is_said() {
    let function = |name: &str| json!({"type":"function","function":{"name":name}});
    let check = |choice: Value, config: Value, declared: &[&str]| {
        let tools = json!([function("f"), function("g"), function("h")]);
        let request = request(json!({"tools":tools,"tool_choice":choice}));
        let body = tree(&generate_request(&request, "m").unwrap().body);
        assert_eq!(body["toolConfig"]["functionCallingConfig"], config, "{choice}");
        let names = body["tools"][0]["functionDeclarations"].as_array().unwrap();
        let names: Vec<_> = names.iter().map(|function| function["name"].as_str().unwrap()).collect();
        assert_eq!(names, declared);
    };
    let all = ["f", "g", "h"];
    let among = |mode: &str| json!({"type":"allowed_tools","allowed_tools":{"mode":mode,"tools":[function("g"),function("h")]}});
    check(json!("auto"), Value::Null, &all);
    check(json!("none"), json!({"mode":"NONE"}), &all);
    check(json!("required"), json!({"mode":"ANY"}), &all);
    check(function("g"), json!({"mode":"ANY","allowedFunctionNames":["g"]}), &all);
    check(among("required"), json!({"mode":"ANY","allowedFunctionNames":["g","h"]}), &all);
    check(among("auto"), Value::Null, &["g", "h"]);
}

#[test]
fn thinking_is_asked_for_as_each_generation_takes_it() {
    for (effort, model, expected) in [
        ("none", "gemini-2.5-flash", json!({"thinkingBudget":0})),
        ("minimal", "gemini-2.5-pro", json!({"thinkingBudget":1024,"includeThoughts":true})),
        ("medium", "models/gemini-2.5-pro", json!({"thinkingBudget":8192,"includeThoughts":true})),
        ("high", "gemini-2.5-flash", json!({"thinkingBudget":24576,"includeThoughts":true})),
        ("minimal", "gemini-3-flash-preview", json!({"thinkingLevel":"MINIMAL","includeThoughts":true})),
        ("minimal", "gemini-3.1-pro", json!({"thinkingLevel":"LOW","includeThoughts":true})),
        ("high", "gemini-flash-latest", json!({"thinkingLevel":"HIGH","includeThoughts":true})),
    ] {
        let body = generate_request(&request(json!({"reasoning_effort":effort})), model).unwrap().body;
        assert_eq!(tree(&body)["generationConfig"]["thinkingConfig"], expected, "{effort} of {model}");
    }
}

#[test]
fn a_conversation_with_images_and_parallel_calls_is_translated() {
    let messages = json!([
        {"role":"developer","content":"Be brief."},
        {"role":"user","content":[{"type":"text","text":"What is it?"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}},
            {"type":"image_url","image_url":{"url":"https://x/y.JPG?z=1.gif"}},
            {"type":"image_url","image_url":{"url":"gs://bucket/z"}},
            {"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}},
            {"type":"file","file":{"file_data":"data:application/pdf;base64,JVBE"}}]},
        {"role":"user","content":"Quick!"},
        {"role":"assistant","content":null,"refusal":null,"annotations":[],"reasoning_content":"Hm.","tool_calls":[
            {"id":"a","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}},
            {"id":"b","type":"function","function":{"name":"smell","arguments":""}}]},
        {"role":"tool","content":"a cat","tool_call_id":"b"},
        {"role":"tool","content":"{\"seen\":[1]}","tool_call_id":"a"},
        {"role":"user","content":"So?"},
        {"role":"system","content":"Be kind."}]);
    let body = generate_request(&request(json!({ "messages": messages })), "m").unwrap().body;
    assert_eq!(
        tree(&body),
        json!({"systemInstruction":{"parts":[{"text":"Be brief."},{"text":"Be kind."}]},"contents":[
            {"role":"user","parts":[{"text":"What is it?"},{"inlineData":{"mimeType":"image/png","data":"iVBO"}},
                {"fileData":{"fileUri":"https://x/y.JPG?z=1.gif","mimeType":"image/jpeg"}},{"fileData":{"fileUri":"gs://bucket/z"}},
                {"inlineData":{"mimeType":"audio/wav","data":"UklG"}},
                {"inlineData":{"mimeType":"application/pdf","data":"JVBE"}},{"text":"Quick!"}]},
            {"role":"model","parts":[{"text":"Hm.","thought":true},
                {"functionCall":{"id":"a","name":"look","args":{"at":1}}},{"functionCall":{"id":"b","name":"smell","args":{}}}]},
            {"role":"user","parts":[{"functionResponse":{"id":"b","name":"smell","response":{"output":"a cat"}}},
                {"functionResponse":{"id":"a","name":"look","response":{"seen":[1]}}}]},
            {"role":"user","parts":[{"text":"So?"}]}]})
    );
}

#[test]
fn signatures_go_back_on_the_parts_they_came_from() {
    let gemini = |detail: Value| {
        let mut detail = detail;
        detail["format"] = json!("google-gemini-v1");
        detail
    };
    let encrypted = |id: &str, data: &str| gemini(json!({"type":"reasoning.encrypted","id":id,"data":data}));
    let call = |id: &str| json!({"id":id,"type":"function","function":{"name":"f","arguments":"{}"}});
    contents(
        json!([{"role":"user","content":"Hi"},{"role":"assistant","content":"Well","reasoning_content":"Hm.So.","tool_calls":[call("a"),call("b")],
            "images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}}],
            "reasoning_details":[gemini(json!({"type":"reasoning.text","text":"Hm.","signature":"1"})),
                gemini(json!({"type":"reasoning.text","text":"So.","signature":"2"})),
                encrypted("b","5"), encrypted("content","3"), encrypted("image","4"),
                gemini(json!({"type":"reasoning.encrypted","data":"6"}))]}]),
        json!([{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[
            {"text":"Hm.","thought":true,"thoughtSignature":"1"},{"text":"So.","thought":true,"thoughtSignature":"2"},
            {"text":"Well","thoughtSignature":"3"},{"inlineData":{"mimeType":"image/png","data":"iVBO"},"thoughtSignature":"4"},
            {"functionCall":{"id":"a","name":"f","args":{}}},
            {"functionCall":{"id":"b","name":"f","args":{}},"thoughtSignature":"5"},
            {"text":"","thoughtSignature":"6"}]}]),
    );
}

#[test]
fn nobody_elses_signature_reaches_gemini() {
    let messages = json!([{"role":"user","content":"Hi"},{"role":"assistant","content":"Well","reasoning_content":"Hm.","reasoning_details":[
        {"type":"reasoning.text","text":"Hm.","signature":"theirs","format":"anthropic-claude-v1"},
        {"type":"reasoning.encrypted","data":"unknown"}]}]);
    let translated = generate_request(&request(json!({ "messages": messages })), "m").unwrap();
    let parts = json!([{"text":"Hm.","thought":true},{"text":"Well"}]);
    assert_eq!(tree(&translated.body)["contents"][1]["parts"], parts);
    assert_eq!(translated.dropped, ["messages[].reasoning_details"]);
}

#[test]
fn what_gemini_cannot_say_is_refused_by_name() {
    for (fields, field) in [
        (json!({"n":9}), "n"),
        (json!({"logit_bias":{"5":1}}), "logit_bias"),
        (json!({"parallel_tool_calls":false}), "parallel_tool_calls"),
        (json!({"stop":["1","2","3","4","5","6"]}), "stop"),
        (json!({"reasoning_effort":"xhigh"}), "reasoning_effort"),
        (json!({"response_format":{"type":"grammar"}}), "response_format.type"),
        (json!({"response_format":{"type":"json_schema"}}), "response_format.json_schema.schema"),
        (json!({"modalities":["text","audio"]}), "modalities"),
        (json!({"tool_choice":"required"}), "tool_choice"),
        (json!({"tools":[{"type":"custom","custom":{"name":"f"}}]}), "tools[0].type"),
        (json!({"grammar":"root ::= x"}), "grammar"),
        (json!({"web_search_options":{}}), "web_search_options"),
    ] {
        assert_eq!(field_of(generate_request(&request(fields), "m")), field);
    }
}

#[test]
fn what_geminis_contents_cannot_say_is_refused_where_it_stands() {
    let call = json!({"id":"a","function":{"name":"f","arguments":"{"}});
    for (message, field) in [
        (json!({"role":"system","content":[]}), "messages"),
        (json!({"role":"assistant","content":"","audio":{"id":"a"}}), "messages[0].audio"),
        (
            json!({"role":"assistant","content":"","tool_calls":[call]}),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (json!({"role":"user","content":[{"type":"input_audio"}]}), "messages[0].content[0].type"),
        (
            json!({"role":"user","content":[{"type":"image_url","image_url":{"url":"x.png"}}]}),
            "messages[0].content[0].image_url.url",
        ),
        (json!({"role":"tool","content":"x","tool_call_id":"nobody's"}), "messages[0].tool_call_id"),
        (json!({"role":"function","name":"f","content":"x"}), "messages[0].role"),
    ] {
        let request = request(json!({"messages":[message]}));
        assert_eq!(field_of(generate_request(&request, "m")), field);
    }
}

#[test]
fn a_gemini_clients_request_reaches_gemini_byte_for_byte() {
    let body =
        r#"{ "safety_settings":[], "contents":{"parts":{"text":"Hi"}}, "generation_config":{"top_k":40.0} }"#;
    let request = parse_generate(body.into(), "m", true).unwrap();
    let translated = generate_request(&request, "gemini-2.5-pro").unwrap();
    assert_eq!(translated.body, body);
    assert!(translated.dropped.is_empty());
    assert_eq!(request.dropped(), ["safetySettings"]);
}
