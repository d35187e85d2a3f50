//! The line at an endpoint whose places are taken.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking too, and clippy exempts only test functions"
)]

use std::time::{Duration, Instant};

use fast_llm_coordinator::{
    Answer, CallOptions, ChatStream, Coordinator, CoordinatorConfig, CoordinatorError, EndpointConfig,
    ModelConfig, Protocol, RoutingReport,
};
use futures_util::{FutureExt, StreamExt};
use llm_wire::openai::ChatRequest;
use route_plan::RoutePlan;
use testkit::{Answer as Text, Behaviour, FakeProvider};

/// An endpoint with one place, unless a test says otherwise.
fn narrow(name: &str, provider: &FakeProvider) -> EndpointConfig {
    EndpointConfig {
        max_in_flight: Some(1),
        ..EndpointConfig::new(name, Protocol::OpenAi, Some(provider.base_url()))
    }
}

fn coordinator(endpoints: Vec<EndpointConfig>) -> Coordinator {
    let names: Vec<_> = endpoints.iter().map(|e| e.name.clone()).collect();
    let config = CoordinatorConfig { endpoints, models: vec![ModelConfig::at("m", names)] };
    Coordinator::new(config, None).unwrap()
}

async fn execute(
    coordinator: &Coordinator,
    stream: bool,
    options: CallOptions,
) -> Result<Answer, CoordinatorError> {
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    let request = ChatRequest::parse(body.into()).unwrap();
    coordinator.execute(&RoutePlan::single("r", "m"), &request, options).await
}

async fn ask(coordinator: &Coordinator, options: CallOptions) -> Result<RoutingReport, CoordinatorError> {
    match execute(coordinator, false, options).await? {
        Answer::Complete { report, .. } => Ok(report),
        Answer::Stream(_) => unreachable!("no stream was asked for"),
    }
}

/// A stream that has its place until it is dropped.
async fn occupy(coordinator: &Coordinator, provider: &FakeProvider) -> ChatStream {
    provider.enqueue(Behaviour::StallAfter { chunks: 1, answer: Text::default() });
    match execute(coordinator, true, CallOptions::default()).await.unwrap() {
        Answer::Stream(stream) => stream,
        Answer::Complete { .. } => unreachable!("a stream was asked for"),
    }
}

fn within(ms: u64) -> CallOptions {
    CallOptions { timeout: Some(Duration::from_millis(ms)), ..CallOptions::default() }
}

#[tokio::test]
async fn a_request_waits_for_a_place_rather_than_fail() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![narrow("only", &provider)]);
    let stream = occupy(&coordinator, &provider).await;
    let mut waiting = Box::pin(ask(&coordinator, CallOptions::default()));
    assert!(waiting.as_mut().now_or_never().is_none());
    let health = &coordinator.health()[0];
    assert_eq!((health.in_flight, health.queued), (1, 1));
    drop(stream);
    waiting.await.unwrap();
    let health = &coordinator.health()[0];
    assert_eq!((health.in_flight, health.queued), (0, 0));
}

#[tokio::test]
async fn time_in_the_line_is_not_our_overhead() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![narrow("only", &provider)]);
    provider.enqueue(Behaviour::Answer(Text::tokens(1).first_token_after(Duration::from_millis(400))));
    let asking = || ask(&coordinator, CallOptions::default());
    let begun = Instant::now();
    let (first, second) = tokio::join!(asking(), asking());
    assert!(begun.elapsed() >= Duration::from_millis(400));
    for report in [first.unwrap(), second.unwrap()] {
        assert!(report.overhead_us < 200_000, "{report:?}");
    }
}

#[tokio::test]
async fn those_who_wait_are_answered_in_the_order_they_came() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![narrow("only", &provider)]);
    let stream = occupy(&coordinator, &provider).await;
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(ask(&coordinator, CallOptions::default()))).collect();
    for asking in &mut waiting {
        assert!(asking.as_mut().now_or_never().is_none());
    }
    drop(stream);
    let order = std::sync::Mutex::new(Vec::new());
    futures_util::stream::iter(waiting.into_iter().enumerate().rev())
        .for_each_concurrent(None, |(number, asking)| {
            let order = &order;
            async move {
                asking.await.unwrap();
                order.lock().unwrap().push(number);
            }
        })
        .await;
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn no_more_wait_than_may_and_the_next_is_told_to_come_back() {
    let provider = FakeProvider::start().await.unwrap();
    for max_queued in [0, 2] {
        let coordinator = coordinator(vec![EndpointConfig { max_queued, ..narrow("only", &provider) }]);
        let _stream = occupy(&coordinator, &provider).await;
        let mut waiting: Vec<_> =
            (0..max_queued).map(|_| Box::pin(ask(&coordinator, CallOptions::default()))).collect();
        for asking in &mut waiting {
            assert!(asking.as_mut().now_or_never().is_none());
        }
        let refused = ask(&coordinator, CallOptions::default()).now_or_never().unwrap().unwrap_err();
        assert_eq!((refused.code(), refused.retryable()), ("UAT_OVERLOADED", true));
        assert!(refused.retry_after().is_some(), "{refused}");
        assert!(refused.to_string().contains("max_queued"), "{refused}");
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_the_endpoint_allows() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![EndpointConfig { queue_timeout_ms: 50, ..narrow("only", &provider) }]);
    let _stream = occupy(&coordinator, &provider).await;
    let refused = ask(&coordinator, CallOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), "UAT_OVERLOADED");
    assert!(refused.to_string().contains("no place within 50 ms"), "{refused}");
    assert_eq!(coordinator.health()[0].queued, 0);
}

