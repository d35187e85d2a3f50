//! Endpoints that need memory of a GPU are asked when somebody else has let them.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking too, and clippy exempts only test functions"
)]

use std::sync::Arc;
use std::time::Duration;

use fast_llm_coordinator::{
    Admission, Admitted, Answer, CallOptions, Coordinator, CoordinatorConfig, CoordinatorError,
    EndpointConfig, GpuNeed, GpuPriority, ModelConfig, NotAdmitted, Protocol, Surroundings,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use llm_wire::openai::ChatRequest;
use parking_lot::Mutex;
use route_plan::RoutePlan;
use testkit::FakeProvider;
use tokio::sync::Semaphore;

/// Whom it was asked about, and for how long somebody would wait.
struct Asked {
    endpoint: EndpointConfig,
    model: Arc<str>,
    patience: Duration,
}

/// Lets as many in as there are places, and remembers whom it was asked about.
struct Gate {
    places: Arc<Semaphore>,
    asked: Mutex<Vec<Asked>>,
}

impl Gate {
    fn with(places: usize) -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(places)), asked: Mutex::default() })
    }
}

impl Admission for Gate {
    fn concerns(&self, endpoint: &EndpointConfig) -> bool {
        endpoint.gpu.is_some()
    }

    fn admit<'a>(
        &'a self,
        endpoint: &'a EndpointConfig,
        model: &'a Arc<str>,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Admitted, NotAdmitted>> {
        self.asked.lock().push(Asked { endpoint: endpoint.clone(), model: Arc::clone(model), patience });
        let place = Arc::clone(&self.places).acquire_owned();
        async move {
            match tokio::time::timeout(patience, place).await {
                Ok(Ok(place)) => Ok(Box::new(place) as Admitted),
                _ => Err(NotAdmitted {
                    code: "UAT_INSUFFICIENT_VRAM",
                    message: "4096 MiB were asked for".into(),
                    retryable: true,
                }),
            }
        }
        .boxed()
    }
}

fn on_gpu(name: &str, provider: &FakeProvider) -> EndpointConfig {
    EndpointConfig {
        gpu: Some(GpuNeed { vram_mb: 4096, priority: GpuPriority::High }),
        queue_timeout_ms: 20,
        ..EndpointConfig::new(name, Protocol::OpenAi, Some(provider.base_url()))
    }
}

fn coordinator(endpoints: Vec<EndpointConfig>, gate: &Arc<Gate>) -> Coordinator {
    let mut model = ModelConfig::at("m", endpoints.iter().map(|endpoint| endpoint.name.clone()));
    model.balance = fast_llm_coordinator::Balance::Priority;
    let admission = Some(Arc::clone(gate) as Arc<dyn Admission>);
    let config = CoordinatorConfig { endpoints, models: vec![model] };
    Coordinator::among(config, Surroundings { admission, ..Surroundings::default() }).unwrap()
}

async fn ask(coordinator: &Coordinator, stream: bool) -> Result<Answer, CoordinatorError> {
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    let request = ChatRequest::parse(body.into()).unwrap();
    coordinator.execute(&RoutePlan::single("r", "m"), &request, CallOptions::default()).await
}

#[tokio::test]
async fn what_a_gpu_holds_is_held_until_the_answer_has_ended() {
    let provider = FakeProvider::start().await.unwrap();
    let gate = Gate::with(1);
    let coordinator = coordinator(vec![on_gpu("gpu", &provider)], &gate);
    let Answer::Stream(mut stream) = ask(&coordinator, true).await.unwrap() else {
        unreachable!("a stream was asked for")
    };
    assert_eq!(gate.places.available_permits(), 0);
    while stream.next().await.is_some() {}
    drop(stream);
    assert_eq!(gate.places.available_permits(), 1);
    ask(&coordinator, false).await.unwrap();
    assert_eq!(gate.places.available_permits(), 1);
    let asked = &gate.asked.lock()[0];
    assert_eq!(
        (&*asked.endpoint.name, &*asked.model, asked.endpoint.gpu.unwrap().vram_mb),
        ("gpu", "m", 4096)
    );
    assert_eq!(asked.patience, Duration::from_millis(20));
}

#[tokio::test]
async fn where_there_is_no_memory_the_next_endpoint_answers() {
    let (gpu, cloud) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let gate = Gate::with(0);
    let elsewhere = EndpointConfig::new("cloud", Protocol::OpenAi, Some(cloud.base_url()));
    let coordinator = coordinator(vec![on_gpu("gpu", &gpu), elsewhere], &gate);
    let Answer::Complete { report, .. } = ask(&coordinator, false).await.unwrap() else {
        unreachable!("no stream was asked for")
    };
    assert_eq!((&*report.endpoint, gpu.requests().len()), ("cloud", 0));
    assert_eq!(report.attempts[0].code, Some("UAT_INSUFFICIENT_VRAM"));
    // Nothing is wrong with the endpoint itself.
    assert_eq!(coordinator.health()[0].error_rate, 0.0);
    assert_eq!(gate.asked.lock().len(), 1, "an endpoint that needs nothing is nobody's business");
}

#[tokio::test]
async fn who_is_let_in_nowhere_is_told_why() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![on_gpu("gpu", &provider)], &Gate::with(0));
    let error = ask(&coordinator, false).await.map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("UAT_INSUFFICIENT_VRAM", true), "{error}");
    assert!(error.to_string().contains("endpoint `gpu`: 4096 MiB"), "{error}");
}
