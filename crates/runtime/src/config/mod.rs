//! `uat.toml`: what is read, from where, and why it is refused.
//!
//! `load` is the way of a configuration: `syntax` reads the text, `document` lays the environment over it, `shape` finds
//! what does not fit the types here, and `check` what the types alone cannot tell.

mod check;
mod context;
mod document;
mod effective;
mod error;
mod finding;
mod gpu;
mod keys;
mod load;
mod parameters;
mod restart;
mod schema;
mod shape;
mod syntax;
mod telemetry;
mod voice;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use fast_llm_coordinator::{CacheConfig, EndpointConfig, ModelConfig};
use llm_router::RoutingConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use context::{ContextConfig, ContextKind, ContextProviderConfig};
pub use effective::Setting;
pub use error::{ConfigError, ConfigErrors, Location};
pub use gpu::GpuConfig;
pub use keys::LimitsConfig;
pub(crate) use keys::{price_of, state_home};
pub use load::{ConfigSource, Loaded, process_environment};
pub use parameters::ParametersConfig;
pub use schema::config_schema;
pub use telemetry::TelemetryConfig;
pub use voice::{VoiceConfig, WebRtcConfig};

/// The whole configuration. Every section has defaults: an empty one is the embedded engine, and whatever Ollama or
/// LM Studio answers on its usual port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
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
    /// How `auto` and `tier:NAME` choose among the models.
    pub routing: RoutingConfig,
    /// How much is added to requests that the router decides.
    pub context: ContextConfig,
    /// What is added to them; none: nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context_providers: Vec<ContextProviderConfig>,
    /// Who may ask; none: everybody on this machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<access::KeyConfig>,
    /// How the limits of keys are kept.
    pub limits: LimitsConfig,
    /// Answers that are given again.
    pub cache: CacheConfig,
    /// The cache in Redis; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<redis_service::Options>,
    /// Memory of GPUs for the programs of this user; absent: this server gives none out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuConfig>,
    /// Where studies, bandits and what is known of models' parameters are kept.
    pub parameters: ParametersConfig,
    /// Who writes down what was said.
    pub voice: VoiceConfig,
    /// What is told of requests: traces, and an access log.
    pub telemetry: TelemetryConfig,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where it listens. Without keys only on loopback: everybody who reaches it may ask.
    #[serde(deserialize_with = "socket_address")]
    pub bind: SocketAddr,
    /// Where administration alone is served, without a key: metrics, endpoints, health. Absent: nowhere.
    #[serde(deserialize_with = "optional_socket_address", skip_serializing_if = "Option::is_none")]
    pub admin_bind: Option<SocketAddr>,
    /// A file with more `[[keys]]`, which `uat keys` writes. A change of it counts at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
    /// Where spend and usage are written; absent: `$XDG_STATE_HOME/uat`, else `~/.local/state/uat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Origins of web pages that may call it beside those on loopback, like `https://app.example`.
    pub allowed_origins: Vec<String>,
    /// The longest request body, MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub max_body_mb: u32,
    /// How long a stream may wait for its first content before 200 and keep-alive comments go out, ms.
    pub hold_ms: u64,
    /// How long running answers may take to finish after SIGTERM, s.
    pub drain_timeout_s: u64,
    /// Connections at the same time; further ones wait to be accepted.
    #[schemars(range(min = 1))]
    pub max_connections: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            // Next to nothing else: 8642 is registered for no service.
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8642),
            admin_bind: None,
            keys_file: None,
            state_dir: None,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(range(min = 1))]
    pub threads: Option<u32>,
    /// Tokens of context that its requests share; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub context_tokens: Option<u32>,
    /// Requests that it answers at the same time, per model; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub slots: Option<u32>,
    /// Requests that may wait beside those, per model; absent: the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65_535))]
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
    #[schemars(range(min = 1))]
    pub memory_mb: Option<u32>,
}

/// How keys and values of the context are kept: smaller types hold more tokens per MiB, less exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

fn socket_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_bind(&text).map_err(serde::de::Error::custom)
}

fn optional_socket_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse_bind(&text).map_err(serde::de::Error::custom)).transpose()
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
