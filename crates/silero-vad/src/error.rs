//! Why there is no probability.

use std::io;

/// One variant per thing a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum VadError {
    /// The file is not sound ONNX.
    #[error("the model is not a sound ONNX file: {reason} (at byte {offset}); pull `silero-vad-6` again")]
    Corrupt {
        /// Where reading stood, in bytes from the start.
        offset: usize,
        /// What was expected and what is there.
        reason: &'static str,
    },
    /// The file is sound, but another network's.
    #[error(
        "the model is not Silero VAD 6 for 16 kHz: {tensor}: {reason}; take the catalogue's `silero-vad-6`"
    )]
    OtherModel {
        /// The tensor that says so.
        tensor: &'static str,
        /// What was expected and what is there.
        reason: String,
    },
    /// A sample that no audio has: it would stay in the network's memory and spoil every probability after it.
    #[error("sample {index} is {value}: expected finite samples of full scale -1 to 1")]
    Sample {
        /// Its place in what was given, from 0.
        index: usize,
        /// What it is.
        value: f32,
    },
    /// A setting of the detector that cannot hold.
    #[error("{setting}: expected {expected}, got {found}")]
    Setting {
        /// Its field.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The file could not be read.
    #[error("the model could not be read: {source}")]
    Io {
        /// What the system said.
        #[from]
        source: io::Error,
    },
}

impl VadError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } => "UAT_CORRUPT_VALUE",
            Self::OtherModel { .. } => "UAT_UNSUPPORTED",
            Self::Sample { .. } | Self::Setting { .. } => "UAT_INVALID_INPUT",
            Self::Io { .. } => "UAT_STORAGE",
        }
    }

    /// Whether the same call may succeed without anybody changing anything.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
