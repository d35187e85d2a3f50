use serde_json::{Value, json};
use testkit::{Answer, Behaviour};

use crate::support::{Exchange, Gateway};

fn asked(fields: Value) -> String {
    let mut body = json!({ "model": "m", "input": "hello" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn a_response_is_made_of_a_chat() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    let body = asked(json!({ "instructions": "Be brief.", "max_output_tokens": 20, "store": true }));
    let request = hyper::Request::post("/v1/responses").header("x-request-id", "req_7");
    let reply = Exchange::begin(gateway.addr, request, body.into()).await.whole().await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("application/json")),
        "{}",
        reply.body
    );
    assert_eq!(reply.header("x-uat-endpoint"), Some("fake"));
    assert_eq!(reply.header("x-uat-dropped"), Some("store"));
    let response = reply.json();
    assert_eq!(
        (&response["id"], &response["object"], &response["status"], &response["store"]),
        (&json!("resp_7"), &json!("response"), &json!("completed"), &json!(false))
    );
    assert_eq!(response["output"][0]["content"][0]["text"], "Four.");
    assert!(response["usage"]["output_tokens"].as_u64().unwrap() > 0);

    let seen = gateway.provider.requests()[0].json();
    assert_eq!(seen["model"], "upstream-m");
    assert_eq!(
        seen["messages"],
        json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "hello" }])
    );
    assert_eq!((&seen["max_completion_tokens"], seen.get("store")), (&json!(20), None));
}

#[tokio::test]
async fn a_response_is_streamed_as_numbered_events() {
    let gateway = Gateway::start().await;
    let answer = Answer::tokens(50);
    gateway.provider.set_default(Behaviour::Answer(answer.clone()));
    let reply = gateway.post("/v1/responses", asked(json!({ "stream": true }))).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = reply.events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
        assert!(reply.body.contains(&format!("event: {}\n", event["type"].as_str().unwrap())));
    }
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(text, answer.full_text());
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], json!(answer.full_text()));
    assert!(last["response"]["usage"]["total_tokens"].as_u64().unwrap() > 0, "{last}");
    assert!(!reply.body.contains("[DONE]"));
}

#[tokio::test]
async fn a_stream_that_fails_after_content_ends_as_a_failed_response() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::CutAfter { chunks: 5, answer: Answer::tokens(20) });
    let reply = gateway.post("/v1/responses", asked(json!({ "stream": true }))).await;
    assert_eq!(reply.status, 200);
    let events = reply.events();
    let [.., error, failed] = events.as_slice() else { panic!("{}", reply.body) };
    assert_eq!((&error["type"], &error["uat_code"]), (&json!("error"), &json!("UAT_UPSTREAM")));
    assert_eq!(
        (&failed["type"], &failed["response"]["status"]),
        (&json!("response.failed"), &json!("failed"))
    );
    assert_eq!(failed["response"]["error"]["code"], "server_error");
    assert_ne!(failed["response"]["output"][0]["content"][0]["text"], "");
}

#[tokio::test]
async fn a_failure_after_the_wait_was_bridged_is_a_failed_response() {
    let gateway = Gateway::with(json!({ "hold_ms": 20 })).await;
    gateway.provider.set_default(Behaviour::Hang);
    let exchange = gateway.stream("/v1/responses", asked(json!({ "stream": true }))).await;
    assert_eq!(exchange.response.status(), 200);
    gateway.provider.shutdown().await;
    let reply = exchange.whole().await;
    assert!(reply.body.starts_with(": keep-alive\n\n"), "{}", reply.body);
    let events = reply.events();
    let names: Vec<_> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(names, ["response.created", "response.in_progress", "error", "response.failed"]);
}

#[tokio::test]
async fn what_would_have_to_be_stored_is_refused_by_name() {
    let gateway = Gateway::start().await;
    for (fields, param) in [
        (json!({ "previous_response_id": "resp_1" }), "previous_response_id"),
        (json!({ "background": true }), "background"),
        (json!({ "tools": [{ "type": "web_search" }] }), "tools[0].type"),
        (json!({ "max_output_tokens": 0 }), "max_output_tokens"),
    ] {
        let reply = gateway.post("/v1/responses", asked(fields)).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["param"]), (400, &json!(param)), "{error}");
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("invalid_request_error"), &json!("invalid_value"))
        );
    }
    assert!(gateway.provider.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_response_cannot_be_read_again() {
    let gateway = Gateway::start().await;
    for request in [
        hyper::Request::get("/v1/responses/resp_1"),
        hyper::Request::delete("/v1/responses/resp_1"),
        hyper::Request::get("/v1/responses/resp_1/input_items"),
    ] {
        let reply = gateway.send(request).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["code"]), (404, &json!("not_stored")), "{error}");
        assert!(error["message"].as_str().unwrap().contains("resp_1"), "{error}");
    }
    let reply = gateway.get("/v1/responses").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn an_unknown_model_is_told_in_openais_shape() {
    let gateway = Gateway::start().await;
    let reply = gateway.post("/v1/responses", asked(json!({ "model": "M", "stream": true }))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("model_not_found")));
}
