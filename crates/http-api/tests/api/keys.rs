//! Who may ask, once keys are asked for.

use std::time::Duration;

use hyper::Request;
use runtime::access::{KeyConfig, KeyHash};
use runtime::{ConfigSource, UatConfig};
use serde_json::{Value, json};
use testkit::{Answer, Behaviour};

use crate::support::{Exchange, Gateway, PATIENCE, Reply, chat, chat_with};

/// A row of `[[keys]]` whose text is its name with `-secret` after it.
fn key(name: &str, members: Value) -> Value {
    let hash = KeyHash::of(format!("{name}-secret").as_bytes()).to_string();
    let mut row = json!({ "name": name, "hash": hash });
    row.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    row
}

fn models() -> Value {
    json!([
        { "name": "m", "price": { "input": 1.0, "output": 10.0 }, "endpoints": [{ "endpoint": "fake" }] },
        { "name": "other", "price": { "input": 1.0, "output": 10.0 }, "endpoints": [{ "endpoint": "fake" }] },
    ])
}

/// A gateway with the keys `team` (model `m` alone), `root` (an administrator's) and `old` (expired).
pub(crate) async fn gateway() -> Gateway {
    with_keys(json!([
        key("team", json!({ "models": ["m"] })),
        key("root", json!({ "admin": true })),
        key("old", json!({ "expires": "2020-01-01T00:00:00Z" })),
    ]))
    .await
}

async fn with_keys(keys: Value) -> Gateway {
    Gateway::configured(json!({ "keys": keys, "models": models() })).await
}

/// All other keys are revoked.
pub(crate) async fn keep_only_team(gateway: &Gateway) {
    let mut config = (*gateway.runtime.config()).clone();
    config.keys.retain(|key| &*key.name == "team");
    gateway.runtime.reload(config).await.unwrap();
}

pub(crate) fn as_(name: &str, request: hyper::http::request::Builder) -> hyper::http::request::Builder {
    request.header("authorization", format!("Bearer {name}-secret"))
}

pub(crate) async fn post_as(gateway: &Gateway, name: &str, path: &str, body: String) -> Reply {
    Exchange::begin(gateway.addr, as_(name, Request::post(path)), body.into()).await.whole().await
}

pub(crate) async fn get_as(gateway: &Gateway, name: &str, path: &str) -> Reply {
    gateway.send(as_(name, Request::get(path))).await
}

