//! Behaviour of the coordinator against a provider that does what it is told.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking too, and clippy exempts only test functions"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fast_llm_coordinator::{
    Answer, CallOptions, Coordinator, CoordinatorConfig, CoordinatorError, DialError, EndpointConfig,
    EngineDialer, ModelConfig, Outcome, Protocol,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use llm_wire::openai::{ChatRequest, ChunkCollector, EmbeddingsRequest, embeddings_vectors};
use route_plan::{EndpointState, RoutePlan};
use testkit::{Answer as Text, Behaviour, FakeProvider, Vectors};
use tokio::net::UnixStream;

/// Long enough that only a defect reaches it.
const NEVER: Duration = Duration::from_secs(20);

fn endpoint(name: &str, base_url: &str) -> EndpointConfig {
    EndpointConfig {
        first_token_timeout_ms: 300,
        idle_timeout_ms: 300,
        ..EndpointConfig::new(name, Protocol::OpenAi, Some(base_url.to_owned()))
    }
}

fn coordinator(endpoints: Vec<EndpointConfig>) -> Coordinator {
    let names: Vec<Arc<str>> = endpoints.iter().map(|e| Arc::clone(&e.name)).collect();
    Coordinator::new(CoordinatorConfig { endpoints, models: vec![ModelConfig::at("m", names)] }, None)
        .unwrap()
}

async fn one_provider() -> (FakeProvider, Coordinator) {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![endpoint("only", &provider.base_url())]);
    (provider, coordinator)
}

fn request(stream: bool) -> ChatRequest {
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    ChatRequest::parse(Bytes::from(body)).unwrap()
}

async fn ask(coordinator: &Coordinator, stream: bool) -> Result<String, CoordinatorError> {
    let plan = RoutePlan::single("req_1", "m");
    text(coordinator.execute(&plan, &request(stream), CallOptions::default()).await?).await
}

async fn text(answer: Answer) -> Result<String, CoordinatorError> {
    let document = match answer {
        Answer::Complete { body, .. } => body,
        Answer::Stream(mut stream) => {
            let mut whole = ChunkCollector::new();
            while let Some(chunk) = stream.next().await {
                whole.push(&chunk?).unwrap();
            }
            whole.finish()
        }
    };
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    Ok(document["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_answer_comes_whole_or_streamed_with_the_same_text() {
    let (provider, coordinator) = one_provider().await;
    provider.set_default(Behaviour::Answer(Text::text("Paris is the capital of France.")));
    assert_eq!(ask(&coordinator, false).await.unwrap(), "Paris is the capital of France.");
    assert_eq!(ask(&coordinator, true).await.unwrap(), "Paris is the capital of France.");
}

#[tokio::test]
async fn an_ollama_endpoint_answers_in_the_same_shape() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Text::text("Paris is the capital of France.")));
    let coordinator =
        coordinator(vec![EndpointConfig::new("o", Protocol::Ollama, Some(provider.base_url()))]);
    assert_eq!(ask(&coordinator, false).await.unwrap(), "Paris is the capital of France.");
    assert_eq!(ask(&coordinator, true).await.unwrap(), "Paris is the capital of France.");
    assert!(provider.requests().iter().all(|r| r.path == "/api/chat"));
}

#[tokio::test]
async fn fields_that_nobody_here_knows_reach_the_endpoint() {
    let (provider, coordinator) = one_provider().await;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"x_unknown":{"a":1}}"#;
    let request = ChatRequest::parse(Bytes::from(body)).unwrap();
    coordinator.execute(&RoutePlan::single("r", "m"), &request, CallOptions::default()).await.unwrap();
    assert_eq!(provider.requests()[0].json()["x_unknown"]["a"], 1);
}

/// Every fault before the first content, at one of two endpoints.
async fn check_failover(fault: Behaviour, stream: bool) {
    let (faulty, sound) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    faulty.set_default(fault.clone());
    let coordinator =
        coordinator(vec![endpoint("faulty", &faulty.base_url()), endpoint("sound", &sound.base_url())]);
    for _ in 0..12 {
        let answer = ask(&coordinator, stream).await;
        assert_eq!(answer.unwrap(), Text::default().full_text(), "{fault:?}, stream: {stream}");
    }
}

