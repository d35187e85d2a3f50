//! Cascades: a cheap model is asked first, and a better one where that answer does not do.

use std::time::Duration;

use hyper::Request;
use runtime::access::KeyHash;
use serde_json::{Value, json};
use testkit::{Answer, Behaviour, FakeProvider};

use crate::support::{Exchange, Gateway, Reply};

/// `small` at one endpoint for little money, `large` at another.
struct Two {
    gateway: Gateway,
    small: FakeProvider,
    large: FakeProvider,
}

async fn two(sections: Value) -> Two {
    let (small, large) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    small.set_default(says("small talk"));
    large.set_default(says("large talk"));
    let endpoint = |name: &str, provider: &FakeProvider| json!({ "name": name, "protocol": "openai", "base_url": provider.base_url() });
    let model = |name: &str, quality: f64, usd: f64| {
        json!({ "name": name, "tier": "t", "quality": quality, "price": { "input": usd, "output": usd },
                "endpoints": [{ "endpoint": format!("at-{name}") }] })
    };
    let mut config = json!({
        "endpoints": [endpoint("at-small", &small), endpoint("at-large", &large)],
        "models": [model("large", 0.9, 100.0), model("small", 0.3, 1.0)],
    });
    config.as_object_mut().unwrap().extend(sections.as_object().unwrap().clone());
    Two { gateway: Gateway::configured(config).await, small, large }
}

fn says(text: &str) -> Behaviour {
    Behaviour::Answer(Answer::text(text))
}

/// An answer of one token for each pair: its log probability, and that of the next best.
fn sure(text: &str, tokens: &[(f64, f64)]) -> Behaviour {
    let token = |(logprob, next): &(f64, f64)| {
        let top = json!([{ "token": "a", "logprob": logprob, "bytes": [97] }, { "token": "b", "logprob": next, "bytes": [98] }]);
        json!({ "token": "a", "logprob": logprob, "bytes": [97], "top_logprobs": top })
    };
    let content: Vec<Value> = tokens.iter().map(token).collect();
    let message = json!({ "role": "assistant", "content": text });
    let body = json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": message, "logprobs": { "content": content }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 } });
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Behaviour::Status { code: 200, headers, body: Some(body.to_string()) }
}

