//! Many clients, one process, one context.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Engine, text_of, until};

fn story(about: usize) -> Value {
    let subjects =
        ["a fox", "the sea", "two clocks", "a baker", "winter", "a lost key", "the moon", "an old train"];
    let content = format!("Tell me a story about {}.", subjects[about % subjects.len()]);
    json!({"messages": [{"role": "user", "content": content}], "max_tokens": 60})
}

#[tokio::test]
async fn eight_streams_run_at_once_in_one_process_and_all_end() {
    let engine = Engine::start(&[]).await;
    let mut streams = JoinSet::new();
    for index in 0..8 {
        let mut client = engine.client().await;
        streams.spawn(async move {
            let chunks = client.stream(story(index)).await.chunks().await;
            (client.get("/health").await.1["pid"].clone(), text_of(&chunks))
        });
    }
    until("all eight run", async || engine.stats().await["active"] == 8).await;
    let ended = streams.join_all().await;
    assert!(ended.iter().all(|(pid, text)| *pid == engine.pid() && text.len() > 40));
    let stats = engine.stats().await;
    assert_eq!((&stats["active"], &stats["queued"], &stats["requests"]), (&json!(0), &json!(0), &json!(8)));
}

#[tokio::test]
async fn eight_first_requests_load_the_model_once() {
    let engine = Engine::start(&[]).await;
    let mut requests = JoinSet::new();
    for index in 0..8 {
        let mut client = engine.client().await;
        requests.spawn(async move { client.answer(story(index)).await });
    }
    requests.join_all().await;
    let stats = engine.stats().await;
    assert_eq!(stats["models"].as_array().map(Vec::len), Some(1));
    assert!(stats["models"][0]["load_ms"].is_u64());
}

#[tokio::test]
async fn a_name_and_its_path_are_one_model() {
    let engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    client.answer(json!({"max_tokens": 1})).await;
    client.answer(json!({"max_tokens": 1, "model": crate::harness::model_file().to_str()})).await;
    assert_eq!(engine.stats().await["models"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn more_streams_than_slots_take_turns() {
    let engine = Engine::start(&["--slots", "2"]).await;
    let mut streams = JoinSet::new();
    for index in 0..6 {
        let mut client = engine.client().await;
        streams.spawn(async move { client.answer(story(index)).await });
    }
    assert!(streams.join_all().await.iter().all(|(text, _)| text.len() > 40));
}

#[tokio::test]
async fn when_the_context_overflows_everyone_still_gets_an_answer() {
    let engine = Engine::start(&["--ctx", "256"]).await;
    let mut streams = JoinSet::new();
    for index in 0..4 {
        let mut client = engine.client().await;
        streams.spawn(async move {
            let mut fields = story(index);
            fields["max_tokens"] = json!(120);
            client.answer(fields).await
        });
    }
    assert!(streams.join_all().await.iter().all(|(text, _)| text.len() > 80));
    assert!(engine.stats().await["preemptions"].as_u64() > Some(0));
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot_streaming_or_not() {
    let engine = Engine::start(&[]).await;
    for streaming in [true, false] {
        let mut client = engine.client().await;
        let mut fields = story(0);
        fields["max_tokens"] = json!(4000);
        fields["messages"][0]["content"] = json!("Count from 1 to 5000, one number per line: 1");
        if streaming {
            let mut stream = client.stream(fields).await;
            stream.next().await.expect("it runs");
            assert_eq!(engine.stats().await["active"], 1);
        } else {
            let leaves = async { until("it runs", async || engine.stats().await["active"] == 1).await };
            tokio::select! {
                _ = client.chat(fields) => panic!("4000 tokens do not come that fast"),
                () = leaves => {}
            }
        }
        drop(client);
        until("the slot is free", async || engine.stats().await["active"] == 0).await;
    }
    assert_eq!(engine.stats().await["cancelled"], 2);
}

#[tokio::test]
async fn a_long_prompt_does_not_stop_a_running_stream() {
    let engine = Engine::start(&[]).await;
    let (mut runs, mut comes) = (engine.client().await, engine.client().await);
    let mut fields = story(1);
    fields["max_tokens"] = json!(200);
    let mut stream = runs.stream(fields).await;
    stream.next().await.expect("it runs");
    let long = json!({"messages": [{"role": "user", "content": "word ".repeat(1500)}], "max_tokens": 1});
    let mut pieces = 0;
    tokio::select! {
        _ = comes.chat(long) => {}
        () = async { while stream.next().await.is_some() { pieces += 1 } } => {}
    }
    // 1,500 tokens are 24 slices of 64, and the stream gets a token with each.
    assert!(pieces >= 15, "{pieces} pieces came while the prompt was read");
}
