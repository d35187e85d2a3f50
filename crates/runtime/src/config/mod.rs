//! `uat.toml`: what is read, from where, and why it is refused.

mod check;
mod document;
mod effective;
mod error;
mod telemetry;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use fast_llm_coordinator::{CacheConfig, EndpointConfig, ModelConfig};
use serde::{Deserialize, Deserializer, Serialize};

use document::Document;
pub use effective::Setting;
pub use error::{ConfigError, Location};
pub use telemetry::TelemetryConfig;

/// The whole configuration. Every section has defaults: an empty one is the embedded engine, and whatever Ollama or
/// LM Studio answers on its usual port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UatConfig {
    /// How the gateway listens.
    pub server: ServerConfig,
    /// The local engine.
    pub engine: EngineConfig,
    /// The places that answer.
    pub endpoints: Vec<EndpointConfig>,
    /// The models that can be asked for.
    pub models: Vec<ModelConfig>,
    /// Answers that are given again.
    pub cache: CacheConfig,
    /// The cache in Redis; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<redis_service::Options>,
    /// What is told of requests: traces, and an access log.
    pub telemetry: TelemetryConfig,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where it listens. Only loopback addresses: without keys everybody who reaches it may ask.
    #[serde(deserialize_with = "socket_address")]
    pub bind: SocketAddr,
    /// Origins of web pages that may call it beside those on loopback, like `https://app.example`.
    pub allowed_origins: Vec<String>,
    /// The longest request body, MiB.
    pub max_body_mb: u32,
    /// How long a stream may wait for its first content before 200 and keep-alive comments go out, ms.
    pub hold_ms: u64,
    /// How long running answers may take to finish after SIGTERM, s.
    pub drain_timeout_s: u64,
    /// Connections at the same time; further ones wait to be accepted.
    pub max_connections: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            // Next to nothing else: 8642 is registered for no service.
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8642),
            allowed_origins: Vec::new(),
            // A few photographs as data URLs fit; a mistaken upload of a video does not.
            max_body_mb: 32,
            // Proxies in front give up after 15 s or more; five leaves fail-over invisible in nearly every case.
            hold_ms: 5_000,
            // Kubernetes kills after 30 s: five remain for closing.
            drain_timeout_s: 25,
            // 40 KB each make 400 MB, and the usual limit of open files allows about as many.
            max_connections: 10_000,
        }
    }
}

/// `[engine]`: the local engine, a process of its own that every program of the user shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Whether it may be started.
    pub enabled: bool,
    /// The model it answers with where nothing is configured: a name of the catalogue or the path of a `.gguf`.
    pub model: String,
    /// How long it stays after its last client has gone, s.
    pub idle_exit_s: u64,
    /// Threads that compute; absent: as many as cores are really free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Tokens of context that its requests share; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    /// Requests that it answers at the same time, per model; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Requests that may wait beside those, per model; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// How keys and values of the context are kept; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_type: Option<KvType>,
    /// Layers of a model that a GPU computes, where a plug-in for one lies beside the engine; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_layers: Option<u32>,
    /// How long a model stays in memory that nobody asks, s; 0: always; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unload_after_s: Option<u32>,
    /// Memory that all models together may take, MiB; absent: what the machine has available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
}

/// How keys and values of the context are kept: smaller types hold more tokens per MiB, less exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// 32 bits each: greedy answers depend least on what else the engine does.
    F32,
    /// 16 bits each.
    F16,
    /// 8.5 bits each.
    Q8_0,
    /// 4.5 bits each.
    Q4_0,
}

impl KvType {
    /// As the configuration and the engine write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            model: "smollm2-135m".to_owned(),
            // Long enough for the next command of a shell session to find the model still in memory.
            idle_exit_s: 30,
            threads: None,
            context_tokens: None,
            slots: None,
            queue: None,
            kv_type: None,
            gpu_layers: None,
            unload_after_s: None,
            memory_mb: None,
        }
    }
}

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub enum ConfigSource {
    /// The file that `UAT_CONFIG` names, else `./uat.toml` if there is one, else the defaults.
    Default,
    /// This TOML file.
    File(PathBuf),
    /// A JSON object in the shapes of `uat.toml`.
    Json(String),
}

/// A configuration that was read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What counts.
    pub config: UatConfig,
    document: Document,
}

impl Loaded {
    /// The file that was read, if one was.
    pub fn file(&self) -> Option<&Path> {
        self.document.file()
    }

    /// Every setting with its value and where it was written, defaults included, in the order of the sections.
    pub fn settings(&self) -> Vec<Setting> {
        effective::settings(&self.config, &self.document)
    }
}

impl UatConfig {
    /// Reads, overrides from the environment (`UAT__SERVER__BIND=...`) and checks.
    ///
    /// `environment` is asked for `UAT_CONFIG` and the overrides; [`process_environment`] passes the process's own.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place: see [`ConfigError`]. Nothing is used of a wrong configuration.
    pub fn load(
        source: ConfigSource,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let mut document = match source {
            ConfigSource::File(file) => read_toml(&file)?,
            ConfigSource::Json(text) => Document::from_json(&text)?,
            ConfigSource::Default => match environment.iter().find(|(name, _)| name == "UAT_CONFIG") {
                Some((_, file)) if !file.is_empty() => read_toml(Path::new(file))?,
                _ if Path::new("uat.toml").exists() => read_toml(Path::new("uat.toml"))?,
                _ => Document::empty(),
            },
        };
        document.apply_environment(environment)?;
        if let Some(finding) = check::literal_secret(document.tree()) {
            return Err(finding.at(document.key_location(&finding.path)));
        }
        let config: Self = document.deserialize()?;
        if let Location::File { .. } = document.value_location("redis.url")
            && let Some(finding) = check::password_of_redis(&config)
        {
            return Err(finding.at(document.value_location(&finding.path)));
        }
        match check::first_finding(&config) {
            Some(finding) => Err(finding.at(document.value_location(&finding.path))),
            None => Ok(Loaded { config, document }),
        }
    }

    /// Checks what the types alone cannot: names that must be unique, references, addresses.
    ///
    /// # Errors
    /// The first thing that is wrong, by its path.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match check::first_finding(self) {
            Some(finding) => Err(finding.at(Location::Object)),
            None => Ok(()),
        }
    }
}

/// The process's environment, without the variables that are no UTF-8.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn read_toml(file: &Path) -> Result<Document, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
        location: Location::File { file: file.to_owned(), line: 0, column: 0 },
        path: String::new(),
        message: format!("cannot be read: {error}"),
        hint: (error.kind() == std::io::ErrorKind::NotFound).then(|| {
            "name an existing file with --config or UAT_CONFIG, or none for the defaults".to_owned()
        }),
    })?;
    Document::from_toml(file, &text)
}

fn socket_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_bind(&text).map_err(serde::de::Error::custom)
}

/// Reads an address to listen on: `127.0.0.1:8642`, `[::1]:8642` or `localhost:8642`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| format!("expected ADDRESS:PORT such as 127.0.0.1:8642, got `{text}`"))
}
