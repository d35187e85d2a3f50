//! What a meter is told: once for each execution that asked an endpoint, however it ends.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking too, and clippy exempts only test functions"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fast_llm_coordinator::{
    Answer, CacheConfig, CallOptions, ChatStream, Coordinator, CoordinatorConfig, CoordinatorError,
    EndpointConfig, Meter, ModelConfig, Most, Protocol, ResponseCache, ResponseStore, Resume, Spent,
    Surroundings, Unavailable,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use parking_lot::Mutex;
use route_plan::RoutePlan;
use serde_json::{Value, json};
use testkit::{Answer as Text, Behaviour, Continuation, FakeProvider, Tokens};
use tokio::sync::Notify;

const MOST: Most = Most { prompt_tokens: 90, completion_tokens: 1_000 };

#[derive(Debug, Default)]
struct Told {
    spent: Mutex<Vec<Spent>>,
    news: Notify,
}

impl Meter for Told {
    fn most(&self) -> Most {
        MOST
    }

    fn used(&self, _model: &Arc<str>, spent: Spent) {
        self.spent.lock().push(spent);
        self.news.notify_one();
    }
}

impl Told {
    fn options(self: &Arc<Self>) -> CallOptions {
        CallOptions { meter: Some(Arc::clone(self) as Arc<dyn Meter>), ..CallOptions::default() }
    }

    /// Prompt, answer, and whether that is an estimate, of each time it was told.
    fn all(&self) -> Vec<(u64, u64, bool)> {
        let spent = self.spent.lock();
        spent.iter().map(|s| (s.prompt_tokens, s.completion_tokens, s.is_estimate)).collect()
    }

    async fn once_told(&self) {
        tokio::time::timeout(Duration::from_secs(5), self.news.notified()).await.unwrap();
    }
}

#[derive(Default)]
struct Store(Mutex<HashMap<[u8; 32], Bytes>>);

impl ResponseStore for Store {
    fn get(&self, key: [u8; 32]) -> BoxFuture<'_, Result<Option<Bytes>, Unavailable>> {
        Box::pin(async move { Ok(self.0.lock().get(&key).cloned()) })
    }

    fn put(&self, key: [u8; 32], value: Bytes, _: Duration) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            self.0.lock().insert(key, value);
            Ok(())
        })
    }
}

fn coordinator(endpoints: Vec<EndpointConfig>) -> Coordinator {
    let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    let model =
        ModelConfig { balance: fast_llm_coordinator::Balance::Priority, ..ModelConfig::at("m", names) };
    let cache = ResponseCache { config: CacheConfig::default(), store: Arc::new(Store::default()) };
    Coordinator::among(
        CoordinatorConfig { endpoints, models: vec![model] },
        Surroundings { cache: Some(cache), ..Surroundings::default() },
    )
    .unwrap()
}

struct Place {
    provider: FakeProvider,
    coordinator: Coordinator,
    told: Arc<Told>,
}

impl Place {
    async fn new(protocol: Protocol) -> Self {
        let provider = FakeProvider::start().await.unwrap();
        let endpoint = EndpointConfig {
            first_token_timeout_ms: 300,
            idle_timeout_ms: 300,
            ..EndpointConfig::new("only", protocol, Some(provider.base_url()))
        };
        Self { provider, coordinator: coordinator(vec![endpoint]), told: Arc::default() }
    }

    async fn ask(&self, members: Value) -> Result<Answer, CoordinatorError> {
        ask(&self.coordinator, members, self.told.options()).await
    }
}

