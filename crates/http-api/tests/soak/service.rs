//! The server, with nine providers of five dialects behind two models.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::{ConfigSource, Neighbours, Runtime, UatConfig};
use serde_json::{Value, json};
use testkit::{Behaviour, FakeProvider};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::asked::MODELS;
use crate::client::get;
use crate::faults::{Mood, Pauses, answer};

/// How long anything may take that follows from what has ended: a breaker's longest pause is 30 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    providers: Vec<(&'static str, FakeProvider)>,
    shutdown: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let [limited, continued] = MODELS;
        let mut providers = Vec::new();
        let mut endpoints = Vec::new();
        for (model, protocol) in [
            (limited, "openai"),
            (limited, "openai"),
            (limited, "anthropic"),
            (limited, "ollama"),
            (limited, "gemini"),
            (continued, "openai"),
            (continued, "openai"),
            (continued, "anthropic"),
            (continued, "ollama"),
        ] {
            let provider = FakeProvider::start().await.unwrap();
            let name = format!("{model}-{}", endpoints.len());
            let mut endpoint = json!({ "name": name, "protocol": protocol, "base_url": provider.base_url(),
                "connect_timeout_ms": 500, "first_token_timeout_ms": 400, "idle_timeout_ms": 400 });
            if model == limited {
                endpoint["max_in_flight"] = json!(7);
                endpoint["max_queued"] = json!(16);
            } else {
                endpoint["resume"] = json!("prefill");
            }
            endpoints.push(endpoint);
            providers.push((model, provider));
        }
        let of = |model: &str| -> Value {
            let names = endpoints.iter().map(|endpoint| &endpoint["name"]);
            let own = names.filter(|name| name.as_str().unwrap().starts_with(model));
            own.map(|name| json!({ "endpoint": name, "model": format!("upstream-{model}") })).collect()
        };
        let config = json!({
            // Short, so that many streams begin before their first content.
            "server": { "hold_ms": 30 },
            // Short, so that what is asked again and again is also asked anew.
            "cache": { "ttl_s": 2 },
            "models": [
                { "name": limited, "endpoints": of(limited) },
                { "name": continued, "endpoints": of(continued), "balance": "least-in-flight" },
            ],
            "endpoints": endpoints,
        });
        let config = UatConfig::load(ConfigSource::Json(config.to_string()), []).unwrap().config;
        let runtime = Runtime::with_neighbours(config, Vec::new(), Neighbours::none()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(http_api::serve(listener, runtime, shutdown.clone()));
        Self { addr, providers, shutdown, serving }
    }

    /// From now on one answer of ten is a fault.
    pub(crate) fn providers_fail(&self, seed: u64) {
        let pauses = MODELS.map(|model| (model, Arc::new(Pauses::default())));
        for (at, (model, provider)) in (0..).zip(&self.providers) {
            let (_, pauses) = pauses.iter().find(|(of, _)| of == model).unwrap();
            let mood = Mood::new(model, seed + at, Arc::clone(pauses));
            provider.decide_by(move |path, body| mood.decide(path, body));
        }
    }

    /// From now on all is well.
    pub(crate) fn providers_are_well(&self) {
        for (model, provider) in &self.providers {
            let model = *model;
            provider
                .decide_by(move |_, body| Behaviour::Answer(answer(model, &String::from_utf8_lossy(body))));
        }
    }

    /// The providers forget what they saw, so that the memory which is measured is not theirs.
    pub(crate) fn forget(&self) {
        self.providers.iter().for_each(|(_, provider)| provider.reset());
    }

    /// Connections to the providers that are open.
    pub(crate) fn upstream_connections(&self) -> usize {
        self.providers.iter().map(|(_, provider)| provider.open_connections()).sum()
    }

    pub(crate) async fn endpoints(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&get(self.addr, "/v1/endpoints").await).unwrap();
        body["endpoints"].as_array().unwrap().clone()
    }

    /// A counter or gauge of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = get(self.addr, "/metrics").await;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Nobody is asking any more: what is counted as under way must come to nothing.
    pub(crate) async fn comes_to_rest(&self) {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let endpoints = self.endpoints().await;
            let (in_flight, connections) =
                (self.metric("uat_in_flight").await, self.metric("uat_http_connections").await);
            let idle = |endpoint: &Value| endpoint["inFlight"] == 0 && endpoint["queued"] == 0;
            // The connection that asks is one.
            if endpoints.iter().all(idle) && in_flight == 0.0 && connections <= 1.0 {
                return;
            }
            assert!(
                Instant::now() < patience,
                "a counter leaked: {in_flight} in flight, {connections} connections, {endpoints:#?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks with `ask` until no endpoint is kept away from requests, which they show by answering.
    pub(crate) async fn recovers(&self, mut ask: impl AsyncFnMut(u64)) -> Duration {
        let begun = Instant::now();
        for number in 0.. {
            let endpoints = self.endpoints().await;
            // A share of recent failures, which makes one `degraded`, keeps no request away.
            let asked = |endpoint: &Value| matches!(endpoint["state"].as_str(), Some("healthy" | "degraded"));
            if endpoints.iter().all(asked) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "an endpoint does not recover: {endpoints:#?}");
            ask(number).await;
            tokio::time::sleep(LOOK).await;
        }
        begun.elapsed()
    }

    pub(crate) async fn end(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.serving.join_next()).await.expect("the server ends");
        ended.expect("it was running").expect("it did not panic").expect("it ended well");
    }
}
