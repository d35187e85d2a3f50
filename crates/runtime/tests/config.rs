//! What `uat.toml` may say, and how it is refused when it says something else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::path::PathBuf;

use runtime::{ConfigErrors, ConfigSource, KvType, Loaded, Location, UatConfig};

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("uat.toml"), text).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("uat.toml")
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        UatConfig::load(ConfigSource::File(self.file()), variables(environment))
    }
}

fn variables(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    Folder::with(text).load(&[])
}

/// `text` is refused at `line:column` and nowhere else, and the whole sentence holds each of `words`.
fn check_refused(text: &str, line: usize, column: usize, words: &[&str]) {
    let folder = Folder::with(text);
    let errors = folder.load(&[]).expect_err("the configuration is wrong");
    assert_eq!(errors.count(), 1, "{errors:#}");
    let error = errors.first();
    assert_eq!(error.location, Location::File { file: folder.file(), line, column }, "{error}");
    let sentence = error.to_string();
    assert!(sentence.contains(&format!("uat.toml:{line}:{column}: ")), "{sentence}");
    for word in words {
        assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
    }
}

const TWO_ENDPOINTS: &str = r#"
[[endpoints]]
name = "ollama-1"
protocol = "ollama"
base_url = "http://127.0.0.1:11434"

[[models]]
name = "llama3.2:3b"
endpoints = [{ endpoint = "ollama-1", model = "llama3.2:3b-q4" }]
"#;

#[test]
fn an_empty_file_means_the_defaults() {
    let config = load("").unwrap().config;
    assert_eq!(config, UatConfig::default());
    assert_eq!(config.server.bind.to_string(), "127.0.0.1:8642");
    assert_eq!(config.engine.model, "smollm2-135m");
}

#[test]
fn what_the_file_says_counts() {
    let config =
        load(&format!("[server]\nbind = \"[::1]:9000\"\nhold_ms = 100\n{TWO_ENDPOINTS}")).unwrap().config;
    assert_eq!(config.server.bind.to_string(), "[::1]:9000");
    assert_eq!(config.server.hold_ms, 100);
    assert_eq!(config.models[0].endpoints[0].model.as_deref(), Some("llama3.2:3b-q4"));
}

