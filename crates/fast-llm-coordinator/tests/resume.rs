//! A stream that breaks off after its client was given a part of it goes on, without a missing or a doubled word.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking too, and clippy exempts only test functions"
)]

use std::sync::Arc;
use std::time::Duration;

use fast_llm_coordinator::{
    Answer, CallOptions, Coordinator, CoordinatorConfig, CoordinatorError, EndpointConfig, ModelConfig,
    Outcome, Protocol, Resume, RoutingReport,
};
use futures_util::StreamExt;
use llm_wire::openai::{ChatRequest, ChunkCollector};
use route_plan::RoutePlan;
use serde_json::{Value, json};
use testkit::{Answer as Text, Behaviour, Continuation, FakeProvider};

const TEXT: &str = "The sky is blue because air scatters short waves of light more than long ones.";

fn whole(continues: Continuation) -> Text {
    Text::text(TEXT).continuing(continues)
}

/// The same with a moment between its chunks, so that the first is given before the stream breaks off.
fn paced(continues: Continuation) -> Text {
    whole(continues).paced(Duration::from_millis(2))
}

/// The ways in which a stream breaks off after so many chunks.
fn breaks(chunks: usize, continues: Continuation) -> Vec<Behaviour> {
    let answer = paced(continues);
    vec![
        Behaviour::CutAfter { chunks, answer: answer.clone() },
        Behaviour::ResetAfter { chunks, answer: answer.clone() },
        Behaviour::EndAfter { chunks, answer: answer.clone() },
        Behaviour::StallAfter { chunks, answer: answer.clone() },
        Behaviour::ErrorEventAfter { chunks, answer: answer.clone() },
        Behaviour::WrongJsonAfter { chunks, answer },
    ]
}

struct Place {
    broken: FakeProvider,
    other: FakeProvider,
    coordinator: Coordinator,
}

/// The first endpoint is asked first; the second gives the whole answer, or the rest of it.
async fn place(protocol: Protocol, other: Behaviour, resume: Option<Resume>) -> Place {
    let (broken, second) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    second.set_default(other);
    let endpoint = |name: &str, provider: &FakeProvider, protocol| EndpointConfig {
        idle_timeout_ms: 200,
        resume,
        ..EndpointConfig::new(name, protocol, Some(provider.base_url()))
    };
    let endpoints = vec![endpoint("broken", &broken, Protocol::OpenAi), endpoint("other", &second, protocol)];
    let model = ModelConfig {
        balance: fast_llm_coordinator::Balance::Priority,
        ..ModelConfig::at("m", ["broken", "other"])
    };
    let coordinator = Coordinator::new(CoordinatorConfig { endpoints, models: vec![model] }, None).unwrap();
    Place { broken, other: second, coordinator }
}

fn question(more: Value) -> ChatRequest {
    let mut body = json!({
        "model": "m", "stream": true, "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": "Why is the sky blue?" }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ChatRequest::parse(body.to_string().into()).unwrap()
}

/// What the client is given in the end, and how it came about.
async fn ask(place: &Place, request: &ChatRequest) -> (Result<Value, CoordinatorError>, RoutingReport) {
    let plan = RoutePlan::single("req_1", "m");
    let answer = place.coordinator.execute(&plan, request, CallOptions::default()).await.unwrap();
    let Answer::Stream(mut stream) = answer else { panic!("a stream was asked for") };
    let mut document = ChunkCollector::new();
    let mut ids = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => {
                let parsed: Value = serde_json::from_slice(&chunk).unwrap();
                ids.push(parsed["id"].clone());
                document.push(&chunk).unwrap();
            }
            Err(error) => return (Err(error), stream.report()),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one answer has one id: {ids:?}");
    let whole = serde_json::from_slice(&document.finish()).unwrap();
    (Ok(whole), stream.report())
}

async fn check_continued(place: &Place, more: Value) {
    let (answer, report) = ask(place, &question(more)).await;
    let answer = answer.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], TEXT);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let outcomes: Vec<Outcome> = report.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert!(matches!(outcomes[..], [Outcome::Error | Outcome::Timeout, Outcome::Resumed]), "{outcomes:?}");
    assert_eq!(&*report.endpoint, "other");
}

#[tokio::test]
async fn however_and_wherever_it_breaks_off_the_text_is_the_whole_one() {
    for temperature in [0.0, 0.7] {
        for chunks in [2, 7, 13] {
            for broken in breaks(chunks, Continuation::Vllm) {
                // Each time anew: an endpoint that breaks off again and again is left.
                let other = Behaviour::Answer(whole(Continuation::Vllm));
                let place = place(Protocol::OpenAi, other, Some(Resume::Prefill)).await;
                place.broken.enqueue(broken);
                check_continued(&place, json!({ "temperature": temperature })).await;
                assert_eq!(place.coordinator.stats().resumes, 1);
            }
        }
    }
}

