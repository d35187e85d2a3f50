//! `auto` and `tier:NAME`: the router chooses who answers, says why, and learns.

use hyper::Request;
use runtime::access::KeyHash;
use serde_json::{Value, json};
use testkit::{Behaviour, FakeProvider};

use crate::support::{Exchange, Gateway, Reply, chat_with};

pub(crate) fn model(name: &str, tier: &str, quality: f64, usd: f64, endpoint: &str) -> Value {
    json!({
        "name": name, "tier": tier, "quality": quality, "capabilities": ["chat"], "context_tokens": 1000,
        "price": { "input": usd, "output": usd }, "endpoints": [{ "endpoint": endpoint }],
    })
}

/// `small` and `middle` of the tier `fast`, `large` of `strong`, which alone can use tools.
pub(crate) fn models() -> Value {
    let mut large = model("large", "strong", 0.9, 100.0, "fake");
    large["capabilities"] = json!(["chat", "tools"]);
    json!([model("small", "fast", 0.3, 0.0, "fake"), model("middle", "fast", 0.6, 0.5, "fake"), large])
}

pub(crate) async fn gateway() -> Gateway {
    Gateway::configured(json!({ "models": models() })).await
}

fn post(path: &str) -> hyper::http::request::Builder {
    Request::post(path)
}

async fn send(gateway: &Gateway, request: hyper::http::request::Builder, body: &Value) -> Reply {
    Exchange::begin(gateway.addr, request, body.to_string().into()).await.whole().await
}

pub(crate) async fn ask(gateway: &Gateway, model: &str, route: &str) -> Reply {
    let request = post("/v1/chat/completions").header("x-uat-route", route);
    send(gateway, request, &serde_json::from_str(&chat_with(json!({ "model": model }))).unwrap()).await
}

pub(crate) fn answered_by(reply: &Reply) -> &str {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.header("x-uat-model").unwrap()
}

pub(crate) async fn report_of(gateway: &Gateway, reply: &Reply) -> Value {
    gateway.get(&format!("/v1/routing/{}?record", reply.header("x-request-id").unwrap())).await.json()
}

#[track_caller]
pub(crate) fn refused(reply: &Reply, status: u16, code: &str, words: &str) {
    assert_eq!((reply.status, reply.header("x-uat-code")), (status, Some(code)), "{}", reply.body);
    assert!(reply.body.contains(words), "{words:?} is not in {}", reply.body);
}

#[tokio::test]
async fn every_surface_leaves_the_choice_to_the_router() {
    let gateway = gateway().await;
    let hello = json!([{ "role": "user", "content": "hello" }]);
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] });
    for (target, expected) in [("tier:fast", "middle"), ("tier:strong", "large"), ("auto", "middle")] {
        for stream in [false, true] {
            let generate = if stream { "streamGenerateContent" } else { "generateContent" };
            for (path, body) in [
                ("/v1/chat/completions", json!({ "model": target, "stream": stream, "messages": hello })),
                ("/v1/responses", json!({ "model": target, "stream": stream, "input": "hello" })),
                (
                    "/v1/messages",
                    json!({ "model": target, "stream": stream, "max_tokens": 500, "messages": hello }),
                ),
                (&*format!("/v1beta/models/{target}:{generate}"), contents.clone()),
                ("/api/chat", json!({ "model": target, "stream": stream, "messages": hello })),
                ("/api/generate", json!({ "model": target, "stream": stream, "prompt": "hello" })),
            ] {
                let reply = send(&gateway, post(path), &body).await;
                assert_eq!(answered_by(&reply), expected, "{path} {target} {stream}: {}", reply.body);
            }
        }
        let count = json!({ "model": target, "messages": hello });
        assert_eq!(send(&gateway, post("/v1/messages/count_tokens"), &count).await.status, 200);
    }
    assert!(
        gateway
            .provider
            .requests()
            .iter()
            .all(|asked| !String::from_utf8_lossy(&asked.body).contains("tier:"))
    );
}

