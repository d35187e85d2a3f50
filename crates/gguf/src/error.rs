//! Why a header could not be read.

use std::io;

/// One variant per thing a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The content is not a sound GGUF file.
    #[error("{reason} (at byte {offset})")]
    Corrupt {
        /// Where reading stood, in bytes from the start.
        offset: u64,
        /// What was expected and what is there.
        reason: String,
    },
    /// The file is sound, but only a part of a model.
    #[error(
        "it is one of {count} files of a split model: join them with `llama-gguf-split --merge`, or take the model as one file"
    )]
    Split {
        /// How many files the model has.
        count: u64,
    },
    /// The source could not be read.
    #[error("reading failed at byte {offset}: {source}")]
    Io {
        /// Where reading stood, in bytes from the start.
        offset: u64,
        /// What the source said.
        #[source]
        source: io::Error,
    },
}

impl GgufError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } => "UAT_CORRUPT_VALUE",
            Self::Split { .. } => "UAT_UNSUPPORTED",
            Self::Io { .. } => "UAT_STORAGE",
        }
    }

    /// Whether reading again may succeed without anybody changing the file.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
