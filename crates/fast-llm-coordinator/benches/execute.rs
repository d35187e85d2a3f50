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
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let provider = runtime.block_on(FakeProvider::start()).unwrap();
    let config = CoordinatorConfig {
        endpoints: vec![EndpointConfig::new("local", Protocol::OpenAi, Some(provider.base_url()))],
        models: vec![ModelConfig::at("m", ["local"])],
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