fn question(members: Value) -> Value {
    let mut body = json!({ "model": "tier:t", "messages": [{ "role": "user", "content": "hello" }] });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

fn asking(cascade: &str) -> hyper::http::request::Builder {
    Request::post("/v1/chat/completions").header("x-uat-route", cascade)
}

impl Two {
    async fn ask(&self, cascade: &str, members: Value) -> Reply {
        let body = question(members).to_string();
        Exchange::begin(self.gateway.addr, asking(cascade), body.into()).await.whole().await
    }

    /// How often each was asked.
    fn asked(&self) -> (usize, usize) {
        (self.small.requests().len(), self.large.requests().len())
    }

    async fn report(&self, reply: &Reply) -> Value {
        self.gateway
            .get(&format!("/v1/routing/{}?record", reply.header("x-request-id").unwrap()))
            .await
            .json()
    }
}

#[track_caller]
fn text_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(reply: &Reply, words: &str) {
    assert_eq!(
        (reply.status, reply.header("x-uat-code")),
        (400, Some("UAT_INVALID_INPUT")),
        "{}",
        reply.body
    );
    assert!(reply.body.contains(words), "{words:?} is not in {}", reply.body);
}

fn object() -> Value {
    json!({ "response_format": { "type": "json_object" } })
}

#[tokio::test]
async fn the_cheap_answer_is_given_where_it_is_what_was_asked_for() {
    let two = two(json!({})).await;
    two.small.set_default(says("{\"a\":1}"));
    let reply = two.ask("cascade=schema", object()).await;
    assert_eq!(text_of(&reply), "{\"a\":1}");
    assert_eq!((reply.header("x-uat-model"), two.asked()), (Some("small"), (1, 0)));
    let report = two.report(&reply).await;
    let cascade = &report["plan"]["cascade"];
    assert_eq!(
        (&cascade["check"], &cascade["first"], &cascade["second"]),
        (&json!("schema"), &json!("small"), &json!("large"))
    );
    assert_eq!((&cascade["accepted"], &cascade["measured"]), (&json!(true), &json!(1.0)), "{report}");
    assert_eq!(report["costUsd"], cascade["firstCostUsd"], "it is all that was spent: {report}");
    assert_eq!(report["plan"]["chosen"], "small");
    let record = runtime::llm_router::Record::from_json(report["record"].to_string().as_bytes()).unwrap();
    assert_eq!(record.replay().unwrap(), record.decision);
}

#[tokio::test]
async fn the_better_model_is_asked_where_it_is_not_and_both_are_paid_for() {
    let two = two(json!({})).await;
    let reply = two.ask("cascade=schema", object()).await;
    assert_eq!((text_of(&reply).as_str(), reply.header("x-uat-attempts")), ("large talk", Some("2")));
    let report = two.report(&reply).await;
    let cascade = &report["plan"]["cascade"];
    assert_eq!((&cascade["accepted"], &cascade["why"]), (&json!(false), &json!("it is no JSON")), "{report}");
    let endpoints: Vec<&Value> =
        report["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["endpoint"]).collect();
    assert_eq!(endpoints, ["at-small", "at-large"]);
    // Seven tokens and two, at a dollar and at a hundred a million.
    assert_eq!(cascade["firstUsage"], json!({ "promptTokens": 7, "completionTokens": 2 }));
    assert_eq!(
        (&cascade["firstCostUsd"], &report["costUsd"]),
        (&json!(0.000_009), &json!(0.000_909)),
        "{report}"
    );
    assert!(report["overheadUs"].as_u64().is_some_and(|us| us < 5_000_000), "{report}");
}

#[tokio::test]
async fn most_answers_that_agree_are_given() {
    let two = two(json!({})).await;
    for text in ["It is 41.", "6 * 7 = 42", "The answer is 42."] {
        two.small.enqueue(says(text));
    }
    let reply = two.ask("cascade=self-consistency", json!({ "seed": 1 })).await;
    assert!(text_of(&reply).contains("42"), "{}", reply.body);
    assert_eq!(two.asked(), (3, 0));
    let mut seeds: Vec<i64> = Vec::new();
    for request in two.small.requests() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["temperature"], 0.7);
        seeds.push(body["seed"].as_i64().unwrap());
    }
    seeds.sort_unstable();
    assert_eq!(seeds, [1, 2, 3]);
    let report = two.report(&reply).await;
    let measured = report["plan"]["cascade"]["measured"].as_f64().unwrap();
    assert!((measured - 2.0 / 3.0).abs() < 1e-9 && report["plan"]["cascade"]["k"] == 3, "{report}");
    assert_eq!(report["usage"]["promptTokens"], 21, "all three: {report}");
    assert_eq!(report["costUsd"], report["plan"]["cascade"]["firstCostUsd"]);

    for text in ["a", "b", "c"] {
        two.small.enqueue(says(text));
    }
    let reply = two.ask("cascade=self-consistency, k=3, threshold=0.5", json!({ "temperature": 1 })).await;
    assert_eq!((text_of(&reply).as_str(), two.asked()), ("large talk", (6, 1)));
    assert_eq!(two.report(&reply).await["plan"]["cascade"]["why"], "1 of 3 answers agree");
}

#[tokio::test]
async fn an_answer_of_which_the_model_was_sure_is_given_without_its_probabilities() {
    let two = two(json!({})).await;
    two.small.set_default(sure("Paris", &[(-0.1, -3.1), (-0.2, -2.2)]));
    let reply = two.ask("cascade=logprob, threshold=1.5", json!({})).await;
    assert_eq!(text_of(&reply), "Paris");
    assert!(!reply.body.contains("top_logprobs"), "nobody asked for them: {}", reply.body);
    let asked: Value = serde_json::from_slice(&two.small.requests()[0].body).unwrap();
    assert_eq!((&asked["logprobs"], &asked["top_logprobs"]), (&json!(true), &json!(2)));
    let report = two.report(&reply).await;
    let measured = report["plan"]["cascade"]["measured"].as_f64().unwrap();
    assert!((measured - 2.0).abs() < 1e-9, "{report}");

    let reply = two.ask("cascade=logprob, threshold=2.5", json!({})).await;
    assert_eq!(text_of(&reply), "large talk");
    let asked: Value = serde_json::from_slice(&two.large.requests()[0].body).unwrap();
    assert!(asked["logprobs"].is_null(), "the second stage is asked what the client asks");

    two.small.set_default(says("no numbers"));
    let reply = two.ask("cascade=logprob", json!({})).await;
    let cascade = two.report(&reply).await["plan"]["cascade"].clone();
    assert!(
        cascade["measured"].is_null() && cascade["why"].as_str().unwrap().contains("log probabilities"),
        "{cascade}"
    );
}