async fn ask(
    coordinator: &Coordinator,
    members: Value,
    options: CallOptions,
) -> Result<Answer, CoordinatorError> {
    let mut body = json!({"model":"m","messages":[{"role":"user","content":"Hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let request = ChatRequest::parse(body.to_string().into()).unwrap();
    coordinator.execute(&RoutePlan::single("r", "m"), &request, options).await
}

fn stream_of(answer: Answer) -> ChatStream {
    match answer {
        Answer::Stream(stream) => stream,
        other => panic!("expected a stream, got {other:?}"),
    }
}

/// All chunks of a stream.
async fn chunks(stream: &mut ChatStream) -> Vec<Value> {
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(serde_json::from_slice(&chunk.unwrap()).unwrap());
    }
    chunks
}

#[tokio::test]
async fn a_whole_answer_is_told_as_the_endpoint_counted_it() {
    for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini, Protocol::Ollama] {
        let place = Place::new(protocol).await;
        place.provider.set_default(Behaviour::Answer(Text::tokens(5).usage(Tokens::Given {
            prompt: 40,
            completion: 5,
            cached: 8,
            reasoning: 0,
        })));
        drop(place.ask(json!({})).await.unwrap());
        assert_eq!(place.told.all(), [(40, 5, false)], "{protocol:?}");
        if protocol == Protocol::OpenAi {
            assert_eq!(place.told.spent.lock()[0].cached_prompt_tokens, 8);
        }
    }
}

#[tokio::test]
async fn a_stream_is_counted_although_its_client_did_not_ask_and_the_client_does_not_see_it() {
    for protocol in [Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini, Protocol::Ollama] {
        for chunk_count in [1, 20] {
            let place = Place::new(protocol).await;
            place.provider.set_default(Behaviour::Answer(Text::tokens(chunk_count)));
            let mut stream = stream_of(place.ask(json!({"stream": true})).await.unwrap());
            let seen = chunks(&mut stream).await;
            let tokens = chunk_count as u64;
            assert_eq!(place.told.all(), [(7, tokens, false)], "{protocol:?}, told at the end");
            assert!(
                seen.iter().all(|chunk| !chunk["choices"].as_array().unwrap().is_empty()),
                "{protocol:?}"
            );
            drop(stream);
            assert_eq!(place.told.all().len(), 1, "once");
        }
    }
}

#[tokio::test]
async fn a_client_that_asked_for_the_usage_has_it() {
    let place = Place::new(Protocol::OpenAi).await;
    let wants = json!({"stream": true, "stream_options": {"include_usage": true}});
    let seen = chunks(&mut stream_of(place.ask(wants).await.unwrap())).await;
    assert_eq!(seen.last().unwrap()["usage"]["prompt_tokens"], 7);
    assert_eq!(place.told.all(), [(7, 20, false)]);
}

#[tokio::test]
async fn where_nobody_counts_it_is_a_bound() {
    let place = Place::new(Protocol::OpenAi).await;
    let answer = Text::text("one two three").usage(Tokens::Missing);
    place.provider.set_default(Behaviour::Answer(answer));
    let mut stream = stream_of(place.ask(json!({"stream": true})).await.unwrap());
    chunks(&mut stream).await;
    assert_eq!(place.told.all(), [(90, "one two three".len() as u64, true)]);
}

#[tokio::test]
async fn a_stream_that_is_left_counts_as_far_as_it_came() {
    let place = Place::new(Protocol::OpenAi).await;
    place.provider.set_default(Behaviour::Answer(Text::tokens(500).paced(Duration::from_millis(5))));
    let mut stream = stream_of(place.ask(json!({"stream": true})).await.unwrap());
    let mut words = 0;
    while words < 3 {
        let chunk: Value = serde_json::from_slice(&stream.next().await.unwrap().unwrap()).unwrap();
        words += usize::from(chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|t| !t.is_empty()));
    }
    assert_eq!(place.told.all(), [], "it is not over");
    drop(stream);
    let all = place.told.all();
    assert!(matches!(all[..], [(90, 8..40, true)]), "{all:?}");
}

#[tokio::test]
async fn a_whole_answer_that_is_left_counts_as_the_longest() {
    let place = Place::new(Protocol::OpenAi).await;
    place.provider.set_default(Behaviour::Hang);
    {
        let mut asking = Box::pin(place.ask(json!({})));
        tokio::select! {
            _ = &mut asking => panic!("it hangs"),
            asked = place.provider.wait_for_requests(1) => { asked.unwrap(); }
        }
    }
    assert_eq!(place.told.all(), [(90, 1_000, true)]);
}

#[tokio::test]
async fn who_refuses_or_is_not_there_takes_nothing() {
    let place = Place::new(Protocol::OpenAi).await;
    place.provider.set_default(Behaviour::status(400));
    place.ask(json!({})).await.unwrap_err();
    assert_eq!(place.told.all(), [(0, 0, false)]);

    let nobody = EndpointConfig::new("only", Protocol::OpenAi, Some("http://127.0.0.1:9".to_owned()));
    let told: Arc<Told> = Arc::default();
    ask(&coordinator(vec![nobody]), json!({}), told.options()).await.unwrap_err();
    assert_eq!(told.all(), [(0, 0, false)]);
}

#[tokio::test]
async fn nobody_is_told_of_a_model_that_is_not_there() {
    let place = Place::new(Protocol::OpenAi).await;
    let request =
        ChatRequest::parse(r#"{"model":"x","messages":[{"role":"user","content":"Hi"}]}"#.into()).unwrap();
    let asked = place.coordinator.execute(&RoutePlan::single("r", "x"), &request, place.told.options()).await;
    asked.unwrap_err();
    assert_eq!(place.told.all(), []);
}

#[tokio::test]
async fn embeddings_are_told_once() {
    let place = Place::new(Protocol::OpenAi).await;
    let request = EmbeddingsRequest::parse(r#"{"model":"m","input":["a","b"]}"#.into()).unwrap();
    let plan = RoutePlan::single("r", "m");
    place.coordinator.embed(&plan, &request, place.told.options()).await.unwrap();
    assert_eq!(place.told.all().len(), 1);
    assert!(!place.told.spent.lock()[0].is_estimate);
}

#[tokio::test]
async fn what_the_cache_answers_is_free_and_whoever_joins_an_execution_does_not_pay() {
    let place = Place::new(Protocol::OpenAi).await;
    place.provider.set_default(Behaviour::Answer(Text::tokens(20).paced(Duration::from_millis(10))));
    let question = json!({"temperature": 0, "stream": true});
    let (follower, later): (Arc<Told>, Arc<Told>) = Default::default();
    let mut first = stream_of(place.ask(question.clone()).await.unwrap());
    let joined = ask(&place.coordinator, question.clone(), follower.options()).await.unwrap();
    let mut second = stream_of(joined);
    let (seen, too) = tokio::join!(chunks(&mut first), chunks(&mut second));
    assert_eq!(seen, too);
    drop((first, second));
    place.coordinator.close().await;
    drop(ask(&place.coordinator, question, later.options()).await.unwrap());
    assert_eq!(place.told.all(), [(7, 20, false)]);
    assert_eq!((follower.all(), later.all()), (vec![], vec![]));
    assert_eq!(place.provider.requests().len(), 1);
}

#[tokio::test]
async fn an_execution_that_others_wait_for_is_paid_by_whom_it_began_for_even_if_that_one_left() {
    let place = Place::new(Protocol::OpenAi).await;
    place.provider.set_default(Behaviour::Answer(Text::tokens(20).paced(Duration::from_millis(10))));
    let question = json!({"temperature": 0, "stream": true});
    let follower: Arc<Told> = Arc::default();
    let first = stream_of(place.ask(question.clone()).await.unwrap());
    let mut second = stream_of(ask(&place.coordinator, question.clone(), follower.options()).await.unwrap());
    drop(first);
    assert_eq!(place.told.all(), [], "it goes on for the other one");
    chunks(&mut second).await;
    place.told.once_told().await;
    assert_eq!((place.told.all(), follower.all()), (vec![(7, 20, false)], vec![]));
}

#[tokio::test]
async fn a_shared_execution_that_everybody_left_is_told_as_far_as_it_came() {
    let place = Place::new(Protocol::OpenAi).await;
    place.provider.set_default(Behaviour::Answer(Text::tokens(500).paced(Duration::from_millis(5))));
    let mut stream = stream_of(place.ask(json!({"temperature": 0, "stream": true})).await.unwrap());
    stream.next().await.unwrap().unwrap();
    drop(stream);
    place.told.once_told().await;
    let all = place.told.all();
    assert!(matches!(all[..], [(90, 1..400, true)]), "{all:?}");
}

#[tokio::test]
async fn a_stream_that_is_continued_elsewhere_is_told_as_the_sum() {
    let (broken, other) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let answer = Text::text("The sky is blue because air scatters short waves of light more than long ones.")
        .continuing(Continuation::Prefill)
        .paced(Duration::from_millis(2));
    broken.set_default(Behaviour::CutAfter { chunks: 5, answer: answer.clone() });
    other.set_default(Behaviour::Answer(answer));
    let endpoint = |name: &str, provider: &FakeProvider| EndpointConfig {
        resume: Some(Resume::Prefill),
        ..EndpointConfig::new(name, Protocol::OpenAi, Some(provider.base_url()))
    };
    let coordinator = coordinator(vec![endpoint("a", &broken), endpoint("b", &other)]);
    let told: Arc<Told> = Arc::default();
    let mut stream = stream_of(ask(&coordinator, json!({"stream": true}), told.options()).await.unwrap());
    let seen = chunks(&mut stream).await;
    assert!(seen.iter().all(|chunk| !chunk["choices"].as_array().unwrap().is_empty()));
    // The first part by its bytes, since the endpoint broke off before it counted; the rest as it was counted.
    let all = told.all();
    assert!(matches!(all[..], [(97, 20..60, true)]), "{all:?}");
    assert_eq!((broken.requests().len(), other.requests().len()), (1, 1));
}
