//! The schema that editors use says what the types and the checks say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use runtime::{ConfigSource, UatConfig, config_schema};
use serde_json::{Value, json};

/// A right configuration that has every section.
fn sample() -> Value {
    json!({
        "server": {}, "engine": {}, "cache": {}, "redis": {}, "telemetry": {}, "limits": {}, "routing": {},
        "keys": [{ "name": "k", "hash": format!("sha256:{}", "0".repeat(64)) }],
        "endpoints": [{ "name": "a", "protocol": "ollama", "base_url": "http://127.0.0.1:1" }],
        "models": [{ "name": "m", "endpoints": [{ "endpoint": "a" }] }],
        "voice": {}, "context": {}, "context_providers": [{ "name": "c", "kind": "memory" }],
    })
}

fn load(tree: &Value) -> Result<UatConfig, runtime::ConfigErrors> {
    UatConfig::load(ConfigSource::Json(tree.to_string()), []).map(|loaded| loaded.config)
}

/// Follows a `$ref`.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    match node["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => node,
    }
}

/// Each place of the sample where a table stands: its JSON pointer, and its schema.
fn tables(schema: &Value) -> Vec<(String, Value)> {
    let mut tables = Vec::new();
    for (section, node) in schema["properties"].as_object().unwrap() {
        let node = resolved(schema, node);
        let (pointer, table) = match node["type"].as_str() {
            Some("array") => (format!("/{section}/0"), resolved(schema, &node["items"])),
            Some("object") => (format!("/{section}"), node),
            _ => continue,
        };
        if let Some(served) = table["properties"].get("endpoints") {
            let table = resolved(schema, &served["items"]).clone();
            tables.push((format!("{pointer}/endpoints/0"), table));
        }
        tables.push((pointer, table.clone()));
    }
    tables
}

#[test]
fn the_schema_in_the_documentation_is_the_one_that_is_printed() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/uat.schema.json");
    let printed = format!("{:#}\n", config_schema());
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(kept == printed, "docs/uat.schema.json is out of date: uat config schema > docs/uat.schema.json");
}

#[test]
fn it_is_a_schema_and_takes_what_is_right() {
    let schema = config_schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    for tree in [sample(), json!({}), serde_json::to_value(UatConfig::default()).unwrap()] {
        let wrong: Vec<String> = validator.iter_errors(&tree).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty() && load(&tree).is_ok(), "{wrong:?} {tree}");
    }
}

#[test]
fn it_refuses_the_shapes_that_the_types_refuse() {
    let validator = jsonschema::draft202012::new(&config_schema()).unwrap();
    for (pointer, value) in [
        ("/server", json!({ "bnd": 1 })),
        ("/server", json!(5)),
        ("/sever", json!({})),
        ("/engine", json!({ "kv_type": "q8" })),
        ("/endpoints/0", json!({ "name": "a" })),
        ("/endpoints/0/protocol", json!("olama")),
        ("/endpoints/0/max_in_flight", json!(-1)),
        ("/models/0/endpoints", json!([])),
        ("/models/0/endpoints/0/weight", json!(0)),
        ("/models/0/balance", json!("random")),
        ("/redis", json!({ "codec": "gzip" })),
        ("/context_providers/0/kind", json!("memo")),
    ] {
        let mut tree = sample();
        put(&mut tree, pointer, value.clone());
        assert!(!validator.is_valid(&tree), "the schema takes {value} at {pointer}");
        assert!(load(&tree).is_err(), "the types take {value} at {pointer}");
    }
}

#[test]
fn ranges_are_the_same_in_the_schema_and_in_the_checks() {
    let schema = config_schema();
    let mut numbers = 0;
    for (pointer, table) in tables(&schema) {
        for (key, node) in table["properties"].as_object().unwrap() {
            let (least, most) = (node["minimum"].as_i64(), node["maximum"].as_i64());
            let mut try_value = |value: i64, is_right: bool| {
                let mut tree = sample();
                if key == "top" {
                    // Not a memory's.
                    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
                    tree["context_providers"][0] =
                        json!({ "name": "c", "kind": "passages", "files": [file] });
                }
                put(&mut tree, &format!("{pointer}/{key}"), value.into());
                let loaded = load(&tree);
                assert_eq!(loaded.is_ok(), is_right, "{value} at {pointer}/{key}: {:?}", loaded.err());
                numbers += 1;
            };
            if let Some(least) = least {
                try_value(least, true);
                try_value(least - 1, false);
            }
            if let Some(most) = most {
                try_value(most, true);
                try_value(most + 1, false);
            }
        }
    }
    assert!(numbers > 60, "only {numbers} bounds were tried");
}

#[test]
fn every_setting_is_described() {
    let schema = config_schema();
    for (pointer, table) in tables(&schema) {
        assert_eq!(table["additionalProperties"], false, "{pointer}");
        for (key, node) in table["properties"].as_object().unwrap() {
            let text = node["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{pointer}/{key} has no description");
            assert!(!node.to_string().contains("null"), "{pointer}/{key}: {node}");
        }
    }
}

fn put(tree: &mut Value, pointer: &str, value: Value) {
    if let Some(there) = tree.pointer_mut(pointer) {
        *there = value;
        return;
    }
    let (table, key) = pointer.rsplit_once('/').unwrap();
    if !table.is_empty() && tree.pointer(table).is_none() {
        put(tree, table, json!({}));
    }
    tree.pointer_mut(table).unwrap()[key] = value;
}
