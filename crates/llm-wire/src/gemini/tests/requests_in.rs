use bytes::Bytes;
use serde_json::{Value, json};

use super::{field_of, tree};
use crate::gemini::{generate_request, parse_generate, wants_thoughts};
use crate::openai::ChatRequest;
use crate::{Spoken, WireError};

fn parse(body: Value) -> Result<ChatRequest, WireError> {
    parse_generate(body.to_string().into(), "m", false)
}

#[track_caller]
fn inbound(mut body: Value, expected: Value, dropped: &[&str]) {
    let object = body.as_object_mut().unwrap();
    object.entry("contents").or_insert_with(|| json!([{"parts":[{"text":"Hi"}]}]));
    let request = parse(body).unwrap();
    let mut whole = json!({"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false});
    whole.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
    assert_eq!(tree(request.body()), whole);
    assert_eq!(request.dropped(), dropped);
}

#[test]
fn a_gemini_request_becomes_openais() {
    let request = parse_generate(r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#.into(), "m", true).unwrap();
    assert!(request.stream() && request.include_usage() && request.model() == "m");
    assert_eq!(request.original().unwrap().dialect, Spoken::Gemini);
    inbound(
        json!({"generationConfig":{"temperature":0.5,"topP":0.9,"topK":40.0,"maxOutputTokens":9,"stopSequences":["END"],
            "candidateCount":2,"seed":7,"presencePenalty":-1,"frequencyPenalty":1,"responseLogprobs":true,"logprobs":3}}),
        json!({"temperature":0.5,"top_p":0.9,"top_k":40,"max_tokens":9,"stop":["END"],"n":2,"seed":7,
            "presence_penalty":-1,"frequency_penalty":1,"logprobs":true,"top_logprobs":3}),
        &[],
    );
}

#[test]
fn names_in_either_spelling_are_one_field() {
    let snake = json!({"system_instruction":{"parts":{"text":"Be brief."}},"contents":{"parts":{"text":"Hi"}},
        "generation_config":{"top_p":0.5,"stop_sequences":[],"thinking_config":{"include_thoughts":true,"thinking_level":"low"}},
        "tools":{"function_declarations":[{"name":"f","parameters_json_schema":{"snake_case":1}}]},
        "tool_config":{"function_calling_config":{"mode":"any","allowed_function_names":["f"]}}});
    let request = parse(snake).unwrap();
    let function = json!({"name":"f","parameters":{"snake_case":1}});
    assert_eq!(
        tree(request.body()),
        json!({"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"stream":false,
            "tools":[{"type":"function","function":function}],
            "tool_choice":{"type":"function","function":{"name":"f"}},"top_p":0.5,"reasoning_effort":"low"})
    );
    assert!(wants_thoughts(&request));
    let twice = json!({"contents":[],"generationConfig":{"topP":1,"top_p":1}});
    assert_eq!(field_of(parse(twice)), "contents");
    let twice = json!({"contents":[{"parts":[{"text":"Hi"}]}],"generationConfig":{"topP":1,"top_p":1}});
    assert_eq!(field_of(parse(twice)), "generationConfig.topP");
}

#[test]
fn a_gemini_conversation_becomes_openais() {
    let request = parse(json!({"contents":[
        {"role":"user","parts":[{"text":"What is it?"},{"inlineData":{"mimeType":"image/png","data":"iVBO"}},
            {"fileData":{"mimeType":"image/jpeg","fileUri":"https://x/y"}},{"inlineData":{"mimeType":"audio/mp3","data":"SUQz"}}]},
        {"role":"model","parts":[{"text":"Hm.","thought":true,"thoughtSignature":"1"},{"text":"Well","thoughtSignature":"2"},
            {"functionCall":{"name":"look","args":{"at":1}},"thoughtSignature":"3"},{"functionCall":{"id":"b","name":"look"}},
            {"text":"","thoughtSignature":"4"}]},
        {"role":"user","parts":[{"text":"So?"},{"functionResponse":{"id":"b","name":"look","response":{"output":"a cat"}}},
            {"functionResponse":{"name":"look","response":{"error":"dark"}}}]},
        {"role":"model","parts":[{"text":"Cat"},{"text":"fish."}]}]}));
    let detail = |fields: Value| {
        let mut detail = fields;
        detail["format"] = json!("google-gemini-v1");
        detail
    };
    assert_eq!(
        tree(request.unwrap().body())["messages"],
        json!([
            {"role":"user","content":[{"type":"text","text":"What is it?"},
                {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}},
                {"type":"image_url","image_url":{"url":"https://x/y"}},
                {"type":"input_audio","input_audio":{"data":"SUQz","format":"mp3"}}]},
            {"role":"assistant","content":"Well","reasoning_content":"Hm.","reasoning_details":[
                detail(json!({"type":"reasoning.text","text":"Hm.","signature":"1"})),
                detail(json!({"type":"reasoning.encrypted","data":"2","id":"content"})),
                detail(json!({"type":"reasoning.encrypted","data":"3","id":"call_1_2"})),
                detail(json!({"type":"reasoning.encrypted","data":"4"}))],
                "tool_calls":[{"id":"call_1_2","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}},
                    {"id":"b","type":"function","function":{"name":"look","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"b","content":"a cat"},
            {"role":"tool","tool_call_id":"call_1_2","content":"{\"error\":\"dark\"}"},
            {"role":"user","content":"So?"},
            {"role":"assistant","content":[{"type":"text","text":"Cat"},{"type":"text","text":"fish."}]}])
    );
}

#[test]
fn older_schemas_become_json_schemas() {
    let schema = json!({"type":"OBJECT","properties":{"when_seen":{"type":"STRING","format":"enum","enum":["now"],"nullable":true},
        "many":{"type":"ARRAY","items":{"type":"INTEGER"},"minItems":"1"}},"required":["many"],"propertyOrdering":["many"]});
    let expected = json!({"type":"object","required":["many"],"properties":{
        "when_seen":{"type":["string","null"],"enum":["now",null]},"many":{"type":"array","minItems":1,"items":{"type":"integer"}}}});
    inbound(
        json!({"generationConfig":{"responseMimeType":"application/json","responseSchema":schema}}),
        json!({"response_format":{"type":"json_schema","json_schema":{"name":"response","schema":expected}}}),
        &["generationConfig.responseSchema.propertyOrdering"],
    );
    inbound(
        json!({"tools":[{"functionDeclarations":[{"name":"f","description":"d","parameters":schema,"response":{"type":"STRING"}}]}]}),
        json!({"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":expected}}]}),
        &[
            "tools[].functionDeclarations[].parameters.propertyOrdering",
            "tools[].functionDeclarations[].response",
        ],
    );
    inbound(
        json!({"generationConfig":{"responseMimeType":"application/json"}}),
        json!({"response_format":{"type":"json_object"}}),
        &[],
    );
}

#[test]
fn every_way_to_call_functions_is_said() {
    let function = |name: &str| json!({"type":"function","function":{"name":name}});
    let among = |mode: &str| json!({"type":"allowed_tools","allowed_tools":{"mode":mode,"tools":[function("f"),function("g")]}});
    for (config, choice) in [
        (json!({}), json!("auto")),
        (json!({"mode":"AUTO"}), json!("auto")),
        (json!({"mode":"NONE"}), json!("none")),
        (json!({"mode":"ANY"}), json!("required")),
        (json!({"mode":"ANY","allowedFunctionNames":["f"]}), function("f")),
        (json!({"mode":"ANY","allowedFunctionNames":["f","g"]}), among("required")),
        (json!({"mode":"VALIDATED","allowedFunctionNames":["f","g"]}), among("auto")),
    ] {
        let body = json!({"contents":[{"parts":[{"text":"Hi"}]}],"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]}],
            "toolConfig":{"functionCallingConfig":config}});
        assert_eq!(tree(parse(body).unwrap().body())["tool_choice"], choice, "{config}");
    }
}

#[test]
fn thinking_becomes_an_effort() {
    for (thinking, effort, dropped) in [
        (json!({"thinkingBudget":0}), json!("none"), false),
        (json!({"thinkingBudget":-1}), Value::Null, false),
        (json!({"thinkingBudget":1024}), json!("low"), false),
        (json!({"thinkingBudget":2000,"includeThoughts":true}), json!("medium"), true),
        (json!({"thinkingBudget":30000}), json!("high"), true),
        (json!({"thinkingLevel":"HIGH"}), json!("high"), false),
        (json!({"includeThoughts":false}), Value::Null, false),
    ] {
        let body =
            json!({"contents":[{"parts":[{"text":"Hi"}]}],"generationConfig":{"thinkingConfig":thinking}});
        let request = parse(body).unwrap();
        assert_eq!(tree(request.body())["reasoning_effort"], effort, "{thinking}");
        assert_eq!(!request.dropped().is_empty(), dropped, "{thinking}");
        assert_eq!(wants_thoughts(&request), thinking["includeThoughts"] == true);
    }
}

#[test]
fn a_gemini_request_is_refused_in_geminis_words() {
    let with = |fields: Value| {
        let mut body = json!({"contents":[{"parts":[{"text":"Hi"}]}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    for (body, field) in [
        (json!({}), "contents"),
        (with(json!({"contents":[{"role":"robot","parts":[]}]})), "contents[0].role"),
        (with(json!({"contents":[{"parts":[{"text":7}]}]})), "contents[0].parts[0].text"),
        (
            with(json!({"contents":[{"role":"model","parts":[{"functionCall":{"args":{}}}]}]})),
            "contents[0].parts[0].functionCall.name",
        ),
        (with(json!({"generationConfig":{"temperature":3}})), "generationConfig.temperature"),
        (with(json!({"generationConfig":{"maxOutputTokens":0}})), "generationConfig.maxOutputTokens"),
        (with(json!({"generationConfig":{"stopSequences":[""]}})), "generationConfig.stopSequences[0]"),
        (
            with(json!({"generationConfig":{"thinkingConfig":{"thinkingLevel":"deep"}}})),
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (with(json!({"generationConfig":{"responseSchema":{}}})), "generationConfig.responseMimeType"),
        (with(json!({"generationConfig":[]})), "generationConfig"),
        (
            with(json!({"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}})),
            "toolConfig.functionCallingConfig.mode",
        ),
    ] {
        assert_eq!(field_of(parse(body)), field);
    }
    assert!(matches!(parse_generate(Bytes::from_static(b"{"), "m", false), Err(WireError::Json { .. })));
}

#[test]
fn what_only_google_can_do_is_told_and_still_passes_as_it_is() {
    let user = |part: Value| json!({"contents":[{"parts":[part]}]});
    let with = |fields: Value| {
        let mut body = user(json!({"text":"Hi"}));
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    for (body, field) in [
        (with(json!({"cachedContent":"cachedContents/x"})), "cachedContent"),
        (with(json!({"somethingNew":1})), "somethingNew"),
        (with(json!({"tools":[{"googleSearch":{}}]})), "tools[0].googleSearch"),
        (with(json!({"tools":[{"code_execution":{}}]})), "tools[0].codeExecution"),
        (
            with(json!({"generationConfig":{"responseModalities":["TEXT","AUDIO"]}})),
            "generationConfig.responseModalities[1]",
        ),
        (
            with(json!({"generationConfig":{"responseMimeType":"text/x.enum","responseSchema":{}}})),
            "generationConfig.responseMimeType",
        ),
        (with(json!({"generationConfig":{"routing":1}})), "generationConfig.routing"),
        (
            user(json!({"inlineData":{"mimeType":"video/mp4","data":"AAAA"}})),
            "contents[0].parts[0].inlineData.mimeType",
        ),
        (
            user(json!({"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/x"}})),
            "contents[0].parts[0].fileData.fileUri",
        ),
        (user(json!({"executableCode":{"code":"1"}})), "contents[0].parts[0].executableCode"),
        (
            user(json!({"functionResponse":{"name":"f","response":{}}})),
            "contents[0].parts[0].functionResponse.name",
        ),
    ] {
        let original = body.to_string();
        let request = parse(body).unwrap();
        assert_eq!(request.untranslatable().and_then(WireError::param), Some(field));
        assert_eq!(field_of(request.messages()), field);
        assert_eq!(generate_request(&request, "gemini-2.5-flash").unwrap().body, original);
    }
}
