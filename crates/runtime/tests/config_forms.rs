//! The same configuration as TOML, JSON and YAML, with the places of what is wrong in each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use runtime::{ConfigErrors, ConfigSource, UatConfig};

fn load(file: &str, text: &str) -> Result<UatConfig, ConfigErrors> {
    let source = ConfigSource::Text { file: file.into(), text: text.to_owned() };
    UatConfig::load(source, []).map(|loaded| loaded.config)
}

/// `text` is refused with exactly these: where, and a part of the sentence.
fn check(file: &str, text: &str, expected: &[(&str, &str)]) {
    let errors = load(file, text).expect_err("the configuration is wrong");
    assert_eq!(errors.count(), expected.len(), "{errors:#}");
    for (error, (place, words)) in errors.iter().zip(expected) {
        let (at, sentence) = (error.location.to_string(), error.to_string());
        assert!(at == format!("{file}:{place}") && sentence.contains(words), "{place} {words}: {errors:#}");
    }
}

const TOML: &str = r#"
[server]
bind = "127.0.0.1:1"
allowed_origins = ["https://a.example"]
[[endpoints]]
name = "a"
protocol = "ollama"
base_url = "http://127.0.0.1:2"
[[models]]
name = "m"
endpoints = [{ endpoint = "a", weight = 0.5 }]
"#;
const JSON: &str = r#"{
  "$schema": "./uat.schema.json",
  "server": { "bind": "127.0.0.1:1", "allowed_origins": ["https://a.example"] },
  "endpoints": [{ "name": "a", "protocol": "ollama", "base_url": "http://127.0.0.1:2" }],
  "models": [{ "name": "m", "endpoints": [{ "endpoint": "a", "weight": 0.5 }] }]
}
"#;
const YAML: &str = r#"# yaml-language-server: $schema=./uat.schema.json
server:
  bind: 127.0.0.1:1
  allowed_origins: [https://a.example]
endpoints:
  - name: a
    protocol: ollama
    base_url: "http://127.0.0.1:2"
models:
  - name: m
    endpoints:
      - endpoint: a
        weight: .5
"#;

#[test]
fn three_forms_say_the_same() {
    let toml = load("uat.toml", TOML).unwrap();
    assert_eq!(load("uat.json", JSON).unwrap(), toml);
    assert_eq!(load("uat.yaml", YAML).unwrap(), toml);
    assert_eq!(load("uat.YML", YAML).unwrap(), toml);
    assert_eq!(load("uat.conf", TOML).unwrap(), toml, "every other name is TOML");
}

#[test]
fn an_empty_document_means_the_defaults() {
    for file in ["uat.toml", "uat.json", "uat.yaml"] {
        for text in ["", "\n", "\u{feff}"] {
            assert_eq!(load(file, text).unwrap(), UatConfig::default(), "{file} {text:?}");
        }
    }
    assert_eq!(load("uat.yaml", "# nothing yet\n").unwrap(), UatConfig::default());
}

#[test]
fn mistakes_in_json_have_their_place() {
    let text = "{\n  \"server\": { \"bnd\": \"x\",\n    \"hold_ms\": \"soon\" },\n  \"engine\": { \"slots\": 999 }\n}\n";
    check(
        "uat.json",
        text,
        &[("2:15", "did you mean `bind`?"), ("3:16", "got \"soon\""), ("4:24", "expected 1 to 256, got 999")],
    );
    check(
        "uat.json",
        "{\n  \"server\": { \"hold_ms\": 1, }\n}",
        &[("2:29", "not valid JSON: trailing comma")],
    );
    check("uat.json", "{ \"server\": // no\n {} }", &[("1:13", "not valid JSON")]);
    check("uat.json", "[]", &[("1:1", "expected sections such as `server`, got a list")]);
    check(
        "uat.json",
        "{\"engine\":{},\n\"engine\":{}}",
        &[("2:1", "`engine`: stands here for the second time")],
    );
    check("uat.json", "{\"engine\":", &[("1:10", "not valid JSON")]);
}

#[test]
fn mistakes_in_yaml_have_their_place() {
    let text = "server:\n  bnd: x\n  hold_ms: soon\nengine:\n  slots: 999\n  enabled: no\n";
    check(
        "uat.yaml",
        text,
        &[
            ("2:3", "did you mean `bind`?"),
            ("3:12", "got \"soon\""),
            ("5:10", "expected 1 to 256, got 999"),
            ("6:12", "`engine.enabled`: expected true or false, got \"no\""),
        ],
    );
    check(
        "uat.yaml",
        "server:\n  hold_ms: 1\n  hold_ms: 2\n",
        &[("3:3", "`server.hold_ms`: stands here for the second time")],
    );
    check("uat.yaml", "- a\n", &[("1:1", "expected sections such as `server`, got a list")]);
    check("uat.yaml", "server: 5\n", &[("1:9", "`server`: expected a table, got 5")]);
    check("uat.yaml", "cache:\n  ttl_s: .inf\n", &[("2:10", "expected a finite number")]);
    let broken = load("uat.yaml", "server:\n  bind: [1\n").unwrap_err();
    assert!(
        broken.to_string().contains("uat.yaml:") && broken.to_string().contains("not valid YAML"),
        "{broken}"
    );
}

#[test]
fn what_makes_yaml_more_than_a_tree_is_refused() {
    check("uat.yaml", "server: &a\n  hold_ms: 1\nengine: *a\n", &[("3:9", "aliases (`*name`) are not read")]);
    check("uat.yaml", "server: !include other.yaml\n", &[("1:9", "tags (`!name`) are not read")]);
    check("uat.yaml", "server: {}\n---\nengine: {}\n", &[("2:1", "a second document begins here")]);
    check("uat.yaml", "? [a]\n: 1\n", &[("1:3", "a key must be text")]);
    // A few lines that would make gigabytes.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let line = format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
        bomb.push_str(&line);
    }
    assert!(load("uat.yaml", &bomb).is_err());
}

#[test]
fn depth_is_bounded_in_every_form() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    for (file, text) in [
        ("uat.toml", format!("a = {}", deep("[", "]"))),
        ("uat.toml", format!("a = {}", deep("{a=", "}"))),
        ("uat.toml", format!("{} = 1", vec!["a"; 200_000].join("."))),
        ("uat.json", format!("{{\"a\": {}}}", deep("[", "]"))),
        ("uat.yaml", format!("a: {}", deep("[", "]"))),
        ("uat.yaml", "- ".repeat(200_000)),
    ] {
        let errors = load(file, &text).unwrap_err();
        assert!(errors.count() <= 100, "{file}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("uat.toml");
    std::fs::write(&file, b"[server]\nbind = \"\xff\"\n").unwrap();
    let errors = UatConfig::load(ConfigSource::File(file), []).unwrap_err();
    assert!(errors.to_string().contains("uat.toml:2:9: expected UTF-8"), "{errors}");
}
