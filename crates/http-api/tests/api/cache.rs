use hyper::Request;
use serde_json::{Value, json};
use testkit::{Answer, Behaviour};

use crate::support::{Exchange, Gateway, Reply, chat_with};

/// Asks with this header `x-uat-cache`.
async fn ask(gateway: &Gateway, fields: Value, cache: Option<&str>) -> Reply {
    let request = Request::post("/v1/chat/completions");
    let request = match cache {
        Some(value) => request.header("x-uat-cache", value),
        None => request,
    };
    // An answer is kept after it has gone out; until then the same question shares it.
    Exchange::begin(gateway.addr, request, chat_with(fields).into()).await.whole().await
}

#[tokio::test]
async fn the_same_question_at_temperature_0_is_answered_again_whole_and_streamed() {
    let gateway = Gateway::start().await;
    let text = "Paris is the capital of France, and has been so for a very long time.";
    gateway.provider.set_default(Behaviour::Answer(Answer::text(text)));
    let first = ask(&gateway, json!({ "temperature": 0 }), None).await;
    assert_eq!((first.header("x-uat-cache"), first.header("x-uat-attempts")), (Some("miss"), Some("1")));
    let again = ask(&gateway, json!({ "temperature": 0 }), None).await;
    assert_eq!((again.header("x-uat-cache"), again.header("x-uat-attempts")), (Some("hit"), Some("0")));
    assert_eq!((again.header("x-uat-model"), again.header("x-uat-endpoint")), (Some("m"), Some("fake")));
    assert_eq!(again.json(), first.json());
    let fields = json!({ "temperature": 0, "stream": true, "stream_options": { "include_usage": true } });
    let streamed = ask(&gateway, fields, None).await;
    assert_eq!(streamed.header("x-uat-cache"), Some("hit"));
    assert_eq!(streamed.header("content-type"), Some("text/event-stream"));
    assert_eq!(streamed.streamed_text(), text);
    let events = streamed.events();
    assert!(events.len() > 4, "a role, several pieces, a reason, the usage: {events:?}");
    assert_eq!(events.last().unwrap()["usage"], first.json()["usage"]);
    assert!(streamed.body.trim_end().ends_with("data: [DONE]"), "{}", streamed.body);
    assert_eq!(gateway.provider.requests().len(), 1);
    assert_eq!(gateway.metric("uat_cache_answers_total{outcome=\"hit\"}").await, 2.0);
    assert_eq!(gateway.metric("uat_cache_answers_total{outcome=\"miss\"}").await, 1.0);
}

#[tokio::test]
async fn an_ollama_client_gets_the_answer_that_an_openai_client_got() {
    let gateway = Gateway::start().await;
    ask(&gateway, json!({ "temperature": 0 }), None).await;
    let body = json!({ "model": "m", "stream": false, "messages": [{ "role": "user", "content": "hello" }],
        "options": { "temperature": 0 } });
    let reply = gateway.post("/api/chat", body.to_string()).await;
    let kept = ask(&gateway, json!({ "temperature": 0 }), None).await;
    assert_eq!(kept.header("x-uat-cache"), Some("hit"));
    assert_eq!(reply.json()["message"]["content"], kept.json()["choices"][0]["message"]["content"]);
}

#[tokio::test]
async fn the_header_opts_in_and_out() {
    for (temperature, header, expected) in [
        (json!(0.7), Some("on"), ["miss", "hit"]),
        (json!(0.7), None, ["bypass", "bypass"]),
        (json!(0), Some("off"), ["bypass", "bypass"]),
        (json!(0), Some("on"), ["miss", "hit"]),
    ] {
        let gateway = Gateway::start().await;
        for expected in expected {
            let reply = ask(&gateway, json!({ "temperature": temperature }), header).await;
            assert_eq!(reply.header("x-uat-cache"), Some(expected), "{temperature} {header:?}");
        }
    }
}

#[tokio::test]
async fn another_value_of_the_header_is_refused_by_name() {
    let gateway = Gateway::start().await;
    for value in ["yes", "ON", "", "on, off"] {
        let reply = ask(&gateway, json!({ "temperature": 0 }), Some(value)).await;
        assert_eq!(reply.status, 400, "{value}: {}", reply.body);
        let error = &reply.json()["error"];
        assert_eq!(error["param"], "x-uat-cache");
        assert!(error["message"].as_str().unwrap().contains("on or off"), "{error}");
    }
    assert!(gateway.provider.requests().is_empty());
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_take_the_answer_from_the_other() {
    let gateway = Gateway::start().await;
    let answer = Answer::tokens(40).paced(std::time::Duration::from_millis(5));
    gateway.provider.set_default(Behaviour::Answer(answer.clone()));
    let body = chat_with(json!({ "temperature": 0, "stream": true }));
    let mut first = gateway.stream("/v1/chat/completions", body.clone()).await;
    first.next().await.unwrap();
    let second = gateway.stream("/v1/chat/completions", body).await;
    drop(first);
    let second = second.whole().await;
    assert_eq!(second.streamed_text(), answer.full_text());
    assert_eq!((second.header("x-uat-cache"), gateway.provider.requests().len()), (Some("hit"), 1));
}