#[tokio::test]
async fn a_request_whose_time_is_over_before_its_turn_is_refused_at_once() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![narrow("only", &provider)]);
    provider.enqueue(Behaviour::Answer(Text::tokens(1).first_token_after(Duration::from_millis(300))));
    ask(&coordinator, CallOptions::default()).await.unwrap();
    let _stream = occupy(&coordinator, &provider).await;
    let refused = ask(&coordinator, within(200)).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused.code(), "UAT_OVERLOADED");
    let said = refused.to_string();
    assert!(said.contains("turn is expected in") && said.contains("ms left"), "{said}");
    assert!(ask(&coordinator, within(60_000)).now_or_never().is_none(), "it has the time to wait");
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_line_ends_the_wait() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![narrow("only", &provider)]);
    let _stream = occupy(&coordinator, &provider).await;
    let error = ask(&coordinator, within(50)).await.unwrap_err();
    assert!(matches!(error, CoordinatorError::DeadlineExceeded { .. }), "{error}");
    assert_eq!(coordinator.health()[0].queued, 0);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_line() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![narrow("only", &provider)]);
    let stream = occupy(&coordinator, &provider).await;
    let mut first = Box::pin(ask(&coordinator, CallOptions::default()));
    let mut second = Box::pin(ask(&coordinator, CallOptions::default()));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    // The place is promised to the first, which does not take it.
    drop(stream);
    drop(first);
    second.await.unwrap();
    assert_eq!(coordinator.stats().in_flight, 0);
}

#[tokio::test]
async fn the_first_place_at_any_endpoint_is_taken() {
    let (a, b) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let coordinator = coordinator(vec![narrow("a", &a), narrow("b", &b)]);
    a.set_default(Behaviour::StallAfter { chunks: 1, answer: Text::default() });
    b.set_default(Behaviour::StallAfter { chunks: 1, answer: Text::default() });
    let mut streams = Vec::new();
    for _ in 0..2 {
        let Answer::Stream(stream) = execute(&coordinator, true, CallOptions::default()).await.unwrap()
        else {
            unreachable!("a stream was asked for")
        };
        streams.push(stream);
    }
    for provider in [&a, &b] {
        provider.set_default(Behaviour::default());
    }
    let mut waiting = Box::pin(ask(&coordinator, CallOptions::default()));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(coordinator.health().iter().map(|health| health.queued).collect::<Vec<_>>(), [1, 1]);
    let freed = streams.pop().unwrap();
    let name = freed.report().endpoint;
    drop(freed);
    assert_eq!(waiting.await.unwrap().endpoint, name);
    assert_eq!(coordinator.health().iter().map(|health| health.queued).collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test]
async fn an_endpoint_that_fails_meanwhile_is_not_asked_by_those_in_its_line() {
    let provider = FakeProvider::start().await.unwrap();
    let coordinator = coordinator(vec![narrow("only", &provider)]);
    provider.enqueue(Behaviour::rate_limited(60));
    let asking = || ask(&coordinator, CallOptions::default());
    let (first, second, third) = tokio::join!(asking(), asking(), asking());
    for result in [first, second, third] {
        assert_eq!(result.unwrap_err().code(), "UAT_RATE_LIMITED");
    }
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_crowd_no_limit_is_passed_and_everybody_is_answered() {
    let (a, b) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let wide = |name, provider: &_| EndpointConfig {
        max_in_flight: Some(3),
        max_queued: 1000,
        queue_timeout_ms: 60_000,
        ..narrow(name, provider)
    };
    let coordinator = coordinator(vec![wide("a", &a), wide("b", &b)]);
    futures_util::stream::iter(0..300)
        .for_each_concurrent(None, |number| {
            let coordinator = &coordinator;
            async move {
                match execute(coordinator, number % 3 == 0, CallOptions::default()).await.unwrap() {
                    Answer::Complete { .. } => {}
                    Answer::Stream(stream) => {
                        assert!(stream.collect::<Vec<_>>().await.iter().all(Result::is_ok));
                    }
                }
                for health in coordinator.health() {
                    assert!(health.in_flight <= 3, "{health:?}");
                }
            }
        })
        .await;
    assert_eq!(a.requests().len() + b.requests().len(), 300);
    for health in coordinator.health() {
        assert_eq!((health.in_flight, health.queued), (0, 0));
    }
}
