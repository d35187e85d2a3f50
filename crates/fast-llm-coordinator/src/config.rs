//! The `[[endpoints]]` and `[[models]]` sections of the configuration: the parts that the coordinator reads.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The dialect that an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// `POST {base_url}/chat/completions`: OpenAI, vLLM, llama.cpp's server, LM Studio and many more.
    #[serde(rename = "openai")]
    OpenAi,
    /// `POST {base_url}/api/chat` with NDJSON.
    Ollama,
    /// The local engine, reached over its private socket; has no `base_url`.
    UatEngine,
}

/// One place that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Unique; shown in reports, headers and metrics.
    pub name: Arc<str>,
    /// The dialect it speaks.
    pub protocol: Protocol,
    /// `http://` or `https://`. For `openai` an empty path means `/v1`. Not for `uat-engine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// A file that holds the API key and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// Until the connection stands, TLS included; ms.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Until the first content, or the whole answer where it is not streamed; ms.
    #[serde(default = "default_first_token_timeout_ms")]
    pub first_token_timeout_ms: u64,
    /// Between two pieces of a streamed answer; ms.
    #[serde(default = "default_idle_timeout_ms")]
    pub idle_timeout_ms: u64,
    /// For one attempt from beginning to end; ms.
    #[serde(default = "default_total_timeout_ms")]
    pub total_timeout_ms: u64,
    /// Requests at the same time, streams included; absent: no limit of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
}

// One second: a connection within a data centre stands in milliseconds, across an ocean in 200.
fn default_connect_timeout_ms() -> u64 {
    1_000
}
// A minute: a local model that is still being loaded is not late.
fn default_first_token_timeout_ms() -> u64 {
    60_000
}
// Half a minute: slower than any model that still writes, shorter than what a person waits.
fn default_idle_timeout_ms() -> u64 {
    30_000
}
// Ten minutes: the longest answers of reasoning models.
fn default_total_timeout_ms() -> u64 {
    600_000
}

impl EndpointConfig {
    /// An endpoint with the default limits.
    pub fn new(name: impl Into<Arc<str>>, protocol: Protocol, base_url: Option<String>) -> Self {
        Self {
            name: name.into(),
            protocol,
            base_url,
            api_key_env: None,
            api_key_file: None,
            connect_timeout_ms: default_connect_timeout_ms(),
            first_token_timeout_ms: default_first_token_timeout_ms(),
            idle_timeout_ms: default_idle_timeout_ms(),
            total_timeout_ms: default_total_timeout_ms(),
            max_in_flight: None,
        }
    }
}

/// How one of a model's endpoints is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// The lower of two drawn costs: peak-EWMA of the time to first content times the outstanding work.
    #[default]
    PeakEwma,
}

/// One public model name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Unique; what a client writes into `model`.
    pub name: Arc<str>,
    /// What the model can do, for the lists that clients read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Prompt and answer together, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The longest answer, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Where it is served. At least one.
    pub endpoints: Vec<ModelEndpoint>,
    /// How one of them is chosen.
    #[serde(default)]
    pub balance: Balance,
}

/// A model at an endpoint, under the name that the endpoint knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEndpoint {
    /// The name of one of the `[[endpoints]]`.
    pub endpoint: Arc<str>,
    /// The model's name there; absent: the public name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// An endpoint of weight 2 is taken to bear twice the load of one of weight 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
}

impl ModelConfig {
    /// A model that the given endpoints serve under the same name.
    pub fn at<E: Into<Arc<str>>>(name: impl Into<Arc<str>>, endpoints: impl IntoIterator<Item = E>) -> Self {
        Self {
            name: name.into(),
            capabilities: Vec::new(),
            context_tokens: None,
            max_output_tokens: None,
            endpoints: endpoints
                .into_iter()
                .map(|endpoint| ModelEndpoint {
                    endpoint: endpoint.into(),
                    model: None,
                    weight: default_weight(),
                })
                .collect(),
            balance: Balance::default(),
        }
    }
}

fn default_weight() -> f64 {
    1.0
}

/// The whole of what the coordinator is told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CoordinatorConfig {
    /// The places that answer.
    pub endpoints: Vec<EndpointConfig>,
    /// The models that can be asked for.
    pub models: Vec<ModelConfig>,
}
