//! What is answered.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Engine, text_of};

#[tokio::test]
async fn a_question_is_answered_with_usage() {
    let engine = Engine::start(&[]).await;
    let (status, answer) = engine.client().await.chat(json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let text = answer["choices"][0]["message"]["content"].as_str().expect("text");
    assert!(!text.is_empty());
    let usage = &answer["usage"];
    let (prompt, completion) = (
        usage["prompt_tokens"].as_u64().expect("a count"),
        usage["completion_tokens"].as_u64().expect("a count"),
    );
    assert!(prompt > 10 && (1..=24).contains(&completion), "{usage}");
    assert_eq!(usage["total_tokens"], prompt + completion);
}

#[tokio::test]
async fn a_stream_says_the_same_as_a_complete_answer() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let (whole, reason) = client.answer(json!({})).await;
    let stream = client.stream(json!({"stream_options": {"include_usage": true}})).await;
    let chunks = stream.chunks().await;
    assert_eq!(text_of(&chunks), whole);
    assert!(chunks.len() > 4, "it comes in pieces");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], reason);
    assert!(chunks[chunks.len() - 1]["usage"]["completion_tokens"].as_u64() > Some(0));
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["object"] == "chat.completion.chunk")
    );
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_before_itself_wherever_tokens_split_it() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let (whole, _) = client.answer(json!({})).await;
    let at = whole.find("France").or_else(|| whole.find("is")).expect("a word to stop at");
    // From the middle of one word to the middle of the next: no token has this text.
    let stop = &whole[at + 1..at + 5];
    let expected = &whole[..whole.find(stop).expect("it occurs")];
    assert_eq!(
        client.answer(json!({"stop": [stop, "never"]})).await,
        (expected.to_owned(), "stop".to_owned())
    );
    let chunks = client.stream(json!({"stop": stop})).await.chunks().await;
    assert_eq!(text_of(&chunks), expected);
}

#[tokio::test]
async fn a_trailing_assistant_message_is_continued() {
    let engine = Engine::start(&[]).await;
    let messages = json!([
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of France is"},
    ]);
    let (text, _) = engine.client().await.answer(json!({"messages": messages, "max_tokens": 8})).await;
    assert!(text.starts_with(" Paris"), "{text:?}");
}

#[tokio::test]
async fn an_answer_is_cut_at_max_tokens_and_says_so() {
    let engine = Engine::start(&[]).await;
    let (status, answer) = engine.client().await.chat(json!({"max_tokens": 3})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn without_max_tokens_an_answer_may_fill_the_context() {
    let engine = Engine::start(&["--ctx", "96"]).await;
    let fields = json!({"max_tokens": null, "messages": [{"role": "user", "content": "Count from 1 to 1000, one number per line."}]});
    let (status, answer) = engine.client().await.chat(fields).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["total_tokens"], 96);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answer_and_another_seed_another() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let messages = json!([{"role": "user", "content": "Tell me a story."}]);
    let mut tell = async |seed: u64| {
        client.answer(json!({"messages": messages, "temperature": 1, "seed": seed})).await.0
    };
    let (first, again, other) = (tell(1).await, tell(1).await, tell(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[tokio::test]
async fn characters_of_several_tokens_arrive_whole() {
    let engine = Engine::start(&[]).await;
    let messages = json!([
        {"role": "user", "content": "Repeat: 🦀 日本語 €"},
        {"role": "assistant", "content": "🦀 日本語 € 🦀 日本語 € 🦀 日本語 €"},
    ]);
    // The harness decodes every network frame as UTF-8 by itself, so a split character fails the test.
    let mut client = engine.client().await;
    let stream = client.stream(json!({"messages": messages, "max_tokens": 40})).await;
    let text = text_of(&stream.chunks().await);
    assert!(text.chars().any(|character| character.len_utf8() > 2), "{text:?}");
}

#[tokio::test]
async fn keys_and_values_may_be_kept_in_fewer_bits() {
    for kv_type in ["q8_0", "q4_0"] {
        let engine = Engine::start(&["--kv-type", kv_type]).await;
        let messages = json!([{"role": "user", "content": "Write one sentence about the sea."}]);
        let (answer, _) = engine.client().await.answer(json!({"messages": messages})).await;
        assert!(answer.contains("sea"), "{kv_type}: {answer}");
    }
}
