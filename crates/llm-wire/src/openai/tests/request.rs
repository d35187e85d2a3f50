//! What a request may say, what is refused by which name, and that the rest of the body stays as it is.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::WireError;
use crate::openai::{ChatRequest, Content, Role};

fn parse(body: &str) -> Result<ChatRequest, WireError> {
    ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()))
}

/// A request that is fine, with these members added.
fn with(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{members}}}"#)
}

/// See [`check_refused`](super::check_refused).
#[track_caller]
fn refused(body: &str, field: &str, expected: &str, got: &str) {
    super::check_refused(parse(body), field, expected, got);
}

/// Asserts where a document stops being JSON.
#[track_caller]
fn malformed(body: &str, path: &str, line: usize, column: usize, message: &str) {
    match parse(body) {
        Err(WireError::Json { path: at, line: l, column: c, message: said }) => {
            assert_eq!((at.as_str(), l, c), (path, line, column), "{said}");
            assert!(said.contains(message), "{said:?} does not say {message:?}");
        }
        other => panic!("{body} gave {other:?}"),
    }
}

#[test]
fn the_facts_are_those_of_the_body() {
    let request = parse(
        r#" {"model": "a\u0062c", "messages": [{"role":"system","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"Hi"}]}, {"role":"assistant","content":null}],
            "stream":true,"stream_options":{"include_usage":true},"max_tokens":5,"max_completion_tokens":7,
            "temperature":2,"n":3,"tools":[{"type":"function"}],"stop":["a","b"],"seed":-1,"unknown":[1]} "#,
    )
    .unwrap();
    assert_eq!(request.model(), "abc");
    assert!(request.stream() && request.include_usage() && request.has_tools());
    assert_eq!(request.max_tokens(), Some(7), "the newer name counts");
    assert_eq!((request.temperature(), request.n()), (Some(2.0), 3));
}