#[tokio::test]
async fn vectors_are_asked_of_a_model_by_its_name() {
    let gateway = gateway().await;
    let reply = send(&gateway, post("/v1/embeddings"), &json!({ "model": "auto", "input": "a" })).await;
    refused(&reply, 400, "UAT_INVALID_INPUT", "cannot be compared");
}

#[tokio::test]
async fn where_the_chosen_model_fails_the_next_of_the_plan_answers() {
    let (broken, sound) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    broken.set_default(Behaviour::status(503));
    let gateway = Gateway::configured(json!({
        "endpoints": [
            { "name": "broken", "protocol": "openai", "base_url": broken.base_url() },
            { "name": "sound", "protocol": "openai", "base_url": sound.base_url() },
        ],
        "models": [model("best", "t", 0.9, 0.0, "broken"), model("good", "t", 0.5, 0.0, "sound")],
    }))
    .await;
    let reply = ask(&gateway, "tier:t", "").await;
    assert_eq!(answered_by(&reply), "good");
    let report = report_of(&gateway, &reply).await;
    assert_eq!((&report["plan"]["chosen"], &report["model"]), (&json!("best"), &json!("good")));
    assert_eq!(report["attempts"][0]["outcome"], "error", "{report}");

    // What is known to be down is not asked first again.
    let mut tries = 0;
    while report_of(&gateway, &ask(&gateway, "tier:t", "").await).await["plan"]["chosen"] != "good" {
        tries += 1;
        assert!(tries < 20, "it is asked first for ever");
    }
}

#[tokio::test]
async fn a_decision_is_told_with_the_report_and_decided_again_from_its_record() {
    let gateway = gateway().await;
    let reply = ask(&gateway, "auto", "capability=tools, max-cost-usd=1, max-latency-ms=60000").await;
    assert_eq!(answered_by(&reply), "large");
    let report = report_of(&gateway, &reply).await;
    let plan = &report["plan"];
    assert_eq!((&plan["tier"], &plan["chosen"]), (&json!("auto"), &json!("large")));
    assert_eq!(plan["candidates"][1]["rejected"], "lacks `tools`");
    for term in ["tier", "quality", "price", "latency", "health"] {
        assert!(plan["candidates"][0]["terms"][term].is_number(), "{plan}");
    }
    assert!(
        plan["estimate"]["costUsd"].as_f64().unwrap() > 0.0 && plan["decidedInUs"].as_f64().unwrap() > 0.0
    );
    let record = runtime::llm_router::Record::from_json(report["record"].to_string().as_bytes()).unwrap();
    assert_eq!(record.replay().unwrap(), record.decision);
    let plain = gateway.get(&format!("/v1/routing/{}", reply.header("x-request-id").unwrap())).await.json();
    assert!(plain["record"].is_null() && plain["plan"].is_object());
}

#[tokio::test]
async fn tools_are_asked_of_models_that_have_them() {
    let gateway = gateway().await;
    let tool = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let body = serde_json::from_str(&chat_with(json!({ "model": "auto", "tools": tool }))).unwrap();
    assert_eq!(answered_by(&send(&gateway, post("/v1/chat/completions"), &body).await), "large");
}

