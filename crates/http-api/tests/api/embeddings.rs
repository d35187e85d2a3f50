use serde_json::{Value, json};
use testkit::{Answer, Behaviour, Vectors};

use crate::support::{Gateway, Reply, chat};

/// The vectors that the fake provider makes of `@` and `A`, in two dimensions.
const VECTORS: [[f64; 2]; 2] = [[0.25, 0.25], [0.253_906_25, 0.253_906_25]];

async fn gateway() -> Gateway {
    let gateway = Gateway::start().await;
    let shape = Vectors { dimensions: 2, ..Vectors::default() };
    gateway.provider.set_default(Behaviour::Vectors(shape));
    gateway
}

async fn post(gateway: &Gateway, path: &str, body: Value) -> Reply {
    gateway.post(path, body.to_string()).await
}

#[tokio::test]
async fn an_openai_client_gets_a_vector_for_each_input_with_the_headers_of_a_chat() {
    let gateway = gateway().await;
    let body = json!({ "model": "m", "input": ["@", "A"], "user": "u", "custom": [1.50] });
    let reply = post(&gateway, "/v1/embeddings", body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer = reply.json();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["data"][1]["embedding"], json!(VECTORS[1]));
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 14, "total_tokens": 14 }));
    assert_eq!((reply.header("x-uat-model"), reply.header("x-uat-endpoint")), (Some("m"), Some("fake")));
    assert_eq!(reply.header("x-uat-attempts"), Some("1"));
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    let seen = gateway.provider.requests()[0].json();
    assert_eq!((&seen["model"], &seen["custom"]), (&json!("upstream-m"), &json!([1.50])));
    assert_eq!(gateway.metric("uat_requests_total").await, 1.0);
}

#[tokio::test]
async fn base64_is_what_a_client_gets_that_asks_for_it() {
    let gateway = gateway().await;
    for base64 in [None, Some(false)] {
        gateway.provider.set_default(Behaviour::Vectors(Vectors { dimensions: 2, base64, missing: 0 }));
        let body = json!({ "model": "m", "input": "@", "encoding_format": "base64" });
        let reply = post(&gateway, "/v1/embeddings", body).await;
        assert_eq!(reply.json()["data"][0]["embedding"], "AACAPgAAgD4=");
    }
}

#[tokio::test]
async fn ollama_clients_get_their_shape_on_both_paths() {
    let gateway = gateway().await;
    let body = json!({ "model": "m", "input": ["@", "A"], "keep_alive": "5m", "options": { "num_ctx": 64 } });
    let reply = post(&gateway, "/api/embed", body).await;
    let answer = reply.json();
    assert_eq!((&answer["model"], &answer["embeddings"]), (&json!("m"), &json!(VECTORS)));
    assert_eq!(answer["prompt_eval_count"], 14);
    assert!(answer["total_duration"].as_u64().unwrap() > 0);
    assert_eq!(reply.header("x-uat-endpoint"), Some("fake"));
    let older = post(&gateway, "/api/embeddings", json!({ "model": "m", "prompt": "A" })).await;
    assert_eq!(older.json(), json!({ "embedding": VECTORS[1] }));
}

#[tokio::test]
async fn bad_input_is_refused_by_the_name_of_its_field_before_anybody_is_asked() {
    let gateway = gateway().await;
    let check = async |body: &str, param: Option<&str>, words: &str| {
        let reply = gateway.post("/v1/embeddings", body.to_owned()).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        let error = reply.json()["error"].clone();
        assert_eq!((error["param"].as_str(), &error["code"]), (param, &json!("invalid_value")), "{error}");
        assert_eq!(reply.header("x-uat-code"), Some("UAT_INVALID_INPUT"));
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    };
    let with = |fields: Value| {
        let mut body = json!({ "model": "m", "input": "a" });
        for (key, value) in fields.as_object().unwrap() {
            body[key] = value.clone();
        }
        body.to_string()
    };
    check(&with(json!({ "input": "" })), Some("input"), "not empty").await;
    check(&with(json!({ "input": [] })), Some("input"), "empty array").await;
    check(&with(json!({ "input": ["a", ""] })), Some("input[1]"), "not empty").await;
    check(&with(json!({ "input": ["a", 7] })), Some("input[1]"), "got 7").await;
    check(&with(json!({ "input": vec!["a"; 2049] })), Some("input"), "2049").await;
    check(&with(json!({ "dimensions": 0 })), Some("dimensions"), "from 1").await;
    check(&with(json!({ "encoding_format": "int8" })), Some("encoding_format"), "float or base64").await;
    check(r#"{"model":"m","input":NaN}"#, Some("input"), "NaN is not JSON").await;
    check(r#"{"model":"m","input":[1,NaN]}"#, Some("input[1]"), "NaN is not JSON").await;
    check("", None, "JSON").await;
    assert!(gateway.provider.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn ollama_clients_are_refused_in_their_own_words() {
    let gateway = gateway().await;
    let check = async |path: &str, body: Value, status: u16, words: &str| {
        let reply = post(&gateway, path, body).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(reply.json()["error"].as_str().unwrap().contains(words), "{}", reply.body);
    };
    check("/api/embed", json!({ "model": "m", "input": "a", "truncate": true }), 400, "truncate").await;
    check("/api/embed", json!({ "model": "m" }), 400, "input").await;
    check("/api/embed", json!({ "model": "nope", "input": "a" }), 404, "nope").await;
    check("/api/embeddings", json!({ "model": "m", "prompt": "" }), 400, "prompt").await;
    assert!(gateway.provider.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn the_limits_and_failures_are_those_of_a_chat() {
    let gateway = Gateway::with(json!({ "max_body_mb": 1 })).await;
    let large = json!({ "model": "m", "input": "x".repeat(1 << 20) });
    for path in ["/v1/embeddings", "/api/embed"] {
        assert_eq!(post(&gateway, path, large.clone()).await.status, 413);
        assert_eq!(gateway.get(path).await.status, 405);
    }
    gateway.provider.set_default(Behaviour::status(500));
    let reply = post(&gateway, "/v1/embeddings", json!({ "model": "m", "input": "a" })).await;
    assert_eq!((reply.status, reply.header("x-uat-code")), (502, Some("UAT_UPSTREAM")));
    gateway.provider.set_default(Behaviour::rate_limited(7));
    let reply = post(&gateway, "/api/embed", json!({ "model": "m", "input": "a" })).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")), "{}", reply.body);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_question_with_it() {
    let gateway = gateway().await;
    gateway.provider.set_default(Behaviour::Hang);
    let body = json!({ "model": "m", "input": "a" }).to_string();
    tokio::select! {
        reply = gateway.post("/v1/embeddings", body) => panic!("unexpected: {}", reply.body),
        seen = gateway.provider.wait_for_requests(1) => { seen.unwrap(); }
    }
    gateway.provider.wait_for_disconnect(crate::support::PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_chat_beside_embeddings_is_answered_as_ever() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    let (embedded, chatted) = tokio::join!(
        post(&gateway, "/v1/embeddings", json!({ "model": "m", "input": "a" })),
        gateway.post("/v1/chat/completions", chat(false)),
    );
    assert_eq!((embedded.status, chatted.status), (200, 200));
}
