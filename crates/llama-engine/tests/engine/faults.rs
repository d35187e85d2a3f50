//! What bad input gets: a typed error, from an engine that lives on.

use std::fs::{self, OpenOptions};
use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Engine, model_file};

async fn check(client: &mut Client, fields: Value, status: StatusCode, code: &str, says: &[&str]) {
    let (got, body) = client.chat(fields).await;
    let error = &body["error"];
    assert_eq!((got, error["uat_code"].as_str()), (status, Some(code)), "{body}");
    let message = error["message"].as_str().expect("a message");
    for part in says {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    assert!(error["retryable"].is_boolean() && error["type"].is_string());
}

async fn still_answers(client: &mut Client) {
    assert!(!client.answer(json!({"max_tokens": 4})).await.0.is_empty());
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_refused_with_both_counts() {
    let engine = Engine::start(&["--ctx", "64"]).await;
    let mut client = engine.client().await;
    let messages = json!([{"role": "user", "content": "word ".repeat(500)}]);
    let says = ["64 tokens", "the prompt has 5"];
    check(
        &mut client,
        json!({"messages": messages}),
        StatusCode::BAD_REQUEST,
        "UAT_CONTEXT_LENGTH_EXCEEDED",
        &says,
    )
    .await;
    let (_, body) = client.chat(json!({"messages": messages})).await;
    assert_eq!(body["error"]["code"], "context_length_exceeded");
    still_answers(&mut client).await;
}

#[tokio::test]
async fn damaged_files_are_named_and_the_engine_lives() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let model = |path: &Path| json!({"model": path.to_str().expect("UTF-8")});

    let truncated = path("truncated.gguf");
    fs::copy(model_file(), &truncated).expect("copies");
    let file = OpenOptions::new().write(true).open(&truncated).expect("opens");
    let length = file.metadata().expect("has a length").len();
    for kept in [length - 1, length / 2, 1000, 3, 0] {
        file.set_len(kept).expect("truncates");
        let fields = model(&truncated);
        check(
            &mut client,
            fields,
            StatusCode::INTERNAL_SERVER_ERROR,
            "UAT_CORRUPT_VALUE",
            &["truncated.gguf"],
        )
        .await;
    }

    let noise = path("noise.gguf");
    fs::write(
        &noise,
        (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>(),
    )
    .expect("writes");
    check(
        &mut client,
        model(&noise),
        StatusCode::INTERNAL_SERVER_ERROR,
        "UAT_CORRUPT_VALUE",
        &["noise.gguf", "GGUF"],
    )
    .await;
    still_answers(&mut client).await;
}

#[tokio::test]
async fn a_file_that_was_repaired_is_loaded_by_the_next_request() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("m.gguf");
    fs::write(&path, "not yet").expect("writes");
    let fields = json!({"model": path.to_str().expect("UTF-8"), "max_tokens": 4});
    check(&mut client, fields.clone(), StatusCode::INTERNAL_SERVER_ERROR, "UAT_CORRUPT_VALUE", &["m.gguf"])
        .await;
    fs::remove_file(&path).expect("removes");
    fs::copy(model_file(), &path).expect("copies");
    assert_eq!(client.chat(fields).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_model_of_an_unknown_architecture_or_without_a_chat_template_is_refused() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("changed.gguf");
    let changed = |old: &[u8], new: &[u8]| {
        assert_eq!(old.len(), new.len());
        let mut bytes = fs::read(model_file()).expect("reads");
        let at = bytes.windows(old.len()).position(|window| window == old).expect("occurs");
        bytes[at..at + old.len()].copy_from_slice(new);
        // Never written in place: the engine may have the last one mapped.
        let fresh = folder.path().join("fresh");
        fs::write(&fresh, bytes).expect("writes");
        fs::rename(&fresh, &path).expect("renames");
        json!({"model": path.to_str().expect("UTF-8")})
    };
    let fields = changed(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lxxxx");
    check(
        &mut client,
        fields,
        StatusCode::INTERNAL_SERVER_ERROR,
        "UAT_ENGINE_UNAVAILABLE",
        &["changed.gguf", "\"lxxxx\"", "too old"],
    )
    .await;
    let fields = changed(b"tokenizer.chat_template", b"tokenizer.chat_tempXXXX");
    check(
        &mut client,
        fields,
        StatusCode::BAD_REQUEST,
        "UAT_INVALID_INPUT",
        &["changed.gguf", "chat template"],
    )
    .await;
    still_answers(&mut client).await;
}

#[tokio::test]
async fn a_model_that_is_not_there_says_how_to_get_it() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let cases = [
        ("smollm2-135", "smollm2-135m"),
        ("/no/such.gguf", "/no/such.gguf"),
        ("some/where.gguf", "absolute path"),
    ];
    for (model, says) in cases {
        check(&mut client, json!({"model": model}), StatusCode::NOT_FOUND, "UAT_MODEL_NOT_FOUND", &[says])
            .await;
    }
}

#[tokio::test]
async fn malformed_and_impossible_requests_name_the_field() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let bad = StatusCode::BAD_REQUEST;
    check(&mut client, json!({"temperature": 9}), bad, "UAT_INVALID_INPUT", &["temperature"]).await;
    check(&mut client, json!({"messages": []}), bad, "UAT_INVALID_INPUT", &["messages"]).await;
    check(&mut client, json!({"grammar": "root ::= \"a\""}), bad, "UAT_UNSUPPORTED", &["grammar is not"])
        .await;
    let response = client.post("{\"model\": ").await;
    assert_eq!(response.status(), bad);
    assert_eq!(response.headers()["x-uat-code"], "UAT_INVALID_INPUT");
    let (status, body) = engine.client().await.get("/v2/nothing").await;
    assert_eq!((status, body["error"]["uat_code"].as_str()), (StatusCode::NOT_FOUND, Some("UAT_NOT_FOUND")));
}

#[tokio::test]
async fn more_requests_than_places_are_refused_and_may_try_again() {
    let engine = Engine::start(&["--slots", "1", "--queue", "1"]).await;
    let long = json!({"max_tokens": 400, "messages": [{"role": "user", "content": "Tell me a long story."}]});
    let (mut running, mut waiting, mut refused) =
        (engine.client().await, engine.client().await, engine.client().await);
    let mut stream = running.stream(long.clone()).await;
    stream.next().await.expect("it runs");
    let (waited, ()) = tokio::join!(waiting.chat(json!({"max_tokens": 2})), async {
        crate::harness::until("one waits", async || engine.stats().await["queued"] == 1).await;
        check(&mut refused, json!({}), StatusCode::SERVICE_UNAVAILABLE, "UAT_OVERLOADED", &["2 requests"])
            .await;
        drop(stream);
        drop(running);
    });
    assert_eq!(waited.0, StatusCode::OK, "the one that waited runs when the lane is free");
}
