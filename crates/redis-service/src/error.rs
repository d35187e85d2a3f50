//! What can go wrong, one variant for each thing that a caller can do differently.

use std::time::Duration;

/// Every error of the crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisServiceError {
    /// An argument is not allowed.
    #[error("{field}: expected {expected}, got {got}")]
    InvalidInput {
        /// Which argument.
        field: String,
        /// What is allowed.
        expected: String,
        /// What arrived, never the whole value.
        got: String,
    },
    /// An option is wrong, or the address leads nowhere.
    #[error("{field}: {message}")]
    Config {
        /// Which option.
        field: String,
        /// What is wrong with it, and what to try.
        message: String,
    },
    /// Redis refused the login, or the user may not run the command.
    #[error("Redis refused: {message}; check the user and the password in the URL, and what its ACL allows")]
    Unauthorized {
        /// What Redis said.
        message: String,
    },
    /// Redis is away, and this call cannot be answered without it.
    #[error("{operation} needs Redis, which is away: {reason}; try again when it is back")]
    Unavailable {
        /// What was to be done.
        operation: String,
        /// Why Redis counts as away.
        reason: String,
    },
    /// Redis refused to store or do it.
    #[error("Redis could not do it: {message}")]
    Storage {
        /// What Redis said.
        message: String,
    },
    /// Redis refused it for a reason of the command's own.
    #[error("Redis refused: {reply}")]
    Upstream {
        /// What Redis said.
        reply: String,
    },
    /// The command has no answer in its time. Whether it was carried out is not known.
    #[error("Redis did not answer within {} ms; whether the command was carried out is not known", after.as_millis())]
    Timeout {
        /// The time it had.
        after: Duration,
    },
    /// What is stored under the key does not fit the call.
    #[error("{key}: {message}")]
    Conflict {
        /// The key, or the session's place.
        key: String,
        /// What is there.
        message: String,
    },
    /// There is no such session.
    #[error("{what} does not exist: it has expired, was destroyed, or never was")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// Too much is under way.
    #[error("{message}")]
    Overloaded {
        /// Which limit was reached.
        message: String,
    },
    /// This build or server cannot do it.
    #[error("{message}")]
    Unsupported {
        /// What, and what to use instead.
        message: String,
    },
    /// The service was closed.
    #[error("this redis-service was closed; make a new one")]
    Closed,
    /// A bug of ours.
    #[error("{message}")]
    Internal {
        /// What should not have happened.
        message: String,
    },
}

impl RedisServiceError {
    /// An argument that is not allowed.
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::InvalidInput { field: field.into(), expected: expected.into(), got: got.into() }
    }

    /// An option that is wrong.
    pub fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { field: field.into(), message: message.into() }
    }

    /// The stable code, the same in Rust, over HTTP and in JavaScript.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidInput { .. } => "UAT_INVALID_INPUT",
            Self::Config { .. } => "UAT_CONFIG",
            Self::Unauthorized { .. } => "UAT_UNAUTHORIZED",
            Self::Unavailable { .. } | Self::Storage { .. } => "UAT_STORAGE",
            Self::Upstream { .. } => "UAT_UPSTREAM",
            Self::Timeout { .. } => "UAT_TIMEOUT",
            Self::Conflict { .. } => "UAT_CONFLICT",
            Self::NotFound { .. } => "UAT_NOT_FOUND",
            Self::Overloaded { .. } => "UAT_OVERLOADED",
            Self::Unsupported { .. } => "UAT_UNSUPPORTED",
            Self::Closed => "UAT_CLOSED",
            Self::Internal { .. } => "UAT_INTERNAL",
        }
    }

    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Storage { .. } | Self::Timeout { .. } | Self::Overloaded { .. }
        )
    }
}

impl From<crate::resp::ServerError> for RedisServiceError {
    fn from(error: crate::resp::ServerError) -> Self {
        match error.code() {
            "WRONGPASS" | "NOAUTH" | "NOPERM" => Self::Unauthorized { message: error.text },
            "WRONGTYPE" => Self::Conflict { key: "key".to_owned(), message: error.text },
            "OOM" | "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY" | "TRYAGAIN" | "BUSY"
            | "MISCONF" | "NOREPLICAS" => Self::Storage { message: error.text },
            _ => Self::Upstream { reply: error.text },
        }
    }
}
