//! What one request costs from the plan to the answer, a provider on the same machine included.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to say")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use fast_llm_coordinator::{
    Answer, CacheConfig, CallOptions, Coordinator, CoordinatorConfig, EndpointConfig, ModelConfig, Protocol,
    ResponseCache, ResponseStore, Surroundings, Unavailable,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use llm_wire::openai::ChatRequest;
use parking_lot::Mutex;
use route_plan::RoutePlan;
use testkit::FakeProvider;

fn main() {
    divan::main();
}

fn config(provider: &FakeProvider, endpoints: usize) -> CoordinatorConfig {
    let names: Vec<String> = (0..endpoints).map(|number| format!("local-{number}")).collect();
    let endpoint =
        |name: &String| EndpointConfig::new(name.as_str(), Protocol::OpenAi, Some(provider.base_url()));
    CoordinatorConfig {
        endpoints: names.iter().map(endpoint).collect(),
        models: vec![ModelConfig::at("m", names.iter().map(String::as_str))],
    }
}

async fn ask(coordinator: &Coordinator, request: &ChatRequest) -> usize {
    let plan = RoutePlan::single("req_bench", "m");
    match coordinator.execute(&plan, request, CallOptions::default()).await.unwrap() {
        Answer::Complete { body, .. } => body.len(),
        Answer::Stream(chunks) => chunks.count().await,
    }
}

/// One answer at a time, whole or in the provider's twenty chunks.
#[divan::bench(args = [false, true])]
fn one_request(bencher: Bencher<'_, '_>, stream: bool) {
    one_of(bencher, 1, stream);
}

/// The same with a choice among four endpoints, which are all the same provider.
#[divan::bench(args = [false, true])]
fn one_request_of_four(bencher: Bencher<'_, '_>, stream: bool) {
    one_of(bencher, 4, stream);
}

fn one_of(bencher: Bencher<'_, '_>, endpoints: usize, stream: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let provider = runtime.block_on(FakeProvider::start()).unwrap();
    let coordinator = Coordinator::new(config(&provider, endpoints), None).unwrap();
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    let request = ChatRequest::parse(body.into()).unwrap();
    bencher.bench_local(|| runtime.block_on(ask(&coordinator, &request)));
}

#[derive(Default)]
struct Memory(Mutex<HashMap<[u8; 32], Bytes>>);

impl ResponseStore for Memory {
    fn get(&self, key: [u8; 32]) -> BoxFuture<'_, Result<Option<Bytes>, Unavailable>> {
        let found = self.0.lock().get(&key).cloned();
        Box::pin(async { Ok(found) })
    }

    fn put(&self, key: [u8; 32], value: Bytes, _ttl: Duration) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.0.lock().insert(key, value);
        Box::pin(async { Ok(()) })
    }
}

/// An answer of the response cache to a conversation of 2 KB, the reading of the request included; whole or streamed.
#[divan::bench(args = [false, true])]
fn one_hit(bencher: Bencher<'_, '_>, stream: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let provider = runtime.block_on(FakeProvider::start()).unwrap();
    let cache = ResponseCache { config: CacheConfig::default(), store: Arc::new(Memory::default()) };
    let coordinator = Coordinator::among(
        config(&provider, 1),
        Surroundings { cache: Some(cache), ..Surroundings::default() },
    )
    .unwrap();
    let text = "word ".repeat(400);
    let body = Bytes::from(format!(
        r#"{{"model":"m","stream":{stream},"temperature":0,"messages":[{{"role":"user","content":"{text}"}}]}}"#
    ));
    let read = || ChatRequest::parse(body.clone()).unwrap();
    runtime.block_on(async {
        ask(&coordinator, &read()).await;
        coordinator.close().await;
    });
    bencher.bench_local(|| runtime.block_on(ask(&coordinator, &read())));
    assert_eq!(provider.requests().len(), 1, "all but the first were hits");
}
