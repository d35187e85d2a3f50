use serde_json::{Value, json};
use testkit::Behaviour;

use crate::support::{Gateway, chat, chat_with};

/// The body is refused with this status, parameter and code, and the message holds each of `words`.
async fn check(body: &str, status: u16, param: Option<&str>, code: &str, words: &[&str]) {
    let gateway = Gateway::start().await;
    let reply = gateway.post("/v1/chat/completions", body.to_owned()).await;
    assert_eq!(reply.status, status, "{body}: {}", reply.body);
    let error = reply.json()["error"].clone();
    assert_eq!(error["type"], "invalid_request_error", "{error}");
    assert_eq!(error["param"].as_str(), param, "{error}");
    assert_eq!(error["code"], code, "{error}");
    assert_eq!(error["retryable"], false, "{error}");
    assert_eq!(error["uat_code"].as_str(), reply.header("x-uat-code"));
    assert!(reply.header("x-request-id").is_some());
    for word in words {
        assert!(error["message"].as_str().unwrap().contains(word), "`{word}` is not in {error}");
    }
    assert!(gateway.provider.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn malformed_json_names_its_path() {
    check(
        "{\"model\":\"m\",\"messages\":[{\"role\":]}",
        400,
        Some("messages[0].role"),
        "invalid_value",
        &["line 1"],
    )
    .await;
    check("", 400, None, "invalid_value", &["JSON"]).await;
    check("[1,2]", 400, None, "invalid_value", &[]).await;
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let temperature = |value: Value| chat_with(json!({ "temperature": value }));
    check(&temperature(json!(2.5)), 400, Some("temperature"), "invalid_value", &["0 to 2", "2.5"]).await;
    check(&temperature(json!("NaN")), 400, Some("temperature"), "invalid_value", &[]).await;
    check(&chat(false).replace("\"m\"", "NaN"), 400, Some("model"), "invalid_value", &[]).await;
    check(&chat_with(json!({ "messages": [] })), 400, Some("messages"), "invalid_value", &["non-empty"])
        .await;
    let role = json!({ "messages": [{ "role": "usr", "content": "x" }] });
    check(&chat_with(role), 400, Some("messages[0].role"), "invalid_value", &["usr", "user"]).await;
    check(&chat_with(json!({ "model": "" })), 400, Some("model"), "invalid_value", &[]).await;
    check(&chat_with(json!({ "max_tokens": 0 })), 400, Some("max_tokens"), "invalid_value", &[]).await;
}

#[tokio::test]
async fn an_unknown_model_names_the_nearest() {
    check(&chat_with(json!({ "model": "M" })), 404, Some("model"), "model_not_found", &["`M`"]).await;
    let gateway = Gateway::start().await;
    let reply = gateway.get("/v1/models/mm").await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("did you mean `m`?"), "{}", reply.body);
}

#[tokio::test]
async fn ollama_clients_get_ollamas_error_shape() {
    let gateway = Gateway::start().await;
    let reply =
        gateway.post("/api/chat", r#"{"model":"nope","messages":[{"role":"user","content":"x"}]}"#).await;
    assert_eq!(reply.status, 404);
    assert!(reply.json()["error"].as_str().unwrap().contains("nope"), "{}", reply.body);
    let reply = gateway.post("/api/chat", "{").await;
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"].is_string());
}

#[tokio::test]
async fn an_unknown_path_names_the_nearest() {
    let gateway = Gateway::start().await;
    let reply = gateway.post("/v1/chat/completion", chat(false)).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("unknown_url")));
    assert!(reply.body.contains("did you mean /v1/chat/completions?"), "{}", reply.body);
    assert!(gateway.get("/api/generat").await.json()["error"].is_string());
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let gateway = Gateway::start().await;
    let reply = gateway.get("/v1/chat/completions").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    let reply = gateway.post("/v1/models", "").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(reply.json()["error"]["code"], "method_not_allowed");
}

#[tokio::test]
async fn the_type_of_the_body_does_not_matter_when_it_is_json() {
    let gateway = Gateway::start().await;
    let request = hyper::Request::post("/v1/chat/completions").header("content-type", "text/plain");
    let exchange = crate::support::Exchange::begin(gateway.addr, request, chat(false).into()).await;
    assert_eq!(exchange.whole().await.status, 200);
}

#[tokio::test]
async fn a_provider_that_asks_for_a_pause_is_passed_on_with_it() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::rate_limited(7));
    let reply = gateway.post("/v1/chat/completions", chat(false)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")), "{}", reply.body);
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
}
