use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Answer, Behaviour, FakeProvider};

use crate::support::{Place, Server, configuration};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// A place whose server takes keys from `keys.toml`.
fn keyed(provider: &FakeProvider) -> Place {
    let place = Place::empty();
    let config = configuration(provider, "m", "keys_file = \"keys.toml\"\nstate_dir = \"state\"");
    let config = config.replace("name = \"m\"\n", "name = \"m\"\nprice = { input = 1.0, output = 10.0 }\n");
    place.write("uat.toml", &config);
    place
}

fn status(server: &Server, key: &str) -> String {
    let answer =
        server.ask_with("POST", "/v1/chat/completions", &[("authorization", &format!("Bearer {key}"))], CHAT);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The file is watched: a key's requests have this status soon.
async fn until(server: &Server, key: &str, expected: &str) {
    let begun = Instant::now();
    while status(server, key) != expected {
        assert!(begun.elapsed() < Duration::from_secs(10), "{expected} is awaited");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_is_shown_once_and_opens_the_server_until_it_is_revoked() {
    let provider = FakeProvider::start().await.unwrap();
    let place = keyed(&provider);
    let made =
        place.run(&["keys", "new", "alice", "--models", "m", "--rpm", "600", "--budget-usd-per-day", "5"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let key = made.stdout.trim().to_owned();
    assert!(key.starts_with("uat-") && key.len() == 47, "{key}");
    let file = place.path().join("keys.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("sha256:") && !written.contains(&key), "{written}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "nobody else reads it");

    let listed = place.run(&["keys", "list", "--json"]).json();
    assert_eq!(listed["keys"][0]["name"], "alice");
    assert_eq!(listed["keys"][0]["budgetUsdPerDay"], 5.0);
    assert!(!listed.to_string().contains(&key));
    assert!(place.run(&["keys", "list"]).stdout.contains("alice"));

    let server = place.serve(&["serve"]);
    assert_eq!(status(&server, &key), "200");
    assert_eq!(status(&server, "uat-somebody"), "401");
    // A key that is made while the server runs.
    let bob = place.run(&["keys", "new", "bob", "--json"]).json();
    let bob = bob["key"].as_str().unwrap();
    until(&server, bob, "200").await;
    assert_eq!(place.run(&["keys", "revoke", "alice"]).stdout, "revoked alice\n");
    until(&server, &key, "401").await;
    assert_eq!(status(&server, bob), "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_under_way_ends_when_its_key_is_revoked() {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Answer::tokens(2_000).paced(Duration::from_millis(20))));
    let place = keyed(&provider);
    let key = place.run(&["keys", "new", "alice"]).stdout.trim().to_owned();
    let server = place.serve(&["serve"]);
    let revoking = async {
        provider.wait_for_requests(1).await.unwrap();
        place.run(&["keys", "revoke", "alice"])
    };
    let body = CHAT.replace("\"model\"", "\"stream\":true,\"model\"");
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            server.ask_with(
                "POST",
                "/v1/chat/completions",
                &[("authorization", &format!("Bearer {key}"))],
                &body,
            )
        });
        let revoked = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(revoking));
        assert_eq!(revoked.code, 0);
        asking.join().unwrap()
    });
    assert!(answer.contains("\"content\":\"t0\"") && answer.contains("event: error"), "{answer}");
    assert!(answer.contains("UAT_UNAUTHORIZED") && !answer.contains("[DONE]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_used_is_told_by_key_and_model() {
    let provider = FakeProvider::start().await.unwrap();
    let place = keyed(&provider);
    let key = place.run(&["keys", "new", "alice"]).stdout.trim().to_owned();
    let server = place.serve(&["serve"]);
    for _ in 0..3 {
        assert_eq!(status(&server, &key), "200");
    }
    server.signal("TERM");
    assert_eq!(server.ended().code, 0);
    let usage = place.run(&["usage", "--by", "key,model", "--since", "7d", "--json"]).json();
    // Seven tokens at 1 and twenty at 10 USD a million, three times.
    let row = &usage["usage"][0];
    assert_eq!((&row["key"], &row["model"], &row["requests"]), (&json!("alice"), &json!("m"), &json!(3)));
    assert_eq!((&row["promptTokens"], &row["completionTokens"]), (&json!(21), &json!(60)));
    assert!((row["costUsd"].as_f64().unwrap() - 621e-6).abs() < 1e-12, "{row}");
    let shown = place.run(&["usage"]).stdout;
    assert!(shown.starts_with("KEY") && shown.contains("alice") && shown.contains("0.000621"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_server_with_the_same_state_is_told_who_has_it() {
    let provider = FakeProvider::start().await.unwrap();
    let place = keyed(&provider);
    place.run(&["keys", "new", "alice"]);
    let _first = place.serve(&["serve"]);
    place.run(&["serve"]).assert_failed(1, &["error[UAT_CONFLICT]", "state", "server.state_dir"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wrong_file_of_keys_keeps_the_keys_that_there_are() {
    let provider = FakeProvider::start().await.unwrap();
    let place = keyed(&provider);
    let key = place.run(&["keys", "new", "alice"]).stdout.trim().to_owned();
    let server = place.serve(&["serve"]);
    place.write("keys.toml", "[[keys]]\nname = \"x\"\nhash = \"no hash\"\n");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(status(&server, &key), "200");
    drop(server);
    place.run(&["serve"]).assert_failed(1, &["error[UAT_CONFIG]", "keys.toml", "sha256:"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_file_of_keys_is_taken_over_and_followed() {
    let provider = FakeProvider::start().await.unwrap();
    let place = keyed(&provider);
    let alice = place.run(&["keys", "new", "alice"]).stdout.trim().to_owned();
    let new =
        |name: &str| place.run(&["keys", "new", name, "--keys-file", "other.toml"]).stdout.trim().to_owned();
    let bob = new("bob");
    let server = place.serve(&["serve"]);
    assert_eq!((&*status(&server, &alice), &*status(&server, &bob)), ("200", "401"));
    let config = std::fs::read_to_string(place.path().join("uat.toml")).unwrap();
    place.write("uat.toml", &config.replace("keys.toml", "other.toml"));
    server.signal("HUP");
    until(&server, &bob, "200").await;
    assert_eq!(status(&server, &alice), "401");
    until(&server, &new("carol"), "200").await;
}

#[test]
fn a_budget_is_refused_where_the_price_is_unknown_and_a_name_is_taken_once() {
    let place = Place::empty();
    place.write(
        "uat.toml",
        "[server]\nkeys_file = \"keys.toml\"\n[[endpoints]]\nname = \"e\"\nprotocol = \"openai\"\nbase_url = \
         \"http://127.0.0.1:9\"\n[[models]]\nname = \"mystery\"\nendpoints = [{ endpoint = \"e\" }]\n",
    );
    place
        .run(&["keys", "new", "a", "--budget-usd-per-day", "1"])
        .assert_failed(1, &["error[UAT_CONFIG]", "mystery", "price"]);
    assert_eq!(place.run(&["keys", "new", "a"]).code, 0);
    place.run(&["keys", "new", "a"]).assert_failed(1, &["error[UAT_CONFLICT]"]);
    place.run(&["keys", "revoke", "b"]).assert_failed(1, &["error[UAT_NOT_FOUND]"]);
    place.run(&["keys", "new", "c", "--expires", "soon"]).assert_failed(2, &["30d"]);
    assert_eq!(place.run(&["keys", "new", "d", "--expires", "30d"]).code, 0);
}

#[test]
fn without_a_file_of_keys_it_says_how_to_name_one() {
    Place::empty().run(&["keys", "new", "a"]).assert_failed(1, &["error[UAT_CONFIG]", "keys_file"]);
}
