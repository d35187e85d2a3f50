//! Studies and bandits over HTTP.

use hyper::Request;
use serde_json::{Value, json};

use crate::keys;
use crate::openapi::Description;
use crate::router::refused;
use runtime::parameter_analytics_service;

use crate::support::{Exchange, Gateway, Reply, chat_with};

/// Says so where an answer is not as the API's description has it.
struct Client {
    gateway: Gateway,
    description: Description,
}

impl Client {
    async fn of(gateway: Gateway) -> Self {
        Self { description: Description::of(&gateway).await, gateway }
    }

    async fn start() -> Self {
        Self::of(Gateway::start().await).await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Reply {
        let request = Request::builder().method(method).uri(path);
        let reply = Exchange::begin(self.gateway.addr, request, body.to_string().into()).await.whole().await;
        let mut parts: Vec<&str> = path.split('/').collect();
        if let Some(name) = parts.get_mut(3) {
            *name = "{name}";
        }
        self.description.check(&method.to_ascii_lowercase(), &parts.join("/"), &reply);
        reply
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, body).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, json!({})).await
    }

    async fn done(&self, path: &str, body: Value) -> Value {
        let reply = self.post(path, body).await;
        assert!(reply.status / 100 == 2, "{path}: {} {}", reply.status, reply.body);
        reply.json()
    }
}

fn study(name: &str) -> Value {
    let space = json!({
        "temperature": { "type": "float", "low": 0, "high": 2 },
        "model": { "type": "categorical", "choices": ["a", "b"] },
    });
    json!({ "name": name, "space": space, "directions": ["maximize"], "constraints": ["slow"] })
}

/// The study `s`, made otherwise.
fn with_seed(seed: u64) -> Value {
    let mut study = study("s");
    study["seed"] = json!(seed);
    study
}