#[tokio::test]
async fn a_fault_before_the_first_content_is_never_seen_while_another_endpoint_is_sound() {
    let faults = [
        Behaviour::status(503),
        Behaviour::status(500),
        Behaviour::rate_limited(1),
        Behaviour::status(401),
        Behaviour::Hang,
        Behaviour::CloseBeforeResponse,
        Behaviour::CloseBeforeContent,
        Behaviour::SseErrorBeforeContent,
        Behaviour::ErrorInside200,
        Behaviour::Garbage,
        Behaviour::NotHttp,
    ];
    for fault in faults {
        for stream in [true, false] {
            check_failover(fault.clone(), stream).await;
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_gone_around() {
    let refused = testkit::refused_addr().unwrap();
    let sound = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![
        endpoint("refused", &format!("http://{refused}")),
        endpoint("sound", &sound.base_url()),
    ]);
    for stream in [true, false, true, false, true, false, true, false] {
        assert_eq!(ask(&coordinator, stream).await.unwrap(), Text::default().full_text());
    }
    let health = coordinator.health();
    assert_eq!(health[1].state, EndpointState::Healthy);
}

#[tokio::test]
async fn a_single_endpoint_that_failed_for_a_moment_is_asked_once_more() {
    let (provider, coordinator) = one_provider().await;
    provider.enqueue(Behaviour::status(503));
    assert_eq!(ask(&coordinator, true).await.unwrap(), Text::default().full_text());
    assert_eq!(coordinator.stats().failovers, 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_in_a_typed_error_and_not_in_silence() {
    let (provider, coordinator) = one_provider().await;
    let answer = Text::default();
    for fault in [
        Behaviour::CutAfter { chunks: 10, answer: answer.clone() },
        Behaviour::ResetAfter { chunks: 10, answer: answer.clone() },
        Behaviour::EndAfter { chunks: 10, answer: answer.clone() },
        Behaviour::ErrorEventAfter { chunks: 10, answer: answer.clone() },
    ] {
        provider.enqueue(fault.clone());
        let error = ask(&coordinator, true).await.unwrap_err();
        assert_eq!(error.code(), "UAT_UPSTREAM", "{fault:?}");
        assert!(error.retryable());
    }
    provider.enqueue(Behaviour::StallAfter { chunks: 10, answer });
    assert_eq!(ask(&coordinator, true).await.unwrap_err().code(), "UAT_TIMEOUT");
    assert_eq!(coordinator.stats().in_flight, 0);
}

#[tokio::test]
async fn a_request_that_is_itself_at_fault_is_not_repeated_elsewhere() {
    let (first, second) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let body = r#"{"error":{"message":"5000 tokens are more than 4096","code":"context_length_exceeded"}}"#;
    for provider in [&first, &second] {
        provider.set_default(Behaviour::Status { code: 400, headers: vec![], body: Some(body.to_owned()) });
    }
    let coordinator = coordinator(vec![endpoint("a", &first.base_url()), endpoint("b", &second.base_url())]);
    let error = ask(&coordinator, false).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("UAT_CONTEXT_LENGTH_EXCEEDED", false));
    assert_eq!(error.to_string(), "5000 tokens are more than 4096");
    assert_eq!(first.requests().len() + second.requests().len(), 1);
}

#[tokio::test]
async fn when_all_fail_the_error_names_each_endpoint_and_why() {
    let (first, second) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    first.set_default(Behaviour::status(503));
    second.set_default(Behaviour::status(500));
    let coordinator = coordinator(vec![endpoint("a", &first.base_url()), endpoint("b", &second.base_url())]);
    let error = ask(&coordinator, false).await.unwrap_err();
    assert_eq!(error.code(), "UAT_ALL_ENDPOINTS_FAILED");
    let message = error.to_string();
    assert!(["`a`", "`b`", "503", "500"].iter().all(|part| message.contains(part)), "{message}");
    assert!(error.attempts().iter().all(|attempt| attempt.outcome == Outcome::Error));
}

#[tokio::test]
async fn what_an_endpoint_wrote_reaches_the_caller_and_nobody_else() {
    let (provider, coordinator) = one_provider().await;
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-secret"}}"#;
    provider.enqueue(Behaviour::Status { code: 401, headers: vec![], body: Some(body.to_owned()) });
    let error = ask(&coordinator, false).await.unwrap_err();
    assert!(error.to_string().contains("sk-secret"));
    let health = &coordinator.health()[0];
    assert_eq!(health.last_error.as_deref(), Some("status 401 (UAT_UNAUTHORIZED)"));
    assert_eq!((health.state, health.ewma_first_token_ms), (EndpointState::Quarantined, 0.0));
}

#[tokio::test]
async fn a_deadline_beyond_the_clocks_range_is_no_deadline() {
    let (_provider, coordinator) = one_provider().await;
    let forever = CallOptions { timeout: Some(Duration::MAX), ..CallOptions::default() };
    coordinator.execute(&RoutePlan::single("r", "m"), &request(false), forever).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_pause_gets_it() {
    let (provider, coordinator) = one_provider().await;
    provider.enqueue(Behaviour::rate_limited(60));
    let first = ask(&coordinator, false).await.unwrap_err();
    assert_eq!(first.code(), "UAT_RATE_LIMITED");
    let second = ask(&coordinator, false).await.unwrap_err();
    assert_eq!(second.code(), "UAT_RATE_LIMITED");
    assert!(second.retry_after().is_some_and(|pause| pause > Duration::from_secs(50)));
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test]
async fn an_unknown_model_names_those_that_look_like_it() {
    let config = CoordinatorConfig {
        endpoints: vec![EndpointConfig::new("e", Protocol::OpenAi, Some("http://127.0.0.1:9".into()))],
        models: vec![ModelConfig::at("llama3.2:3b", ["e"]), ModelConfig::at("gpt-5", ["e"])],
    };
    let coordinator = Coordinator::new(config, None).unwrap();
    let plan = RoutePlan::single("r", "llama3.2-3b");
    let error = coordinator.execute(&plan, &request(false), CallOptions::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown model `llama3.2-3b`; did you mean `llama3.2:3b`?");
}

#[tokio::test]
async fn dropping_a_stream_closes_the_connection_to_the_endpoint() {
    let (provider, coordinator) = one_provider().await;
    provider.set_default(Behaviour::Answer(Text::tokens(10_000).paced(Duration::from_millis(5))));
    let plan = RoutePlan::single("r", "m");
    let Answer::Stream(mut stream) =
        coordinator.execute(&plan, &request(true), CallOptions::default()).await.unwrap()
    else {
        panic!("expected a stream")
    };
    stream.next().await.unwrap().unwrap();
    let dropped = Instant::now();
    drop(stream);
    let seen = provider.wait_for_disconnect(NEVER).await.unwrap();
    assert!(seen.at.saturating_duration_since(dropped) < Duration::from_millis(100));
    assert_eq!(coordinator.stats().in_flight, 0);
    assert_eq!(coordinator.health()[0].in_flight, 0);
}

#[tokio::test]
async fn dropping_a_pending_request_closes_the_connection_to_the_endpoint() {
    let (provider, coordinator) = one_provider().await;
    provider.set_default(Behaviour::Hang);
    for stream in [true, false] {
        let before = provider.requests().len() as u64;
        tokio::select! {
            answer = ask(&coordinator, stream) => panic!("unexpected: {answer:?}"),
            seen = provider.wait_for_requests(before + 1) => { seen.unwrap(); }
        }
        provider.wait_for_disconnect(NEVER).await.unwrap();
    }
    assert_eq!(coordinator.stats().in_flight, 0);
}

#[tokio::test]
async fn the_callers_deadline_ends_a_pending_request_and_a_running_stream() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator =
        coordinator(vec![EndpointConfig::new("slow", Protocol::OpenAi, Some(provider.base_url()))]);
    let plan = RoutePlan::single("r", "m");
    let hurried = || CallOptions { timeout: Some(Duration::from_millis(150)), ..CallOptions::default() };

    provider.enqueue(Behaviour::Hang);
    let error = coordinator.execute(&plan, &request(false), hurried()).await.unwrap_err();
    assert_eq!(error.code(), "UAT_TIMEOUT");

    provider.enqueue(Behaviour::StallAfter { chunks: 3, answer: Text::default() });
    let answer = coordinator.execute(&plan, &request(true), hurried()).await.unwrap();
    assert!(matches!(text(answer).await.unwrap_err(), CoordinatorError::DeadlineExceeded { .. }));
}

#[tokio::test]
async fn a_finished_stream_leaves_its_connection_for_the_next_request() {
    let (provider, coordinator) = one_provider().await;
    for _ in 0..10 {
        ask(&coordinator, true).await.unwrap();
        coordinator.close().await;
    }
    assert!(provider.requests().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn bytes_that_arrive_one_by_one_make_the_same_answer() {
    let (provider, coordinator) = one_provider().await;
    let answer = Text::text("Grüße aus 東京 🙂");
    provider.set_default(Behaviour::SlowDrip { bytes_per: 1, every: Duration::ZERO, answer: answer.clone() });
    assert_eq!(ask(&coordinator, true).await.unwrap(), answer.full_text());
    assert_eq!(ask(&coordinator, false).await.unwrap(), answer.full_text());
}

/// Asks for the embeddings of `@` and `A`, written so, and gives the answer's body.
async fn embed(coordinator: &Coordinator, format: &str) -> Result<Bytes, CoordinatorError> {
    let body = format!(r#"{{"model":"m","input":["@","A"],"encoding_format":"{format}"}}"#);
    let request = EmbeddingsRequest::parse(Bytes::from(body)).unwrap();
    let plan = RoutePlan::single("req_1", "m");
    let Answer::Complete { body, report, .. } =
        coordinator.embed(&plan, &request, CallOptions::default()).await?
    else {
        unreachable!("embeddings are not streamed")
    };
    assert_eq!((&*report.request_id, &*report.model), ("req_1", "m"));
    Ok(body)
}

#[tokio::test]
async fn embeddings_are_written_as_asked_whatever_the_endpoint_writes() {
    let provider = FakeProvider::start().await.unwrap();
    for protocol in [Protocol::OpenAi, Protocol::Ollama] {
        let coordinator = coordinator(vec![EndpointConfig::new("e", protocol, Some(provider.base_url()))]);
        for (base64, format) in
            [(None, "float"), (None, "base64"), (Some(false), "base64"), (Some(true), "float")]
        {
            provider.set_default(Behaviour::Vectors(Vectors { dimensions: 2, base64, missing: 0 }));
            let body = embed(&coordinator, format).await.unwrap();
            let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(document["data"][1]["embedding"].is_string(), format == "base64", "{document}");
            let embedded = embeddings_vectors(&body).unwrap();
            assert_eq!(embedded.vectors, [[0.25, 0.25], [0.25390625, 0.25390625]]);
            assert_eq!(embedded.prompt_tokens, 14);
        }
        assert_eq!(coordinator.stats().prompt_tokens, 4 * 14);
    }
}

#[tokio::test]
async fn a_faulty_endpoint_is_gone_around_for_embeddings_too() {
    let short = Vectors { missing: 1, ..Vectors::default() };
    let faults = [
        Behaviour::status(503),
        Behaviour::status(404),
        Behaviour::rate_limited(1),
        Behaviour::status(401),
        Behaviour::Hang,
        Behaviour::CloseBeforeResponse,
        Behaviour::CloseBeforeContent,
        Behaviour::ErrorInside200,
        Behaviour::Garbage,
        Behaviour::NotHttp,
        Behaviour::Vectors(short),
    ];
    for fault in faults {
        let (faulty, sound) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
        faulty.set_default(fault.clone());
        let coordinator =
            coordinator(vec![endpoint("faulty", &faulty.base_url()), endpoint("sound", &sound.base_url())]);
        for _ in 0..6 {
            let body = embed(&coordinator, "float").await;
            assert_eq!(embeddings_vectors(&body.unwrap()).unwrap().vectors.len(), 2, "{fault:?}");
        }
        assert_eq!(coordinator.stats().in_flight, 0);
    }
}

#[tokio::test]
async fn embeddings_that_an_ollama_server_cannot_be_asked_for_are_refused_by_name() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator =
        coordinator(vec![EndpointConfig::new("o", Protocol::Ollama, Some(provider.base_url()))]);
    let request = EmbeddingsRequest::parse(r#"{"model":"m","input":[1,2]}"#.into()).unwrap();
    let plan = RoutePlan::single("r", "m");
    let error = coordinator.embed(&plan, &request, CallOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
    assert!(error.to_string().contains("Ollama takes no tokens"), "{error}");
    assert!(provider.requests().is_empty());
}

/// Stands for the local engine: a provider on a Unix socket.
struct Dialer(std::path::PathBuf);

impl EngineDialer for Dialer {
    fn dial(&self) -> BoxFuture<'_, Result<UnixStream, DialError>> {
        Box::pin(async {
            UnixStream::connect(&self.0).await.map_err(|error| DialError {
                code: "UAT_ENGINE_UNAVAILABLE",
                message: error.to_string(),
                retryable: false,
            })
        })
    }
}

#[tokio::test]
async fn the_local_engine_is_told_for_how_long_its_answer_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine");
    let provider = FakeProvider::start().await.unwrap();
    provider.also_on_unix(&socket).unwrap();
    let engine = EndpointConfig {
        first_token_timeout_ms: 5_000,
        total_timeout_ms: 50_000,
        ..EndpointConfig::new("engine", Protocol::UatEngine, None)
    };
    let elsewhere = EndpointConfig::new("elsewhere", Protocol::OpenAi, Some(provider.base_url()));
    let config = CoordinatorConfig {
        endpoints: vec![engine, elsewhere],
        models: vec![ModelConfig::at("m", ["engine"]), ModelConfig::at("n", ["elsewhere"])],
    };
    let coordinator = Coordinator::new(config, Some(Arc::new(Dialer(socket)))).unwrap();
    let hurried = CallOptions { timeout: Some(Duration::from_secs(20)), ..CallOptions::default() };
    let told = async |model: &str, stream, options| {
        provider.reset();
        let plan = RoutePlan::single("r", model);
        text(coordinator.execute(&plan, &request(stream), options).await.unwrap()).await.unwrap();
        provider.requests()[0].header("x-uat-timeout-ms").map(|ms| ms.parse::<u64>().unwrap())
    };
    assert_eq!(told("m", true, CallOptions::default()).await, Some(50_000));
    assert_eq!(told("m", false, CallOptions::default()).await, Some(50_000));
    let left = told("m", true, hurried).await.unwrap();
    assert!((10_000..=20_000).contains(&left), "{left}");
    assert_eq!(told("n", true, CallOptions::default()).await, Some(600_000), "it may be another gateway");
    provider.reset();
    embed(&coordinator, "float").await.unwrap();
    assert_eq!(provider.requests()[0].header("x-uat-timeout-ms"), Some("50000"));
    assert_eq!(provider.requests()[0].path, "/v1/embeddings");
}

#[tokio::test]
async fn a_slow_replica_gets_few_of_the_requests() {
    let mut providers = Vec::new();
    for delay in [20, 20, 20, 400] {
        let provider = FakeProvider::start().await.unwrap();
        provider
            .set_default(Behaviour::Answer(Text::tokens(1).first_token_after(Duration::from_millis(delay))));
        providers.push(provider);
    }
    let endpoints = providers
        .iter()
        .enumerate()
        .map(|(i, p)| EndpointConfig::new(format!("e{i}"), Protocol::OpenAi, Some(p.base_url())))
        .collect();
    let coordinator = coordinator(endpoints);
    futures_util::stream::iter(0..240)
        .for_each_concurrent(8, |_| async {
            ask(&coordinator, false).await.unwrap();
        })
        .await;
    let slow = providers[3].requests().len();
    assert!(slow <= 12, "{slow} of 240 went to the slow one");
}

#[test]
fn a_configuration_that_cannot_be_carried_out_is_refused_by_name() {
    let endpoint = || EndpointConfig::new("e", Protocol::OpenAi, Some("http://127.0.0.1:9".into()));
    let check = |endpoints: Vec<EndpointConfig>, models: Vec<ModelConfig>, expected: &str| {
        let error = Coordinator::new(CoordinatorConfig { endpoints, models }, None).unwrap_err();
        assert_eq!(error.code(), "UAT_CONFIG");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(vec![endpoint(), endpoint()], vec![], "two endpoints are called `e`");
    check(vec![endpoint()], vec![ModelConfig::at("m", ["f"])], "names the endpoint `f`");
    check(vec![endpoint()], vec![ModelConfig::at::<&str>("m", [])], "has no endpoints");
    check(vec![EndpointConfig::new("x", Protocol::UatEngine, None)], vec![], "no local engine");
    check(vec![EndpointConfig { idle_timeout_ms: u64::MAX, ..endpoint() }], vec![], "idle_timeout_ms");
    check(vec![EndpointConfig { total_timeout_ms: 0, ..endpoint() }], vec![], "total_timeout_ms");
}
