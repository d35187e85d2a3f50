//! Answers that are given again, and answers that several requests share.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking too, and clippy exempts only test functions"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fast_llm_coordinator::{
    Answer, CacheConfig, CacheOutcome, CachePreference, CallOptions, ChatStream, Coordinator,
    CoordinatorConfig, CoordinatorError, EndpointConfig, ModelConfig, ModelEndpoint, Outcome, Protocol,
    ResponseCache, ResponseStore, RoutingReport, Surroundings, Unavailable,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use llm_wire::openai::{ChatRequest, ChunkCollector};
use llm_wire::{Original, Spoken};
use parking_lot::Mutex;
use route_plan::RoutePlan;
use serde_json::{Value, json};
use testkit::{Answer as Text, Behaviour, FakeProvider};

/// Long enough that only a defect reaches it.
const NEVER: Duration = Duration::from_secs(20);

/// What a store does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mood {
    #[default]
    Well,
    Away,
    Hanging,
}

#[derive(Default)]
struct Store {
    values: Mutex<HashMap<[u8; 32], (Bytes, Duration)>>,
    mood: Mutex<Mood>,
    gets: AtomicUsize,
}

impl Store {
    async fn answers(&self) -> Result<(), Unavailable> {
        let mood = *self.mood.lock();
        match mood {
            Mood::Well => Ok(()),
            Mood::Away => Err(Unavailable { reason: "away".to_owned() }),
            Mood::Hanging => std::future::pending().await,
        }
    }

    fn len(&self) -> usize {
        self.values.lock().len()
    }
}

impl ResponseStore for Store {
    fn get(&self, key: [u8; 32]) -> BoxFuture<'_, Result<Option<Bytes>, Unavailable>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            self.answers().await?;
            Ok(self.values.lock().get(&key).map(|(value, _)| value.clone()))
        })
    }

    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            self.answers().await?;
            self.values.lock().insert(key, (value, ttl));
            Ok(())
        })
    }
}

/// A provider, and a coordinator that keeps its answers.
struct Place {
    provider: FakeProvider,
    store: Arc<Store>,
    coordinator: Coordinator,
}

impl Place {
    async fn new() -> Self {
        Self::with(CacheConfig::default()).await
    }

    async fn with(config: CacheConfig) -> Self {
        let provider = FakeProvider::start().await.unwrap();
        let store = Arc::new(Store::default());
        let coordinator = at(&provider, "m", &store, config);
        Self { provider, store, coordinator }
    }

    /// Asks, reads the whole answer, and waits until it is kept.
    async fn ask(&self, request: &Value) -> (Value, RoutingReport) {
        self.ask_with(request, CallOptions::default()).await
    }

    async fn ask_with(&self, request: &Value, options: CallOptions) -> (Value, RoutingReport) {
        let answer = execute(&self.coordinator, request, options).await.unwrap();
        let answer = whole(answer).await.unwrap();
        self.coordinator.close().await;
        answer
    }

    fn asked(&self) -> usize {
        self.provider.requests().len()
    }
}

/// A coordinator whose model `m` is this one at the provider.
fn at(provider: &FakeProvider, model: &str, store: &Arc<Store>, config: CacheConfig) -> Coordinator {
    let endpoint = EndpointConfig {
        first_token_timeout_ms: 500,
        idle_timeout_ms: 500,
        ..EndpointConfig::new("only", Protocol::OpenAi, Some(provider.base_url()))
    };
    coordinator_of(endpoint, model, store, config)
}

fn coordinator_of(
    endpoint: EndpointConfig,
    model: &str,
    store: &Arc<Store>,
    config: CacheConfig,
) -> Coordinator {
    let served = ModelEndpoint { endpoint: endpoint.name.clone(), model: Some(model.into()), weight: 1.0 };
    let model = ModelConfig { endpoints: vec![served], ..ModelConfig::at("m", ["only"]) };
    let cache = ResponseCache { config, store: Arc::clone(store) as Arc<dyn ResponseStore> };
    Coordinator::among(
        CoordinatorConfig { endpoints: vec![endpoint], models: vec![model] },
        Surroundings { cache: Some(cache), ..Surroundings::default() },
    )
    .unwrap()
}