#[tokio::test]
async fn a_space_at_the_seam_is_not_doubled_where_the_rest_says_why_it_ends_before_its_text() {
    for (temperature, chunks) in (1..30).flat_map(|chunks| [(0.0, chunks), (0.7, chunks)]) {
        let other = Behaviour::FinishFirst { answer: whole(Continuation::Prefill) };
        let place = place(Protocol::OpenAi, other, Some(Resume::Prefill)).await;
        place.broken.set_default(Behaviour::Answer(whole(Continuation::Prefill)));
        place.broken.enqueue(Behaviour::CutAfter { chunks, answer: paced(Continuation::Never) });
        let (answer, _) = ask(&place, &question(json!({ "temperature": temperature }))).await;
        let answer = answer.unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], TEXT, "cut after {chunks}, {temperature}");
    }
}

#[tokio::test]
async fn every_dialect_goes_on_with_what_openais_began() {
    for protocol in [Protocol::Ollama, Protocol::Anthropic, Protocol::Gemini] {
        let other = Behaviour::Answer(whole(Continuation::Prefill));
        let place = place(protocol, other, Some(Resume::Prefill)).await;
        place.broken.enqueue(Behaviour::CutAfter { chunks: 5, answer: paced(Continuation::Never) });
        check_continued(&place, json!({ "temperature": 0.5 })).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_begins_anew_is_noticed_and_its_words_are_not_doubled() {
    let place =
        place(Protocol::OpenAi, Behaviour::Answer(whole(Continuation::Never)), Some(Resume::Prefill)).await;
    place.broken.set_default(Behaviour::CutAfter { chunks: 6, answer: paced(Continuation::Never) });
    let (answer, report) = ask(&place, &question(json!({ "temperature": 0 }))).await;
    assert_eq!(answer.unwrap_err().code(), "UAT_ALL_ENDPOINTS_FAILED");
    assert!(report.attempts.len() >= 2);
}

#[tokio::test]
async fn the_request_for_the_rest_ends_with_what_was_said_and_asks_for_fewer_tokens() {
    let place =
        place(Protocol::OpenAi, Behaviour::Answer(whole(Continuation::Vllm)), Some(Resume::Prefill)).await;
    place.broken.enqueue(Behaviour::CutAfter { chunks: 4, answer: paced(Continuation::Vllm) });
    check_continued(&place, json!({ "max_tokens": 50, "temperature": 0.7 })).await;
    let told = place.other.requests()[0].json();
    assert_eq!(told["messages"][1]["role"], "assistant");
    assert!(TEXT.starts_with(told["messages"][1]["content"].as_str().unwrap()));
    assert_eq!(told["max_tokens"], 46);
    assert_eq!(told["continue_final_message"], true);
    assert_eq!(told["add_generation_prompt"], false);
}

#[tokio::test]
async fn what_cannot_be_continued_ends_in_a_typed_error() {
    let cases = [
        ("nobody continues", None, json!({}), whole(Continuation::Vllm)),
        ("two choices", Some(Resume::Prefill), json!({ "n": 2 }), whole(Continuation::Vllm)),
        ("log probabilities", Some(Resume::Prefill), json!({ "logprobs": true }), whole(Continuation::Vllm)),
        (
            "a form",
            Some(Resume::Prefill),
            json!({ "response_format": { "type": "json_object" } }),
            whole(Continuation::Vllm),
        ),
    ];
    for (why, resume, more, answer) in cases {
        let place = place(Protocol::OpenAi, Behaviour::Answer(answer.clone()), resume).await;
        place.broken.enqueue(Behaviour::CutAfter { chunks: 5, answer });
        let (answer, report) = ask(&place, &question(more)).await;
        let error = answer.unwrap_err();
        assert_eq!((error.code(), error.retryable()), ("UAT_UPSTREAM", true), "{why}");
        assert_eq!(report.attempts.len(), 1, "{why}");
    }
}

#[tokio::test]
async fn a_stream_that_says_done_without_a_reason_was_cut() {
    let place =
        place(Protocol::OpenAi, Behaviour::Answer(whole(Continuation::Vllm)), Some(Resume::Prefill)).await;
    let done_early = Text { finish_reason: Some(String::new()), ..Text::text("The sky is") };
    place.broken.enqueue(Behaviour::Answer(done_early));
    let (answer, _) = ask(&place, &question(json!({ "temperature": 0.7 }))).await;
    assert_eq!(answer.unwrap()["choices"][0]["message"]["content"], TEXT);
}

#[tokio::test]
async fn a_stream_that_breaks_off_again_and_again_comes_to_its_end() {
    let place =
        place(Protocol::OpenAi, Behaviour::Answer(whole(Continuation::Vllm)), Some(Resume::Prefill)).await;
    place.broken.set_default(Behaviour::Answer(whole(Continuation::Vllm)));
    let cut = || Behaviour::CutAfter { chunks: 3, answer: paced(Continuation::Vllm) };
    place.broken.enqueue(cut());
    place.other.enqueue(cut());
    place.other.enqueue(cut());
    let (answer, report) = ask(&place, &question(json!({ "temperature": 0.7 }))).await;
    assert_eq!(answer.unwrap()["choices"][0]["message"]["content"], TEXT);
    assert!(report.attempts.len() >= 3, "{report:?}");
    let names: Vec<&Arc<str>> = report.attempts.iter().map(|attempt| &attempt.endpoint).collect();
    assert!(names.iter().any(|name| &***name == "other"));
}
