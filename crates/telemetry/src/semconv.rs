//! The names that spans carry: OpenTelemetry's semantic conventions, version 1.42.0, of which those for generative AI are
//! still in development. They are here and nowhere else, so that a later version is one change.

/// The version of the conventions, as spans name it.
pub const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.42.0";

/// What is asked of a model: `gen_ai.operation.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A conversation, in whichever dialect.
    Chat,
    /// One prompt without roles.
    TextCompletion,
    /// Gemini's dialect has a name of its own.
    GenerateContent,
    /// Vectors.
    Embeddings,
}

impl Operation {
    /// As the conventions write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::GenerateContent => "generate_content",
            Self::Embeddings => "embeddings",
        }
    }
}

pub(crate) const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
pub(crate) const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
pub(crate) const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
pub(crate) const GEN_AI_RESPONSE_MODEL: &str = "gen_ai.response.model";
pub(crate) const GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub(crate) const GEN_AI_USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(crate) const GEN_AI_USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(crate) const GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";

pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const HTTP_REQUEST_METHOD: &str = "http.request.method";
pub(crate) const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
pub(crate) const HTTP_ROUTE: &str = "http.route";
pub(crate) const URL_PATH: &str = "url.path";
pub(crate) const URL_SCHEME: &str = "url.scheme";

pub(crate) const SERVICE_NAME: &str = "service.name";
pub(crate) const SERVICE_VERSION: &str = "service.version";
pub(crate) const SERVICE_INSTANCE_ID: &str = "service.instance.id";

// Ours: the conventions have no word for a gateway's own facts.
pub(crate) const UAT_REQUEST_ID: &str = "uat.request.id";
pub(crate) const UAT_KEY_NAME: &str = "uat.key.name";
pub(crate) const UAT_ENDPOINT: &str = "uat.endpoint";
pub(crate) const UAT_CACHE: &str = "uat.cache";
pub(crate) const UAT_ATTEMPTS: &str = "uat.attempts";
pub(crate) const UAT_ATTEMPT_NUMBER: &str = "uat.attempt.number";
pub(crate) const UAT_OVERHEAD_US: &str = "uat.overhead_us";
pub(crate) const UAT_COST_USD: &str = "uat.cost_usd";