#[test]
fn a_name_of_a_model_is_no_longer_than_a_path() {
    let named = |length: usize| with("").replace(r#""m""#, &format!(r#""{}""#, "m".repeat(length)));
    assert_eq!(parse(&named(4096)).unwrap().model().len(), 4096);
    refused(&named(4097), "model", "at most 4096 bytes", "a string of 4099 bytes");
}

#[test]
fn what_is_null_or_absent_is_left_to_the_backend() {
    for members in [
        "",
        r#","stream":null,"temperature":null,"max_tokens":null,"n":null,"stop":null,"tools":null,"stream_options":null,"seed":null,"response_format":null"#,
    ] {
        let request = parse(&with(members)).unwrap();
        assert!(!request.stream() && !request.include_usage() && !request.has_tools());
        assert_eq!((request.max_tokens(), request.temperature(), request.n()), (None, None, 1));
    }
    assert!(!parse(&with(r#","tools":[ ]"#)).unwrap().has_tools());
}

#[test]
fn a_value_out_of_range_is_refused_by_name() {
    let cases = [
        (r#","temperature":2.1"#, "temperature", "a number from 0 to 2", "2.1"),
        (r#","temperature":"hot""#, "temperature", "a number", "\"hot\""),
        (r#","temperature":1e999"#, "temperature", "a number", "1e999"),
        (r#","top_p":-0.1"#, "top_p", "from 0 to 1", "-0.1"),
        (r#","min_p":2"#, "min_p", "from 0 to 1", "2"),
        (r#","top_k":-2"#, "top_k", "at least -1", "-2"),
        (r#","max_tokens":0"#, "max_tokens", "an integer of at least 1", "0"),
        (r#","max_tokens":1.5"#, "max_tokens", "an integer", "1.5"),
        (r#","max_completion_tokens":true"#, "max_completion_tokens", "an integer", "true"),
        (r#","n":129"#, "n", "an integer from 1 to 128", "129"),
        (r#","frequency_penalty":3"#, "frequency_penalty", "from -2 to 2", "3"),
        (r#","presence_penalty":[]"#, "presence_penalty", "from -2 to 2", "an array"),
        (r#","seed":"x""#, "seed", "an integer", "\"x\""),
        (r#","stream":"yes""#, "stream", "true or false", "\"yes\""),
        (
            r#","stream_options":{"include_usage":true,"include_usage":false}"#,
            "stream_options.include_usage",
            "at most once",
            "it twice",
        ),
        (r#","stream_options":true"#, "stream_options", "an object", "true"),
        (r#","stream_options":{"include_usage":1}"#, "stream_options.include_usage", "true or false", "1"),
        (r#","stop":"""#, "stop", "non-empty string", "\"\""),
        (r#","stop":[1]"#, "stop[0]", "non-empty string", "1"),
        (r#","stop":["a",""]"#, "stop[1]", "non-empty string", "\"\""),
        (r#","stop":{}"#, "stop", "array", "an object"),
        (r#","tools":{}"#, "tools", "an array", "an object"),
        (r#","response_format":"json""#, "response_format", "an object", "\"json\""),
        (r#","stream":true,"stream":false"#, "stream", "at most once", "it twice"),
        (r#","messages":[]"#, "messages", "at most once", "it twice"),
        (r#","max_tokens":1,"maxTokens":2"#, "max_tokens", "maxTokens is the same field", "it twice"),
    ];
    for (members, field, expected, got) in cases {
        refused(&with(members), field, expected, got);
    }
    let many = (0..17).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(",");
    refused(&with(&format!(r#","stop":[{many}]"#)), "stop", "at most 16", "17 strings");
}

#[test]
fn a_request_needs_a_model_and_messages() {
    let messages = r#""messages":[{"role":"user","content":"Hi"}]"#;
    let model = |members: &str| format!("{{{members}{messages}}}");
    refused(&model(""), "model", "the name of a model", "nothing");
    refused(&model(r#""model":null,"#), "model", "the name of a model", "null");
    refused(&model(r#""model":" ","#), "model", "the name of a model", "\" \"");
    refused(&model(r#""model":7,"#), "model", "the name of a model", "7");
    refused(&model(r#""model":"a","mod\u0065l":"b","#), "model", "at most once", "it twice");
    refused(r#"{"model":"m"}"#, "messages", "a non-empty array", "nothing");
    refused(r#"{"model":"m","messages":[]}"#, "messages", "a non-empty array", "an empty array");
    refused(r#"{"model":"m","messages":"secret"}"#, "messages", "a non-empty array", "\"secret\"");
    refused(r#"{"model":"m","messages":{"role":"user"}}"#, "messages", "a non-empty array", "an object");
}

#[test]
fn a_message_is_refused_where_it_stands() {
    let cases = [
        (r#""Hi""#, "messages[1]", "an object", "a string"),
        (r#"["user","Hi"]"#, "messages[1]", "an object", "an array"),
        (
            r#"{"role":"robot","content":"Hi"}"#,
            "messages[1].role",
            "one of system, developer, user, assistant, tool, function",
            "\"robot\"",
        ),
        (r#"{"content":"Hi"}"#, "messages[1].role", "one of system", "nothing"),
        (r#"{"role":{"user":null},"content":"Hi"}"#, "messages[1].role", "one of system", "an object"),
        (r#"{"role":["user"],"content":"Hi"}"#, "messages[1].role", "one of system", "an array"),
        (r#"{"role":"user"}"#, "messages[1].content", "a string or an array of parts", "nothing"),
        (r#"{"role":"user","content":null}"#, "messages[1].content", "a string", "null"),
        (r#"{"role":"assistant","content":7}"#, "messages[1].content", "or null", "7"),
        (r#"{"role":"user","content":{"text":"Hi"}}"#, "messages[1].content", "a string", "an object"),
        (r#"{"role":"user","content":["Hi"]}"#, "messages[1].content[0]", "an object with a type", "\"Hi\""),
        (
            r#"{"role":"user","content":[{"text":"Hi"}]}"#,
            "messages[1].content[0].type",
            "a string",
            "nothing",
        ),
        (r#"{"role":"user","role":"user","content":""}"#, "messages[1].role", "at most once", "it twice"),
    ];
    for (message, field, expected, got) in cases {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":""}},{message}]}}"#);
        refused(&body, field, expected, got);
    }
}

#[test]
fn what_is_not_json_says_where_it_stops_being_so() {
    malformed("", "$", 1, 0, "EOF");
    malformed("[1]", "$", 1, 0, "expected a JSON object, got an array");
    malformed(
        r#"{"model":"m","messages":[{"role":"user" "content":1}]}"#,
        "messages[0]",
        1,
        41,
        "expected `,` or `}`",
    );
    malformed(
        "{\"model\":\"m\",\n\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\n\"temperature\": NaN}",
        "temperature",
        3,
        16,
        "NaN is not JSON: numbers are finite",
    );
    malformed(&with(r#","temperature":-Infinity"#), "temperature", 1, 73, "Infinity is not JSON");
    malformed(&with(r#","stream":True"#), "stream", 1, 67, "True is not JSON: write true");
    malformed(&with(r#","metadata":{"a":[1,None]}"#), "metadata.a[1]", 1, 77, "None is not JSON: write null");
    malformed(r#"{'model':"m"}"#, "$", 1, 2, "strings stand in double quotes");
    malformed(&format!("{} x", with("")), "$", 1, 59, "trailing characters");
    let cut = with("");
    malformed(&cut[..cut.len() - 5], "messages[0].content", 1, 52, "EOF");
}

#[test]
fn bytes_that_are_not_utf8_are_not_json() {
    let error = ChatRequest::parse(Bytes::from_static(b"{\"model\":\n\"\xFF\"}")).unwrap_err();
    assert!(matches!(error, WireError::Json { line: 2, column: 2, .. }), "{error}");
}

#[test]
fn an_error_never_carries_the_text_of_a_prompt() {
    let secret = "the launch code is 0000 ".repeat(8);
    for body in [
        with(&format!(r#","messages":"{secret}""#)),
        format!(r#"{{"model":"m","messages":"{secret}"}}"#),
        format!(r#"{{"model":"m","messages":["{secret}"]}}"#),
        format!(r#"{{"model":"m","messages":[{{"role":"{secret}","content":""}}]}}"#),
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":["{secret}"]}}]}}"#),
    ] {
        let error = parse(&body).unwrap_err().to_string();
        assert!(!error.contains("launch"), "{error}");
    }
    let request = parse(&format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x","name":["{secret}"]}}]}}"#
    ));
    let request = request.unwrap();
    assert!(!request.messages().unwrap_err().to_string().contains("launch"));
    assert!(!format!("{request:?}").contains("launch"));
}

#[test]
fn only_the_model_and_the_stream_flag_change() {
    let check = |body: &str, model: &str, stream: bool, expected: &str| {
        let request = parse(body).unwrap();
        let sent = request.to_body(model, stream);
        assert_eq!(String::from_utf8_lossy(&sent), expected);
        assert_eq!(parse(expected).unwrap().model(), model);
    };
    let rest = r#""messages" : [ {"role":"user","content":"\u00e9 \/"} ] , "x":1.0"#;
    check(
        &format!(r#"{{ "model": "a", {rest} }}"#),
        "b/\"c\"",
        false,
        &format!(r#"{{ "model": "b/\"c\"", {rest} }}"#),
    );
    check(
        &format!(r#"{{{rest},"model":"a"}}"#),
        "a",
        true,
        &format!(r#"{{{rest},"model":"a","stream":true}}"#),
    );
    check(
        &format!(r#"{{"stream":false,{rest},"model":"a"}}"#),
        "b",
        true,
        &format!(r#"{{"stream":true,{rest},"model":"b"}}"#),
    );
    check(
        &format!(r#"{{"model":"a","stream":null,{rest}}}"#),
        "a",
        true,
        &format!(r#"{{"model":"a","stream":true,{rest}}}"#),
    );
    check(
        &format!(r#"{{"model":"a","stream":true,"stream_options":{{"include_usage":true}},{rest}}}"#),
        "a",
        false,
        &format!(r#"{{"model":"a","stream":false,{rest}}}"#),
    );
}

#[test]
fn a_body_that_is_right_already_is_not_copied() {
    let body = Bytes::from(with(r#","stream":true"#));
    let request = ChatRequest::parse(body.clone()).unwrap();
    assert_eq!(request.to_body("m", true).as_ptr(), body.as_ptr());
    assert_eq!(request.to_stream_body("m", false).as_ptr(), body.as_ptr());
    assert_eq!(request.body().as_ptr(), body.as_ptr());
}

#[test]
fn a_gateway_may_ask_for_the_usage_that_the_client_did_not_want() {
    for (members, wanted) in [
        ("", true),
        (r#","stream_options":null"#, true),
        (r#","stream_options": { } "#, true),
        (r#","stream_options":{"include_obfuscation":false}"#, true),
        (r#","stream_options":{"include_usage":null,"a":1}"#, true),
        (r#","stream_options":{"a":1,"include_usage":false}"#, true),
        (r#","stream_options":{"include_usage":true,"a":1}"#, false),
        (r#","stream_options":{}"#, false),
        (r#","stream_options":{"include_usage":true}"#, true),
    ] {
        let request = parse(&with(members)).unwrap();
        let sent = request.to_stream_body("m", wanted);
        let document: Value = serde_json::from_slice(&sent).unwrap();
        let request =
            ChatRequest::parse(sent).unwrap_or_else(|error| panic!("{members} gave {document}: {error}"));
        assert!(request.stream());
        assert_eq!(request.include_usage(), wanted, "{members} gave {document}");
        assert_eq!(document["stream_options"].get("a").is_some(), members.contains("\"a\""));
    }
}

#[test]
fn camel_case_names_are_rewritten_in_the_body() {
    let request = parse(&with(r#", "maxTokens" : 9,"top\u0050":0.5,"nested":{"maxTokens":1}"#)).unwrap();
    assert_eq!(request.max_tokens(), Some(9));
    assert_eq!(*request.body(), with(r#", "max_tokens" : 9,"top_p":0.5,"nested":{"maxTokens":1}"#));
    refused(&with(r#","topP":7"#), "top_p", "from 0 to 1", "7");
}

#[test]
fn nesting_without_end_does_not_overflow_the_stack() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // What is only passed on is not decoded, at any depth.
    assert!(parse(&with(&format!(r#","x":{}"#, deep(100_000)))).is_ok());
    let tool =
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"","x":{}}}]}}"#, deep(100_000));
    let error = parse(&tool).unwrap().messages().unwrap_err();
    assert!(
        matches!(&error, WireError::Json { message, .. } if message.contains("recursion limit")),
        "{error}"
    );
    assert!(parse(&with(&format!(r#","x":{}"#, "[".repeat(100_000)))).is_err());
}

#[test]
fn messages_decode_with_every_field() {
    let body = r#"{"model":"m","messages":[
        {"role":"developer","content":"Be brief.","name":"app"},
        {"role":"user","content":[{"type":"text","text":"What is "},{"type":"image_url","image_url":{"url":"data:,x"}},{"type":"text","text":"this?"}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1"}],"reasoning_content":"Hm."},
        {"role":"tool","content":"7","tool_call_id":"c1"}]}"#;
    let messages = parse(body).unwrap().messages().unwrap();
    assert_eq!(messages[0].role, Role::Developer);
    assert_eq!(messages[0].name.as_deref(), Some("app"));
    assert_eq!(messages[1].text(), "What is this?");
    let Some(Content::Parts(parts)) = &messages[1].content else { panic!("no parts") };
    assert_eq!(parts[1].image_url(), Some("data:,x"));
    assert_eq!(messages[2].tool_calls, Some(json!([{ "id": "c1" }])));
    assert_eq!(messages[2].extra["reasoning_content"], "Hm.");
    assert_eq!(messages[3].tool_call_id.as_deref(), Some("c1"));
    let again: Value = serde_json::from_str(body).unwrap();
    assert_eq!(serde_json::to_value(&messages).unwrap(), again["messages"]);
}

#[test]
fn a_message_that_was_only_skimmed_is_refused_when_it_is_decoded() {
    let at = |message: &str| {
        let request = parse(&format!(r#"{{"model":"m","messages":[{message}]}}"#)).unwrap();
        match request.messages().unwrap_err() {
            WireError::Json { path, .. } => path,
            other => panic!("{other}"),
        }
    };
    assert_eq!(at(r#"{"role":"user","content":[{"type":"text"}]}"#), "messages[0].content[0]");
    assert_eq!(at(r#"{"role":"user","content":"","name":7}"#), "messages[0].name");
}

#[test]
fn options_decode_whatever_the_client_set() {
    let options = parse(&with(
        r#","top_p":0.9,"top_k":40,"min_p":0.1,"seed":7,"stop":"END","maxTokens":5,"n":2,"logprobs":true,"response_format":{"type":"json_object"}"#,
    ))
    .unwrap()
    .options()
    .unwrap();
    assert_eq!((options.top_p, options.top_k, options.min_p), (Some(0.9), Some(40), Some(0.1)));
    assert_eq!((options.seed, options.limit(), options.n), (Some(7), Some(5), Some(2)));
    assert_eq!(options.stop, ["END"]);
    assert_eq!(options.response_format, Some(json!({ "type": "json_object" })));
    assert_eq!(parse(&with(r#","stop":["a","b"]"#)).unwrap().options().unwrap().stop, ["a", "b"]);
    assert_eq!(parse(&with("")).unwrap().options().unwrap(), crate::openai::SamplingOptions::default());
}

/// Any JSON value.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,6}", inner), 0..4)
                .prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

/// Any request that is fine, as text with spaces in odd places, members in any order.
fn any_request() -> impl Strategy<Value = String> {
    let stream = prop::option::of(prop_oneof![Just("true"), Just("false"), Just("null")]);
    let usage = prop::option::of(prop_oneof![
        Just("null"),
        Just("{}"),
        Just(r#"{ "include_usage" : true }"#),
        Just(r#"{"include_usage":false,"z":[1]}"#),
    ]);
    let blank = prop_oneof![Just(""), Just(" "), Just("\n\t")];
    let extra = prop::collection::vec(("x_[a-z\u{e9}\"\\\\]{1,6}", any_json()), 0..4);
    (("\\PC{0,8}", stream, usage), extra, any::<u64>(), blank).prop_map(
        |((model, stream, usage), extra, order, blank)| {
            let text = |value: &Value| value.to_string();
            let mut members = vec![
                ("\"model\"".to_owned(), text(&json!(format!("m{model}")))),
                ("\"messages\"".to_owned(), r#"[{"role":"user","content":"Hi \u00e9"}]"#.to_owned()),
            ];
            members.extend(stream.map(|value| ("\"stream\"".to_owned(), value.to_owned())));
            members.extend(usage.map(|value| ("\"stream_options\"".to_owned(), value.to_owned())));
            members.extend(extra.iter().map(|(key, value)| (text(&json!(key)), text(value))));
            let length = members.len() as u64;
            members.rotate_left(usize::try_from(order % length).unwrap());
            let members: Vec<_> = members
                .iter()
                .map(|(key, value)| format!("{blank}{key}{blank}:{blank}{value}{blank}"))
                .collect();
            format!("{blank}{{{}}}{blank}", members.join(","))
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_asked_upstream_only_those_members_change(
        body in any_request(),
        model in "\\PC{1,8}",
        stream in any::<bool>(),
        usage in any::<bool>(),
    ) {
        let request = parse(&body).unwrap();
        let before: Value = serde_json::from_str(&body).unwrap();
        let check = |sent: Bytes, stream: bool| {
            let after: Value = serde_json::from_slice(&sent).unwrap();
            assert_eq!(&after["model"], &model);
            assert_eq!(after["stream"].as_bool().unwrap_or(false), stream);
            let rest = |document: &Value| {
                let mut rest = document.as_object().unwrap().clone();
                rest.retain(|key, _| !["model", "stream", "stream_options"].contains(&key.as_str()));
                serde_json::to_string(&rest).unwrap()
            };
            assert_eq!(rest(&before), rest(&after), "members and their order");
            after
        };
        let after = check(request.to_body(&model, stream), stream);
        let options = |document: &Value| document.get("stream_options").filter(|value| !value.is_null()).cloned();
        let kept = stream || !request.stream();
        prop_assert_eq!(options(&after), if kept { options(&before) } else { None });
        let after = check(request.to_stream_body(&model, usage), true);
        prop_assert_eq!(after["stream_options"]["include_usage"].as_bool().unwrap_or(false), usage);
        // A body that says what is asked comes back as it is, bytes and all.
        prop_assert_eq!(request.to_body(request.model(), request.stream()), body.as_bytes());
    }

    #[test]
    fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ChatRequest::parse(bytes.into());
    }

    #[test]
    fn any_damage_to_a_request_is_answered_and_never_panics(
        body in any_request(),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(b"{}[]\",:\\0ntf \xFF".to_vec()),
    ) {
        let mut bytes = body.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(request) = ChatRequest::parse(bytes.into()) {
            let _ = (request.messages(), request.options(), request.to_stream_body("m", true));
            prop_assert!(serde_json::from_slice::<Value>(&request.to_body("other", true)).is_ok());
        }
    }
}

fn bound(content: Value) -> u64 {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
    ChatRequest::parse(body.to_string().into()).unwrap().prompt_tokens_bound()
}

#[test]
fn an_image_is_bounded_by_what_images_cost_and_a_text_that_looks_like_one_by_its_bytes() {
    let url = format!("data:image/png;base64,{}", "A".repeat(100_000));
    let image = json!({ "type": "image_url", "image_url": { "url": url } });
    assert!((6_000..7_000).contains(&bound(json!([image]))));
    assert!((12_000..13_000).contains(&bound(json!([image, image]))));
    assert!(
        bound(json!([{ "type": "image_url", "image_url": { "url": "https://a.example/b.png" } }])) > 6_000
    );
    for looks_like_one in [
        json!(url),
        json!([{ "type": "text", "text": format!("\"image_url\":\"{url}") }]),
        json!([{ "type": "text", "text": url, "image_url": "" }]),
    ] {
        assert!(bound(looks_like_one) > 100_000);
    }
}
