//! One request through the whole gateway, over loopback to a provider in the same process: what a change costs before
//! the full benchmark is run. The provider's own work is in the figure, so only differences mean something.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run ends")]

use divan::Bencher;
use divan::counter::ItemsCount;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use runtime::{ConfigSource, Neighbours, Runtime, UatConfig};
use testkit::{Answer, Behaviour, FakeProvider};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

fn main() {
    divan::main();
}

struct Gateway {
    client: SendRequest<Full<Bytes>>,
    host: String,
    _provider: FakeProvider,
    _tasks: JoinSet<()>,
}

async fn gateway() -> Gateway {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Answer::tokens(64)));
    let config = serde_json::json!({
        "endpoints": [{ "name": "fake", "protocol": "openai", "base_url": provider.base_url() }],
        "models": [{ "name": "m", "endpoints": [{ "endpoint": "fake" }] }],
    });
    let config = UatConfig::load(ConfigSource::Json(config.to_string()), []).unwrap().config;
    let runtime = Runtime::with_neighbours(config, Vec::new(), Neighbours::none()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { http_api::serve(listener, runtime, CancellationToken::new()).await.unwrap() });
    let socket = TcpStream::connect(addr).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (client, connection) = handshake(TokioIo::new(socket)).await.unwrap();
    tasks.spawn(async move { connection.await.unwrap() });
    Gateway { client, host: addr.to_string(), _provider: provider, _tasks: tasks }
}

fn measure(bencher: Bencher<'_, '_>, body: &'static str, items: usize) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut gateway = tokio.block_on(gateway());
    bencher.counter(ItemsCount::new(items)).bench_local(|| {
        tokio.block_on(async {
            let request = hyper::Request::post("/v1/chat/completions")
                .header("host", &gateway.host)
                .body(Full::new(Bytes::from_static(body.as_bytes())))
                .unwrap();
            gateway.client.ready().await.unwrap();
            let answer = gateway.client.send_request(request).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        })
    });
}

#[divan::bench]
fn whole_answer(bencher: Bencher<'_, '_>) {
    measure(bencher, r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#, 1);
}

/// Per chunk of 64.
#[divan::bench]
fn stream(bencher: Bencher<'_, '_>) {
    measure(bencher, r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":true}"#, 64);
}