#[tokio::test]
async fn a_stream_is_of_whichever_answer_does() {
    let two = two(json!({})).await;
    two.small.set_default(says("{ \"city\": \"a long name of a city, in several words\" }"));
    let members = || {
        let mut members = object();
        members["stream"] = json!(true);
        members["stream_options"] = json!({ "include_usage": true });
        members
    };
    let reply = two.ask("cascade=schema", members()).await;
    assert_eq!(reply.streamed_text(), "{ \"city\": \"a long name of a city, in several words\" }");
    assert!(reply.events().len() > 3 && reply.body.ends_with("data: [DONE]\n\n"), "{}", reply.body);
    assert!(reply.events().last().unwrap()["usage"]["prompt_tokens"].is_u64(), "{}", reply.body);
    assert_eq!((reply.header("x-uat-model"), two.asked()), (Some("small"), (1, 0)));

    two.small.set_default(says("not that"));
    let reply = two.ask("cascade=schema", members()).await;
    assert_eq!((reply.streamed_text().as_str(), reply.header("x-uat-model")), ("large talk", Some("large")));
    let report = two.report(&reply).await;
    assert_eq!(
        (report["attempts"].as_array().unwrap().len(), &report["isFinal"]),
        (2, &json!(true)),
        "{report}"
    );
    assert!(
        report["costUsd"].as_f64().unwrap() > report["plan"]["cascade"]["firstCostUsd"].as_f64().unwrap()
    );
}

