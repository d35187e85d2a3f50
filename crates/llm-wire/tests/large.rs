//! A request that is as large as one may be takes time in proportion to its size, whatever it repeats: a client that pays
//! with one request must not cost minutes of a core.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use bytes::Bytes;
use llm_wire::openai::ChatRequest;
use llm_wire::{anthropic, bounds, gemini, ollama, openai::responses};

/// What takes a second in proportion takes minutes when each part is compared with each other one.
const SOON: Duration = Duration::from_secs(10);

/// For how long this thread has run, which other programs of the machine do not lengthen.
fn worked() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// As many of these as a document may have, a comma between them. `values` is what one of them counts.
fn many(values: usize, one: impl Fn(usize) -> String) -> String {
    // Of two lists, with something around them.
    let count = (bounds::MAX_VALUES - 64) / (values + 1) / 2;
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

#[track_caller]
fn soon(what: &str, document: String, read: impl FnOnce(Bytes)) {
    assert_eq!(bounds::check(document.as_bytes()), Ok(()), "{what}");
    let began = worked();
    read(document.into());
    let took = worked() - began;
    assert!(took < SOON, "{what} took {took:?}");
}

/// The request in OpenAI's dialect, and what every other dialect makes of it.
fn translated(body: Bytes) {
    let Ok(request) = ChatRequest::parse(body) else { return };
    let _ = request.conversation_beginning();
    let _ = anthropic::messages_request(&request, "m", false, 9);
    let _ = gemini::generate_request(&request, "m");
    let _ = ollama::chat_request(&request, "m", false);
}

#[test]
fn names_that_a_client_makes_up() {
    let members = many(1, |n| format!(r#""x{n}":1"#));
    let message = format!(r#"{{"role":"user","content":"Hi",{members}}}"#);
    soon("anthropic", format!(r#"{{"model":"m","max_tokens":1,"messages":[{message}]}}"#), |body| {
        assert!(anthropic::parse_messages(body).unwrap().dropped().len() < 100);
    });
    soon(
        "anthropic's root",
        format!(r#"{{"model":"m","max_tokens":1,{members},"messages":[{{"role":"user","content":"Hi"}}]}}"#),
        |body| {
            assert!(anthropic::parse_messages(body).unwrap().dropped().len() < 100);
        },
    );
    soon("gemini", format!(r#"{{"contents":[{{"parts":[{{"text":"Hi"}}],{members}}}]}}"#), |body| {
        assert!(gemini::parse_generate(body, "m", false).unwrap().dropped().len() < 100);
    });
    soon("ollama", format!(r#"{{"model":"m",{members},"messages":[{message}]}}"#), |body| {
        let _ = ollama::parse_chat(body);
    });
    soon("openai", format!(r#"{{"model":"m",{members},"messages":[{message}]}}"#), translated);
}

#[test]
fn calls_and_their_results() {
    let calls = many(5, |n| {
        format!(r#"{{"id":"c{n}","type":"function","function":{{"name":"f{n}","arguments":"{{}}"}}}}"#)
    });
    let assistant = format!(r#"{{"role":"assistant","content":null,"tool_calls":[{calls}]}}"#);
    let results = many(5, |n| format!(r#"{{"role":"tool","tool_call_id":"x{n}","content":"1"}}"#));
    soon("openai", format!(r#"{{"model":"m","messages":[{assistant},{results}]}}"#), translated);

    let calls = many(5, |n| format!(r#"{{"function":{{"name":"f{n}","arguments":{{}}}}}}"#));
    let results = many(4, |n| format!(r#"{{"role":"tool","content":"1","tool_name":"x{n}"}}"#));
    let messages = format!(r#"{{"role":"assistant","tool_calls":[{calls}]}},{results}"#);
    soon("ollama", format!(r#"{{"model":"m","messages":[{messages}]}}"#), |body| {
        let _ = ollama::parse_chat(body);
    });

    let calls = many(4, |n| format!(r#"{{"functionCall":{{"name":"f{n}","args":{{}}}}}}"#));
    let results = many(4, |n| format!(r#"{{"functionResponse":{{"name":"x{n}","response":{{}}}}}}"#));
    let contents = format!(r#"{{"role":"model","parts":[{calls}]}},{{"role":"user","parts":[{results}]}}"#);
    soon("gemini", format!(r#"{{"contents":[{contents}]}}"#), |body| {
        let _ = gemini::parse_generate(body, "m", false);
    });
}

#[test]
fn tools_of_which_some_are_allowed() {
    let tools = many(2, |n| format!(r#"{{"type":"function","name":"f{n}"}}"#));
    let allowed = many(2, |n| format!(r#"{{"type":"function","name":"f{n}"}}"#));
    let choice = format!(r#"{{"type":"allowed_tools","mode":"auto","tools":[{allowed}]}}"#);
    soon(
        "responses",
        format!(r#"{{"model":"m","input":"Hi","tools":[{tools}],"tool_choice":{choice}}}"#),
        |body| {
            let _ = responses::parse(body);
        },
    );
}

#[test]
fn what_was_signed_of_a_reasoning() {
    let details = many(3, |n| format!(r#"{{"format":"google-gemini-v1","id":"c{n}","data":"x"}}"#));
    let calls = many(5, |n| {
        format!(r#"{{"id":"y{n}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}"#)
    });
    let message = format!(
        r#"{{"role":"assistant","content":"a","reasoning_details":[{details}],"tool_calls":[{calls}]}}"#
    );
    soon(
        "openai",
        format!(r#"{{"model":"m","messages":[{message},{{"role":"user","content":"b"}}]}}"#),
        translated,
    );
}

#[test]
fn turns_and_parts() {
    let message = |n: usize| {
        format!(r#"{{"role":"{}","content":"a"}}"#, if n.is_multiple_of(2) { "user" } else { "assistant" })
    };
    soon("openai", format!(r#"{{"model":"m","messages":[{}]}}"#, many(2, message)), translated);
    let parts = many(2, |_| r#"{"type":"text","text":"a"}"#.to_owned());
    soon(
        "parts",
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{parts}]}}]}}"#),
        translated,
    );
    let items = many(2, |_| r#"{"role":"assistant","content":"a"}"#.to_owned());
    soon("responses", format!(r#"{{"model":"m","input":[{items}]}}"#), |body| {
        let _ = responses::parse(body);
    });
    let calls =
        many(4, |n| format!(r#"{{"type":"function_call","call_id":"c{n}","name":"f","arguments":"{{}}"}}"#));
    let said = many(2, |_| r#"{"role":"assistant","content":"a"}"#.to_owned());
    soon("responses with calls", format!(r#"{{"model":"m","input":[{calls},{said}]}}"#), |body| {
        let _ = responses::parse(body);
    });
}