#[tokio::test]
async fn what_nobody_can_do_is_refused_with_what_there_is() {
    let gateway = gateway().await;
    refused(&ask(&gateway, "tier:fats", "").await, 404, "UAT_MODEL_NOT_FOUND", "there are `fast`, `strong`");
    let reply = ask(&gateway, "auto", "capability=tool").await;
    refused(&reply, 400, "UAT_INVALID_INPUT", "there are `tools`, `chat`");
    let reply = ask(&gateway, "tier:strong", "max-cost-usd=0.0001").await;
    refused(&reply, 400, "UAT_NO_CANDIDATE", "`large` comes nearest: it may cost ");
    assert_eq!(reply.json()["error"]["code"], "no_candidate");
    let report = report_of(&gateway, &reply).await;
    assert_eq!((&report["plan"]["chosen"], &report["code"]), (&json!(""), &json!("UAT_NO_CANDIDATE")));
    let long = serde_json::from_str(&chat_with(json!({ "model": "auto", "max_tokens": 5000 }))).unwrap();
    let reply = send(&gateway, post("/v1/chat/completions"), &long).await;
    refused(&reply, 400, "UAT_NO_CANDIDATE", "holds 1000 tokens, prompt and answer need up to 50");
    assert!(gateway.provider.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_wish_says_nothing_where_the_model_is_named_or_it_cannot_be_read() {
    let gateway = gateway().await;
    refused(&ask(&gateway, "small", "capability=tools").await, 400, "UAT_INVALID_INPUT", "x-uat-route");
    refused(&ask(&gateway, "auto", "colour=red").await, 400, "UAT_INVALID_INPUT", "max-latency-ms=NUMBER");
}

#[tokio::test]
async fn tiers_are_listed_where_there_are_any() {
    let gateway = gateway().await;
    let names = |list: Value| -> Vec<String> {
        let models = list["data"].as_array().unwrap().iter();
        models.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    let listed = names(gateway.get("/v1/models").await.json());
    assert_eq!(listed, ["small", "middle", "large", "auto", "tier:fast", "tier:strong"]);
    assert_eq!(gateway.get("/v1/models/tier:fast").await.json()["id"], "tier:fast");
    let plain = Gateway::start().await;
    assert_eq!(names(plain.get("/v1/models").await.json()), ["m"]);
    assert_eq!(answered_by(&ask(&plain, "auto", "").await), "m");
}

fn key(name: &str, members: Value) -> Value {
    let mut row = json!({ "name": name, "hash": KeyHash::of(name.as_bytes()).to_string() });
    row.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    row
}

async fn ask_as(gateway: &Gateway, name: &str, model: &str) -> Reply {
    let request = post("/v1/chat/completions").header("authorization", format!("Bearer {name}"));
    send(
        gateway,
        request,
        &serde_json::from_str(&chat_with(json!({ "model": model, "max_tokens": 100 }))).unwrap(),
    )
    .await
}

#[tokio::test]
async fn a_key_is_routed_among_its_models_and_hears_of_no_others() {
    let keys = json!([key("team", json!({ "models": ["small"] })), key("other", json!({}))]);
    let gateway = Gateway::configured(json!({ "models": models(), "keys": keys })).await;
    let reply = ask_as(&gateway, "team", "auto").await;
    assert_eq!(answered_by(&reply), "small");
    refused(&ask_as(&gateway, "team", "tier:strong").await, 404, "UAT_MODEL_NOT_FOUND", "there are `fast`");

    let path = format!("/v1/routing/{}?record", reply.header("x-request-id").unwrap());
    let report_as =
        |name: &str| gateway.send(Request::get(&path).header("authorization", format!("Bearer {name}")));
    let report = report_as("team").await;
    assert!(!report.body.contains("middle") && !report.body.contains("large"), "{}", report.body);
    assert_eq!(report_as("other").await.status, 404);

    let list = gateway.send(Request::get("/v1/models").header("authorization", "Bearer team")).await;
    assert!(list.body.contains("tier:fast") && !list.body.contains("tier:strong"), "{}", list.body);
}

#[tokio::test]
async fn a_budget_is_reserved_for_the_dearest_and_pays_whoever_answered() {
    let keys = json!([
        key("poor", json!({ "budget_usd_per_day": 0.001 })),
        key("rich", json!({ "budget_usd_per_day": 1.0 })),
    ]);
    let mut models = models();
    // So good that it is asked first; the dear one is asked where it fails.
    models[0]["quality"] = json!(1.0);
    let gateway = Gateway::configured(json!({ "models": models, "keys": keys })).await;
    refused(&ask_as(&gateway, "poor", "auto").await, 429, "UAT_BUDGET_EXCEEDED", "budget");
    assert_eq!(answered_by(&ask_as(&gateway, "poor", "tier:fast").await), "small");
    assert_eq!(answered_by(&ask_as(&gateway, "rich", "auto").await), "small");
    let used = gateway.runtime.budgets_used();
    let rich = used.iter().find(|(name, _)| &**name == "rich").unwrap();
    assert_eq!(rich.1, 0.0, "the model that answered costs nothing");
}
