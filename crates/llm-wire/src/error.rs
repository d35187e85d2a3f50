//! Why bytes are not what a dialect allows.

/// Why bytes are not a valid request or response in a dialect.
///
/// Messages quote numbers, names and roles, never the text of a prompt or an answer, so they may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes are not JSON, or a value has a type that the dialect does not have there.
    #[error("malformed JSON at {path} (line {line}, column {column}): {message}")]
    Json {
        /// Where in the document, like `messages[0].role`, or `$` for the root.
        path: String,
        /// Line of the error, counted from 1; 0 where it is unknown.
        line: usize,
        /// Column of the error in bytes, counted from 1; 0 where it is unknown.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// The document is well-formed, but the dialect does not allow this value, or the other dialect cannot say it.
    #[error("{field}: expected {expected}, got {got}")]
    Invalid {
        /// The field at fault, like `temperature` or `messages[2].role`, or `$` for the whole document.
        field: String,
        /// What is allowed there.
        expected: String,
        /// What arrived: a scalar as it was written, else only its kind.
        got: String,
    },
    /// A frame of a stream is larger than its reader is willing to hold.
    #[error(
        "{what} is larger than the limit of {limit} bytes; raise the limit if the sender is to be trusted"
    )]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
}

impl WireError {
    /// The stable error code, as callers of the product see it.
    ///
    /// It takes the side of a server that reads a client's bytes; whoever read them from an upstream reports
    /// `UAT_UPSTREAM` instead.
    pub fn code(&self) -> &'static str {
        "UAT_INVALID_INPUT"
    }

    /// Always false: the same bytes are refused again.
    pub fn retryable(&self) -> bool {
        false
    }

    /// The field or JSON path at fault, which is `param` in OpenAI's error object.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Json { path, .. } if path == "$" => None,
            Self::Json { path, .. } => Some(path),
            Self::Invalid { field, .. } if field == "$" => None,
            Self::Invalid { field, .. } => Some(field),
            Self::TooLarge { .. } => None,
        }
    }

    pub(crate) fn invalid(
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::Invalid { field: field.into(), expected: expected.into(), got: got.into() }
    }
}
