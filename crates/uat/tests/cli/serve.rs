use std::time::Duration;

use testkit::{Answer, Behaviour, FakeProvider};

use crate::support::Place;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_answers_and_ends_well_on_sigterm() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Answer::text("Four.")));
    let place = Place::at(&provider);
    let server = place.serve(&["serve"]);
    let answer = server.ask("POST", "/v1/chat/completions", CHAT);
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("Four."), "{answer}");
    assert!(server.ask("GET", "/health/ready", "").contains("\"status\":\"ok\""));
    server.signal("TERM");
    let ran = server.ended();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "the address is printed once: {}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_second_signal_ends_at_once() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Hang);
    let place = Place::at(&provider);
    let server = place.serve(&["serve"]);
    let mut waiting = std::net::TcpStream::connect(server.addr).unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{CHAT}",
        server.addr,
        CHAT.len()
    );
    std::io::Write::write_all(&mut waiting, request.as_bytes()).unwrap();
    provider.wait_for_requests(1).await.unwrap();
    server.signal("INT");
    // The first signal has been heard when nobody is let in any more.
    while std::net::TcpStream::connect(server.addr).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.signal("INT");
    assert_eq!(server.ended().code, 130);
    provider.wait_for_disconnect(Duration::from_secs(5)).await.expect("the upstream is closed");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder() {
    let place = Place::empty();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    place
        .run(&["serve", "--bind", &taken])
        .assert_failed(1, &["error[UAT_CONFLICT]", &taken, "another program", "try: ", "--bind"]);
    drop(holder);
    let server = place.serve(&["serve", "--bind", "127.0.0.1:0"]);
    let taken = server.addr.to_string();
    place.run(&["serve", "--bind", &taken]).assert_failed(1, &["another `uat serve`"]);
}

#[test]
fn strangers_are_not_let_in() {
    let place = Place::empty();
    place
        .run(&["serve", "--bind", "0.0.0.0:0"])
        .assert_failed(1, &["error[UAT_CONFIG]: --bind: ", "[[keys]]"]);
    place.run(&["serve", "--bind", "8642"]).assert_failed(2, &["ADDRESS:PORT"]);
}

#[test]
fn a_missing_model_is_told_with_its_command_and_the_server_stays_up() {
    let place = Place::empty();
    let server = place.serve(&["serve", "--bind", "127.0.0.1:0"]);
    let answer = server.ask("POST", "/v1/chat/completions", &CHAT.replace("\"m\"", "\"smollm2-135m\""));
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("uat models pull smollm2-135m"), "{answer}");
    assert!(server.ask("GET", "/health/live", "").starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn logs_are_lines_of_json_where_they_are_asked_for_and_hold_no_prompt() {
    let provider = FakeProvider::start().await.unwrap();
    let place = Place::at(&provider);
    let server = place.serve(&["serve", "--log-format", "json", "--log", "debug"]);
    server.ask("POST", "/v1/chat/completions", &CHAT.replace("hello", "a very private question"));
    server.signal("TERM");
    let ran = server.ended();
    assert!(!ran.stderr.is_empty());
    for line in ran.stderr.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(entry["level"].is_string(), "{entry}");
    }
    assert!(!ran.stderr.contains("private"), "{}", ran.stderr);
}