#[test]
fn localhost_is_an_address_to_bind() {
    assert_eq!(load("server.bind = 'localhost:80'").unwrap().config.server.bind.to_string(), "127.0.0.1:80");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_key() {
    check_refused(
        "[server]\n  bnd = \"127.0.0.1:1\"\n",
        2,
        3,
        &["unknown key `bnd` in [server]", "did you mean `bind`?"],
    );
}

#[test]
fn an_unknown_section_is_refused() {
    check_refused("[engine]\n[sever]\n", 2, 2, &["unknown section or key `sever`", "did you mean `server`?"]);
}

#[test]
fn an_unknown_key_deep_inside_is_found() {
    let text = TWO_ENDPOINTS.replace("model = \"llama3.2:3b-q4\"", "modle = \"x\"");
    check_refused(
        &text,
        9,
        39,
        &["unknown key `modle` in [models[0].endpoints[0]]", "did you mean `model`?"],
    );
}

#[test]
fn a_key_that_resembles_nothing_is_told_what_there_is() {
    check_refused("[server]\nxyzzy = 1\n", 2, 1, &["known here: bind, admin_bind"]);
}

#[test]
fn an_unknown_protocol_is_refused_with_the_nearest_one() {
    let text = TWO_ENDPOINTS.replace("\"ollama\"", "\"olama\"");
    check_refused(&text, 4, 12, &["unknown value `olama`", "did you mean `ollama`?"]);
}

#[test]
fn a_wrong_type_is_refused_where_the_value_stands() {
    check_refused(
        "[server]\nhold_ms = \"soon\"\n",
        2,
        11,
        &["`server.hold_ms`", "\"soon\"", "a whole number"],
    );
    check_refused("[server]\nhold_ms = -1\n", 2, 11, &["`server.hold_ms`", "-1"]);
    check_refused("[server]\nbind = \"8642\"\n", 2, 8, &["ADDRESS:PORT", "8642"]);
}

#[test]
fn broken_toml_is_refused_where_it_breaks() {
    check_refused("[server]\nbind = \n", 2, 8, &["not valid TOML"]);
    check_refused("[server]\nhold_ms = 1\nhold_ms = 2\n", 3, 1, &["not valid TOML"]);
}

#[test]
fn a_missing_required_key_is_refused_at_its_section() {
    check_refused("[[endpoints]]\nprotocol = \"ollama\"\n", 1, 1, &["missing key `name` in [endpoints[0]]"]);
}

#[test]
fn a_listener_that_strangers_reach_is_refused_until_there_are_keys() {
    check_refused("[server]\nbind = \"0.0.0.0:8642\"\n", 2, 8, &["0.0.0.0:8642", "[[keys]]"]);
}

#[test]
fn a_secret_in_the_file_is_refused_without_being_repeated() {
    let text = TWO_ENDPOINTS.replace("base_url =", "api_key = \"sk-very-secret\"\nbase_url =");
    check_refused(&text, 5, 1, &["api_key_env", "api_key_file"]);
    assert!(!load(&text).unwrap_err().to_string().contains("sk-very-secret"));
    let text = TWO_ENDPOINTS.replace("http://", "http://me:sk-very-secret@");
    check_refused(&text, 5, 12, &["`base_url` holds a user or password"]);
    assert!(!load(&text).unwrap_err().to_string().contains("sk-very-secret"));
}

#[test]
fn names_must_be_unique() {
    let again = &TWO_ENDPOINTS[1..TWO_ENDPOINTS.find("[[models]]").unwrap()];
    check_refused(&format!("{again}{TWO_ENDPOINTS}"), 8, 8, &["two endpoints are named `ollama-1`"]);
    let again = &TWO_ENDPOINTS[TWO_ENDPOINTS.find("[[models]]").unwrap()..];
    check_refused(&format!("{TWO_ENDPOINTS}{again}"), 11, 8, &["two models are named `llama3.2:3b`"]);
}

#[test]
fn a_model_at_an_unknown_endpoint_is_refused_with_the_nearest_one() {
    let text = TWO_ENDPOINTS.replace("endpoint = \"ollama-1\"", "endpoint = \"olama-1\"");
    check_refused(&text, 9, 27, &["`olama-1`, which does not exist", "did you mean `ollama-1`?"]);
}

#[test]
fn an_endpoint_without_its_address_is_refused() {
    let text = TWO_ENDPOINTS.replace("base_url = \"http://127.0.0.1:11434\"\n", "");
    check_refused(&text, 2, 1, &["endpoint `ollama-1` needs a `base_url`"]);
    let text = TWO_ENDPOINTS.replace("http://", "");
    check_refused(&text, 5, 12, &["expected http://"]);
}

#[test]
fn what_the_engine_may_take_is_written_in_its_section() {
    let text = "[engine]\nqueue = 0\nkv_type = 'q8_0'\ngpu_layers = 0\nunload_after_s = 0\nmemory_mb = 900\n";
    let engine = load(text).unwrap().config.engine;
    assert_eq!(engine.kv_type, Some(KvType::Q8_0));
    let numbers = [engine.queue, engine.gpu_layers, engine.unload_after_s, engine.memory_mb];
    assert_eq!(numbers, [Some(0), Some(0), Some(0), Some(900)]);
}

#[test]
fn a_setting_that_the_engine_cannot_have_is_refused_by_its_key() {
    let refused = |line: &str, words: &[&str]| {
        let column = line.find("= ").unwrap() + 3;
        check_refused(&format!("[engine]\n{line}\n"), 2, column, words);
    };
    refused("threads = 0", &["`engine.threads`: expected at least 1"]);
    refused("slots = 257", &["`engine.slots`: expected 1 to 256"]);
    refused("queue = 65536", &["`engine.queue`: expected at most 65535"]);
    refused("memory_mb = 0", &["`engine.memory_mb`: expected at least 1"]);
    refused("gpu_layers = -1", &["`engine.gpu_layers`", "-1"]);
    refused("unload_after_s = 4294967296", &["`engine.unload_after_s`", "4294967296"]);
    refused("kv_type = \"q8\"", &["engine.kv_type", "`q8`", "did you mean `q8_0`?"]);
}

#[test]
fn the_response_cache_is_on_and_cannot_be_what_it_is_not() {
    let cache = load("").unwrap().config.cache;
    assert_eq!((cache.exact, cache.semantic, cache.ttl_s, cache.max_entry_kb), (true, false, 3600, 512));
    assert!(!load("[cache]\nexact = false\n").unwrap().config.cache.exact);
    for (line, says) in [
        ("semantic = true", "not available"),
        ("ttl_s = 0", "expected 1 to 315360000, got 0"),
        ("ttl_s = 315360001", "expected 1 to 315360000"),
        ("max_entry_kb = 0", "expected 1 to 65536, got 0"),
        ("max_entry_kb = 65537", "expected 1 to 65536"),
        ("ttl = 1", "did you mean `ttl_s`?"),
    ] {
        let error = load(&format!("[cache]\n{line}\n")).expect_err(line);
        assert_eq!(error.first().path, format!("cache.{}", line.split(' ').next().unwrap()));
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn the_cache_has_a_section_of_its_own() {
    assert_eq!(load("").unwrap().config.redis, None);
    let text =
        "[redis]\nurl = 'redis+cluster://a,b'\nkey_prefix = 'app:'\ncodec = 'lz4'\nread_budget_ms = 9\n";
    let redis = load(text).unwrap().config.redis.unwrap();
    assert_eq!(redis.url.as_deref(), Some("redis+cluster://a,b"));
    assert_eq!((redis.key_prefix.as_str(), redis.read_budget_ms, redis.max_connections), ("app:", 9, 4));
}

#[test]
fn a_setting_that_the_cache_cannot_have_is_refused_by_its_key() {
    for (line, key, says) in [
        ("max_conections = 1", "max_conections", "did you mean `max_connections`?"),
        ("max_connections = 0", "max_connections", "at least 1"),
        ("read_budget_ms = 0", "read_budget_ms", "positive"),
        ("near_max_bytes = 0", "near_max_bytes", "at least 1"),
        ("compression_level = 20", "compression_level", "1 to 19"),
        ("codec = 'gzip'", "codec", "lz4, zstd"),
        ("url = 'http://h'", "url", "redis://"),
        ("url = 'redis://h'\nurl_env = 'X'", "url_env", "keep one"),
        ("password = 'secret'", "password", "url_env"),
        ("url = 'redis://u:secret@h'", "url", "url_env"),
        ("url = 'redis://u:secret/@h'", "url", "url"),
    ] {
        let error = load(&format!("[redis]\n{line}\n")).expect_err(line);
        assert_eq!(error.first().path, format!("redis.{key}"));
        let sentence = error.to_string();
        assert!(sentence.contains(says), "{sentence}");
        assert!(!sentence.contains("secret") || key == "password", "{sentence}");
    }
}

#[test]
fn a_password_may_come_from_the_environment_and_is_never_shown() {
    let folder = Folder::with("[redis]\nurl = 'redis://plain'\n");
    let loaded = folder.load(&[("UAT__REDIS__URL", "redis://u:secret@h:1/2")]).unwrap();
    let redis = loaded.config.redis.as_ref().unwrap();
    assert_eq!(redis.url.as_deref(), Some("redis://u:secret@h:1/2"));
    let settings = loaded.settings();
    let shown = settings.iter().find(|setting| setting.path == "redis.url").unwrap();
    assert_eq!(shown.value, "redis://***@h:1/2");
    assert_eq!(shown.location, Location::Environment { variable: "UAT__REDIS__URL".into() });
    assert!(!format!("{loaded:?}").contains("u:secret"), "Debug shows it");
}

#[test]
fn endpoints_that_no_model_uses_are_a_mistake() {
    let text = &TWO_ENDPOINTS[..TWO_ENDPOINTS.find("[[models]]").unwrap()];
    check_refused(text, 2, 1, &["no [[models]] uses them"]);
}

#[test]
fn every_web_page_is_no_allowed_origin() {
    check_refused("[server]\nallowed_origins = [\"https://a.example\", \"*\"]\n", 2, 41, &["every web page"]);
    check_refused("[server]\nallowed_origins = [\"a.example/x\"]\n", 2, 20, &["SCHEME://HOST"]);
}

#[test]
fn the_environment_overrides_the_file() {
    let folder = Folder::with("[server]\nbind = \"127.0.0.1:1\"\nhold_ms = 1\n");
    let environment = [
        ("UAT__SERVER__BIND", "127.0.0.1:2"),
        ("UAT__SERVER__ALLOWED_ORIGINS", "[\"https://a.example\"]"),
        ("UAT__ENGINE__ENABLED", "false"),
        ("PATH", "/bin"),
    ];
    let config = folder.load(&environment).unwrap().config;
    assert_eq!(config.server.bind.port(), 2);
    assert_eq!(config.server.hold_ms, 1);
    assert_eq!(config.server.allowed_origins, ["https://a.example"]);
    assert!(!config.engine.enabled);
}

#[test]
fn a_number_in_a_variable_is_a_place_in_a_list() {
    let folder = Folder::with(TWO_ENDPOINTS);
    let config = folder.load(&[("UAT__ENDPOINTS__0__BASE_URL", "http://127.0.0.1:9")]).unwrap().config;
    assert_eq!(config.endpoints[0].base_url.as_deref(), Some("http://127.0.0.1:9"));
    let error = folder.load(&[("UAT__ENDPOINTS__7__NAME", "x")]).unwrap_err();
    assert!(error.to_string().contains("UAT__ENDPOINTS__7__NAME"), "{error}");
}

#[test]
fn a_wrong_variable_is_named() {
    let folder = Folder::with("[server]\n");
    for (variable, value, word) in [
        ("UAT__SERVER__BND", "127.0.0.1:1", "did you mean `bind`?"),
        ("UAT__SERVER__HOLD_MS", "soon", "soon"),
        ("UAT__SERVER__BIND", "0.0.0.0:1", "[[keys]]"),
    ] {
        let error = folder.load(&[(variable, value)]).unwrap_err();
        assert_eq!(
            error.first().location,
            Location::Environment { variable: variable.to_owned() },
            "{error}"
        );
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn an_object_is_refused_with_the_path_of_the_value() {
    let json = r#"{"server":{"bind":"127.0.0.1:1"},"models":[{"name":"m","endpoints":[{"endpiont":"a"}]}]}"#;
    let error = UatConfig::load(ConfigSource::Json(json.into()), []).unwrap_err();
    assert_eq!(error.first().path, "models[0].endpoints[0].endpiont");
    assert!(error.to_string().contains("did you mean `endpoint`?"), "{error}");
    let error = UatConfig::load(ConfigSource::Json("[]".into()), []).unwrap_err();
    assert!(error.to_string().contains("expected an object"), "{error}");
}

#[test]
fn the_file_that_the_environment_names_must_exist() {
    let error = UatConfig::load(ConfigSource::Default, variables(&[("UAT_CONFIG", "/nowhere/uat.toml")]))
        .unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/uat.toml: cannot be read"), "{error}");
    let folder = Folder::with("[server]\nhold_ms = 7\n");
    let named = variables(&[("UAT_CONFIG", folder.file().to_str().unwrap())]);
    assert_eq!(UatConfig::load(ConfigSource::Default, named).unwrap().config.server.hold_ms, 7);
}

#[test]
fn each_setting_says_where_it_was_written() {
    let folder = Folder::with("[server]\nhold_ms = 7\n");
    let loaded = folder.load(&[("UAT__ENGINE__IDLE_EXIT_S", "9")]).unwrap();
    let of = |path: &str| {
        let setting = loaded.settings().into_iter().find(|setting| setting.path == path).unwrap();
        (setting.value.to_string(), setting.location)
    };
    assert_eq!(of("server.hold_ms").1, Location::File { file: folder.file(), line: 2, column: 11 });
    assert_eq!(of("server.max_body_mb"), ("32".to_owned(), Location::Default));
    assert_eq!(
        of("engine.idle_exit_s"),
        ("9".to_owned(), Location::Environment { variable: "UAT__ENGINE__IDLE_EXIT_S".into() })
    );
}
