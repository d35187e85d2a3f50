use testkit::{Behaviour, FakeProvider};

use crate::support::Place;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_endpoints_of_a_running_server_are_told() {
    let provider = FakeProvider::start().await.unwrap();
    let place = Place::at(&provider);
    let server = place.serve(&["serve"]);
    let url = format!("http://{}", server.addr);
    server.ask("POST", "/v1/chat/completions", CHAT);
    let ran = place.run(&["health", "--url", &url]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("ENDPOINT") && lines[1].starts_with("fake"), "{}", ran.stdout);
    assert!(lines[1].contains("healthy") && lines[1].contains(" ms"), "{}", ran.stdout);

    provider.enqueue(Behaviour::status(401));
    server.ask("POST", "/v1/chat/completions", CHAT);
    let ran = place.run(&["health", "--url", &url]);
    assert_eq!(ran.code, 1, "an endpoint that is taken out is worth an alarm: {}", ran.stdout);
    assert!(ran.stdout.contains("quarantined") && ran.stdout.contains("s ago: status 401"), "{}", ran.stdout);
    let ran = place.run(&["health", "--url", &url, "--json"]);
    assert_eq!((ran.code, &ran.json()["endpoints"][0]["history"][0]["to"]), (1, &"quarantined".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_is_alive_whatever_its_endpoints_are() {
    let provider = FakeProvider::start().await.unwrap();
    let place = Place::at(&provider);
    let server = place.serve(&["serve"]);
    let url = format!("http://{}", server.addr);
    provider.enqueue(Behaviour::status(401));
    server.ask("POST", "/v1/chat/completions", CHAT);
    let ran = place.run(&["health", "--live", "--url", &url]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "alive\n"), "{}", ran.stderr);
    let nobody = testkit::refused_addr().unwrap();
    place
        .run(&["health", "--live", "--url", &format!("http://{nobody}")])
        .assert_failed(1, &["no `uat serve` answers at"]);
}

#[test]
fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let nobody = testkit::refused_addr().unwrap();
    Place::empty()
        .run(&["health", "--url", &format!("http://{nobody}")])
        .assert_failed(1, &["error[UAT_UPSTREAM]: no `uat serve` answers at", "try: uat serve"]);
    Place::empty().run(&["health", "--url", "8642"]).assert_failed(2, &["http://127.0.0.1:8642"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_server_is_not_mistaken_for_ours() {
    let provider = FakeProvider::start().await.unwrap();
    Place::empty()
        .run(&["health", "--url", &provider.base_url()])
        .assert_failed(1, &["no `uat serve` answers at"]);
}
