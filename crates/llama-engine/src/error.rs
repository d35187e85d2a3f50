//! Everything that can go wrong with a request, with the codes that clients see.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use llm_wire::WireError;
use llm_wire::openai::ErrorBody;

/// Why a request was not answered. Cloned to every request that waited for the same failed load.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The request does not say what it wants in a way that can be understood or done.
    #[error("{message}")]
    Invalid {
        /// What was expected and what arrived.
        message: String,
        /// The field at fault, like `messages[2].role`.
        param: Option<String>,
    },
    /// A valid OpenAI feature that this engine does not have.
    #[error("{feature} is not supported by the local engine; {hint}")]
    Unsupported {
        /// The field that asks for it.
        feature: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// A JSON Schema with something that no grammar here can hold an answer to. Taking it and ignoring it would be a lie.
    #[error(
        "{param}: \"{keyword}\" at {path} cannot be held to while the answer is written; leave it out of the schema, say it in its description and check the answer"
    )]
    UnsupportedSchema {
        /// The field that carries the schema.
        param: String,
        /// The keyword or format.
        keyword: String,
        /// Where in the schema, as a JSON pointer that begins with `#`.
        path: String,
    },
    /// The body is longer than the engine reads.
    #[error("the request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// No such path or method.
    #[error(
        "{method} {path} does not exist here; the engine answers POST /v1/chat/completions, /v1/embeddings and /v1/memory, GET /v1/models, GET /v1/stats and GET /health"
    )]
    NoRoute {
        /// As received.
        method: String,
        /// As received.
        path: String,
    },
    /// The prompt leaves no room for an answer. Both counts are in tokens.
    #[error(
        "this model's context holds {context} tokens, but the prompt has {prompt} and at least one more is needed for an answer; shorten the messages or start the engine with a larger context"
    )]
    ContextLengthExceeded {
        /// Tokens of the rendered prompt.
        prompt: usize,
        /// Tokens that fit.
        context: usize,
    },
    /// A text is too long to be embedded: its vector comes of all of it at once. Both counts are in tokens.
    #[error(
        "input[{index}]: this model embeds texts of at most {limit} tokens, got {tokens}; split the text"
    )]
    InputTooLong {
        /// Which of the texts.
        index: usize,
        /// Tokens that it has.
        tokens: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// The name is not in the catalogue, or its file has not been pulled.
    #[error("{message}")]
    ModelNotFound {
        /// Carries the pull command or the nearest names.
        message: String,
    },
    /// The file is not a complete GGUF.
    #[error("{} is not a usable GGUF file: {reason}; remove it and pull it again", path.display())]
    CorruptModel {
        /// The file at fault.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The file is sound as far as can be seen, but llama.cpp cannot run it.
    #[error("llama.cpp could not load {}: {reason}", path.display())]
    Load {
        /// The file at fault.
        path: PathBuf,
        /// What llama.cpp said.
        reason: String,
    },
    /// Something about the files around the model failed.
    #[error("{message}")]
    Storage {
        /// What and where.
        message: String,
    },
    /// More requests wait than the queue holds.
    #[error(
        "{waiting} requests already run or wait for this model, which is the most it takes; try again in about {} s", wait.as_secs_f64().ceil().max(1.0)
    )]
    Overloaded {
        /// Requests that run or wait.
        waiting: usize,
        /// An estimate of when there is room.
        wait: Duration,
    },
    /// The caller has stopped waiting.
    #[error("the request's time was over {}", if *queued { "while it waited for others" } else { "before its answer was complete" })]
    DeadlineExceeded {
        /// Whether it never ran.
        queued: bool,
    },
    /// The model does not fit into memory, and unloading others does not help.
    #[error("{model} needs {} MiB of memory, but only {} MiB are {limit}; take a smaller model, a shorter context or kv_type = \"q8_0\"", needed >> 20, available >> 20)]
    NotEnoughMemory {
        /// The model's file.
        model: String,
        /// In bytes.
        needed: u64,
        /// In bytes.
        available: u64,
        /// What sets the limit, like `available on this machine`.
        limit: &'static str,
    },
    /// The engine is ending and takes nothing new.
    #[error("the engine is shutting down; connect again to start a new one")]
    ShuttingDown,
    /// A bug or a failure inside llama.cpp.
    #[error("the engine failed: {message}")]
    Internal {
        /// What failed, without any part of the prompt.
        message: String,
    },
}

