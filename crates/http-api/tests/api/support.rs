//! A gateway with a fake provider behind it, and a client that sees every byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use runtime::{ConfigSource, Neighbours, Runtime, UatConfig};
use serde_json::{Value, json};
use testkit::FakeProvider;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes, short enough that a hang is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    pub(crate) provider: FakeProvider,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) shutdown: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
    /// Where its keys' spend is written.
    _state: tempfile::TempDir,
}

impl Gateway {
    /// One model, `m`, at the fake provider; `server` is the section of that name.
    pub(crate) async fn with(server: Value) -> Self {
        Self::with_models(
            server,
            json!([{ "name": "m", "endpoints": [{ "endpoint": "fake", "model": "upstream-m" }] }]),
        )
        .await
    }

    /// One model, `m`, at the fake provider, which is asked in this protocol.
    pub(crate) async fn speaking(protocol: &str) -> Self {
        let models = json!([{ "name": "m", "endpoints": [{ "endpoint": "fake", "model": "upstream-m" }] }]);
        Self::with_protocol(protocol, json!({}), models).await
    }

    /// These models, at the endpoints `fake`, a fake provider, and `engine`, the local engine.
    pub(crate) async fn with_models(server: Value, models: Value) -> Self {
        Self::with_protocol("openai", server, models).await
    }

    async fn with_protocol(protocol: &str, server: Value, models: Value) -> Self {
        Self::configured_for(protocol, json!({ "server": server, "models": models })).await
    }

    /// One model, `m`, at the fake provider; `telemetry` is the section of that name.
    pub(crate) async fn with_telemetry(telemetry: Value) -> Self {
        let endpoints = json!([{ "endpoint": "fake", "model": "upstream-m" }]);
        let models =
            json!([{ "name": "m", "endpoints": endpoints, "price": { "input": 1.0, "output": 10.0 } }]);
        Self::configured(json!({ "models": models, "telemetry": telemetry })).await
    }

    /// With these sections beside the endpoints `fake` and `engine`.
    pub(crate) async fn configured(sections: Value) -> Self {
        Self::configured_for("openai", sections).await
    }

    async fn configured_for(protocol: &str, sections: Value) -> Self {
        let provider = FakeProvider::start().await.unwrap();
        let state = tempfile::tempdir().unwrap();
        let mut config = json!({
            "server": {},
            "endpoints": [
                { "name": "fake", "protocol": protocol, "base_url": provider.base_url() },
                { "name": "engine", "protocol": "uat-engine" },
            ],
        });
        config.as_object_mut().unwrap().extend(sections.as_object().unwrap().clone());
        config["server"]["state_dir"] = json!(state.path());
        let config = UatConfig::load(ConfigSource::Json(config.to_string()), []).unwrap().config;
        let runtime = Runtime::with_neighbours(config, Vec::new(), Neighbours::none()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(http_api::serve(listener, runtime.clone(), shutdown.clone()));
        Self { addr, provider, runtime, shutdown, serving, _state: state }
    }

    /// The same with a second server of the same runtime that has a listener for administration, too; its address.
    pub(crate) async fn with_admin(mut self) -> (Self, SocketAddr) {
        let (public, admin) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let address = admin.local_addr().unwrap();
        let beside = http_api::Beside { admin: Some(admin), ..http_api::Beside::default() };
        let serving = http_api::serve_with(public, beside, self.runtime.clone(), self.shutdown.clone());
        self.serving.spawn(serving);
        (self, address)
    }

    /// The same with a second server of the same runtime that has this page; its address.
    pub(crate) async fn with_page(mut self, page: &'static str) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let beside = http_api::Beside { demo_page: Some(page), ..http_api::Beside::default() };
        self.serving.spawn(http_api::serve_with(
            listener,
            beside,
            self.runtime.clone(),
            self.shutdown.clone(),
        ));
        (self, address)
    }

    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// When the server has ended.
    pub(crate) async fn ended(&mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.serving.join_next()).await.expect("the server ends");
        ended.expect("it was running").expect("it did not panic").expect("it ended well");
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        Exchange::begin(self.addr, Request::post(path), body.into()).await.whole().await
    }

    pub(crate) async fn send(&self, request: hyper::http::request::Builder) -> Reply {
        Exchange::begin(self.addr, request, Bytes::new()).await.whole().await
    }

    /// A stream whose head has arrived.
    pub(crate) async fn stream(&self, path: &str, body: impl Into<Bytes>) -> Exchange {
        Exchange::begin(self.addr, Request::post(path), body.into()).await
    }

    /// A counter or gauge of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.body;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// A chat request for the model `m`.
pub(crate) fn chat(stream: bool) -> String {
    chat_with(json!({ "stream": stream }))
}

/// The same with these fields added or replaced.
pub(crate) fn chat_with(fields: Value) -> String {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string()
}

/// A response that may still be coming. Dropping it closes the connection.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    _connection: JoinSet<()>,
}

impl Exchange {
    pub(crate) async fn begin(addr: SocketAddr, request: hyper::http::request::Builder, body: Bytes) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // How the connection ends is seen in the body.
            let _ = connection.await;
        });
        let request = match request.headers_ref().is_some_and(|headers| headers.contains_key("host")) {
            true => request,
            false => request.header("host", addr.to_string()),
        };
        let request = request.body(Full::new(body)).unwrap();
        let sent = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        Self { response: sent.expect("an answer in time").expect("an answer"), _connection: driver }
    }

    /// What the next frame holds; `None` at the end of the body.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let frame = tokio::time::timeout(PATIENCE, self.response.frame()).await.expect("a frame in time")?;
        Some(String::from_utf8(frame.expect("the body is not cut").into_data().unwrap().to_vec()).unwrap())
    }

    pub(crate) async fn whole(mut self) -> Reply {
        let mut body = String::new();
        while let Some(text) = self.next().await {
            body.push_str(&text);
        }
        let (parts, _) = self.response.into_parts();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `data:` documents of an SSE body, without `[DONE]`; comments and event names are left out.
    pub(crate) fn events(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The streamed text of the first choice.
    pub(crate) fn streamed_text(&self) -> String {
        let pieces = self.events();
        pieces.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
    }
}
