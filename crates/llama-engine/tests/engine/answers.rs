//! What is answered.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Engine, body, document, text_of};

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
async fn several_choices_come_in_one_answer_and_the_prompt_is_read_once() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let messages = json!([{"role": "user", "content": "Write about anything. ".repeat(20)}]);
    let fields = json!({"n": 3, "temperature": 1, "seed": 4, "max_tokens": 8, "messages": messages});
    let (status, answer) = client.chat(fields.clone()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let choices = answer["choices"].as_array().expect("choices");
    let texts: Vec<_> =
        choices.iter().map(|choice| choice["message"]["content"].as_str().expect("text")).collect();
    assert_eq!(
        choices.iter().map(|choice| choice["index"].as_u64()).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(2)]
    );
    assert!(texts[0] != texts[1] && texts[1] != texts[2], "{texts:?}");
    assert!(answer["usage"]["completion_tokens"].as_u64() <= Some(24));
    let stats = engine.stats().await;
    let (prompt, cached) = (stats["prompt_tokens"].as_u64(), stats["cached_tokens"].as_u64());
    assert!(cached > prompt.map(|prompt| prompt / 2), "{stats}");
    let chunks = client.stream(fields).await.chunks().await;
    for index in 0..3 {
        let of = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index);
        assert!(of.clone().any(|chunk| !chunk["choices"][0]["finish_reason"].is_null()));
        let text: String = of.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert!(!text.is_empty());
    }
}

#[tokio::test]
async fn probabilities_are_told_where_they_are_asked_for() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let (_, answer) = client.chat(json!({"logprobs": true, "top_logprobs": 3, "max_tokens": 6})).await;
    let content = answer["choices"][0]["logprobs"]["content"].as_array().expect("logprobs");
    assert_eq!(content.len() as u64, answer["usage"]["completion_tokens"].as_u64().expect("a count"));
    let text: String = content.iter().filter_map(|token| token["token"].as_str()).collect();
    assert_eq!(answer["choices"][0]["message"]["content"], text);
    for token in content {
        // At temperature 0 the likeliest is chosen.
        assert_eq!(token["top_logprobs"][0]["token"], token["token"]);
        assert!(token["logprob"].as_f64().expect("a number") <= 0.0);
        assert_eq!(token["top_logprobs"].as_array().map(Vec::len), Some(3));
    }
    let (_, silent) = client.chat(json!({})).await;
    assert!(silent["choices"][0].get("logprobs").is_none());
}

#[tokio::test]
async fn a_bias_and_penalties_change_the_answer() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let (plain, _) = client.answer(json!({"max_tokens": 1})).await;
    // The numbers of some tokens, whatever they stand for.
    let bias: serde_json::Map<_, _> = (100..400).map(|token| (token.to_string(), json!(100))).collect();
    assert_ne!(client.answer(json!({"max_tokens": 1, "logit_bias": bias})).await.0, plain);
    let repetitive =
        json!([{"role": "user", "content": "Say the word yes a hundred times: yes yes yes yes yes yes"}]);
    let plain = client.answer(json!({"messages": repetitive, "max_tokens": 40})).await.0;
    let penalised =
        client.answer(json!({"messages": repetitive, "max_tokens": 40, "frequency_penalty": 2})).await.0;
    assert_ne!(plain, penalised);
}

#[tokio::test]
async fn a_prompt_that_begins_like_an_earlier_one_is_not_read_again() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let ask = |question: &str| {
        let system = "You are a helpful assistant that knows a lot about cities. ".repeat(20);
        json!({"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}]})
    };
    let (_, first) = client.chat(ask("What is the capital of France?")).await;
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    let (_, second) = client.chat(ask("What is the capital of Italy?")).await;
    let cached = second["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count");
    assert!(cached > 200, "{second}");
    // And it says what an engine says that has seen nothing before.
    let fresh = Engine::start(&[]).await.client().await.chat(ask("What is the capital of Italy?")).await.1;
    assert_eq!(second["choices"][0]["message"]["content"], fresh["choices"][0]["message"]["content"]);
}

#[tokio::test]
async fn a_request_whose_caller_has_stopped_waiting_ends() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let messages = json!([{"role": "user", "content": "Count from 1 to 5000, one number per line: 1"}]);
    let long = body(json!({"messages": messages, "max_tokens": 7000}));
    let (status, answer) = document(client.post_with(&[("x-uat-timeout-ms", "300")], long).await).await;
    assert_eq!(
        (status, answer["error"]["uat_code"].as_str()),
        (StatusCode::GATEWAY_TIMEOUT, Some("UAT_TIMEOUT"))
    );
    let stats = engine.stats().await;
    assert_eq!((stats["late"].as_u64(), stats["active"].as_u64()), (Some(1), Some(0)));
    let (status, answer) =
        document(client.post_with(&[("x-uat-timeout-ms", "soon")], body(json!({}))).await).await;
    assert_eq!(
        (status, answer["error"]["param"].as_str()),
        (StatusCode::BAD_REQUEST, Some("x-uat-timeout-ms"))
    );
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
