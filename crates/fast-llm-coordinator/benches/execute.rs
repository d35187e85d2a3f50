//! What one request costs from the plan to the answer, a provider on the same machine included.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to say")]

use divan::Bencher;
use fast_llm_coordinator::{
    Answer, CallOptions, Coordinator, CoordinatorConfig, EndpointConfig, ModelConfig, Protocol,
};
use futures_util::StreamExt;
use llm_wire::openai::ChatRequest;
use route_plan::RoutePlan;
use testkit::FakeProvider;

fn main() {
    divan::main();
}

/// One answer at a time, whole or in the provider's twenty chunks.
#[divan::bench(args = [false, true])]
fn one_request(bencher: Bencher<'_, '_>, stream: bool) {
    ask(bencher, 1, stream);
}

/// The same with a choice among four endpoints, which are all the same provider.
#[divan::bench(args = [false, true])]
fn one_request_of_four(bencher: Bencher<'_, '_>, stream: bool) {
    ask(bencher, 4, stream);
}

fn ask(bencher: Bencher<'_, '_>, endpoints: usize, stream: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let provider = runtime.block_on(FakeProvider::start()).unwrap();
    let names: Vec<String> = (0..endpoints).map(|number| format!("local-{number}")).collect();
    let endpoint =
        |name: &String| EndpointConfig::new(name.as_str(), Protocol::OpenAi, Some(provider.base_url()));
    let config = CoordinatorConfig {
        endpoints: names.iter().map(endpoint).collect(),
        models: vec![ModelConfig::at("m", names.iter().map(String::as_str))],
    };
    let coordinator = Coordinator::new(config, None).unwrap();
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    let request = ChatRequest::parse(body.into()).unwrap();
    let plan = RoutePlan::single("req_bench", "m");
    bencher.bench_local(|| {
        runtime.block_on(async {
            match coordinator.execute(&plan, &request, CallOptions::default()).await.unwrap() {
                Answer::Complete { body, .. } => body.len(),
                Answer::Stream(chunks) => chunks.count().await,
            }
        })
    });
}
