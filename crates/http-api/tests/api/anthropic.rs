//! Anthropic's clients, in front of a provider of theirs and of another dialect.

use serde_json::{Value, json};
use testkit::{Answer, Behaviour, ToolCall};

use crate::support::{Exchange, Gateway};

fn hello(fields: Value) -> String {
    let mut body =
        json!({ "model": "m", "max_tokens": 64, "messages": [{ "role": "user", "content": "hello" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn a_message_is_answered_by_a_provider_of_another_dialect() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    let reply = gateway.post("/v1/messages", hello(json!({}))).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let message = reply.json();
    assert_eq!(message["content"], json!([{ "type": "text", "text": "Four." }]));
    assert_eq!((&message["stop_reason"], &message["model"]), (&json!("end_turn"), &json!("upstream-m")));
}

#[tokio::test]
async fn a_stream_calls_two_tools_in_parallel() {
    let gateway = Gateway::start().await;
    let calls = ["one", "two"].map(|name| ToolCall::new(name, format!(r#"{{"of":"{name}"}}"#)));
    gateway.provider.set_default(Behaviour::Answer(Answer::calls(calls)));
    let reply = gateway.post("/v1/messages", hello(json!({ "stream": true }))).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let mut inputs: Vec<String> = Vec::new();
    for event in reply.events() {
        match event["type"].as_str().unwrap() {
            "content_block_start" => inputs.push(String::new()),
            "content_block_delta" => {
                inputs.last_mut().unwrap().push_str(event["delta"]["partial_json"].as_str().unwrap_or(""));
            }
            _ => {}
        }
    }
    assert_eq!(inputs, [r#"{"of":"one"}"#, r#"{"of":"two"}"#]);
    assert!(reply.body.contains("event: message_stop"));
}

#[tokio::test]
async fn what_is_wrong_is_said_in_anthropics_shape() {
    let gateway = Gateway::start().await;
    let reply = gateway.post("/v1/messages", r#"{"model":"m","messages":[]}"#).await;
    assert_eq!((reply.status, &reply.json()["type"]), (400, &json!("error")));
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    let reply = gateway.post("/v1/messages", hello(json!({ "model": "nobody" }))).await;
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (404, &json!("not_found_error")));
}

#[tokio::test]
async fn tokens_that_nobody_counts_are_estimated_and_the_header_says_so() {
    let gateway = Gateway::start().await;
    let reply = gateway.post("/v1/messages/count_tokens", hello(json!({}))).await;
    assert_eq!((reply.status, reply.header("x-uat-estimate")), (200, Some("upper")), "{}", reply.body);
    assert!(reply.json()["input_tokens"].as_u64().unwrap() > 5);
}

#[tokio::test]
async fn the_list_of_models_has_anthropics_shape_for_anthropics_clients() {
    let gateway = Gateway::start().await;
    let list = |path: &'static str| {
        let request = hyper::Request::get(path).header("anthropic-version", "2023-06-01");
        async { Exchange::begin(gateway.addr, request, "".into()).await.whole().await }
    };
    let all = list("/v1/models").await.json();
    assert_eq!((&all["data"][0]["type"], &all["has_more"]), (&json!("model"), &json!(false)));
    let one = list("/v1/models/m").await.json();
    assert_eq!((&one["id"], &one["display_name"]), (&json!("m"), &json!("m")));
}

#[tokio::test]
async fn a_message_ends_once_also_where_its_endpoint_left_the_end_out() {
    let answer = Behaviour::Answer(Answer::text("Four."));
    let without_end = Behaviour::ContentLength { off_by: -9, then: Box::new(answer.clone()) };
    let body = json!({ "model": "m", "stream": true, "max_tokens": 9,
        "messages": [{ "role": "user", "content": "2 + 2?" }] });
    for protocol in ["anthropic", "openai"] {
        for behaviour in [&answer, &without_end] {
            let gateway = Gateway::speaking(protocol).await;
            gateway.provider.set_default(behaviour.clone());
            let reply = gateway.post("/v1/messages", body.to_string()).await;
            let kinds: Vec<_> = reply.events().iter().map(|event| event["type"].clone()).collect();
            assert_eq!(
                kinds[kinds.len() - 2..],
                ["message_delta", "message_stop"],
                "{protocol} {behaviour:?}"
            );
            assert_eq!(kinds.iter().filter(|kind| *kind == "message_stop").count(), 1, "{}", reply.body);
        }
    }
}
