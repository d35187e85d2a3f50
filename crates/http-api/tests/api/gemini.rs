use serde_json::{Value, json};
use testkit::{Answer, Behaviour};

use crate::support::{Gateway, Reply};

const STREAM: &str = "/v1beta/models/m:streamGenerateContent";

fn hello() -> String {
    json!({ "contents": [{ "parts": [{ "text": "hello" }] }] }).to_string()
}

fn text_of(documents: &[Value]) -> String {
    let pieces = documents
        .iter()
        .filter_map(|document| document["candidates"][0]["content"]["parts"][0]["text"].as_str());
    pieces.collect()
}

fn events(reply: &Reply) -> Vec<Value> {
    let events = reply.body.split("\r\n\r\n").filter_map(|event| event.strip_prefix("data: "));
    events.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_gemini_client_gets_a_whole_answer() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    let reply = gateway.post("/v1beta/models/m:generateContent?key=secret", hello()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-uat-endpoint"), Some("fake"));
    let answer = reply.json();
    assert_eq!(
        answer["candidates"][0]["content"],
        json!({ "role": "model", "parts": [{ "text": "Four." }] })
    );
    assert_eq!(answer["candidates"][0]["finishReason"], "STOP");
    assert_eq!(answer["modelVersion"], "m");
    assert_eq!(answer["responseId"].as_str(), reply.header("x-request-id"));
    assert!(answer["usageMetadata"]["promptTokenCount"].is_u64());
    let asked = gateway.provider.requests()[0].json();
    assert_eq!(asked["messages"], json!([{ "role": "user", "content": "hello" }]));
}

#[tokio::test]
async fn a_stream_comes_as_events_or_as_an_array() {
    let gateway = Gateway::start().await;
    let answer = Answer::tokens(50);
    gateway.provider.set_default(Behaviour::Answer(answer.clone()));
    let reply = gateway.post(&format!("{STREAM}?alt=sse&key=secret"), hello()).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let array = gateway.post(STREAM, hello()).await;
    assert_eq!(array.header("content-type"), Some("application/json"));
    for documents in [events(&reply), array.json().as_array().unwrap().clone()] {
        assert_eq!(text_of(&documents), answer.full_text());
        let last = documents.last().unwrap();
        assert_eq!(last["candidates"][0]["finishReason"], "STOP");
        assert!(last["usageMetadata"]["candidatesTokenCount"].is_u64());
        let earlier = &documents[..documents.len() - 1];
        assert!(earlier.iter().all(|document| document["candidates"][0]["finishReason"].is_null()));
    }
}

#[tokio::test]
async fn a_stream_that_fails_after_content_ends_in_googles_error() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::CutAfter { chunks: 5, answer: Answer::tokens(20) });
    let reply = gateway.post(&format!("{STREAM}?alt=sse"), hello()).await;
    let array = gateway.post(STREAM, hello()).await;
    for documents in [events(&reply), array.json().as_array().unwrap().clone()] {
        assert!(!text_of(&documents).is_empty());
        let error = &documents.last().unwrap()["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(502), &json!("UNAVAILABLE")), "{error}");
        assert!(documents.iter().all(|document| document["candidates"][0]["finishReason"].is_null()));
    }
}

#[tokio::test]
async fn errors_are_in_geminis_shape() {
    let gateway = Gateway::start().await;
    let check = async |path: &str, body: &str, status: u16, name: &str, says: &str| {
        let reply = gateway.post(path, body.to_owned()).await;
        let error = &reply.json()["error"];
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!((&error["code"], &error["status"]), (&json!(status), &json!(name)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
        assert!(reply.header("x-uat-code").is_some());
    };
    let hot = r#"{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"temperature":9}}"#;
    check("/v1beta/models/m:generateContent", hot, 400, "INVALID_ARGUMENT", "generationConfig.temperature")
        .await;
    check("/v1beta/models/m:generateContent", "{", 400, "INVALID_ARGUMENT", "malformed JSON").await;
    check("/v1beta/models/n:generateContent", &hello(), 404, "NOT_FOUND", "`n`").await;
    check("/v1beta/models/m:generate", &hello(), 404, "NOT_FOUND", "did you mean generateContent?").await;
    check("/v1beta/models/m", &hello(), 404, "NOT_FOUND", "/v1beta/models/m").await;
    check("/v1beta/files", "{}", 404, "NOT_FOUND", "/v1beta/files").await;
    let search = r#"{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"googleSearch":{}}]}"#;
    check(STREAM, search, 400, "INVALID_ARGUMENT", "tools[0].googleSearch").await;
    gateway.provider.set_default(Behaviour::status(500));
    check("/v1beta/models/m:generateContent", &hello(), 502, "UNAVAILABLE", "").await;
}

#[tokio::test]
async fn a_long_wait_is_bridged_in_both_framings() {
    let gateway = Gateway::with(json!({ "hold_ms": 20 })).await;
    let slow = Answer::text("late").first_token_after(std::time::Duration::from_millis(200));
    gateway.provider.set_default(Behaviour::Answer(slow));
    for (query, comment) in [("?alt=sse", ": keep-alive\r\n\r\n"), ("", "\r\n")] {
        let mut exchange = gateway.stream(&format!("{STREAM}{query}"), hello()).await;
        assert_eq!(exchange.next().await.as_deref(), Some(comment));
        let reply = exchange.whole().await;
        let documents =
            if query.is_empty() { reply.json().as_array().unwrap().clone() } else { events(&reply) };
        assert_eq!(text_of(&documents), "late");
    }
}

#[tokio::test]
async fn texts_are_embedded_one_by_one_or_many() {
    let gateway = Gateway::start().await;
    let one = json!({ "content": { "parts": [{ "text": "a" }] } });
    let reply = gateway.post("/v1beta/models/m:embedContent", one.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let alone = reply.json()["embedding"]["values"].clone();
    assert!(!alone.as_array().unwrap().is_empty());
    let batch = json!({ "requests": [one, { "content": { "parts": [{ "text": "b" }] } }] });
    let reply = gateway.post("/v1beta/models/m:batchEmbedContents", batch.to_string()).await;
    let embeddings = reply.json()["embeddings"].clone();
    assert_eq!((embeddings.as_array().unwrap().len(), &embeddings[0]["values"]), (2, &alone));
    let task = json!({ "content": { "parts": [{ "text": "a" }] }, "taskType": "RETRIEVAL_QUERY" });
    let reply = gateway.post("/v1beta/models/m:embedContent", task.to_string()).await;
    assert_eq!((reply.status, reply.json()["error"]["status"].as_str()), (400, Some("INVALID_ARGUMENT")));
}
