//! Everything that is wrong in a configuration is told at once, each in its place, and nothing that follows from it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use runtime::{ConfigErrors, ConfigSource, Location, UatConfig};

fn load(text: &str, environment: &[(&str, &str)]) -> Result<UatConfig, ConfigErrors> {
    let source = ConfigSource::Text { file: "uat.toml".into(), text: text.to_owned() };
    let environment = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    UatConfig::load(source, environment).map(|loaded| loaded.config)
}

/// `text` is refused with exactly these: where, and a part of the sentence.
fn check(text: &str, expected: &[(&str, &str)]) {
    check_with(text, &[], expected);
}

fn check_with(text: &str, environment: &[(&str, &str)], expected: &[(&str, &str)]) {
    let errors = load(text, environment).expect_err("the configuration is wrong");
    let told: Vec<(String, String)> =
        errors.iter().map(|error| (error.location.to_string(), error.to_string())).collect();
    assert_eq!(told.len(), expected.len(), "{errors:#}");
    for ((place, sentence), (expected_place, words)) in told.iter().zip(expected) {
        assert!(place.ends_with(expected_place) && sentence.contains(words), "{place} {words}: {errors:#}");
    }
}

/// Ten mistakes of ten kinds.
const TEN: &str = include_str!("ten_mistakes.toml");

#[test]
fn ten_mistakes_are_ten_messages_from_top_to_bottom() {
    check(
        TEN,
        &[
            (":2:1", "unknown key `bnd` in [server]; did you mean `bind`?"),
            (":3:11", "`server.hold_ms`: expected a whole number, 0 or more, got \"soon\""),
            (":4:15", "`server.max_body_mb`: expected 1 to 1024, got 4096"),
            (":8:12", "unknown value `olama`; did you mean `ollama`?"),
            (":10:19", "`idle_timeout_ms` must be at least 1"),
            (":12:1", "missing key `name` in [endpoints[1]]"),
            (":14:1", "`api_key` would put a secret into the configuration"),
            (":19:61", "`weight` must be above 0"),
            (":22:8", "two models are named `m`"),
            (":24:18", "`models[1].context_tokens`: expected a whole number"),
        ],
    );
    let errors = load(TEN, &[]).unwrap_err();
    assert!(!format!("{errors:#}").contains("very-secret"));
}

#[test]
fn several_keys_can_be_missing_and_several_unknown_in_one_table() {
    check(
        "[[endpoints]]\nfoo = 1\nbar = 2\n",
        &[
            (":1:1", "missing key `name`"),
            (":1:1", "missing key `protocol`"),
            (":2:1", "unknown key `foo`"),
            (":3:1", "unknown key `bar`"),
        ],
    );
}

#[test]
fn a_key_under_a_wrong_name_is_not_missing_too() {
    check(
        "[[models]]\nnmae = \"m\"\nendpoints = []\n",
        &[(":2:1", "did you mean `name`?"), (":3:13", "names no endpoint")],
    );
    let text = "[[endpoints]]\nname = \"a\"\nprotocol = \"openai\"\nbase_ulr = \"http://h\"\n[[models]]\nname = \"m\"\nendpoints = [{ endpoint = \"a\" }]\n";
    check(text, &[(":4:1", "did you mean `base_url`?")]);
}

#[test]
fn nothing_is_concluded_from_what_could_not_be_read() {
    // The model may mean the endpoint whose name is a number.
    let endpoint = "[[endpoints]]\nname = 5\nprotocol = \"ollama\"\nbase_url = \"http://h\"\n";
    check(
        &format!("{endpoint}[[models]]\nname = \"m\"\nendpoints = [{{ endpoint = \"five\" }}]\n"),
        &[(":2:8", "`endpoints[0].name`: expected text, got 5")],
    );
    // Without a protocol nobody knows whether an address is needed.
    check(
        "[[endpoints]]\nname = \"a\"\n[[models]]\nname = \"m\"\nendpoints = [{ endpoint = \"a\" }]\n",
        &[(":1:1", "missing key `protocol`")],
    );
    // A section that is none hides what would have been in it, and no more.
    check(
        "endpoints = 5\nmodels = [7, { name = \"m\", endpoints = [{ endpoint = \"a\" }] }]\n[cache]\nttl_s = 0\n",
        &[
            (":1:13", "`endpoints`: expected a list, got 5"),
            (":2:11", "`models[0]`: expected a table, got 7"),
            (":4:9", "`cache.ttl_s`"),
        ],
    );
    check("[[models]]\nname = \"m\"\nendpoints = \"a\"\n", &[(":3:13", "expected a list, got \"a\"")]);
    check(
        "[server]\nallowed_origins = [5, \"https://a.example\", true, \"*\"]\n",
        &[
            (":2:20", "[0]`: expected text, got 5"),
            (":2:44", "[2]`: expected text, got true"),
            (":2:50", "every web page"),
        ],
    );
}

#[test]
fn every_option_of_the_cache_is_told() {
    let text = "[redis]\nurl = \"http://h\"\nmax_connections = 0\nread_budget_ms = 0\ncompression_level = 99\nnear_max_bytes = 0\n";
    let lines = [2, 3, 4, 5, 6].map(|line| format!("uat.toml:{line}:"));
    let errors = load(text, &[]).unwrap_err();
    let told: Vec<String> = errors.iter().map(|error| error.location.to_string()).collect();
    assert!(
        told.len() == 5 && told.iter().zip(&lines).all(|(told, line)| told.starts_with(line)),
        "{errors:#}"
    );
}

