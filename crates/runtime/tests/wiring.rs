//! What answers when nothing is configured, and what is said before anybody is asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use runtime::{
    Answer, ChatOptions, ConfigSource, ContextAsk, DecisionSlot, Document, Neighbours, Runtime, RuntimeError,
    UatConfig,
};
use testkit::{Behaviour, FakeProvider, refused_addr};

fn config(json: &str) -> UatConfig {
    UatConfig::load(ConfigSource::Json(json.to_owned()), []).unwrap().config
}

fn request(model: &str) -> ChatRequest {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#);
    ChatRequest::parse(body.into()).unwrap()
}

fn unconfigured(ollama: Option<SocketAddr>, lm_studio: Option<SocketAddr>) -> Arc<Runtime> {
    let neighbours = Neighbours { ollama, lm_studio, ..Neighbours::default() };
    Runtime::with_neighbours(UatConfig::default(), Vec::new(), neighbours).unwrap()
}

fn names(runtime: &Runtime) -> Vec<String> {
    runtime.models().iter().map(|model| model.name.to_string()).collect()
}

#[tokio::test]
async fn without_a_configuration_it_offers_the_engine_and_whatever_answers() {
    let (ollama, lm_studio) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    lm_studio.set_listing(Behaviour::Status {
        code: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        body: Some(r#"{"data":[{"id":"qwen3-4b"},{"id":"nomic-embed-text"}]}"#.into()),
    });
    let runtime = unconfigured(Some(ollama.addr()), Some(lm_studio.addr()));
    assert_eq!(names(&runtime), ["smollm2-135m"], "nobody is looked for before the first call");
    runtime.ready().await.unwrap();
    let known = names(&runtime);
    assert_eq!(known[0], "smollm2-135m");
    assert!(
        known.contains(&"qwen3-4b".to_owned()) && !known.contains(&"nomic-embed-text".to_owned()),
        "{known:?}"
    );

    let Answer::Complete { report, .. } =
        runtime.chat(request("qwen3-4b"), ChatOptions::default()).await.unwrap()
    else {
        panic!("expected a whole answer")
    };
    assert_eq!(&*report.endpoint, "lm-studio");
    assert_eq!(lm_studio.requests().iter().filter(|request| request.path == "/v1/models").count(), 1);
}

#[tokio::test]
async fn a_neighbour_that_hangs_or_talks_nonsense_delays_the_first_call_only_briefly() {
    let (hanging, talking) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    hanging.set_listing(Behaviour::Hang);
    talking.set_listing(Behaviour::NotHttp);
    let runtime = unconfigured(Some(hanging.addr()), Some(talking.addr()));
    let begun = Instant::now();
    runtime.ready().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(names(&runtime), ["smollm2-135m"]);
}

#[tokio::test]
async fn nobody_there_is_no_error() {
    let refused = refused_addr().unwrap();
    let runtime = unconfigured(Some(*refused), None);
    runtime.ready().await.unwrap();
    assert_eq!(names(&runtime), ["smollm2-135m"]);
}

#[tokio::test]
async fn with_a_configuration_nobody_else_is_looked_for() {
    let (ours, neighbour) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
    let config = config(&format!(
        r#"{{"endpoints":[{{"name":"a","protocol":"openai","base_url":"{}"}}],
            "models":[{{"name":"m","endpoints":[{{"endpoint":"a"}}]}}]}}"#,
        ours.base_url()
    ));
    let neighbours = Neighbours { ollama: Some(neighbour.addr()), ..Neighbours::none() };
    let runtime = Runtime::with_neighbours(config, Vec::new(), neighbours).unwrap();
    runtime.chat(request("m"), ChatOptions::default()).await.unwrap();
    assert_eq!(names(&runtime), ["m"]);
    assert!(neighbour.requests().is_empty());
}

#[tokio::test]
async fn a_missing_model_file_is_told_with_the_command_before_an_engine_is_started() {
    let config = config(r#"{"engine":{"model":"/nowhere/model.gguf"}}"#);
    let runtime = Runtime::with_neighbours(config, Vec::new(), Neighbours::none()).unwrap();
    let embeddings =
        EmbeddingsRequest::parse(r#"{"model":"/nowhere/model.gguf","input":"a"}"#.into()).unwrap();
    for answer in [
        runtime.chat(request("/nowhere/model.gguf"), ChatOptions::default()).await,
        runtime.embed(embeddings, ChatOptions::default()).await,
    ] {
        let Err(error) = answer else { panic!("there is no such file") };
        assert_eq!((error.code(), error.http().status), ("UAT_MODEL_NOT_FOUND", 404));
        assert!(error.to_string().contains("/nowhere/model.gguf"), "{error}");
    }
    assert_eq!(runtime.engine().unwrap().pid(), None);
}

#[tokio::test]
async fn without_an_engine_and_without_endpoints_there_is_no_model() {
    let runtime =
        Runtime::with_neighbours(config(r#"{"engine":{"enabled":false}}"#), Vec::new(), Neighbours::none())
            .unwrap();
    let Err(error) = runtime.chat(request("smollm2-135m"), ChatOptions::default()).await else {
        panic!("nobody can answer")
    };
    assert_eq!(error.code(), "UAT_MODEL_NOT_FOUND");
}

#[tokio::test]
async fn a_closed_runtime_says_so() {
    let runtime = unconfigured(None, None);
    runtime.close().await;
    runtime.close().await;
    let result = runtime.chat(request("smollm2-135m"), ChatOptions::default()).await;
    assert!(matches!(result, Err(RuntimeError::Closed)));
}

#[test]
fn a_wrong_configuration_is_refused_by_the_constructor() {
    let mut config = UatConfig::default();
    config.server.bind = "0.0.0.0:1".parse().unwrap();
    let Err(error) = Runtime::new(config, Vec::new()) else { panic!("strangers would be let in") };
    assert_eq!(error.code(), "UAT_CONFIG");
    assert!(error.to_string().contains("server.bind"), "{error}");
}

#[tokio::test]
async fn context_is_added_where_the_router_chooses_and_refused_elsewhere() {
    let provider = FakeProvider::start().await.unwrap();
    let config = config(&format!(
        r#"{{"endpoints":[{{"name":"a","protocol":"openai","base_url":"{}"}}],
            "models":[{{"name":"m","endpoints":[{{"endpoint":"a"}}]}}]}}"#,
        provider.base_url()
    ));
    let runtime = Runtime::with_neighbours(config, Vec::new(), Neighbours::none()).unwrap();
    let document = Document { id: "note".into(), text: "Say hello to Ada.".into() };
    let context = Some(Box::new(ContextAsk { documents: vec![document], ..ContextAsk::default() }));
    let options = || ChatOptions { context: context.clone(), ..ChatOptions::default() };
    let error = runtime.chat(request("m"), options()).await.unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
    assert!(error.to_string().contains("context is wanted"), "{error}");

    let decision = DecisionSlot::default();
    let options = ChatOptions { decision: Some(Arc::clone(&decision)), ..options() };
    runtime.chat(request("auto"), options).await.unwrap();
    let added = &decision.get().unwrap().context().added;
    assert_eq!(added.iter().map(|added| &*added.source).collect::<Vec<_>>(), ["note"]);
    assert!(String::from_utf8_lossy(&provider.requests()[0].body).contains("Say hello to Ada."));
}