/// One row of the table that maps an error to what a client sees.
struct Row(StatusCode, &'static str, Option<&'static str>, &'static str, bool);

impl EngineError {
    /// An invalid value of a named field.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()) }
    }

    /// The product's code, `UAT_*`.
    pub fn code(&self) -> &'static str {
        self.row().3
    }

    /// Whether the same request may succeed when it is sent again.
    pub fn retryable(&self) -> bool {
        self.row().4
    }

    /// How long to wait before asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { wait, .. } => Some(*wait),
            Self::ShuttingDown => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        self.row().0
    }

    /// The OpenAI error object.
    pub fn body(&self) -> ErrorBody {
        let Row(_, kind, code, uat_code, retryable) = self.row();
        ErrorBody {
            message: self.to_string(),
            kind: kind.to_owned(),
            param: self.param().map(str::to_owned),
            code: code.map(str::to_owned),
            uat_code: uat_code.to_owned(),
            retryable,
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::Unsupported { feature, .. } => Some(feature),
            Self::UnsupportedSchema { param, .. } => Some(param),
            Self::ContextLengthExceeded { .. } => Some("messages"),
            Self::InputTooLong { .. } => Some("input"),
            Self::ModelNotFound { .. } | Self::NotEnoughMemory { .. } => Some("model"),
            _ => None,
        }
    }

    fn row(&self) -> Row {
        const REQUEST: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        match self {
            Self::Invalid { .. } => {
                Row(StatusCode::BAD_REQUEST, REQUEST, Some("invalid_value"), "UAT_INVALID_INPUT", false)
            }
            Self::Unsupported { .. } | Self::UnsupportedSchema { .. } => {
                Row(StatusCode::BAD_REQUEST, REQUEST, Some("unsupported_value"), "UAT_UNSUPPORTED", false)
            }
            Self::BodyTooLarge { .. } => {
                Row(StatusCode::PAYLOAD_TOO_LARGE, REQUEST, Some("invalid_value"), "UAT_INVALID_INPUT", false)
            }
            Self::NoRoute { .. } => Row(StatusCode::NOT_FOUND, REQUEST, None, "UAT_NOT_FOUND", false),
            Self::ContextLengthExceeded { .. } | Self::InputTooLong { .. } => Row(
                StatusCode::BAD_REQUEST,
                REQUEST,
                Some("context_length_exceeded"),
                "UAT_CONTEXT_LENGTH_EXCEEDED",
                false,
            ),
            Self::ModelNotFound { .. } => {
                Row(StatusCode::NOT_FOUND, REQUEST, Some("model_not_found"), "UAT_MODEL_NOT_FOUND", false)
            }
            Self::CorruptModel { .. } => {
                Row(StatusCode::INTERNAL_SERVER_ERROR, SERVER, None, "UAT_CORRUPT_VALUE", false)
            }
            Self::Load { .. } => {
                Row(StatusCode::INTERNAL_SERVER_ERROR, SERVER, None, "UAT_ENGINE_UNAVAILABLE", false)
            }
            Self::Storage { .. } => {
                Row(StatusCode::INTERNAL_SERVER_ERROR, SERVER, None, "UAT_STORAGE", false)
            }
            Self::Overloaded { .. } => {
                Row(StatusCode::SERVICE_UNAVAILABLE, SERVER, Some("overloaded"), "UAT_OVERLOADED", true)
            }
            Self::DeadlineExceeded { .. } => {
                Row(StatusCode::GATEWAY_TIMEOUT, SERVER, Some("timeout"), "UAT_TIMEOUT", true)
            }
            Self::NotEnoughMemory { .. } => Row(
                StatusCode::SERVICE_UNAVAILABLE,
                SERVER,
                Some("insufficient_memory"),
                "UAT_ENGINE_UNAVAILABLE",
                false,
            ),
            Self::ShuttingDown => {
                Row(StatusCode::SERVICE_UNAVAILABLE, SERVER, None, "UAT_ENGINE_UNAVAILABLE", true)
            }
            Self::Internal { .. } => {
                Row(StatusCode::INTERNAL_SERVER_ERROR, SERVER, None, "UAT_INTERNAL", true)
            }
        }
    }
}

impl From<WireError> for EngineError {
    fn from(error: WireError) -> Self {
        let message = error.to_string();
        match error {
            WireError::Json { path, .. } => Self::Invalid { message, param: Some(path) },
            WireError::Invalid { field, .. } => Self::Invalid { message, param: Some(field) },
            WireError::TooLarge { .. } => Self::Invalid { message, param: None },
        }
    }
}
