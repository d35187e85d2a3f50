//! What is learnt of how good answers are: from judgements as they come, and from a file that was trained.

use std::fs;

use runtime::llm_router::learned::{Table, TrainOptions, train};
use serde_json::{Value, json};

use crate::router::{answered_by, ask, gateway, models, refused, report_of};
use crate::support::{Gateway, Reply};

async fn judge(gateway: &Gateway, id: &str, body: Value) -> Reply {
    gateway.post(&format!("/v1/routing/{id}/feedback"), body.to_string()).await
}

#[tokio::test]
async fn an_answer_is_judged_once_and_the_router_learns_from_it() {
    // How quick the provider is on this machine does not matter here.
    let routing = json!({ "weights": { "latency": 0 } });
    let gateway = Gateway::configured(json!({ "models": models(), "routing": routing })).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        let reply = ask(&gateway, "tier:fast", "").await;
        ids.push((answered_by(&reply).to_owned(), reply.header("x-request-id").unwrap().to_owned()));
    }
    assert_eq!(ids[0].0, "middle");
    for (_, id) in &ids {
        let reply = judge(&gateway, id, json!({ "score": 0.0 })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.json()["model"], "middle");
    }
    assert_eq!(answered_by(&ask(&gateway, "tier:fast", "").await), "small");
    let known = gateway.runtime.routed_models();
    assert_eq!((known[1].samples, known[1].quality < 0.3), (12, true), "{known:?}");
    refused(&judge(&gateway, &ids[0].1, json!({ "score": 1 })).await, 409, "UAT_CONFLICT", &ids[0].1);
}

#[tokio::test]
async fn a_judgement_that_is_none_is_refused_by_name() {
    let gateway = gateway().await;
    refused(&judge(&gateway, "nobody", json!({ "score": 1 })).await, 404, "UAT_NOT_FOUND", "`nobody`");
    let reply = ask(&gateway, "auto", "").await;
    let id = reply.header("x-request-id").unwrap();
    for score in [json!(1.5), json!(-0.1), json!("good"), json!(null)] {
        refused(&judge(&gateway, id, json!({ "score": score })).await, 400, "UAT_INVALID_INPUT", "0 to 1");
    }
    refused(&judge(&gateway, id, json!({ "score": 1, "mood": 2 })).await, 400, "UAT_INVALID_INPUT", "score");
    let refusal = ask(&gateway, "auto", "max-cost-usd=0, capability=tools").await;
    let id = refusal.header("x-request-id").unwrap();
    refused(&judge(&gateway, id, json!({ "score": 1 })).await, 409, "UAT_CONFLICT", "no answer");
}

#[tokio::test]
async fn what_was_judged_still_counts_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let routing =
        json!({ "feedback_file": folder.path().join("feedback.jsonl"), "weights": { "latency": 0 } });
    let config = json!({ "models": models(), "routing": routing });
    let gateway = Gateway::configured(config.clone()).await;
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(ask(&gateway, "tier:fast", "").await);
    }
    for answer in &answers {
        let judged = judge(&gateway, answer.header("x-request-id").unwrap(), json!({ "score": 0 })).await;
        assert_eq!(judged.status, 200, "{}", judged.body);
    }
    let kept = fs::read_to_string(folder.path().join("feedback.jsonl")).unwrap();
    assert!(kept.contains("\"features\"") && !kept.contains("hello"), "{kept}");
    let again = Gateway::configured(config).await;
    assert_eq!(answered_by(&ask(&again, "tier:fast", "").await), "small");
    assert_eq!(again.runtime.routed_models()[1].samples, 12);
}

#[tokio::test]
async fn a_judgement_that_cannot_be_kept_is_refused_and_may_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("feedback.jsonl");
    let routing = json!({ "feedback_file": path });
    let gateway = Gateway::configured(json!({ "models": models(), "routing": routing })).await;
    let reply = ask(&gateway, "auto", "").await;
    let id = reply.header("x-request-id").unwrap();
    fs::create_dir(&path).unwrap();
    refused(&judge(&gateway, id, json!({ "score": 1 })).await, 500, "UAT_STORAGE", "feedback.jsonl");
    fs::remove_dir(&path).unwrap();
    assert_eq!(judge(&gateway, id, json!({ "score": 1 })).await.status, 200);
}

#[tokio::test]
async fn whoever_explores_asks_the_second_best_too_once_somebody_judges() {
    let routing = json!({ "explore": true, "weights": { "latency": 0, "price": 0 } });
    let mut models = models();
    models[0]["quality"] = json!(0.55);
    let gateway = Gateway::configured(json!({ "models": models, "routing": routing })).await;
    let mut before = Vec::new();
    for _ in 0..40 {
        before.push(answered_by(&ask(&gateway, "tier:fast", "").await).to_owned());
    }
    assert!(before.iter().all(|model| model == "middle"), "nobody judges: {before:?}");
    let first = ask(&gateway, "tier:fast", "").await;
    judge(&gateway, first.header("x-request-id").unwrap(), json!({ "score": 0.6 })).await;
    let mut small = 0;
    let mut last = first;
    for _ in 0..40 {
        last = ask(&gateway, "tier:fast", "").await;
        small += usize::from(answered_by(&last) == "small");
    }
    // As likely as not; with draws that are fair none in forty comes once in a million million times.
    assert!(small > 0);
    let report = report_of(&gateway, &last).await;
    assert!(report["record"]["snapshot"][0]["drawn"].is_f64(), "{}", report["record"]);
}

/// Written by a training that saw `small` fail at whales and nobody fail at gardens.
fn learned() -> Vec<u8> {
    let mut csv = String::from("prompt,small,large\n");
    for i in 0..600 {
        let (topic, small) = [("whales", 0), ("gardens", 1)][i % 2];
        csv += &format!("Tell me fact {i} about {topic},{small},1\n");
    }
    let table = Table::read(csv.as_bytes()).unwrap();
    train(&table.examples(None), &TrainOptions::default()).unwrap().to_bytes()
}

#[tokio::test]
async fn what_was_learned_decides_by_the_prompt_and_a_damaged_file_leaves_the_priors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("learned.bin");
    fs::write(&path, learned()).unwrap();
    let priced = |usd: f64| json!({ "input": usd, "output": usd });
    let mut models = models();
    models.as_array_mut().unwrap().remove(1);
    // Known to be as good: what differs is what was learned, and the price.
    models[0]["quality"] = json!(0.8);
    models[1]["quality"] = json!(0.8);
    models[1]["price"] = priced(20.0);
    let routing = json!({ "learned_file": path, "weights": { "latency": 0 } });
    let config = json!({ "models": models, "routing": routing });
    let gateway = Gateway::configured(config.clone()).await;
    let about = async |gateway: &Gateway, topic: &str| {
        let messages = json!([{ "role": "user", "content": format!("Tell me fact 3 about {topic}") }]);
        let body = json!({ "model": "auto", "messages": messages });
        answered_by(&gateway.post("/v1/chat/completions", body.to_string()).await).to_owned()
    };
    assert_eq!([about(&gateway, "whales").await, about(&gateway, "gardens").await], ["large", "small"]);
    let mut damaged = fs::read(&path).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(&path, damaged).unwrap();
    let gateway = Gateway::configured(config).await;
    assert_eq!([about(&gateway, "whales").await, about(&gateway, "gardens").await], ["small", "small"]);
}
