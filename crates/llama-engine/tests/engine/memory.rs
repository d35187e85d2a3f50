//! What models take, and when they leave.

use std::fs;

use http::StatusCode;
use serde_json::json;

use crate::harness::{Engine, MODEL, model_file, until};

#[tokio::test]
async fn the_projection_is_what_the_model_then_takes_and_loads_nothing() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let (status, projected) = client.ask("/v1/memory", json!({"model": MODEL})).await;
    assert_eq!(status, StatusCode::OK, "{projected}");
    assert_eq!(engine.stats().await["models"], json!([]));
    client.answer(json!({"max_tokens": 1})).await;
    assert_eq!(engine.stats().await["models"][0]["memory_bytes"], projected["total"]);
    let (_, smaller) =
        client.ask("/v1/memory", json!({"model": MODEL, "kv_type": "q8_0", "context_tokens": 2048})).await;
    assert!(smaller["cache"].as_u64() < projected["cache"].as_u64());
    let (status, body) = client.ask("/v1/memory", json!({"model": MODEL, "kv": "q8_0"})).await;
    assert_eq!(
        (status, body["error"]["uat_code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("UAT_INVALID_INPUT"))
    );
}

#[tokio::test]
async fn a_model_that_does_not_fit_is_refused_before_it_is_loaded() {
    let engine = Engine::start(&["--memory-mb", "200"]).await;
    let mut client = engine.client().await;
    let (status, body) = client.chat(json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let message = body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("engine.memory_mb") && message.contains("200 MiB"), "{message}");
    assert_eq!(body["error"]["uat_code"], "UAT_ENGINE_UNAVAILABLE");
    assert_eq!(engine.stats().await["models"], json!([]));
}

#[tokio::test]
async fn where_two_models_do_not_fit_the_one_that_nobody_uses_leaves() {
    let engine = Engine::start(&["--memory-mb", "600"]).await;
    let mut client = engine.client().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other = folder.path().join("other.gguf");
    fs::copy(model_file(), &other).expect("copies");
    let other = other.to_str().expect("UTF-8");
    client.answer(json!({"max_tokens": 1})).await;
    client.answer(json!({"max_tokens": 1, "model": other})).await;
    let models = engine.stats().await["models"].clone();
    assert_eq!(models.as_array().map(Vec::len), Some(1), "{models}");
    assert_eq!(models[0]["name"], other);
    client.answer(json!({"max_tokens": 1})).await;
    assert_eq!(engine.stats().await["models"][0]["name"], MODEL);
}

#[tokio::test]
async fn a_model_whose_memory_is_asked_back_leaves() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let unload = json!({"model": MODEL});
    let (status, body) = client.ask("/v1/models/unload", unload.clone()).await;
    assert_eq!((status, &body["unloaded"]), (StatusCode::OK, &json!(true)), "it is not in memory");
    client.answer(json!({"max_tokens": 1})).await;
    // The answer is there before its place is free.
    until("it has left", async || {
        client.ask("/v1/models/unload", unload.clone()).await.1["unloaded"] == true
    })
    .await;
    assert_eq!(engine.stats().await["models"], json!([]));
    client.answer(json!({"max_tokens": 1})).await;
    assert_eq!(engine.stats().await["models"][0]["name"], MODEL, "the next request loads it again");
    let (status, body) = client.ask("/v1/models/unload", json!({"modle": MODEL})).await;
    assert_eq!(
        (status, body["error"]["uat_code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("UAT_INVALID_INPUT"))
    );
}

#[tokio::test]
async fn a_model_in_use_is_not_unloaded() {
    let engine = Engine::start(&["--memory-mb", "600"]).await;
    let (mut uses, mut wants) = (engine.client().await, engine.client().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other = folder.path().join("other.gguf");
    fs::copy(model_file(), &other).expect("copies");
    let messages = json!([{"role": "user", "content": "Count from 1 to 5000, one number per line: 1"}]);
    let mut stream = uses.stream(json!({"messages": messages, "max_tokens": 7000})).await;
    stream.next().await.expect("it runs");
    let (status, body) = wants.chat(json!({"model": other.to_str().expect("UTF-8")})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let (_, body) = wants.ask("/v1/models/unload", json!({"model": MODEL})).await;
    assert_eq!(body["unloaded"], false);
    assert!(stream.next().await.is_some(), "the stream goes on");
}

#[tokio::test]
async fn a_model_that_nobody_asks_leaves_memory_and_comes_back() {
    let engine = Engine::start(&["--unload-after-s", "1"]).await;
    let mut client = engine.client().await;
    client.answer(json!({"max_tokens": 1})).await;
    assert!(engine.stats().await["models"][0]["expires_ms"].as_u64() <= Some(1000));
    until("the model has left", async || engine.stats().await["models"] == json!([])).await;
    assert!(!client.answer(json!({"max_tokens": 2})).await.0.is_empty());
}
