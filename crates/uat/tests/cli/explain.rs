use serde_json::{Value, json};
use testkit::FakeProvider;

use crate::support::{Place, Server};

fn place(provider: &FakeProvider) -> Place {
    let place = Place::empty();
    let url = provider.base_url();
    place.write(
        "uat.toml",
        &format!(
            r#"
[server]
bind = "127.0.0.1:0"

[[endpoints]]
name = "fake"
protocol = "openai"
base_url = "{url}"

[[models]]
name = "small"
tier = "fast"
quality = 0.4
capabilities = ["chat"]
price = {{ input = 0.1, output = 0.4 }}
endpoints = [{{ endpoint = "fake" }}]

[[models]]
name = "large"
tier = "fast"
quality = 0.9
capabilities = ["chat", "tools"]
price = {{ input = 2.0, output = 8.0 }}
endpoints = [{{ endpoint = "fake" }}]
"#
        ),
    );
    place
}

fn asks(server: &Server, id: &str, route: &str, model: &str) {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] }).to_string();
    let answer = server.ask_with(
        "POST",
        "/v1/chat/completions",
        &[("x-request-id", id), ("x-uat-route", route)],
        &body,
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_decision_is_explained_and_made_again() {
    let provider = FakeProvider::start().await.unwrap();
    let place = place(&provider);
    let server = place.serve(&["serve"]);
    let url = format!("http://{}", server.addr);
    asks(&server, "why", "capability=tools", "tier:fast");

    let ran = place.run(&["explain", "why", "--url", &url]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("why: tier:fast -> large, decided in "), "{}", ran.stdout);
    assert!(lines[2].starts_with("MODEL") && lines[2].contains("QUALITY x4"), "{}", ran.stdout);
    assert!(lines[3].starts_with("large") && lines[4].starts_with("small"), "{}", ran.stdout);
    assert!(lines[4].ends_with("lacks `tools`"), "{}", ran.stdout);
    assert_eq!(lines[5], "large answered, at fake.");
    assert_eq!(lines[6], "Decided again from what was stored: the same, to the byte.");

    let ran = place.run(&["explain", "why", "--url", &url, "--json"]);
    let told: Value = ran.json();
    assert_eq!(told["plan"]["chosen"], "large");
    assert_eq!(
        (&told["replay"]["isSame"], &told["replay"]["decision"]),
        (&json!(true), &told["record"]["decision"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_that_named_its_model_has_nothing_to_explain() {
    let provider = FakeProvider::start().await.unwrap();
    let place = place(&provider);
    let server = place.serve(&["serve"]);
    let url = format!("http://{}", server.addr);
    let body = r#"{"model":"small","messages":[{"role":"user","content":"hello"}]}"#;
    server.ask_with("POST", "/v1/chat/completions", &[("x-request-id", "plain")], body);
    let ran = place.run(&["explain", "plain", "--url", &url]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "plain named small: there was nothing to decide.\n"));
    place.run(&["explain", "other", "--url", &url]).assert_failed(1, &["error[UAT_NOT_FOUND]", "`other`"]);
    place.run(&["explain", "a b", "--url", &url]).assert_failed(2, &["x-request-id"]);
}
