//! `/openapi.json` against what the server really answers.

use hyper::Request;
use serde_json::{Value, json};
use testkit::Behaviour;

use crate::support::{Exchange, Gateway, Reply, chat, chat_with};

pub(crate) struct Description(Value);

impl Description {
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        let reply = gateway.get("/openapi.json").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        Self(reply.json())
    }

    /// The answer is one that is described at the path's pattern.
    #[track_caller]
    pub(crate) fn check(&self, method: &str, pattern: &str, reply: &Reply) {
        let what = format!("{method} {pattern} {}: {}", reply.status, reply.body);
        let responses = &self.0["paths"][pattern][method]["responses"];
        assert!(responses.is_object(), "{what} is not described");
        let described = &responses[reply.status.to_string()];
        assert!(described.is_object(), "the status is not described: {what}");
        let media = reply.header("content-type").unwrap().split(';').next().unwrap();
        let content = &described["content"][media];
        assert!(content.is_object(), "{media} is not described: {what}");
        for (name, _) in reply.headers.iter().filter(|(name, _)| is_ours(name.as_str())) {
            assert!(described["headers"][name.as_str()].is_object(), "{name} is not described: {what}");
        }
        assert!(reply.header("x-request-id").is_some(), "{what}");
        if media == "application/json" {
            let mut schema = content["schema"].clone();
            schema["components"] = self.0["components"].clone();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let document = reply.json();
            let errors: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| format!("{error} at {}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{errors:?} in {what}");
        }
    }

    async fn post(&self, gateway: &Gateway, pattern: &str, body: Value, status: u16) {
        let reply = gateway.post(&pattern.replace("{model}", "m"), body.to_string()).await;
        assert_eq!(reply.status, status, "{pattern}: {}", reply.body);
        self.check("post", pattern, &reply);
    }

    async fn get(&self, gateway: &Gateway, pattern: &str, path: &str, status: u16) {
        let reply = gateway.get(path).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        self.check("get", pattern, &reply);
    }
}

fn is_ours(header: &str) -> bool {
    header.starts_with("x-uat-") || header == "retry-after"
}

/// A request of each operation that asks a model.
fn requests() -> Vec<(&'static str, Value)> {
    let chat: Value = serde_json::from_str(&chat(false)).unwrap();
    let contents = json!([{ "role": "user", "parts": [{ "text": "hello" }] }]);
    let content = json!({ "parts": [{ "text": "hello" }] });
    vec![
        ("/v1/chat/completions", chat.clone()),
        ("/v1/responses", json!({ "model": "m", "input": "hello" })),
        ("/v1/embeddings", json!({ "model": "m", "input": ["a", "b"] })),
        ("/v1/messages", json!({ "model": "m", "max_tokens": 9, "messages": chat["messages"] })),
        ("/v1beta/models/{model}:generateContent", json!({ "contents": contents })),
        ("/v1beta/models/{model}:streamGenerateContent", json!({ "contents": contents })),
        ("/v1beta/models/{model}:embedContent", json!({ "content": content })),
        (
            "/v1beta/models/{model}:batchEmbedContents",
            json!({ "requests": [{ "model": "models/m", "content": content }] }),
        ),
        ("/api/chat", json!({ "model": "m", "stream": false, "messages": chat["messages"] })),
        ("/api/generate", json!({ "model": "m", "stream": false, "prompt": "hello" })),
        ("/api/embed", json!({ "model": "m", "input": "hello" })),
        ("/api/embeddings", json!({ "model": "m", "prompt": "hello" })),
    ]
}

#[tokio::test]
async fn whole_answers_are_as_described() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    for (pattern, body) in requests() {
        description.post(&gateway, pattern, body, 200).await;
    }
    let count = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    description.post(&gateway, "/v1/messages/count_tokens", count, 200).await;
    description.post(&gateway, "/api/show", json!({ "model": "m" }), 200).await;
}

#[tokio::test]
async fn streams_are_as_described() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    for (pattern, body) in requests() {
        let mut body = body;
        match pattern {
            "/v1/chat/completions" | "/v1/responses" | "/v1/messages" | "/api/chat" | "/api/generate" => {
                body["stream"] = json!(true);
            }
            _ => continue,
        }
        description.post(&gateway, pattern, body, 200).await;
    }
    let events = "/v1beta/models/{model}:streamGenerateContent";
    let (_, body) = requests().into_iter().find(|(pattern, _)| *pattern == events).unwrap();
    let reply = gateway.post(&format!("{}?alt=sse", events.replace("{model}", "m")), body.to_string()).await;
    description.check("post", events, &reply);
}