#[test]
fn tiers_that_lead_nowhere_and_weights_that_weigh_nothing_are_told() {
    let text = r#"[[endpoints]]
name = "e"
protocol = "ollama"
base_url = "http://127.0.0.1:1"
[[models]]
name = "auto"
tier = ""
quality = 1.5
endpoints = [{ endpoint = "e" }]
[[models]]
name = "large"
tier = "strong"
endpoints = [{ endpoint = "e" }]
[routing]
max_candidates = 0
[routing.tiers]
empty = []
fast = ["lagre", "large", "large"]
[routing.weights]
price = -1
"#;
    check(
        text,
        &[
            (":6:8", "`auto` and `tier:...` are the router's words"),
            (":7:8", "`tier`: expected a name"),
            (":8:11", "expected 0 to 1, got 1.5"),
            (":15:18", "`routing.max_candidates`: expected 1 to 16, got 0"),
            (":17:9", "the tier `empty` names no model"),
            (":18:9", "the model `lagre`, which does not exist"),
            (":18:27", "names `large` twice"),
            (":20:9", "`routing.weights.price`: expected a number of at least 0, got -1"),
        ],
    );
    let nothing = "[routing.weights]\ntier = 0\nquality = 0\nprice = 0\nlatency = 0\nhealth = 0\n";
    check(nothing, &[(":1:1", "nothing decides")]);
}

#[test]
fn what_the_toml_parser_recovers_from_is_told_at_once_too() {
    let errors = load("[server]\nbind = \nhold_ms = 1\nhold_ms = 2\n[engine\n", &[]).unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(told.len() > 1 && told.iter().all(|told| told.contains("not valid TOML")), "{errors:#}");
}

#[test]
fn numbers_that_no_computer_holds_are_told_beside_the_rest() {
    check(
        "[server]\nhold_ms = 99999999999999999999\nxyzzy = nan\n[engine]\nthreads = inf\n",
        &[
            (":2:11", "`server.hold_ms`: expected an integer of 64 bits"),
            (":3:9", "`server.xyzzy`: expected a finite number"),
            (":5:11", "`engine.threads`: expected a finite number"),
        ],
    );
}

#[test]
fn wrong_variables_come_after_the_file_and_hide_nothing() {
    check_with(
        "[server]\nbnd = 1\nhold_ms = 5\n",
        &[("UAT__SERVER__HOLD_MS", "soon"), ("UAT____X", "1"), ("UAT__SERVER__HOLD_MS__DEEP", "1")],
        &[
            ("uat.toml:2:1", "did you mean `bind`?"),
            ("UAT__SERVER__HOLD_MS", "got \"soon\""),
            ("UAT__SERVER__HOLD_MS__DEEP", "has no `deep` inside"),
            ("UAT____X", "a part of the name is empty"),
        ],
    );
}

#[test]
fn a_file_of_nothing_but_mistakes_is_told_up_to_a_hundred() {
    let text: String = (0..1000).map(|index| format!("key-{index} = 1\n")).collect();
    let errors = load(&text, &[]).unwrap_err();
    assert_eq!(errors.count(), 100);
    assert_eq!(errors.first().location, Location::File { file: "uat.toml".into(), line: 1, column: 1 });
}

proptest::proptest! {
    #[test]
    fn whatever_a_file_says_it_is_read_or_refused_inside_of_it(
        text in "[\\[\\]{}=\"'.a-z0-9#:,&*! \\-\n\u{e4}\u{1F600}]{0,80}",
        name in "uat\\.(toml|json|yaml)",
    ) {
        let source = ConfigSource::Text { file: name.into(), text: text.clone() };
        if let Err(errors) = UatConfig::load(source, []) {
            for error in errors.iter() {
                let Location::File { line, column, .. } = error.location else { panic!("{error}") };
                let width = text.split('\n').nth(line - 1).map(|line| line.chars().count());
                proptest::prop_assert!(width.is_some_and(|width| column <= width + 1), "{error} in {text:?}");
            }
        }
    }

    #[test]
    fn whatever_a_program_passes_is_read_or_refused(text in "[\\[\\]{}:\"a-z0-9, ]{0,60}", value in ".{0,20}") {
        let environment = [("UAT__SERVER__BIND".to_owned(), value.clone()), ("UAT__A__0".to_owned(), value)];
        let _ = UatConfig::load(ConfigSource::Json(text), environment);
    }

    /// A right configuration with one value exchanged for another: read, or refused, and never without a reason.
    #[test]
    fn any_value_anywhere_is_read_or_refused(place in 0_usize..40, value in value()) {
        let mut tree = serde_json::json!({
            "server": { "bind": "127.0.0.1:0", "hold_ms": 1, "allowed_origins": ["https://a.example"] },
            "engine": { "enabled": true, "kv_type": "f16", "slots": 1 },
            "endpoints": [{ "name": "a", "protocol": "ollama", "base_url": "http://h", "resume": "prefill" }],
            "models": [{ "name": "m", "balance": "priority", "endpoints": [{ "endpoint": "a", "weight": 1 }] }],
            "cache": { "exact": true }, "redis": { "codec": "lz4" },
        });
        let mut places = place;
        if let Some(found) = nth(&mut tree, &mut places) {
            *found = value;
        }
        let _ = UatConfig::load(ConfigSource::Json(tree.to_string()), []);
    }
}

/// The nth value of a tree, counted from the outside.
fn nth<'a>(tree: &'a mut serde_json::Value, left: &mut usize) -> Option<&'a mut serde_json::Value> {
    if *left == 0 {
        return Some(tree);
    }
    *left -= 1;
    match tree {
        serde_json::Value::Object(table) => table.values_mut().find_map(|value| nth(value, left)),
        serde_json::Value::Array(items) => items.iter_mut().find_map(|value| nth(value, left)),
        _ => None,
    }
}

fn value() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("uat-engine")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
