//! GPUs as plug-ins. Those that need one are skipped where `npm run build:engine -- --vulkan` has not built it; Mesa's
//! lavapipe, a Vulkan driver that computes on the processor, is GPU enough for them.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Engine;

/// ggml leaves software drivers alone unless they are named; the first one is, whatever it is.
const FIRST_DEVICE: (&str, &str) = ("GGML_VK_VISIBLE_DEVICES", "0");

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_uat-engine"))
}

/// An engine that may use the first Vulkan device; `None`, with a word why, where there is none.
#[expect(clippy::print_stderr, reason = "who reads the tests' output learns what was not tested")]
async fn on_vulkan(arguments: &[&str]) -> Option<Engine> {
    if !program().with_file_name("libggml-vulkan.so").exists() {
        eprintln!("skipped: no Vulkan plug-in; `npm run build:engine -- --vulkan` builds it");
        return None;
    }
    let engine = Engine::start_with(program(), arguments, &[FIRST_DEVICE]).await;
    let devices = health(&engine).await["devices"].clone();
    if !devices.as_array().expect("a list").iter().any(|device| device["backend"] == "Vulkan") {
        eprintln!("skipped: no Vulkan driver; Debian's mesa-vulkan-drivers brings one for every machine");
        return None;
    }
    Some(engine)
}

async fn health(engine: &Engine) -> Value {
    engine.client().await.get("/health").await.1
}

/// A few greedy tokens: a driver that computes on the processor needs seconds for each. Sums in another order round
/// differently, so that another token wins where two are nearly as likely; here none is.
async fn answer(engine: &Engine) -> String {
    let messages = json!([{"role": "user", "content": "Write one sentence about the sea."}]);
    engine.client().await.answer(json!({"messages": messages, "max_tokens": 8})).await.0
}

#[tokio::test]
async fn a_gpu_answers_as_the_processor_does() {
    let Some(gpu) = on_vulkan(&["--gpu-layers", "99"]).await else { return };
    assert_eq!(health(&gpu).await["backend"], "Vulkan");
    assert_eq!(answer(&gpu).await, answer(&Engine::start(&["--gpu-layers", "0"]).await).await);
}

#[tokio::test]
async fn without_layers_for_it_a_gpu_has_nothing_to_do() {
    let Some(engine) = on_vulkan(&["--gpu-layers", "0"]).await else { return };
    assert_eq!(health(&engine).await["backend"], "CPU");
    assert_eq!(answer(&engine).await, answer(&Engine::start(&["--gpu-layers", "0"]).await).await);
}

#[tokio::test]
async fn a_driver_that_computes_on_the_processor_is_no_gpu_unless_it_is_named() {
    let Some(named) = on_vulkan(&[]).await else { return };
    let description = health(&named).await["devices"][0]["description"].as_str().expect("text").to_owned();
    if description.contains("llvmpipe") {
        assert_eq!(health(&Engine::start(&[]).await).await["backend"], "CPU");
    }
}

#[tokio::test]
async fn a_plug_in_that_cannot_be_loaded_leaves_the_processor() {
    let plugins = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(program().parent().expect("a folder")).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        if name.starts_with("libggml-cpu-") {
            symlink(&path, plugins.path().join(name)).expect("links");
        }
    }
    std::fs::write(plugins.path().join("libggml-vulkan.so"), "no library").expect("writes");
    let folder = plugins.path().to_str().expect("UTF-8");
    let engine = Engine::start(&["--backends", folder, "--gpu-layers", "99"]).await;
    assert_eq!(health(&engine).await["backend"], "CPU");
    assert!(!engine.client().await.answer(json!({"max_tokens": 4})).await.0.is_empty());
}