#[tokio::test]
async fn each_dialect_presents_its_key_in_its_own_way() {
    let gateway = gateway().await;
    let ask = |request: hyper::http::request::Builder, body: Value| {
        let gateway = &gateway;
        async move { Exchange::begin(gateway.addr, request, body.to_string().into()).await.whole().await }
    };
    let hello = json!([{ "role": "user", "content": "hello" }]);
    let openai = json!({ "model": "m", "messages": hello });
    let anthropic = json!({ "model": "m", "max_tokens": 9, "messages": hello });
    let gemini = json!({ "contents": [{ "parts": [{ "text": "hello" }] }] });
    let ollama = json!({ "model": "m", "stream": false, "messages": hello });
    let generate = "/v1beta/models/m:generateContent";
    for (request, body) in [
        (as_("team", Request::post("/v1/chat/completions")), &openai),
        (Request::post("/v1/chat/completions").header("api-key", "team-secret"), &openai),
        (Request::post("/v1/messages").header("x-api-key", "team-secret"), &anthropic),
        (Request::post(generate).header("x-goog-api-key", "team-secret"), &gemini),
        (Request::post(format!("{generate}?key=team-secret")), &gemini),
        (as_("team", Request::post("/api/chat")), &ollama),
    ] {
        let reply = ask(request, body.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    for request in gateway.provider.requests() {
        let written = format!("{:?} {}", request, request.json());
        assert!(!written.contains("team-secret"), "a key of ours reached the provider: {written}");
    }
}

#[tokio::test]
async fn wrong_missing_and_expired_keys_are_refused_in_the_shape_of_each_dialect() {
    let gateway = gateway().await;
    let message = |reply: &Reply, pointer: &str| {
        reply.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    for (path, pointer, kind) in [
        ("/v1/chat/completions", "/error/message", ("/error/code", json!("invalid_api_key"))),
        ("/v1/responses", "/error/message", ("/error/code", json!("invalid_api_key"))),
        ("/v1/messages", "/error/message", ("/error/type", json!("authentication_error"))),
        ("/v1beta/models/m:generateContent", "/error/message", ("/error/status", json!("UNAUTHENTICATED"))),
        ("/api/chat", "/error", ("/error", Value::Null)),
    ] {
        for (presented, says) in
            [(None, "expected an API key"), (Some("nobody"), "not known here"), (Some("old"), "expired")]
        {
            let request = Request::post(path);
            let request = presented.map_or(Request::post(path), |name| as_(name, request));
            let reply = Exchange::begin(gateway.addr, request, chat(false).into()).await.whole().await;
            assert_eq!(reply.status, 401, "{path} {presented:?}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            assert_eq!(reply.header("x-uat-code"), Some("UAT_UNAUTHORIZED"));
            assert!(message(&reply, pointer).contains(says), "{path} {presented:?}: {}", reply.body);
            let (at, expected) = &kind;
            if !expected.is_null() {
                assert_eq!(reply.json().pointer(at), Some(expected), "{path}");
            }
            assert!(!reply.body.contains("-secret"));
        }
    }
    assert_eq!(gateway.provider.requests().len(), 0);
}

#[tokio::test]
async fn every_path_but_health_needs_a_key() {
    let gateway = gateway().await;
    for path in ["/", "/v1/models", "/v1/models/m", "/api/tags", "/api/version", "/api/ps", "/nowhere"] {
        assert_eq!(gateway.get(path).await.status, 401, "{path}");
        let reply = gateway.send(as_("team", Request::get(path))).await;
        assert_ne!(reply.status, 401, "{path}");
    }
    for (path, expected) in [
        ("/health/live", json!({ "status": "ok" })),
        ("/health/ready", json!({ "status": "ok", "config": "current" })),
    ] {
        let reply = gateway.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.json(), expected, "which endpoints there are is not told");
    }
}

#[tokio::test]
async fn administration_is_for_administrators() {
    let gateway = gateway().await;
    for path in ["/metrics", "/v1/endpoints"] {
        assert_eq!(gateway.get(path).await.status, 401, "{path}");
        let reply = gateway.send(as_("team", Request::get(path))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (403, &json!("admin_key_required")));
        assert_eq!(gateway.send(as_("root", Request::get(path))).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_admin_listener_serves_administration_alone_without_a_key() {
    let (gateway, admin) = gateway().await.with_admin().await;
    let get = |path: &'static str| async move {
        Exchange::begin(admin, Request::get(path), bytes::Bytes::new()).await.whole().await
    };
    for path in ["/metrics", "/v1/endpoints", "/health/ready", "/health/live"] {
        assert_eq!(get(path).await.status, 200, "{path}");
    }
    for path in ["/v1/models", "/", "/api/tags"] {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
    let asked =
        Exchange::begin(admin, Request::post("/v1/chat/completions"), chat(false).into()).await.whole().await;
    assert_eq!(asked.status, 404);
    assert_eq!(gateway.provider.requests().len(), 0);
}

#[tokio::test]
async fn a_key_sees_and_asks_its_own_models_and_knows_nothing_of_others() {
    let gateway = gateway().await;
    let listed = gateway.send(as_("team", Request::get("/v1/models"))).await.json();
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["m"]);
    let tags = gateway.send(as_("team", Request::get("/api/tags"))).await.json();
    assert_eq!(tags["models"].as_array().unwrap().len(), 1);
    let all = gateway.send(as_("root", Request::get("/v1/models"))).await.json();
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
    let refused = |model: &'static str| {
        let gateway = &gateway;
        async move {
            let body = chat_with(json!({ "model": model }));
            let reply = post_as(gateway, "team", "/v1/chat/completions", body).await;
            (
                reply.status,
                reply.json()["error"]["code"].clone(),
                reply.json()["error"]["message"].to_string(),
            )
        }
    };
    let (there, not_there) = (refused("other").await, refused("otter").await);
    assert_eq!((there.0, &there.1), (404, &json!("model_not_found")));
    assert_eq!(there.2.replace("other", "otter"), not_there.2, "the same, whether it is there or not");
    assert_eq!(gateway.send(as_("team", Request::get("/v1/models/other"))).await.status, 404);
    assert_eq!(gateway.send(as_("root", Request::get("/v1/models/other"))).await.status, 200);
    assert_eq!(gateway.provider.requests().len(), 0);
}

#[tokio::test]
async fn answers_of_the_cache_are_for_the_key_that_asked() {
    let gateway = with_keys(json!([key("a", json!({})), key("b", json!({}))])).await;
    let question = chat_with(json!({ "temperature": 0 }));
    for (name, cache) in [("a", "miss"), ("a", "hit"), ("b", "miss"), ("b", "hit")] {
        let reply = post_as(&gateway, name, "/v1/chat/completions", question.clone()).await;
        assert_eq!((reply.status, reply.header("x-uat-cache")), (200, Some(cache)), "{name}");
        // What has been answered is kept a moment later.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_streams_and_answers_with_a_typed_error() {
    let gateway = gateway().await;
    gateway.provider.set_default(Behaviour::Answer(Answer::tokens(1_000).paced(Duration::from_millis(20))));
    let hello = json!([{ "role": "user", "content": "hello" }]);
    let streams = [
        ("/v1/chat/completions", chat(true), "event: error\ndata: {\"error\""),
        (
            "/v1/messages",
            json!({ "model": "m", "max_tokens": 9, "stream": true, "messages": hello }).to_string(),
            "event: error",
        ),
        (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            json!({ "contents": [{ "parts": [{ "text": "hello" }] }] }).to_string(),
            "UNAUTHENTICATED",
        ),
        (
            "/api/chat",
            json!({ "model": "m", "messages": hello }).to_string(),
            "{\"error\":\"the key was revoked",
        ),
    ];
    let mut running = Vec::new();
    for (path, body, end) in streams {
        let exchange = Exchange::begin(gateway.addr, as_("team", Request::post(path)), body.into()).await;
        assert_eq!(exchange.response.status(), 200, "{path}");
        running.push((path, exchange, end));
    }
    let waiting = post_as(&gateway, "team", "/v1/chat/completions", chat(false));
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("it takes 20 s"),
        asked = gateway.provider.wait_for_requests(5) => { asked.unwrap(); }
    }
    let mut config = (*gateway.runtime.config()).clone();
    config.keys.retain(|key| &*key.name != "team");
    gateway.runtime.reload(config).await.unwrap();
    for (path, exchange, end) in running {
        let reply = tokio::time::timeout(PATIENCE, exchange.whole()).await.expect("it ends");
        assert!(reply.body.contains(end), "{path}: {}", reply.body);
        assert!(!reply.body.contains("[DONE]") && !reply.body.contains("message_stop"), "{path}");
    }
    let reply = waiting.await;
    assert_eq!((reply.status, reply.header("x-uat-code")), (401, Some("UAT_UNAUTHORIZED")));
    for _ in 0..5 {
        gateway.provider.wait_for_disconnect(PATIENCE).await.expect("the upstream is closed");
    }
    assert_eq!(post_as(&gateway, "team", "/v1/chat/completions", chat(false)).await.status, 401);
}

#[tokio::test]
async fn limits_are_told_as_openais_clients_know_them() {
    let gateway = with_keys(json!([key("team", json!({ "rpm": 3, "tpm": 100_000 }))])).await;
    let ask = || post_as(&gateway, "team", "/v1/chat/completions", chat_with(json!({ "max_tokens": 50 })));
    let first = ask().await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("3"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("2"));
    assert_eq!(first.header("x-ratelimit-limit-tokens"), Some("100000"));
    // Seven and twenty, as the provider counted.
    assert_eq!(first.header("x-ratelimit-remaining-tokens"), Some("99973"));
    assert!(first.header("x-ratelimit-reset-requests").unwrap().ends_with('s'));
    ask().await;
    ask().await;
    let refused = ask().await;
    assert_eq!((refused.status, refused.header("x-uat-code")), (429, Some("UAT_RATE_LIMITED")));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(gateway.provider.requests().len(), 3);
}

#[tokio::test]
async fn a_spent_budget_is_429_in_each_dialect_and_says_when_it_begins_anew() {
    // Room for one request of 50 tokens at 10 USD a million.
    let gateway = with_keys(json!([key("team", json!({ "budget_usd_per_day": 0.0009 }))])).await;
    let hello = json!([{ "role": "user", "content": "hello" }]);
    let ask = || post_as(&gateway, "team", "/v1/chat/completions", chat_with(json!({ "max_tokens": 50 })));
    assert_eq!(ask().await.status, 200);
    assert_eq!(ask().await.status, 200, "the first one cost less than it might have");
    let mut refused = ask().await;
    while refused.status == 200 {
        refused = ask().await;
    }
    assert_eq!((refused.status, refused.header("x-uat-code")), (429, Some("UAT_BUDGET_EXCEEDED")));
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    assert!(refused.header("retry-after").is_some());
    let body = json!({ "model": "m", "max_tokens": 50, "messages": hello }).to_string();
    let anthropic = post_as(&gateway, "team", "/v1/messages", body).await;
    assert_eq!((anthropic.status, &anthropic.json()["error"]["type"]), (429, &json!("rate_limit_error")));
    let spent: u64 = gateway.provider.requests().len() as u64 * (7 + 20 * 10);
    assert!(spent <= 900, "{spent} of 900 micro-USD");
}

#[tokio::test]
async fn a_hundred_at_once_never_exceed_a_budget() {
    let gateway = with_keys(json!([key("team", json!({ "budget_usd_per_day": 0.01 }))])).await;
    gateway
        .provider
        .set_default(Behaviour::Answer(Answer::tokens(50).first_token_after(Duration::from_millis(30))));
    let ask = || post_as(&gateway, "team", "/v1/chat/completions", chat_with(json!({ "max_tokens": 50 })));
    let replies = futures_util::future::join_all((0..100).map(|_| ask())).await;
    let answered = replies.iter().filter(|reply| reply.status == 200).count() as u64;
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 429)));
    // 7 prompt tokens at 1 and 50 at 10 USD a million, in micro-USD.
    let spent = gateway.provider.requests().len() as u64 * (7 + 50 * 10);
    assert!((1..100).contains(&answered) && spent <= 10_000, "{answered} answered, {spent} spent");
}

#[tokio::test]
async fn a_budget_on_a_model_of_unknown_price_is_refused_before_it_is_used() {
    let config = json!({
        "keys": [key("team", json!({ "budget_usd_per_day": 1.0 }))],
        "endpoints": [{ "name": "e", "protocol": "openai", "base_url": "http://127.0.0.1:9" }],
        "models": [{ "name": "mystery", "endpoints": [{ "endpoint": "e" }] }],
    });
    let error = UatConfig::load(ConfigSource::Json(config.to_string()), []).unwrap_err();
    assert_eq!(error.first().path, "keys[0].budget_usd_per_day");
    assert!(error.to_string().contains("mystery"), "{error}");
    let local = json!({
        "keys": [key("team", json!({ "budget_usd_per_day": 1.0 }))],
        "endpoints": [{ "name": "e", "protocol": "ollama", "base_url": "http://127.0.0.1:9" }],
        "models": [{ "name": "mystery", "endpoints": [{ "endpoint": "e" }] }],
    });
    UatConfig::load(ConfigSource::Json(local.to_string()), []).expect("what runs here costs nothing");
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_a_page_may_delete() {
    let gateway = gateway().await;
    let preflight = Request::options("/v1/responses/resp_1")
        .header("origin", "http://localhost:5173")
        .header("access-control-request-method", "DELETE");
    let reply = gateway.send(preflight).await;
    assert_eq!(reply.status, 204);
    assert!(reply.header("access-control-allow-methods").unwrap().contains("DELETE"));
    let denied = gateway.send(Request::get("/v1/models").header("origin", "http://localhost:5173")).await;
    assert_eq!(denied.status, 401);
    assert_eq!(denied.header("access-control-allow-origin"), Some("http://localhost:5173"));
}

#[tokio::test]
async fn with_keys_a_server_is_called_by_any_name() {
    let gateway = gateway().await;
    let named = |name: Option<&str>| {
        let request = Request::get("/v1/models").header("host", "llm.example.com");
        name.map_or(Request::get("/v1/models").header("host", "llm.example.com"), |name| as_(name, request))
    };
    assert_eq!(gateway.send(named(Some("team"))).await.status, 200);
    assert_eq!(gateway.send(named(None)).await.status, 401);
}

#[test]
fn the_text_of_a_key_is_nowhere_in_what_is_printed() {
    let key = KeyConfig::new("team", KeyHash::of(b"team-secret"));
    assert!(!format!("{key:?}").contains("team-secret"));
}
