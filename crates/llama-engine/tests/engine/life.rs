//! How the process begins and ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Engine, MODEL, until};

#[tokio::test]
async fn it_ends_and_removes_its_socket_when_nobody_has_been_connected_for_a_while() {
    let mut engine = Engine::start(&["--idle-exit-s", "1"]).await;
    assert!(engine.exit().await.success());
    assert!(!engine.socket().exists());
}

#[tokio::test]
async fn a_connection_that_says_nothing_keeps_it_alive() {
    let mut engine = Engine::start(&["--idle-exit-s", "1"]).await;
    let lease = tokio::net::UnixStream::connect(engine.socket()).await.expect("connects");
    // The one sleep of these tests: what must not happen can only be waited for.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(engine.is_running());
    drop(lease);
    assert!(engine.exit().await.success());
}

#[tokio::test]
async fn sigterm_lets_a_running_answer_end_and_exits_with_success() {
    let mut engine = Engine::start(&[]).await;
    let _lease = tokio::net::UnixStream::connect(engine.socket()).await.expect("connects");
    let mut client = engine.client().await;
    let mut stream = client.stream(json!({})).await;
    stream.next().await.expect("it runs");
    engine.signal(Signal::TERM);
    until("the socket is gone", async || !engine.socket().exists()).await;
    stream.chunks().await;
    assert!(engine.exit().await.success());
}

#[tokio::test]
async fn sigterm_cuts_off_what_takes_too_long() {
    let mut engine = Engine::start(&[]).await;
    let mut client = engine.client().await;
    let messages = json!([{"role": "user", "content": "Count from 1 to 5000, one number per line: 1"}]);
    let mut stream = client.stream(json!({"messages": messages, "max_tokens": 7000})).await;
    stream.next().await.expect("it runs");
    engine.signal(Signal::TERM);
    assert!(engine.exit().await.success());
}

#[tokio::test]
async fn the_socket_is_private_and_health_tells_about_the_process() {
    let engine = Engine::start(&["--threads", "1"]).await;
    let mode = std::fs::metadata(engine.socket()).expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = engine.client().await;
    let (status, health) = client.get("/health").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["pid"], engine.pid());
    assert_eq!(health["threads"], 1);
    assert_eq!(health["models"], json!([]));
    let devices = health["devices"].as_array().expect("a list");
    let processor = devices.iter().find(|device| device["name"] == "CPU").expect("the processor");
    assert!(processor["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{processor}");
    assert!(devices.iter().any(|device| device["backend"] == health["backend"]), "{health}");
    client.answer(json!({"max_tokens": 1})).await;
    assert_eq!(client.get("/health").await.1["models"], json!([MODEL]));
    let (_, models) = client.get("/v1/models").await;
    assert!(models["data"].as_array().expect("a list").iter().any(|model| model["id"] == MODEL));
}

#[tokio::test]
async fn what_is_installed_is_the_program_and_its_libraries_in_one_folder() {
    let program = Path::new(env!("CARGO_BIN_EXE_uat-engine"));
    let installed = tempfile::tempdir().expect("a temporary folder");
    let plug_in = |name: &str| name.starts_with("libggml-cpu-") && name.ends_with(".so");
    let libraries = ["libllama.so.0", "libggml.so.0", "libggml-base.so.0", "libgomp.so.1", "uat-engine"];
    for entry in std::fs::read_dir(program.parent().expect("a folder")).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        if plug_in(name) || libraries.contains(&name) {
            std::fs::copy(&path, installed.path().join(name)).expect("copies");
        }
    }
    let engine = Engine::start_from(&installed.path().join("uat-engine"), &[]).await;
    assert!(!engine.client().await.answer(json!({"max_tokens": 4})).await.0.is_empty());
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", engine.pid())).expect("readable");
    let mapped = |name: &str| {
        maps.lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .find(|path| path.contains(name))
            .map(PathBuf::from)
    };
    for library in ["libllama.so", "libggml-base.so", "libgomp.so", "libggml-cpu-"] {
        assert_eq!(mapped(library).expect("is loaded").parent(), Some(installed.path()), "{library}");
    }
}

#[tokio::test]
async fn a_second_engine_on_the_same_socket_gives_way() {
    let engine = Engine::start(&[]).await;
    let second = tokio::process::Command::new(env!("CARGO_BIN_EXE_uat-engine"))
        .arg("--socket")
        .arg(engine.socket())
        .output()
        .await
        .expect("runs");
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another engine listens"));
    assert!(second.stdout.is_empty());
    assert_eq!(engine.client().await.get("/health").await.0, StatusCode::OK);
}

#[tokio::test]
async fn without_plug_ins_it_says_where_it_looked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("e.sock");
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_uat-engine"))
        .arg("--socket")
        .arg(&socket)
        .arg("--backends")
        .arg(folder.path())
        .output()
        .await
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(folder.path().to_str().expect("UTF-8")));
    assert!(!socket.exists());
}
