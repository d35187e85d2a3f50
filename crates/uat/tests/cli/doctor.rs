use testkit::FakeProvider;

use crate::support::Place;

fn check<'a>(document: &'a serde_json::Value, what: &str) -> &'a serde_json::Value {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("no {what} in {document}"))
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let place = Place::empty();
    let ran = place.run(&["doctor"]);
    // Somebody who runs Ollama on this machine needs no engine: then these are remarks and no failures.
    assert!(ran.stdout.contains("uat models pull smollm2-135m"), "{}", ran.stdout);
    assert!(ran.stdout.contains("no-engine"), "the places that were tried are named: {}", ran.stdout);
    let ran = place.run(&["doctor", "--json"]);
    let document = ran.json();
    assert_eq!(ran.code, i32::from(document["ok"] == false));
    assert_eq!(check(&document, "configuration")["verdict"], "ok");
    assert_eq!(check(&document, "models folder")["verdict"], "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn with_an_endpoint_the_engine_may_be_missing() {
    let provider = FakeProvider::start().await.unwrap();
    let ran = Place::at(&provider).run(&["doctor", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert_eq!(check(&ran.json(), "endpoint fake")["verdict"], "ok");
}

#[test]
fn a_wrong_configuration_is_among_the_findings() {
    let place = Place::empty();
    place.write("uat.toml", "[sever]\n");
    let ran = place.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 1);
    let document = ran.json();
    let configuration = check(&document, "configuration");
    assert_eq!(configuration["verdict"], "failed");
    assert!(configuration["found"].as_str().unwrap().starts_with("uat.toml:1:"), "{configuration}");
}
