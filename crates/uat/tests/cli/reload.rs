//! A running server takes over what its file says, or nothing of it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use testkit::{Answer, Behaviour, FakeProvider};

use crate::support::{Place, Server, TEN_MISTAKES, configuration};

const RELOADS: &str = "uat_config_reload_total";
const FAILED: &str = "uat_config_reload_failed_total";
const SUCCESS: &str = "uat_config_last_reload_success_timestamp_seconds";

async fn provider() -> FakeProvider {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    provider
}

fn chat(server: &Server, model: &str) -> String {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#);
    server.ask("POST", "/v1/chat/completions", &body)
}

fn answers(server: &Server, model: &str) -> bool {
    chat(server, model).starts_with("HTTP/1.1 200 OK")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn at_sighup_the_file_is_read_again() {
    let provider = provider().await;
    let place = Place::at(&provider);
    let server = place.serve(&["serve"]);
    let started = server.metric(SUCCESS);
    assert!(started > 1.7e9 && server.metric(RELOADS) == 0.0);
    place.write("uat.toml", &configuration(&provider, "another", "max_body_mb = 1"));
    server.signal("HUP");
    server.wait_for(RELOADS, 1.0);
    assert!(answers(&server, "another") && !answers(&server, "m"));
    let long = format!(r#"{{"model":"another","messages":[],"x":"{}"}}"#, "x".repeat(2 << 20));
    assert!(server.ask_until_refused("/v1/chat/completions", &long).contains(" 413 "));
    assert!(server.metric(SUCCESS) >= started && server.metric(FAILED) == 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_file_that_changes_is_noticed_also_behind_a_link_that_is_turned() {
    let provider = provider().await;
    let place = Place::empty();
    let folder = |version: &str, model: &str| {
        std::fs::create_dir(place.path().join(version)).unwrap();
        place.write(&format!("{version}/mounted.toml"), &configuration(&provider, model, ""));
    };
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, place.path().join(name)).unwrap();
    folder("1", "first");
    link("1", "..data");
    link("..data/mounted.toml", "uat.toml");
    let server = place.serve(&["serve"]);
    assert!(answers(&server, "first"));
    folder("2", "second");
    link("2", "turned");
    std::fs::rename(place.path().join("turned"), place.path().join("..data")).unwrap();
    server.wait_for(RELOADS, 1.0);
    assert!(answers(&server, "second"));
    place.write("2/mounted.toml", &configuration(&provider, "third", ""));
    server.wait_for(RELOADS, 2.0);
    assert!(answers(&server, "third"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ten_mistakes_change_nothing_and_all_of_them_are_logged() {
    let provider = provider().await;
    let place = Place::at(&provider);
    let server = place.serve(&["serve"]);
    place.write("uat.toml", TEN_MISTAKES);
    server.signal("HUP");
    server.wait_for(FAILED, 1.0);
    assert!(answers(&server, "m"));
    let ready = server.ask("GET", "/health/ready", "");
    assert!(ready.starts_with("HTTP/1.1 200 OK") && ready.contains("last change refused"), "{ready}");
    let before = server.metric(SUCCESS);
    place.write("uat.toml", &configuration(&provider, "m", "max_connections = 5"));
    server.signal("HUP");
    server.wait_for(SUCCESS, before + 0.001);
    assert!(server.ask("GET", "/health/ready", "").contains("\"config\":\"current\""));
    let failed = server.metric(FAILED);
    std::fs::remove_file(place.path().join("uat.toml")).unwrap();
    server.signal("HUP");
    server.wait_for(FAILED, failed + 1.0);
    assert!(answers(&server, "m"), "a file that is gone does not mean the defaults");
    server.signal("TERM");
    let ran = server.ended();
    assert_eq!(ran.code, 0);
    for line in [2, 3, 4, 8, 10, 12, 14, 19, 22, 24] {
        assert!(ran.stderr.contains(&format!("uat.toml:{line}:")), "{line} is not in {}", ran.stderr);
    }
    for words in ["mistakes=10", "server.max_connections", "uat.toml: cannot be read"] {
        assert!(ran.stderr.contains(words), "{words} is not in {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_reloads_under_load_fail_no_request() {
    let provider = provider().await;
    let place = Place::at(&provider);
    let server = place.serve(&["serve", "--log", "error"]);
    let (over, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = chat(&server, "m");
                    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 1_u32..=30 {
            let wrong = if round % 10 == 0 { "hold = 1" } else { "" };
            let lines = format!("hold_ms = {}\n{wrong}", 1000 + round);
            place.write("next.toml", &configuration(&provider, "m", &lines));
            std::fs::rename(place.path().join("next.toml"), place.path().join("uat.toml")).unwrap();
            server.signal("HUP");
            server.wait_for(RELOADS, f64::from(round));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(server.metric(FAILED) >= 3.0);
    assert!(asked.load(Ordering::Relaxed) > 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_file_that_comes_later_is_taken_over_too() {
    let provider = provider().await;
    let place = Place::empty();
    let server = place.serve(&["serve", "--bind", "127.0.0.1:0"]);
    assert!(!answers(&server, "m"));
    place.write("uat.toml", &configuration(&provider, "m", ""));
    server.wait_for(RELOADS, 1.0);
    assert!(answers(&server, "m"));
}
