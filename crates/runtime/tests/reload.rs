//! Another configuration takes the place of the one that counts: whole, or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::sync::Arc;

use futures_util::StreamExt;
use llm_wire::openai::ChatRequest;
use runtime::{Answer, ChatOptions, ChatStream, ConfigSource, Runtime, RuntimeError, UatConfig};
use testkit::{Behaviour, FakeProvider};

fn config(endpoints: &[(&str, &FakeProvider)]) -> UatConfig {
    let section: Vec<String> = endpoints
        .iter()
        .map(|(name, at)| {
            format!(r#"{{"name":"{name}","protocol":"openai","base_url":"{}"}}"#, at.base_url())
        })
        .collect();
    let places: Vec<String> =
        endpoints.iter().map(|(name, _)| format!(r#"{{"endpoint":"{name}"}}"#)).collect();
    let json = format!(
        r#"{{"engine":{{"enabled":false}},"endpoints":[{}],"models":[{{"name":"m","endpoints":[{}]}}]}}"#,
        section.join(","),
        places.join(",")
    );
    UatConfig::load(ConfigSource::Json(json), []).unwrap().config
}

async fn ask(runtime: &Runtime, stream: bool) -> Result<Answer, RuntimeError> {
    let body =
        format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"hello"}}]}}"#);
    runtime.chat(ChatRequest::parse(body.into()).unwrap(), ChatOptions::default()).await
}

async fn endpoint_of(runtime: &Runtime) -> String {
    match ask(runtime, false).await.unwrap() {
        Answer::Complete { report, .. } => report.endpoint.to_string(),
        Answer::Stream(_) => panic!("expected a whole answer"),
    }
}

async fn begun(runtime: &Runtime) -> ChatStream {
    match ask(runtime, true).await.unwrap() {
        Answer::Stream(stream) => stream,
        Answer::Complete { .. } => panic!("expected a stream"),
    }
}

async fn runtime(endpoints: &[(&str, &FakeProvider)]) -> Arc<Runtime> {
    Runtime::new(config(endpoints), Vec::new()).unwrap()
}

#[tokio::test]
async fn the_next_request_is_answered_by_the_new_endpoint_and_a_stream_ends_at_its_own() {
    let (old, new) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let runtime = runtime(&[("old", &old)]).await;
    let stream = begun(&runtime).await;
    runtime.reload(config(&[("new", &new)])).await.unwrap();
    assert_eq!(endpoint_of(&runtime).await, "new");
    assert!(stream.all(|chunk| async move { chunk.is_ok() }).await);
    assert_eq!(runtime.stats().requests, 2, "the counts go on");
    runtime.close().await;
}

#[tokio::test]
async fn an_endpoint_that_stays_as_it_is_keeps_what_was_learnt_of_it() {
    let (kept, other) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    kept.set_default(Behaviour::status(401));
    let runtime = runtime(&[("kept", &kept)]).await;
    ask(&runtime, false).await.unwrap_err();
    let state = |runtime: &Runtime, name: &str| {
        runtime.health().into_iter().find(|health| &*health.endpoint == name).map(|health| health.last_error)
    };
    let learnt = state(&runtime, "kept");
    assert!(learnt.as_ref().is_some_and(Option::is_some));
    runtime.reload(config(&[("kept", &kept), ("other", &other)])).await.unwrap();
    assert_eq!(state(&runtime, "kept"), learnt);
    assert_eq!(state(&runtime, "other"), Some(None));
    runtime.reload(config(&[("kept", &other)])).await.unwrap();
    assert_eq!(state(&runtime, "kept"), Some(None), "under its name lies another one");
}

#[tokio::test]
async fn a_configuration_that_is_wrong_changes_nothing() {
    let provider = FakeProvider::start().await.unwrap();
    let runtime = runtime(&[("here", &provider)]).await;
    let mut wrong = config(&[("new", &provider)]);
    wrong.models[0].endpoints[0].endpoint = "nowhere".into();
    let error = runtime.reload(wrong).await.unwrap_err();
    assert_eq!(error.code(), "UAT_CONFIG");
    assert_eq!(endpoint_of(&runtime).await, "here");
    runtime.close().await;
    assert_eq!(runtime.reload(config(&[("here", &provider)])).await.unwrap_err().code(), "UAT_CLOSED");
}
