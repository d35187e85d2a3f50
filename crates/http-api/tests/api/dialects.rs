use serde_json::{Value, json};
use testkit::{Answer, Behaviour};

use crate::support::{Exchange, Gateway, chat, chat_with};

#[tokio::test]
async fn an_openai_client_gets_the_providers_own_bytes() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    let reply = gateway.post("/v1/chat/completions", chat(false)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "Four.");
}

#[tokio::test]
async fn the_headers_tell_how_it_was_answered() {
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        let reply = gateway.post("/v1/chat/completions", chat(stream)).await;
        assert_eq!(reply.header("x-uat-model"), Some("m"));
        assert_eq!(reply.header("x-uat-endpoint"), Some("fake"));
        assert_eq!(reply.header("x-uat-attempts"), Some("1"));
        assert_eq!(reply.header("x-uat-cache"), Some("bypass"));
        assert!(reply.header("x-uat-overhead-us").unwrap().parse::<u64>().unwrap() < 1_000_000);
        assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    }
}

#[tokio::test]
async fn the_clients_own_request_id_is_kept() {
    let gateway = Gateway::start().await;
    for (sent, kept) in [("trace-7", true), ("two words", false)] {
        for path in ["/v1/models", "/nowhere"] {
            let request = hyper::Request::get(path).header("x-request-id", sent);
            let reply = gateway.send(request).await;
            assert_eq!(reply.header("x-request-id") == Some(sent), kept, "{sent} at {path}");
        }
        for body in [chat(false), chat(true), "{".to_owned()] {
            let request = hyper::Request::post("/v1/chat/completions").header("x-request-id", sent);
            let reply = Exchange::begin(gateway.addr, request, body.into()).await.whole().await;
            assert_eq!(reply.header("x-request-id") == Some(sent), kept, "{sent}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn unknown_fields_reach_the_provider() {
    let gateway = Gateway::start().await;
    let body = chat_with(json!({ "top_k": 7, "custom": { "deep": [1.50, null] } }));
    gateway.post("/v1/chat/completions", body).await;
    let seen = gateway.provider.requests()[0].json();
    assert_eq!(seen["model"], "upstream-m");
    assert_eq!(seen["top_k"], 7);
    assert_eq!(seen["custom"], json!({ "deep": [1.50, null] }));
}

#[tokio::test]
async fn a_stream_is_complete_and_ends_with_done() {
    let gateway = Gateway::start().await;
    let answer = Answer::tokens(50);
    gateway.provider.set_default(Behaviour::Answer(answer.clone()));
    let reply = gateway.post("/v1/chat/completions", chat(true)).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.streamed_text(), answer.full_text());
    assert!(reply.body.ends_with("\n\ndata: [DONE]\n\n"), "{}", reply.body);
}

#[tokio::test]
async fn an_ollama_client_streams_unless_it_says_otherwise() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::text("The sky is blue.")));
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "why" }] }).to_string();
    let reply = gateway.post("/api/chat", body.clone()).await;
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(text, "The sky is blue.");
    assert!(lines.iter().rev().skip(1).all(|line| line["done"] == false));
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["done"], &last["done_reason"], &last["model"]),
        (&json!(true), &json!("stop"), &json!("m"))
    );
    assert!(last["total_duration"].as_u64().unwrap() > 0);

    let reply = gateway.post("/api/chat", body.replacen('{', "{\"stream\":false,", 1)).await;
    assert_eq!(reply.json()["message"]["content"], "The sky is blue.");
    assert_eq!(reply.json()["done"], true);
}

#[tokio::test]
async fn models_are_listed_in_both_dialects() {
    let gateway = Gateway::start().await;
    let list = gateway.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    assert_eq!((&list["data"][0]["id"], &list["data"][0]["owned_by"]), (&json!("m"), &json!("fake")));
    let one = gateway.get("/v1/models/m").await;
    assert_eq!((one.status, &one.json()["object"]), (200, &json!("model")));
    assert_eq!(gateway.get("/api/tags").await.json()["models"][0]["name"], "m");
    assert!(gateway.get("/api/version").await.json()["version"].is_string());
}

#[tokio::test]
async fn a_fault_before_the_first_content_is_an_honest_status() {
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        gateway.provider.set_default(Behaviour::status(500));
        let reply = gateway.post("/v1/chat/completions", chat(stream)).await;
        assert_eq!(reply.status, 502, "{}", reply.body);
        let error = &reply.json()["error"];
        assert_eq!((&error["type"], &error["retryable"]), (&json!("server_error"), &json!(true)));
        assert_eq!(reply.header("x-uat-code"), error["uat_code"].as_str());
    }
}