#[tokio::test]
async fn what_is_there_to_read_is_as_described() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    let asked = Request::post("/v1/chat/completions").header("x-request-id", "asked");
    Exchange::begin(gateway.addr, asked, chat(false).into()).await.whole().await;
    for (pattern, path, status) in [
        ("/", "/", 200),
        ("/v1/models", "/v1/models", 200),
        ("/v1/models/{id}", "/v1/models/m", 200),
        ("/v1/models/{id}", "/v1/models/nope", 404),
        ("/v1/responses/{id}", "/v1/responses/resp_1", 404),
        ("/v1/endpoints", "/v1/endpoints", 200),
        ("/v1/routing/{request_id}", "/v1/routing/asked", 200),
        ("/v1/routing/{request_id}", "/v1/routing/nope", 404),
        ("/api/ps", "/api/ps", 200),
        ("/api/tags", "/api/tags", 200),
        ("/api/version", "/api/version", 200),
        ("/health/live", "/health/live", 200),
        ("/health/ready", "/health/ready", 200),
        ("/metrics", "/metrics", 200),
        ("/openapi.json", "/openapi.json", 200),
    ] {
        description.get(&gateway, pattern, path, status).await;
    }
    for (pattern, path) in [("/v1/models", "/v1/models"), ("/v1/models/{id}", "/v1/models/m")] {
        let reply = gateway.send(Request::get(path).header("anthropic-version", "2023-06-01")).await;
        description.check("get", pattern, &reply);
    }
    let asked = Request::post("/v1/chat/completions").header("x-request-id", "routed");
    Exchange::begin(gateway.addr, asked, chat_with(json!({ "model": "auto" })).into()).await.whole().await;
    description.get(&gateway, "/v1/routing/{request_id}", "/v1/routing/routed?record", 200).await;
    for status in [200, 409] {
        let reply = gateway.post("/v1/routing/routed/feedback", r#"{"score":0.5}"#).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        description.check("post", "/v1/routing/{request_id}/feedback", &reply);
    }
    let deleted = gateway.send(Request::delete("/v1/responses/resp_1")).await;
    description.check("delete", "/v1/responses/{id}", &deleted);
}

#[tokio::test]
async fn errors_are_as_described_in_every_dialect() {
    let gateway = Gateway::with(json!({ "max_body_mb": 1 })).await;
    let description = Description::of(&gateway).await;
    let failing = |code| Behaviour::Status { code, headers: Vec::new(), body: None };
    for (pattern, body) in requests() {
        description.post(&gateway, pattern, json!([]), 400).await;
        description.post(&gateway, pattern, json!("x".repeat(2 << 20)), 413).await;
        for status in [429, 500] {
            // Each would otherwise pause the endpoint for the next.
            let gateway = Gateway::start().await;
            gateway.provider.set_default(failing(status));
            let reply = gateway.post(&pattern.replace("{model}", "m"), body.to_string()).await;
            assert!(matches!(reply.status, 429 | 502 | 503), "{pattern}: {} {}", reply.status, reply.body);
            description.check("post", pattern, &reply);
        }
        let mut unknown = body.clone();
        unknown["model"] = json!("nope");
        let reply = gateway.post(&pattern.replace("{model}", "nope"), unknown.to_string()).await;
        assert_eq!(reply.status, 404, "{pattern}: {}", reply.body);
        description.check("post", pattern, &reply);

        let path = pattern.replace("{model}", "m");
        let port = gateway.addr.port();
        let foreign = Request::post(&path).header("host", format!("evil.example:{port}"));
        let reply = Exchange::begin(gateway.addr, foreign, body.to_string().into()).await.whole().await;
        assert_eq!(reply.status, 421);
        description.check("post", pattern, &reply);
        let foreign = Request::post(&path).header("origin", "https://evil.example");
        let reply = Exchange::begin(gateway.addr, foreign, body.to_string().into()).await.whole().await;
        assert_eq!(reply.status, 403);
        description.check("post", pattern, &reply);
    }
}

#[tokio::test]
async fn a_late_answer_is_as_described() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    gateway.provider.set_default(Behaviour::Hang);
    for (pattern, body) in requests() {
        let hurried = Request::post(pattern.replace("{model}", "m")).header("x-uat-timeout-ms", "20");
        let reply = Exchange::begin(gateway.addr, hurried, body.to_string().into()).await.whole().await;
        assert_eq!(reply.status, 504, "{pattern}: {}", reply.body);
        description.check("post", pattern, &reply);
    }
}

#[tokio::test]
async fn a_refusal_of_the_endpoint_keeps_its_status_within_the_range_that_is_described() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    gateway.provider.set_default(Behaviour::Status { code: 422, headers: Vec::new(), body: None });
    let reply = gateway.post("/v1/chat/completions", chat_with(json!({}))).await;
    assert_eq!(reply.status, 422, "{}", reply.body);
    let responses = &description.0["paths"]["/v1/chat/completions"]["post"]["responses"];
    assert!(responses["4XX"].is_object() && responses["422"].is_null());
}

#[tokio::test]
async fn the_described_methods_are_those_that_there_are() {
    let gateway = Gateway::start().await;
    let description = Description::of(&gateway).await;
    for (pattern, methods) in description.0["paths"].as_object().unwrap() {
        let path = pattern
            .replace("{model}", "m")
            .replace("{id}", "m")
            .replace("{request_id}", "r")
            .replace("{name}", "n");
        for method in ["get", "post", "put", "delete", "patch"] {
            let request = Request::builder().method(method.to_ascii_uppercase().as_str()).uri(&path);
            let reply =
                Exchange::begin(gateway.addr, request, bytes::Bytes::from_static(b"{}")).await.whole().await;
            let is_described = methods[method].is_object();
            assert_eq!(is_described, reply.status != 405, "{method} {path}: {} {}", reply.status, reply.body);
            assert!(reply.status != 405 || reply.header("allow").is_some());
        }
    }
}