#[tokio::test]
async fn other_dialects_have_cascades_too() {
    let two = two(json!({})).await;
    for text in ["B", "(B)", "The answer is B."] {
        two.small.enqueue(says(text));
    }
    let body = json!({ "model": "tier:t", "max_tokens": 50, "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let request = Request::post("/v1/messages").header("x-uat-route", "cascade=on");
    let reply = Exchange::begin(two.gateway.addr, request, body.to_string().into()).await.whole().await;
    assert!(reply.status == 200 && reply.body.contains("message_stop"), "{}", reply.body);
    assert_eq!(two.asked(), (3, 0));
    let count = json!({ "model": "tier:t", "messages": [{ "role": "user", "content": "hello" }] });
    let request = Request::post("/v1/messages/count_tokens").header("x-uat-route", "cascade=on");
    let reply = Exchange::begin(two.gateway.addr, request, count.to_string().into()).await.whole().await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn a_first_stage_that_fails_is_passed_over() {
    let two = two(json!({})).await;
    two.small.set_default(Behaviour::status(500));
    let reply = two.ask("cascade=schema", object()).await;
    assert_eq!(text_of(&reply), "large talk");
    let report = two.report(&reply).await;
    assert_eq!(report["plan"]["cascade"]["why"], "it failed (UAT_UPSTREAM)", "{report}");
    assert_eq!(
        (&report["attempts"][0]["outcome"], &report["attempts"][0]["endpoint"]),
        (&json!("error"), &json!("at-small"))
    );

    two.large.set_default(Behaviour::status(500));
    let reply = two.ask("cascade=schema", object()).await;
    assert!(reply.status >= 500, "{}", reply.body);
    assert!(two.report(&reply).await["attempts"].as_array().unwrap().len() >= 2);
}

#[tokio::test]
async fn without_a_cheaper_model_it_is_said_and_the_usual_one_answers() {
    let two = two(json!({})).await;
    let reply = two.ask("cascade=schema, max-cost-usd=0.02", object()).await;
    assert_eq!((text_of(&reply).as_str(), reply.header("x-uat-model")), ("small talk", Some("small")));
    let cascade = two.report(&reply).await["plan"]["cascade"].clone();
    assert!(cascade["without"].as_str().unwrap().contains("one model alone"), "{cascade}");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_and_nobody_is_asked() {
    let two = two(json!({})).await;
    refused(&two.ask("cascade=schema", json!({})).await, "response_format");
    refused(&two.ask("cascade=vote", json!({})).await, "`schema`, `self-consistency`, `logprob`");
    refused(&two.ask("cascade=self-consistency, k=11", json!({})).await, "from 2 to 10");
    refused(&two.ask("cascade=logprob, threshold=-1", json!({})).await, "threshold");
    refused(&two.ask("cascade=self-consistency", json!({ "temperature": 0 })).await, "temperature");
    refused(&two.ask("cascade=logprob", json!({ "n": 2 })).await, "n: expected 1");
    refused(&two.ask("cascade=on", json!({ "model": "small" })).await, "auto or tier:NAME");
    assert_eq!(two.asked(), (0, 0));
}

#[tokio::test]
async fn a_client_that_leaves_ends_whichever_stage_is_under_way() {
    let two = two(json!({})).await;
    for (slow, other) in [(&two.small, &two.large), (&two.large, &two.small)] {
        slow.set_default(Behaviour::Answer(Answer::text("late").first_token_after(Duration::from_secs(30))));
        other.set_default(says("no JSON"));
        let (seen, gone) = (slow.requests().len(), slow.disconnects().len());
        let request = asking("cascade=schema");
        let body = question(object()).to_string();
        let asked = tokio::time::timeout(
            Duration::from_millis(1_500),
            Exchange::begin(two.gateway.addr, request, body.into()),
        );
        assert!(asked.await.is_err(), "it is awaited");
        assert!(slow.requests().len() > seen);
        let left = async {
            while slow.disconnects().len() == gone {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), left).await.expect("its endpoint is told");
    }
}

#[tokio::test]
async fn a_budget_is_reserved_for_both_stages_and_pays_what_was_asked() {
    let key = |name: &str, usd: f64| json!({ "name": name, "hash": KeyHash::of(name.as_bytes()).to_string(), "budget_usd_per_day": usd });
    // A hundred tokens of `large` and a prompt of at most 105 cost up to 0.0205 USD, ten times `small` a tenth of that.
    let two = two(json!({ "keys": [key("tight", 0.0215), key("rich", 1.0)] })).await;
    let ask = async |name: &str, cascade: &str| {
        let request = asking(cascade).header("authorization", format!("Bearer {name}"));
        let body = question(json!({ "max_tokens": 100, "temperature": 1 })).to_string();
        Exchange::begin(two.gateway.addr, request, body.into()).await.whole().await
    };
    let reply = ask("tight", "cascade=self-consistency, k=10, threshold=1").await;
    let poor = (reply.status, reply.header("x-uat-code").map(str::to_owned));
    for number in 0..10 {
        two.small.enqueue(says(&format!("w{}", char::from(b'a' + number))));
    }
    let reply = ask("rich", "cascade=self-consistency, k=10, threshold=1").await;
    assert_eq!(text_of(&reply), "large talk");
    let report = two.report_as(&reply, "rich").await;
    let spent = report["costUsd"].as_f64().unwrap();
    let first = report["plan"]["cascade"]["firstCostUsd"].as_f64().unwrap();
    assert!(first > 0.0 && spent > first, "{report}");
    let used = two.gateway.runtime.budgets_used();
    let rich = used.iter().find(|(name, _)| &**name == "rich").unwrap().1;
    assert!((rich - spent).abs() < 1e-9, "{rich} of a dollar, {spent}");
    assert_eq!(poor, (429, Some("UAT_BUDGET_EXCEEDED".to_owned())), "both stages together are too much");
}

impl Two {
    async fn report_as(&self, reply: &Reply, name: &str) -> Value {
        let path = format!("/v1/routing/{}", reply.header("x-request-id").unwrap());
        self.gateway.send(Request::get(&path).header("authorization", format!("Bearer {name}"))).await.json()
    }
}