#[tokio::test]
async fn a_stream_that_fails_after_content_ends_in_an_error_and_without_done() {
    let gateway = Gateway::start().await;
    let answer = Answer::tokens(20);
    gateway.provider.set_default(Behaviour::CutAfter { chunks: 5, answer: answer.clone() });
    let reply = gateway.post("/v1/chat/completions", chat(true)).await;
    assert_eq!(reply.status, 200);
    assert!(answer.full_text().starts_with(&reply.streamed_text()) && !reply.streamed_text().is_empty());
    assert!(reply.body.contains("event: error\ndata: {\"error\":"), "{}", reply.body);
    assert!(!reply.body.contains("[DONE]"));
    assert_eq!(reply.events().last().unwrap()["error"]["uat_code"], "UAT_UPSTREAM");

    let reply = gateway.post("/api/chat", chat(true)).await;
    let last: Value = serde_json::from_str(reply.body.lines().last().unwrap()).unwrap();
    assert!(last["error"].is_string(), "{}", reply.body);
}

#[tokio::test]
async fn a_long_wait_for_the_first_content_is_bridged_with_comments() {
    let gateway = Gateway::with(json!({ "hold_ms": 20 })).await;
    let slow = Answer::text("late").first_token_after(std::time::Duration::from_millis(200));
    gateway.provider.set_default(Behaviour::Answer(slow));
    let mut exchange = gateway.stream("/v1/chat/completions", chat(true)).await;
    assert_eq!(exchange.response.status(), 200);
    assert_eq!(exchange.next().await.as_deref(), Some(": keep-alive\n\n"));
    let reply = exchange.whole().await;
    assert_eq!(reply.streamed_text(), "late");
    assert!(reply.body.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_failure_after_the_wait_was_bridged_is_an_error_event() {
    let gateway = Gateway::with(json!({ "hold_ms": 20 })).await;
    gateway.provider.set_default(Behaviour::Hang);
    let exchange = gateway.stream("/v1/chat/completions", chat(true)).await;
    assert_eq!(exchange.response.status(), 200);
    // The provider goes away while its answer is awaited.
    gateway.provider.shutdown().await;
    let reply = exchange.whole().await;
    assert!(reply.body.starts_with(": keep-alive\n\n"), "{}", reply.body);
    assert!(reply.body.contains("event: error\ndata: {\"error\":"), "{}", reply.body);
    assert!(!reply.body.contains("[DONE]"));
}

#[tokio::test]
async fn an_answer_without_a_stream_waits_as_long_as_it_takes() {
    let gateway = Gateway::with(json!({ "hold_ms": 20 })).await;
    let slow = Answer::text("late").first_token_after(std::time::Duration::from_millis(100));
    gateway.provider.set_default(Behaviour::Answer(slow));
    let reply = gateway.post("/v1/chat/completions", chat(false)).await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "late");
}

#[tokio::test]
async fn health_and_metrics_follow_what_happens() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.get("/health/live").await.json()["status"], "ok");
    let ready = gateway.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["endpoints"][0]["endpoint"]), (200, &json!("fake")));
    assert!(gateway.get("/").await.body.contains("/v1"));

    gateway.post("/v1/chat/completions", chat(true)).await;
    gateway.provider.set_default(Behaviour::status(503));
    gateway.post("/v1/chat/completions", chat(false)).await;
    assert_eq!(gateway.metric("uat_requests_total").await, 2.0);
    assert_eq!(gateway.metric("uat_errors_total").await, 1.0);
    assert_eq!(gateway.metric("uat_in_flight").await, 0.0);
    assert_eq!(gateway.metric("uat_http_responses_total{class=\"5xx\"}").await, 1.0);
    assert!(gateway.metric("uat_overhead_seconds{quantile=\"0.5\"}").await > 0.0);
}

#[tokio::test]
async fn the_endpoints_are_told_with_their_history() {
    let gateway = Gateway::start().await;
    let endpoints = async || gateway.get("/v1/endpoints").await.json()["endpoints"].clone();
    let fake = endpoints().await[0].clone();
    assert_eq!((&fake["endpoint"], &fake["state"]), (&json!("fake"), &json!("healthy")));
    assert_eq!((&fake["inFlight"], &fake["queued"], &fake["history"]), (&json!(0), &json!(0), &json!([])));

    gateway.provider.set_default(Behaviour::status(401));
    gateway.post("/v1/chat/completions", chat(false)).await;
    let fake = endpoints().await[0].clone();
    assert_eq!(fake["state"], "quarantined");
    let change = &fake["history"][0];
    assert_eq!((&change["from"], &change["to"]), (&json!("healthy"), &json!("quarantined")));
    assert_eq!(change["reason"], "status 401 (UAT_UNAUTHORIZED)");
    assert!(change["atMs"].as_u64().is_some_and(|ms| ms > 1_600_000_000_000), "{change}");
}