async fn execute(
    coordinator: &Coordinator,
    request: &Value,
    options: CallOptions,
) -> Result<Answer, CoordinatorError> {
    let request = ChatRequest::parse(request.to_string().into()).unwrap();
    coordinator.execute(&RoutePlan::single("r", "m"), &request, options).await
}

/// A question at temperature 0, with these members added or replaced.
fn question(members: Value) -> Value {
    let mut body = json!({"model":"m","temperature":0,"messages":[{"role":"user","content":"Hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

fn streamed() -> Value {
    question(json!({"stream":true}))
}

/// The whole document and the final report.
async fn whole(answer: Answer) -> Result<(Value, RoutingReport), CoordinatorError> {
    let (document, report) = match answer {
        Answer::Complete { body, report, .. } => (body, report),
        Answer::Stream(mut stream) => {
            let mut collector = ChunkCollector::new();
            while let Some(chunk) = stream.next().await {
                collector.push(&chunk?).unwrap();
            }
            (collector.finish(), stream.report())
        }
    };
    Ok((serde_json::from_slice(&document).unwrap(), report))
}

fn text(document: &Value) -> &str {
    document["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

async fn stream(coordinator: &Coordinator, options: CallOptions) -> ChatStream {
    match execute(coordinator, &streamed(), options).await.unwrap() {
        Answer::Stream(stream) => stream,
        other => panic!("expected a stream, got {other:?}"),
    }
}

#[tokio::test]
async fn the_same_question_is_answered_again_without_asking() {
    let place = Place::new().await;
    let (first, report) = place.ask(&question(json!({}))).await;
    assert_eq!((report.cache, report.attempts.len()), (CacheOutcome::Miss, 1));
    let (second, report) = place.ask(&question(json!({}))).await;
    assert_eq!(second, first, "the document as it is, its usage included");
    assert_eq!((report.cache, report.attempts.len(), &*report.endpoint), (CacheOutcome::Hit, 0, "only"));
    assert_eq!((&*report.model, &*report.request_id), ("m", "r"));
    assert_eq!(place.asked(), 1);
    let stats = place.coordinator.stats();
    assert_eq!((stats.requests, stats.cache_hits, stats.cache_misses, stats.in_flight), (2, 1, 1, 0));
    let ttl = place.store.values.lock().values().next().unwrap().1;
    assert_eq!(ttl, Duration::from_secs(3600));
}

#[tokio::test]
async fn an_answer_is_given_again_in_either_shape_whichever_it_came_in() {
    let answer = Text::text("Paris is the capital of France, and has been so for a long time. ".repeat(8));
    for asks in [json!({"stream":true,"stream_options":{"include_usage":true}}), json!({})] {
        let place = Place::new().await;
        place.provider.set_default(Behaviour::Answer(answer.clone()));
        let (first, _) = place.ask(&question(asks)).await;
        for again in [
            json!({}),
            json!({"stream":true}),
            json!({"stream":true,"stream_options":{"include_usage":true}}),
        ] {
            let wants_usage = again["stream"].is_null() || !again["stream_options"].is_null();
            let (document, report) = place.ask(&question(again)).await;
            assert_eq!((report.cache, text(&document)), (CacheOutcome::Hit, &*answer.full_text()));
            assert_eq!(document["id"], first["id"]);
            assert_eq!(document["usage"].is_object(), wants_usage);
        }
        assert_eq!(place.asked(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_was_not_counted_is_no_answer_for_those_who_count() {
    let place = Place::new().await;
    place.ask(&streamed()).await;
    assert_eq!(place.ask(&streamed()).await.1.cache, CacheOutcome::Hit);
    let (document, report) = place.ask(&question(json!({}))).await;
    assert_eq!(report.cache, CacheOutcome::Miss);
    assert!(document["usage"].is_object());
    assert_eq!(place.ask(&question(json!({}))).await.1.cache, CacheOutcome::Hit);
}

#[tokio::test]
async fn which_requests_the_cache_is_asked_for() {
    let options = |cache| CallOptions { cache, ..CallOptions::default() };
    let (default, on, off) = (CachePreference::Default, CachePreference::On, CachePreference::Off);
    for (members, cache, kept) in [
        (json!({}), default, true),
        (json!({"temperature":0.0}), default, true),
        (json!({"n":1}), default, true),
        (json!({"temperature":0.7}), on, true),
        (json!({"temperature":null}), on, true),
        (json!({"temperature":null}), default, false),
        (json!({"temperature":0.001}), default, false),
        (json!({"n":2}), default, false),
        (json!({"n":2}), on, false),
        (json!({}), off, false),
    ] {
        let place = Place::new().await;
        let request = question(members);
        let (_, first) = place.ask_with(&request, options(cache)).await;
        let (_, second) = place.ask_with(&request, options(cache)).await;
        let expected = match kept {
            true => [CacheOutcome::Miss, CacheOutcome::Hit],
            false => [CacheOutcome::Bypass, CacheOutcome::Bypass],
        };
        assert_eq!([first.cache, second.cache], expected, "{request} {cache:?}");
        assert_eq!((place.asked(), place.store.len()), if kept { (1, 1) } else { (2, 0) });
        assert_eq!(place.store.gets.load(Ordering::Relaxed) > 0, kept);
    }
    let place = Place::with(CacheConfig { exact: false, ..CacheConfig::default() }).await;
    assert_eq!(place.ask_with(&question(json!({})), options(on)).await.1.cache, CacheOutcome::Bypass);
}

#[tokio::test]
async fn a_question_in_the_endpoints_own_other_dialect_goes_around_the_cache() {
    let store = Arc::new(Store::default());
    let provider = FakeProvider::start().await.unwrap();
    let original = |dialect| Original { dialect, body: "{}".into() };
    let request = ChatRequest::parse(question(json!({})).to_string().into()).unwrap();
    let plan = RoutePlan::single("r", "m");
    let coordinator = at(&provider, "m", &store, CacheConfig::default());
    for expected in [CacheOutcome::Miss, CacheOutcome::Hit] {
        let request =
            request.clone().translated_from(Some(original(Spoken::Anthropic)), vec!["top_k".to_owned()]);
        let answer = coordinator.execute(&plan, &request, CallOptions::default()).await.unwrap();
        let (_, report) = whole(answer).await.unwrap();
        coordinator.close().await;
        assert_eq!((report.cache, report.dropped), (expected, vec!["top_k".to_owned()]));
    }
    let native = EndpointConfig::new("only", Protocol::Anthropic, Some(provider.base_url()));
    let coordinator = coordinator_of(native, "m", &store, CacheConfig::default());
    let gets = store.gets.load(Ordering::Relaxed);
    let request = request.translated_from(Some(original(Spoken::Anthropic)), Vec::new());
    // Whether it is answered depends on the provider; the store is not asked.
    let _ = coordinator.execute(&plan, &request, CallOptions::default()).await;
    assert_eq!(store.gets.load(Ordering::Relaxed), gets);
}

#[tokio::test]
async fn tenants_never_share_an_answer() {
    let place = Place::new().await;
    let of = |tenant: Option<&str>| CallOptions { tenant: tenant.map(Into::into), ..CallOptions::default() };
    for tenant in [None, Some(""), Some("a"), Some("b")] {
        let (_, report) = place.ask_with(&question(json!({})), of(tenant)).await;
        assert_eq!(report.cache, CacheOutcome::Miss, "{tenant:?}");
    }
    assert_eq!(place.ask_with(&question(json!({})), of(Some("a"))).await.1.cache, CacheOutcome::Hit);
}

#[tokio::test]
async fn an_answer_is_forgotten_once_somebody_else_answers_as_the_model() {
    let (first, second) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let store = Arc::new(Store::default());
    for (provider, model, expected) in [
        (&first, "m", CacheOutcome::Miss),
        (&first, "m", CacheOutcome::Hit),
        (&first, "n", CacheOutcome::Miss),
        (&second, "m", CacheOutcome::Miss),
        (&first, "m", CacheOutcome::Hit),
    ] {
        let coordinator = at(provider, model, &store, CacheConfig::default());
        let answer = execute(&coordinator, &question(json!({})), CallOptions::default()).await.unwrap();
        assert_eq!(whole(answer).await.unwrap().1.cache, expected, "{model}");
        coordinator.close().await;
    }
}

#[tokio::test]
async fn errors_and_answers_that_were_cut_are_never_kept() {
    let answer = Text::default();
    let whole_answer = |choice: Value| Behaviour::Status {
        code: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Some(
            json!({"id":"c","object":"chat.completion","created":1,"model":"m","choices":[choice]})
                .to_string(),
        ),
    };
    let said = json!({"role":"assistant","content":"Hi"});
    let called = json!({"role":"assistant","content":"Hi",
        "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]});
    for (fault, stream) in [
        (whole_answer(json!({"index":0,"message":said,"finish_reason":"length"})), false),
        (whole_answer(json!({"index":0,"message":said,"finish_reason":"content_filter"})), false),
        (whole_answer(json!({"index":0,"message":called,"finish_reason":"tool_calls"})), false),
        (whole_answer(json!({"index":0,"message":called,"finish_reason":"stop"})), false),
        (
            whole_answer(
                json!({"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}),
            ),
            false,
        ),
        (Behaviour::status(500), false),
        (Behaviour::status(400), true),
        (Behaviour::ErrorInside200, false),
        (Behaviour::CutAfter { chunks: 5, answer: answer.clone() }, true),
        (Behaviour::StallAfter { chunks: 5, answer }, true),
    ] {
        let place = Place::new().await;
        place.provider.set_default(fault.clone());
        let request = if stream { streamed() } else { question(json!({})) };
        for _ in 0..2 {
            if let Ok(answer) = execute(&place.coordinator, &request, CallOptions::default()).await {
                let _ = whole(answer).await;
            }
            place.coordinator.close().await;
        }
        assert_eq!(place.store.len(), 0, "{fault:?}");
        place.provider.set_default(Behaviour::default());
        assert_eq!(place.ask(&request).await.1.cache, CacheOutcome::Miss, "{fault:?}");
        assert_eq!(place.coordinator.stats().in_flight, 0);
    }
}

#[tokio::test]
async fn an_answer_longer_than_max_entry_kb_is_not_kept() {
    let place = Place::with(CacheConfig { max_entry_kb: 1, ..CacheConfig::default() }).await;
    for (words, kept) in [(20, true), (300, false)] {
        place.provider.set_default(Behaviour::Answer(Text::text("word ".repeat(words))));
        for request in [streamed(), question(json!({}))] {
            place.store.values.lock().clear();
            let (document, _) = place.ask(&request).await;
            assert_eq!(text(&document).len(), words * 5);
            assert_eq!(place.store.len() == 1, kept, "{words} {request}");
        }
    }
}

#[tokio::test]
async fn what_the_store_says_wrongly_is_a_miss() {
    let place = Place::new().await;
    place.ask(&question(json!({}))).await;
    for (value, _) in place.store.values.lock().values_mut() {
        let mut bytes = value.to_vec();
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
        *value = bytes.into();
    }
    assert_eq!(place.ask(&question(json!({}))).await.1.cache, CacheOutcome::Miss);
    assert_eq!(place.ask(&question(json!({}))).await.1.cache, CacheOutcome::Hit, "written anew");
}

#[tokio::test]
async fn a_store_that_is_away_or_hangs_is_gone_around() {
    for mood in [Mood::Away, Mood::Hanging] {
        let place = Place::new().await;
        *place.store.mood.lock() = mood;
        for request in [question(json!({})), streamed()] {
            let began = Instant::now();
            let answer = execute(&place.coordinator, &request, CallOptions::default()).await.unwrap();
            let (document, report) = whole(answer).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(2), "{mood:?}");
            assert_eq!(
                (report.cache, text(&document)),
                (CacheOutcome::Bypass, &*Text::default().full_text())
            );
        }
        let stats = place.coordinator.stats();
        assert_eq!((stats.cache_hits, stats.cache_misses, stats.errors), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_store_that_hangs_when_it_is_to_keep_delays_nobody() {
    let place = Place::new().await;
    place.provider.set_default(Behaviour::Answer(Text::default().paced(Duration::from_millis(5))));
    let answer = execute(&place.coordinator, &streamed(), CallOptions::default()).await.unwrap();
    *place.store.mood.lock() = Mood::Hanging;
    let began = Instant::now();
    whole(answer).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    // While it is being kept, the same question is the same flight.
    let answer = execute(&place.coordinator, &streamed(), CallOptions::default()).await.unwrap();
    assert_eq!(whole(answer).await.unwrap().1.cache, CacheOutcome::Hit);
    assert_eq!(place.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_the_same_request_at_once_are_asked_once() {
    for request in [question(json!({})), streamed()] {
        let place = Place::new().await;
        let answer = Text::tokens(20).first_token_after(Duration::from_millis(50));
        place.provider.set_default(Behaviour::Answer(answer.clone()));
        let all = (0..100).map(|_| async {
            let answer = execute(&place.coordinator, &request, CallOptions::default()).await.unwrap();
            whole(answer).await.unwrap()
        });
        let answers = futures_util::future::join_all(all).await;
        assert_eq!(place.asked(), 1);
        assert!(answers.iter().all(|(document, _)| text(document) == answer.full_text()));
        let misses = answers.iter().filter(|(_, report)| report.cache == CacheOutcome::Miss).count();
        assert_eq!(misses, 1, "one of them was first; the others got its answer");
        let stats = place.coordinator.stats();
        assert_eq!((stats.requests, stats.cache_hits, stats.cache_misses, stats.in_flight), (100, 99, 1, 0));
    }
}

#[tokio::test]
async fn requests_that_differ_do_not_share() {
    let place = Place::new().await;
    let others = [
        json!({}),
        json!({"seed":1}),
        json!({"stream":true}),
        json!({"stream":true,"stream_options":{"include_usage":true}}),
    ];
    let all = others.map(|members| {
        let coordinator = &place.coordinator;
        async move {
            let answer = execute(coordinator, &question(members), CallOptions::default()).await.unwrap();
            whole(answer).await.unwrap()
        }
    });
    futures_util::future::join_all(all).await;
    assert_eq!(place.asked(), 4);
}

#[tokio::test]
async fn one_who_joins_in_the_middle_gets_everything_from_the_beginning() {
    let place = Place::new().await;
    let answer = Text::tokens(40).paced(Duration::from_millis(5));
    place.provider.set_default(Behaviour::Answer(answer.clone()));
    let mut first = stream(&place.coordinator, CallOptions::default()).await;
    for _ in 0..15 {
        first.next().await.unwrap().unwrap();
    }
    let second = stream(&place.coordinator, CallOptions::default()).await;
    assert_eq!((second.report().cache, second.report().attempts.len()), (CacheOutcome::Hit, 0));
    let (document, report) = whole(Answer::Stream(second)).await.unwrap();
    assert_eq!((text(&document), report.attempts.len()), (&*answer.full_text(), 0));
    while let Some(chunk) = first.next().await {
        chunk.unwrap();
    }
    let report = first.report();
    assert_eq!((report.cache, report.attempts[0].outcome), (CacheOutcome::Miss, Outcome::Ok));
    assert_eq!(place.asked(), 1);
}

#[tokio::test]
async fn those_who_follow_survive_the_one_who_was_first() {
    let place = Place::new().await;
    let answer =
        Text::tokens(30).first_token_after(Duration::from_millis(50)).paced(Duration::from_millis(3));
    place.provider.set_default(Behaviour::Answer(answer.clone()));
    for request in [streamed(), question(json!({}))] {
        let first = Box::pin(execute(&place.coordinator, &request, CallOptions::default()));
        let second = execute(&place.coordinator, &request, CallOptions::default());
        // The first has begun the flight once the provider was asked, and then goes away.
        let asked = place.asked() as u64 + 1;
        let leader = async {
            tokio::select! {
                _ = first => panic!("too soon"),
                seen = place.provider.wait_for_requests(asked) => { seen.unwrap(); }
            }
        };
        let (second, ()) = tokio::join!(second, leader);
        let (document, _) = whole(second.unwrap()).await.unwrap();
        assert_eq!(text(&document), answer.full_text());
        assert_eq!(place.asked() as u64, asked);
    }
}

#[tokio::test]
async fn when_the_last_one_has_gone_the_endpoint_is_left_at_once() {
    let place = Place::new().await;
    place.provider.set_default(Behaviour::Answer(Text::tokens(10_000).paced(Duration::from_millis(5))));
    let mut first = stream(&place.coordinator, CallOptions::default()).await;
    let second = stream(&place.coordinator, CallOptions::default()).await;
    drop(second);
    for _ in 0..20 {
        first.next().await.unwrap().unwrap();
    }
    assert_eq!(place.provider.disconnects().len(), 0);
    let dropped = Instant::now();
    drop(first);
    let seen = place.provider.wait_for_disconnect(NEVER).await.unwrap();
    assert!(seen.at.saturating_duration_since(dropped) < Duration::from_millis(100));
    // A request that has not been answered yet is left as well.
    place.provider.set_default(Behaviour::Hang);
    let before = place.provider.disconnects().len();
    let asked = place.asked() as u64 + 1;
    let request = question(json!({}));
    tokio::select! {
        _ = execute(&place.coordinator, &request, CallOptions::default()) => panic!("it hangs"),
        seen = place.provider.wait_for_requests(asked) => { seen.unwrap(); }
    }
    place.provider.wait_for_disconnect(NEVER).await.unwrap();
    assert!(place.provider.disconnects().len() > before || before == 0);
    // And whoever comes then begins anew.
    place.provider.set_default(Behaviour::default());
    assert_eq!(place.ask(&streamed()).await.1.cache, CacheOutcome::Miss);
    assert_eq!((place.store.len(), place.coordinator.stats().in_flight), (1, 0));
}

#[tokio::test]
async fn a_failure_reaches_everybody_who_waits_and_nobody_who_comes_later() {
    let place = Place::new().await;
    for (fault, request) in [
        (Behaviour::status(503), question(json!({}))),
        (
            Behaviour::CutAfter { chunks: 5, answer: Text::default().paced(Duration::from_millis(5)) },
            streamed(),
        ),
    ] {
        place.provider.set_default(fault);
        let errors = place.coordinator.stats().errors;
        let all = (0..5).map(|_| async {
            whole(execute(&place.coordinator, &request, CallOptions::default()).await?).await
        });
        for result in futures_util::future::join_all(all).await {
            assert_eq!(result.unwrap_err().code(), "UAT_UPSTREAM");
        }
        assert_eq!(place.coordinator.stats().errors, errors + 5);
        place.provider.set_default(Behaviour::default());
        assert_eq!(place.ask(&request).await.1.cache, CacheOutcome::Miss);
        place.store.values.lock().clear();
    }
    assert_eq!(place.coordinator.stats().in_flight, 0);
}

#[tokio::test]
async fn each_keeps_its_own_deadline() {
    let place = Place::new().await;
    let hurried = || CallOptions { timeout: Some(Duration::from_millis(60)), ..CallOptions::default() };
    for (answer, request) in [
        (Text::tokens(20).first_token_after(Duration::from_millis(200)), question(json!({}))),
        (Text::tokens(20).paced(Duration::from_millis(10)), streamed()),
    ] {
        place.provider.set_default(Behaviour::Answer(answer.clone()));
        let ask = |options| async { whole(execute(&place.coordinator, &request, options).await?).await };
        let (hurried, patient) = tokio::join!(ask(hurried()), ask(CallOptions::default()));
        assert!(matches!(hurried, Err(CoordinatorError::DeadlineExceeded { .. })), "{hurried:?}");
        assert_eq!(text(&patient.unwrap().0), answer.full_text());
        place.coordinator.close().await;
        place.store.values.lock().clear();
    }
    assert_eq!(place.asked(), 2);
}

#[tokio::test]
async fn a_deadline_tells_what_was_tried_until_then() {
    let (faulty, slow) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    faulty.set_default(Behaviour::status(503));
    slow.set_default(Behaviour::Hang);
    let endpoint = |name: &str, provider: &FakeProvider| {
        EndpointConfig::new(name, Protocol::OpenAi, Some(provider.base_url()))
    };
    let config = CoordinatorConfig {
        endpoints: vec![endpoint("faulty", &faulty), endpoint("slow", &slow)],
        models: vec![ModelConfig::at("m", ["faulty"]), ModelConfig::at("n", ["slow"])],
    };
    let cache = ResponseCache { config: CacheConfig::default(), store: Arc::new(Store::default()) };
    let coordinator =
        Coordinator::among(config, Surroundings { cache: Some(cache), ..Surroundings::default() }).unwrap();
    let mut plan = RoutePlan::single("r", "m");
    plan.stages.extend(RoutePlan::single("r", "n").stages);
    let request = ChatRequest::parse(question(json!({})).to_string().into()).unwrap();
    let options = CallOptions { timeout: Some(Duration::from_millis(400)), ..CallOptions::default() };
    let error = coordinator.execute(&plan, &request, options).await.unwrap_err();
    assert_eq!(error.code(), "UAT_TIMEOUT");
    let tried = error.attempts();
    assert!(!tried.is_empty() && tried.iter().all(|attempt| &*attempt.endpoint == "faulty"), "{tried:?}");
}

#[tokio::test]
async fn beyond_max_entry_kb_nobody_joins_and_those_who_read_get_the_rest() {
    let place = Place::with(CacheConfig { max_entry_kb: 4, ..CacheConfig::default() }).await;
    let answer = Text::tokens(200).paced(Duration::from_millis(1));
    place.provider.set_default(Behaviour::Answer(answer.clone()));
    let mut first = stream(&place.coordinator, CallOptions::default()).await;
    let mut second = stream(&place.coordinator, CallOptions::default()).await;
    let mut heard = [String::new(), String::new()];
    for _ in 0..100 {
        for (stream, heard) in [&mut first, &mut second].into_iter().zip(&mut heard) {
            let chunk: Value = serde_json::from_slice(&stream.next().await.unwrap().unwrap()).unwrap();
            heard.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        }
    }
    let late = stream(&place.coordinator, CallOptions::default()).await;
    assert_eq!(late.report().cache, CacheOutcome::Miss, "too late to join");
    drop(late);
    let rest = [first, second].into_iter().zip(heard).map(|(mut stream, mut heard)| async move {
        while let Some(chunk) = stream.next().await {
            let chunk: Value = serde_json::from_slice(&chunk.unwrap()).unwrap();
            heard.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        }
        heard
    });
    for heard in futures_util::future::join_all(rest).await {
        assert_eq!(heard, answer.full_text());
    }
}
