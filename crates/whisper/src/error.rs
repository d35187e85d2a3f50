//! Why there are no words.

use std::io;
use std::path::PathBuf;

/// One variant per thing a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum WhisperError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The model's file contradicts itself: it was damaged, or cut off.
    #[error(
        "expected a whole model.bin of CTranslate2, but at byte {offset} {reason}; fetch the model again"
    )]
    Corrupt {
        /// In bytes from the start of the file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A sound file of something else than a Whisper model that is run here.
    #[error("expected a Whisper model with the weights of CTranslate2's version 6, got one whose {reason}")]
    Unsupported {
        /// What differs.
        reason: String,
    },
    /// The tokenizer's file is none, or not Whisper's.
    #[error("expected the tokenizer.json of a Whisper model in {}, got: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An option that this model cannot serve.
    #[error("{option} is {got}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was asked.
        got: String,
        /// What would do.
        expected: String,
    },
    /// The samples are not audio.
    #[error("sample {index} is not a number; expected 16 kHz mono between -1 and 1")]
    Samples {
        /// Of the first such sample.
        index: usize,
    },
    /// The caller wanted no more of it.
    #[error("the transcription was cancelled")]
    Cancelled,
    /// No threads could be had.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}

impl WhisperError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => "UAT_MODEL_NOT_FOUND",
            Self::Read { .. } => "UAT_STORAGE",
            Self::Corrupt { .. } | Self::Unsupported { .. } | Self::Tokenizer { .. } => "UAT_CORRUPT_VALUE",
            Self::Option { .. } | Self::Samples { .. } => "UAT_INVALID_INPUT",
            Self::Cancelled => "UAT_CANCELLED",
            Self::Threads { .. } => "UAT_INTERNAL",
        }
    }
}
