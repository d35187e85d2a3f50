//! Why there is no embedding.

use std::io;
use std::path::PathBuf;

/// One variant per thing a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The model's file is none, or not of the kind that is run here.
    #[error("expected an ONNX model from token ids to a vector for each token in {}, got: {reason}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer's file is none, or not of the kind that is known here.
    #[error("expected the tokenizer.json of a BERT model in {}, got: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A sound model failed on a text. That is a bug.
    #[error("the model could not be run: {reason}")]
    Run {
        /// What it said.
        reason: String,
    },
}

impl EmbedError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "UAT_STORAGE",
            Self::Model { .. } | Self::Tokenizer { .. } => "UAT_CORRUPT_VALUE",
            Self::Run { .. } => "UAT_INTERNAL",
        }
    }

    /// Whether trying again may succeed without anybody changing a file.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Read { .. })
    }
}