#[tokio::test]
async fn a_study_is_made_asked_told_and_read() {
    let client = Client::start().await;
    assert_eq!(client.post("/v1/studies", study("s")).await.status, 201);
    assert_eq!(client.post("/v1/studies", study("s")).await.status, 200);
    let asked = client.done("/v1/studies/s/ask", json!({ "count": 3 })).await;
    let trials = asked["trials"].as_array().unwrap();
    assert_eq!(trials.iter().map(|trial| trial["id"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(
        trials[0]["parameters"]["temperature"].is_number() && trials[0]["parameters"]["model"].is_string()
    );
    for (trial, value, slow) in [(0, 0.5, -1.0), (1, 0.9, 1.0)] {
        let told = json!({ "trial": trial, "values": [value], "constraint_values": [slow] });
        assert_eq!(client.done("/v1/studies/s/tell", told).await, json!({}));
    }
    let pruned =
        client.done("/v1/studies/s/intermediate", json!({ "trial": 2, "step": 1, "value": 0.1 })).await;
    assert_eq!(pruned, json!({ "should_prune": false }));
    client.done("/v1/studies/s/heartbeat", json!({ "trial": 2 })).await;
    client.done("/v1/studies/s/tell", json!({ "trial": 2, "values": null })).await;
    let best = client.get("/v1/studies/s/best").await.json();
    assert_eq!((&best["best"]["id"], &best["best"]["values"]), (&json!(0), &json!([0.5])), "1 violates");
    let changed = json!({ "parameter": "model", "add": ["c"], "retire": ["a", "b"] });
    client.done("/v1/studies/s/choices", changed).await;
    let next = client.done("/v1/studies/s/ask", json!({})).await;
    assert_eq!(next["trials"][0]["parameters"]["model"], "c");
    let whole = client.get("/v1/studies/s").await.json();
    let states: Vec<&Value> =
        whole["trials"].as_array().unwrap().iter().map(|trial| &trial["state"]).collect();
    assert_eq!(states, ["complete", "complete", "failed", "running"]);
    assert_eq!(whole["name"], "s");
    let page = client.get("/v1/studies/s/report").await;
    assert!(page.status == 200 && page.body.starts_with("<!DOCTYPE html>"), "{}", page.body);
    assert_eq!(client.get("/v1/studies").await.json(), json!({ "studies": ["s"] }));
    assert_eq!(client.send("DELETE", "/v1/studies/s", json!({})).await.status, 200);
    refused(&client.get("/v1/studies/s").await, 404, "UAT_NOT_FOUND", "there is no study `s`");
}

#[tokio::test]
async fn a_study_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let models = json!([{ "name": "m", "endpoints": [{ "endpoint": "fake" }] }]);
    let sections = json!({ "models": models, "parameters": { "storage": folder.path() } });
    let before = Client::of(Gateway::configured(sections.clone()).await).await;
    before.post("/v1/studies", study("s")).await;
    before.done("/v1/studies/s/ask", json!({})).await;
    let tell = json!({ "trial": 0, "values": 0.5, "constraint_values": [0] });
    before.done("/v1/studies/s/tell", tell).await;
    let after = Client::of(Gateway::configured(sections).await).await;
    let next = after.done("/v1/studies/s/ask", json!({})).await;
    assert_eq!(next["trials"][0]["id"], 1);
    assert_eq!(after.get("/v1/studies/s/best").await.json()["best"]["values"], json!([0.5]));
}

#[tokio::test]
async fn what_is_wrong_with_a_study_is_named() {
    let client = Client::start().await;
    client.post("/v1/studies", study("s")).await;
    client.done("/v1/studies/s/ask", json!({})).await;
    let with = |field: &str, value: Value| {
        let mut study = study("t");
        study[field] = value;
        study
    };
    let range = json!({ "t": { "type": "float", "low": 1, "high": 1 } });
    for (path, body, status, code, words) in [
        ("/v1/studies", with("space", range), 400, "UAT_INVALID_INPUT", "`t`"),
        ("/v1/studies", with("space", json!({})), 400, "UAT_INVALID_INPUT", "parameter"),
        ("/v1/studies", with("sampler", json!("best")), 400, "UAT_INVALID_INPUT", "sampler"),
        ("/v1/studies", with("sampler", json!("given")), 400, "UAT_INVALID_INPUT", "sampler"),
        (
            "/v1/studies",
            with("directions", json!(["minimize", "minimize"])),
            400,
            "UAT_UNSUPPORTED",
            "several",
        ),
        ("/v1/studies", with("nmae", json!(1)), 400, "UAT_INVALID_INPUT", "nmae"),
        ("/v1/studies", with("name", json!("")), 400, "UAT_INVALID_INPUT", "name"),
        ("/v1/studies", with("name", json!("n".repeat(300))), 400, "UAT_INVALID_INPUT", "300"),
        ("/v1/studies", with_seed(9), 409, "UAT_CONFLICT", "`seed` was 0 and is 9 now"),
        ("/v1/studies/s/ask", json!({ "count": 0 }), 400, "UAT_INVALID_INPUT", "count"),
        ("/v1/studies/s/ask", json!({ "count": 1e9 }), 400, "UAT_INVALID_INPUT", "count"),
        ("/v1/studies/s/tell", json!({ "trial": 7, "values": [1] }), 404, "UAT_NOT_FOUND", "7"),
        ("/v1/studies/s/tell", json!({ "trial": 0, "values": [1] }), 400, "UAT_INVALID_INPUT", "constraint"),
        ("/v1/studies/s/tell", json!({ "values": [1] }), 400, "UAT_INVALID_INPUT", "trial"),
        ("/v1/studies/s/choices", json!({ "parameter": "x", "add": ["c"] }), 400, "UAT_INVALID_INPUT", "`x`"),
        ("/v1/studies/nope/ask", json!({}), 404, "UAT_NOT_FOUND", "there are `s`"),
    ] {
        refused(&client.post(path, body).await, status, code, words);
    }
    let told = json!({ "trial": 0, "values": [1], "constraint_values": [0] });
    client.done("/v1/studies/s/tell", told.clone()).await;
    refused(&client.post("/v1/studies/s/tell", told).await, 409, "UAT_CONFLICT", "complete");
}

#[tokio::test]
async fn a_bandit_learns_which_arm_is_best() {
    let client = Client::start().await;
    let made = json!({ "name": "b", "arms": ["good", "bad"], "seed": 7 });
    assert_eq!(client.post("/v1/bandits", made.clone()).await.status, 201);
    assert_eq!(client.post("/v1/bandits", made).await.status, 200);
    for _ in 0..40 {
        let decision = client.done("/v1/bandits/b/select", json!({})).await;
        let reward = if decision["arm"] == "good" { 1 } else { 0 };
        let told = json!({ "decision_id": decision["decision_id"], "reward": reward });
        client.done("/v1/bandits/b/reward", told).await;
    }
    let known = client.get("/v1/bandits/b").await.json();
    let good = &known["posterior"]["good"];
    assert!(
        good["probability_best"].as_f64().unwrap() > 0.95 && good["pulls"].as_f64().unwrap() > 20.0,
        "{known}"
    );
    assert!(client.get("/v1/bandits/b/report").await.body.contains("good"));
    assert_eq!(client.get("/v1/bandits").await.json(), json!({ "bandits": ["b"] }));
    let decision = client.done("/v1/bandits/b/select", json!({})).await;
    let reward = |reward: Value| json!({ "decision_id": decision["decision_id"], "reward": reward });
    for (path, body, status, code, words) in [
        ("/v1/bandits/b/reward", reward(json!(2)), 400, "UAT_INVALID_INPUT", "reward"),
        (
            "/v1/bandits/b/reward",
            json!({ "decision_id": "?", "reward": 1 }),
            400,
            "UAT_INVALID_INPUT",
            "decision",
        ),
        (
            "/v1/bandits/b/reward",
            json!({ "decision_id": "00000000-1", "reward": 1 }),
            404,
            "UAT_NOT_FOUND",
            "decision",
        ),
        ("/v1/bandits/b/select", json!({ "context": [1] }), 400, "UAT_INVALID_INPUT", "context"),
        ("/v1/bandits/nope/select", json!({}), 404, "UAT_NOT_FOUND", "there are `b`"),
        ("/v1/bandits", json!({ "name": "b", "arms": ["good"] }), 409, "UAT_CONFLICT", "arms"),
        ("/v1/bandits", json!({ "name": "c", "arms": [] }), 400, "UAT_INVALID_INPUT", "arm"),
        (
            "/v1/bandits",
            json!({ "name": "c", "arms": ["a"], "policy": "exp3" }),
            400,
            "UAT_UNSUPPORTED",
            "exp3",
        ),
    ] {
        refused(&client.post(path, body).await, status, code, words);
    }
    client.done("/v1/bandits/b/reward", reward(json!(1))).await;
    refused(&client.post("/v1/bandits/b/reward", reward(json!(1))).await, 409, "UAT_CONFLICT", "");
}

#[tokio::test]
async fn parameters_are_advised_and_what_came_of_them_is_learned_once() {
    let client = Client::start().await;
    let ask = json!({ "model": "m", "task_type": "code-generation", "constraints": { "max_latency": 1000 } });
    let advice = client.done("/v1/optimize", ask.clone()).await;
    assert_eq!((&advice["source"], &advice["observations"]), (&json!("prior"), &json!(0)));
    let outcome = |part: Value| {
        let mut outcome = json!({ "trial_id": advice["trial_id"] });
        outcome.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        outcome
    };
    client.done("/v1/outcomes", outcome(json!({ "latency_ms": 640, "cost_usd": 0.01 }))).await;
    client.done("/v1/outcomes", outcome(json!({ "reward": 0.9 }))).await;
    let second = client.done("/v1/optimize", ask).await;
    let (another, observations) = (&second["trial_id"], &second["observations"]);
    assert_eq!(*observations, 1);
    let twice = client.post("/v1/outcomes", outcome(json!({ "reward": 0.9 }))).await;
    refused(&twice, 409, "UAT_CONFLICT", "`reward` of this trial was recorded before");
    let unknown = client.post("/v1/outcomes", json!({ "trial_id": "?", "reward": 1 })).await;
    refused(&unknown, 404, "UAT_NOT_FOUND", "there is no trial `?`");
    for (path, body, words) in [
        ("/v1/outcomes", json!({ "trial_id": another, "latency_ms": -1 }), "latency_ms"),
        ("/v1/outcomes", outcome(json!({})), "at least one of"),
        ("/v1/optimize", json!({ "model": "m" }), "task_type"),
        (
            "/v1/optimize",
            json!({ "model": "m", "task_type": "t", "constraints": { "max_latency": -1 } }),
            "max_latency",
        ),
        ("/v1/optimize", json!({ "model": "m", "task_type": "t", "mode": "guess" }), "mode"),
    ] {
        refused(&client.post(path, body).await, 400, "UAT_INVALID_INPUT", words);
    }
}

#[tokio::test]
async fn a_model_whose_parameters_are_left_to_us_is_asked_with_some_and_teaches() {
    let folder = tempfile::tempdir().unwrap();
    let price = json!({ "input": 1.0, "output": 10.0 });
    let model =
        json!({ "name": "m", "price": price, "parameters": "auto", "endpoints": [{ "endpoint": "fake" }] });
    let sections = json!({ "models": [model], "parameters": { "storage": folder.path() } });
    let client = Client::of(Gateway::configured(sections).await).await;
    let ask = async |id: &str, more: Value| {
        let request = Request::post("/v1/chat/completions").header("x-request-id", id);
        let reply = Exchange::begin(client.gateway.addr, request, chat_with(more).into()).await.whole().await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let asked = client.gateway.provider.requests().last().unwrap().body.clone();
        serde_json::from_slice::<Value>(&asked).unwrap()
    };
    let asked = ask("first", json!({})).await;
    let (temperature, top_p) = (asked["temperature"].as_f64().unwrap(), asked["top_p"].as_f64().unwrap());
    assert!((0.0..=1.0).contains(&temperature) && (0.1..=1.0).contains(&top_p), "{asked}");
    let report = client.gateway.get("/v1/routing/first").await.json();
    assert_eq!(
        report["tuned"]["parameters"],
        json!({ "temperature": asked["temperature"], "top_p": asked["top_p"] })
    );
    // Whoever names one has chosen.
    let own = ask("own", json!({ "temperature": 0.125 })).await;
    assert_eq!((&own["temperature"], &own["top_p"]), (&json!(0.125), &Value::Null));
    assert_eq!(client.gateway.get("/v1/routing/own").await.json()["tuned"], Value::Null);
    let judged =
        client.gateway.post("/v1/routing/first/feedback", json!({ "score": 0.75 }).to_string()).await;
    assert_eq!(judged.status, 200, "{}", judged.body);
    // What it took is written when the server ends, if not before.
    client.gateway.runtime.close().await;
    let storage = parameter_analytics_service::storage::Files::new(folder.path());
    let options = parameter_analytics_service::AnalyticsOptions::default();
    let analytics = parameter_analytics_service::ParameterAnalytics::new(storage, options).unwrap();
    let rows = analytics.performance(0).unwrap();
    let (about, known) = &rows[0];
    assert_eq!(
        (&*about.model, &*about.task_type, known.trials, known.reward_mean),
        ("m", "chat", 1, Some(0.75))
    );
    assert!(known.latency_p50.unwrap() > 0.0 && known.cost_usd > 0.0, "{known:?}");
}

#[tokio::test]
async fn each_key_has_its_own_names_and_sees_no_others() {
    let gateway = keys::gateway().await;
    let post =
        async |who: &str, path: &str, body: Value| keys::post_as(&gateway, who, path, body.to_string()).await;
    for who in ["team", "root"] {
        assert_eq!(post(who, "/v1/studies", study("s")).await.status, 201);
    }
    post("root", "/v1/studies", study("other/secret")).await;
    let of = async |who: &str, path: &str| keys::get_as(&gateway, who, path).await;
    assert_eq!(of("team", "/v1/studies").await.json(), json!({ "studies": ["s"] }));
    assert_eq!(of("root", "/v1/studies").await.json(), json!({ "studies": ["other/secret", "s", "team/s"] }));
    assert_eq!(of("team", "/v1/studies/s").await.json()["name"], "s");
    let missed = of("team", "/v1/studies/nope").await;
    refused(&missed, 404, "UAT_NOT_FOUND", "there is no study `nope`");
    assert!(!missed.body.contains("secret") && !missed.body.contains("team/"), "{}", missed.body);
    assert_eq!(of("team", "/v1/studies/..%2Fother%2Fsecret").await.status, 404);
    assert_eq!(of("root", "/v1/studies/team%2Fs").await.status, 200);
    let differs = post("team", "/v1/studies", with_seed(3)).await;
    refused(&differs, 409, "UAT_CONFLICT", "the study `s` exists and differs");
}
