//! Endpoints that need memory of a GPU, and the daemon that gives it out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]
#![allow(clippy::disallowed_methods, reason = "each task is aborted with its test's runtime")]

use std::sync::Arc;
use std::time::Duration;

use llm_wire::openai::ChatRequest;
use runtime::vision_resource_manager::host::{AllocateBody, HostClient};
use runtime::{Answer, ChatOptions, ConfigSource, Runtime, RuntimeError, UatConfig};
use serde_json::json;
use tempfile::TempDir;
use testkit::FakeProvider;

/// One GPU of 8 GiB, and an Ollama and another server of which each needs 6.
struct Place {
    folder: TempDir,
    ollama: FakeProvider,
    other: FakeProvider,
    runtime: Arc<Runtime>,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ollama, other) = (FakeProvider::start().await.unwrap(), FakeProvider::start().await.unwrap());
        let gpu = json!({ "vram_mb": 6_000 });
        let config = json!({
            "engine": { "enabled": false },
            "gpu": {
                "fake_gpus_mb": [8_192],
                "poll_ms": 5,
                "socket": folder.path().join("gpu.sock"),
                "state_dir": folder.path().join("state"),
            },
            "endpoints": [
                { "name": "ollama", "protocol": "ollama", "base_url": format!("http://{}", ollama.addr()), "gpu": gpu, "queue_timeout_ms": 5_000 },
                { "name": "other", "protocol": "openai", "base_url": other.base_url(), "gpu": gpu, "queue_timeout_ms": 5_000 },
            ],
            "models": [
                { "name": "llama", "endpoints": [{ "endpoint": "ollama", "model": "llama3.2:3b" }] },
                { "name": "qwen", "endpoints": [{ "endpoint": "other" }] },
            ],
        });
        let config = UatConfig::load(ConfigSource::Json(config.to_string()), []).unwrap().config;
        let runtime = Runtime::new(config, Vec::new()).unwrap();
        Self { folder, ollama, other, runtime }
    }

    fn serves_gpus(&self) {
        let host = self.runtime.open_gpus().unwrap().unwrap();
        tokio::spawn(host.serve(std::future::pending()));
    }

    async fn ask(&self, model: &str) -> Result<String, RuntimeError> {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }] });
        let request = ChatRequest::parse(body.to_string().into()).unwrap();
        let asked = self.runtime.chat(request, ChatOptions::default());
        match tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it does not hang")? {
            Answer::Complete { report, .. } => Ok(report.endpoint.to_string()),
            Answer::Stream(_) => panic!("no stream was asked for"),
        }
    }

    fn client(&self) -> HostClient {
        HostClient::new(self.folder.path().join("gpu.sock"), None)
    }

    async fn held(&self) -> Vec<String> {
        let leases = self.client().leases().await.unwrap().leases;
        leases.into_iter().map(|held| held.owner.into()).collect()
    }

    /// Unloads that the Ollama was asked for.
    fn unloads(&self) -> Vec<serde_json::Value> {
        let asked = self.ollama.requests().into_iter().filter(|request| request.path == "/api/generate");
        asked.map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_model_stays_in_memory_until_another_endpoint_needs_that() {
    let place = Place::new().await;
    place.serves_gpus();
    assert_eq!(place.ask("llama").await.unwrap(), "ollama");
    assert_eq!(place.ask("llama").await.unwrap(), "ollama");
    assert_eq!((place.held().await, place.unloads().len()), (vec!["ollama".to_owned()], 0));
    assert_eq!(place.ask("qwen").await.unwrap(), "other");
    assert_eq!(place.held().await, ["other"]);
    let unloaded = json!({ "model": "llama3.2:3b", "keep_alive": 0, "stream": false });
    assert_eq!(place.unloads(), [unloaded]);
    assert_eq!(place.ask("llama").await.unwrap(), "ollama");
    place.runtime.close().await;
}

#[tokio::test]
async fn an_endpoint_without_memory_is_not_asked() {
    let place = Place::new().await;
    place.serves_gpus();
    let client = place.client();
    let taken = client.allocate(&AllocateBody::new(4 << 30)).await.unwrap();
    let body = json!({ "model": "qwen", "messages": [{ "role": "user", "content": "Hi" }] });
    let request = ChatRequest::parse(body.to_string().into()).unwrap();
    let options = ChatOptions { timeout: Some(Duration::from_millis(200)), ..ChatOptions::default() };
    let error = place.runtime.chat(request, options).await.map(|_| ()).unwrap_err();
    assert!(matches!(error.code(), "UAT_INSUFFICIENT_VRAM" | "UAT_TIMEOUT"), "{error}");
    assert!(place.other.requests().is_empty());
    client.release(taken.lease).await.unwrap();
    assert_eq!(place.ask("qwen").await.unwrap(), "other");
}

#[tokio::test]
async fn where_nobody_gives_memory_out_the_caller_is_told() {
    let place = Place::new().await;
    let error = place.ask("qwen").await.unwrap_err();
    assert_eq!((error.code(), error.http().status, error.retryable()), ("UAT_NO_GPU", 503, false));
    assert!(error.to_string().contains("uat serve"), "{error}");
}

#[test]
fn an_endpoint_that_needs_a_gpu_needs_somebody_who_gives_it_out() {
    let config = json!({
        "endpoints": [{ "name": "a", "protocol": "openai", "base_url": "http://127.0.0.1:1", "gpu": { "vram_mb": 1 } }],
        "models": [{ "name": "m", "endpoints": [{ "endpoint": "a" }] }],
    });
    let error = UatConfig::load(ConfigSource::Json(config.to_string()), []).unwrap_err().to_string();
    assert!(error.contains("endpoints[0].gpu") && error.contains("[gpu]"), "{error}");
}
