//! The `[[endpoints]]` and `[[models]]` sections of the configuration: the parts that the coordinator reads.

use std::path::PathBuf;
use std::sync::Arc;

use route_plan::Price;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The dialect that an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// `POST {base_url}/chat/completions`: OpenAI, vLLM, llama.cpp's server, LM Studio and many more.
    #[serde(rename = "openai")]
    OpenAi,
    /// `POST {base_url}/v1/messages`.
    Anthropic,
    /// `POST {base_url}/v1beta/models/{model}:generateContent`.
    Gemini,
    /// `POST {base_url}/api/chat` with NDJSON.
    Ollama,
    /// OpenAI's documents at `{base_url}/openai/...`, with the key in `api-key`.
    Azure,
    /// The local engine, reached over its private socket; has no `base_url`.
    UatEngine,
}

/// One place that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// A file that holds the API key and nothing else. It is read again after the key was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// The version of the interface. `azure`: with it, the path names a deployment; without, the versionless one is used.
    /// `anthropic`: the header `anthropic-version`, `2023-06-01` unless said otherwise. Not for other protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Until the connection stands, TLS included; ms.
    #[serde(default = "default_connect_timeout_ms")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub connect_timeout_ms: u64,
    /// Until the first content, or the whole answer where it is not streamed; ms.
    #[serde(default = "default_first_token_timeout_ms")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub first_token_timeout_ms: u64,
    /// Between two pieces of a streamed answer; ms.
    #[serde(default = "default_idle_timeout_ms")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub idle_timeout_ms: u64,
    /// For one attempt from beginning to end; ms.
    #[serde(default = "default_total_timeout_ms")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub total_timeout_ms: u64,
    /// Requests at the same time, streams included; absent: no limit of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_in_flight: Option<u32>,
    /// Requests that may wait for a place while `max_in_flight` are under way; 0: none waits.
    #[serde(default = "default_max_queued")]
    pub max_queued: u32,
    /// How long one of them waits at most; ms.
    #[serde(default = "default_queue_timeout_ms")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub queue_timeout_ms: u64,
    /// How the backend goes on with an answer that was cut elsewhere; absent: it is not asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Memory of this machine's GPUs that it needs while it is asked: it is asked when that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuNeed>,
}

/// Memory of GPUs that an endpoint needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuNeed {
    /// MiB of one GPU.
    #[schemars(range(min = 1, max = 1_073_741_824_u64))]
    pub vram_mb: u64,
    /// How much its requests matter beside others that wait for memory.
    #[serde(default)]
    pub priority: GpuPriority,
}

/// How much somebody matters who waits for memory of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GpuPriority {
    /// After all others.
    Low,
    /// As most do.
    #[default]
    Normal,
    /// Before most.
    High,
    /// Before all others.
    Critical,
}

/// How a backend goes on with an answer that another one began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// It continues an assistant's message that ends the conversation. `uat-engine` and llama.cpp's server do so as they
    /// are, vLLM and SGLang with the two fields that every `openai` endpoint then gets; OpenAI's own API does not.
    Prefill,
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

// A few times what a server bears at once: more would wait longer than callers do.
fn default_max_queued() -> u32 {
    256
}
// Ten seconds: longer than a burst, shorter than most clients' own limits.
fn default_queue_timeout_ms() -> u64 {
    10_000
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
            api_version: None,
            connect_timeout_ms: default_connect_timeout_ms(),
            first_token_timeout_ms: default_first_token_timeout_ms(),
            idle_timeout_ms: default_idle_timeout_ms(),
            total_timeout_ms: default_total_timeout_ms(),
            max_in_flight: None,
            max_queued: default_max_queued(),
            queue_timeout_ms: default_queue_timeout_ms(),
            resume: None,
            gpu: None,
        }
    }
}

/// How one of a model's endpoints is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// The lower of two drawn costs: peak-EWMA of the time to first content times the outstanding work.
    #[default]
    PeakEwma,
    /// One after the other, as often as their weights say.
    RoundRobin,
    /// The one with the fewest requests under way, by weight.
    LeastInFlight,
    /// Conversations that begin alike go to the same one, whose prompt cache then holds their beginning, unless it has
    /// more than its share of the load.
    PrefixAffinity,
    /// The first of the list that can be asked.
    Priority,
}

/// One public model name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Unique; what a client writes into `model`.
    pub name: Arc<str>,
    /// The tier that the router finds it in, like `fast` or `expert-reasoning`; any word will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Arc<str>>,
    /// What the model can do, for the router and for the lists that clients read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Prompt and answer together, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The longest answer, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// What its tokens cost, for budgets and lists; absent: what is known of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// How good its answers are taken to be before the router has learnt better, 0 to 1; absent: 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub quality: Option<f64>,
    /// Where it is served. At least one.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<ModelEndpoint>,
    /// How one of them is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// Who says with which temperature and such it is asked, where a request does not.
    #[serde(default, skip_serializing_if = "Tuning::is_off")]
    pub parameters: Tuning,
}

/// Who chooses the parameters of a request that names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tuning {
    /// Whoever answers, by its own defaults.
    #[default]
    Off,
    /// What was learnt from calls before: each teaches what it took, and its feedback how good it was.
    Auto,
}

impl Tuning {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// A model at an endpoint, under the name that the endpoint knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEndpoint {
    /// The name of one of the `[[endpoints]]`.
    pub endpoint: Arc<str>,
    /// The model's name there; absent: the public name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// An endpoint of weight 2 is taken to bear twice the load of one of weight 1.
    #[serde(default = "default_weight")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub weight: f64,
}

impl ModelConfig {
    /// A model that the given endpoints serve under the same name.
    pub fn at<E: Into<Arc<str>>>(name: impl Into<Arc<str>>, endpoints: impl IntoIterator<Item = E>) -> Self {
        Self {
            name: name.into(),
            tier: None,
            capabilities: Vec::new(),
            context_tokens: None,
            max_output_tokens: None,
            price: None,
            quality: None,
            endpoints: endpoints
                .into_iter()
                .map(|endpoint| ModelEndpoint {
                    endpoint: endpoint.into(),
                    model: None,
                    weight: default_weight(),
                })
                .collect(),
            balance: Balance::default(),
            parameters: Tuning::default(),
        }
    }
}

fn default_weight() -> f64 {
    1.0
}

/// `[cache]`: answers that are given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// The same question gets the same answer where that is what it would get anyway: at temperature 0, or where the
    /// caller says so.
    pub exact: bool,
    /// The same for questions that mean the same. Not available.
    pub semantic: bool,
    /// How long an answer is kept; s.
    #[schemars(range(min = 1, max = 315_360_000))]
    pub ttl_s: u64,
    /// Longer answers are not kept; KiB.
    #[schemars(range(min = 1, max = 65_536))]
    pub max_entry_kb: u32,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { exact: true, semantic: false, ttl_s: 3600, max_entry_kb: 512 }
    }
}

/// The whole of what the coordinator is told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CoordinatorConfig {
    /// The places that answer.
    pub endpoints: Vec<EndpointConfig>,
    /// The models that can be asked for.
    pub models: Vec<ModelConfig>,
}
